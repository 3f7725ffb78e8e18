// SPDX-License-Identifier: MIT
// The filters that there are: the only list. A filter is one file and one line in registry.cc.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/config/root.h"
#include "core/exchange/filter.h"

namespace relay {

class Cluster;
class Ledger;
class Limiter;
class Metrics;
class Prices;

// What filters may use besides the exchange; all of it outlives them.
struct FilterContext {
  std::string route;
  Cluster& cluster;  // the worker's
  Limiter& limiter;  // the process's, as are the others
  Ledger& ledger;
  const Prices& prices;
  Metrics& metrics;
};

struct FilterKind {
  std::string_view name;
  std::string_view summary;  // one line, for the reference
  FactSet needs = 0;
  FactSet gives = 0;
  Shape (*describe)();
  // Reads the options, with all complaints. Null, after at least one, when they are wrong.
  std::unique_ptr<Filter> (*make)(const Node& options, const FilterContext* context,
                                  Problems& problems);
};

std::span<const FilterKind> FilterKinds();

// Complains of unknown filters (with the nearest name), wrong options, and needs that no earlier
// filter of the chain gives.
void CheckChains(const Config& config, Problems& problems);

// Of a configuration that CheckChains found good.
std::unique_ptr<Filter> MakeFilter(const FilterSpec& spec, const FilterContext& context);

}  // namespace relay
