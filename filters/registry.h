// SPDX-License-Identifier: MIT
// The filters that there are. A filter is one file that defines a FilterKind, one test, one example
// and one line in registry.cc; README.md beside this file writes one.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/config/fields.h"
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

// Where a filter stands in the configuration.
struct FilterSite {
  const Config& config;
  const RouteConfig& route;
  const ClusterConfig* cluster;  // null when the route names one that is not there
};

struct FilterKind {
  std::string_view name;
  std::string_view summary;  // one line, for the reference
  FactSet needs = 0;
  FactSet gives = 0;
  Shape (*describe)() = nullptr;
  // Complains of wrong options.
  void (*check)(const FilterSpec& spec, const FilterSite& site, Problems& problems) = nullptr;
  // Of options that `check` found good.
  std::unique_ptr<Filter> (*make)(const FilterSpec& spec, const FilterContext& context) = nullptr;
};

// A kind whose options are bound by Bind(Fields&, Options&) and whose filters are made by
// F(Options, const FilterContext&). A function CheckSite(const Options&, const FilterSite&,
// Problems&) beside Bind may look at the route around the filter. The registry sets the name.
template <class Options, class F>
FilterKind KindOf(std::string_view summary, FactSet needs, FactSet gives) {
  FilterKind kind{.name = {}, .summary = summary, .needs = needs, .gives = gives};
  kind.describe = [] { return DescribeStruct<Options>(); };
  kind.check = [](const FilterSpec& spec, const FilterSite& site, Problems& problems) {
    Options options;
    if (!ReadStruct(spec.options, "filter '" + spec.name + "'", problems, options)) return;
    if constexpr (requires { CheckSite(options, site, problems); }) {
      CheckSite(options, site, problems);
    }
  };
  kind.make = [](const FilterSpec& spec, const FilterContext& context) -> std::unique_ptr<Filter> {
    Options options;
    Problems checked_before;
    ReadStruct(spec.options, spec.name, checked_before, options);
    return std::make_unique<F>(std::move(options), context);
  };
  return kind;
}

// In the order in which a chain usually has them.
std::span<const FilterKind> FilterKinds();

// Complains of unknown filters (with the nearest name), wrong options, a filter twice in a chain,
// needs that no earlier filter gives, and chains that end without an account.
void CheckChains(const Config& config, Problems& problems);

// Of a configuration that CheckChains found good.
std::unique_ptr<Filter> MakeFilter(const FilterSpec& spec, const FilterContext& context);

}  // namespace relay
