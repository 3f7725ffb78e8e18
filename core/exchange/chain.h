// SPDX-License-Identifier: MIT
// Routes with their chains, as one worker uses them: immutable once built; an exchange keeps the
// table with which it began.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/exchange/filter.h"
#include "core/exchange/upstream.h"

namespace relay {

struct Route {
  std::string name;
  std::vector<std::string> prefixes;
  std::vector<std::string> passthrough;  // paths after the prefix, whole segments
  std::vector<std::unique_ptr<Filter>> filters;
  Upstream* upstream = nullptr;  // the worker's; outlives the table
};

struct RouteTable {
  std::vector<Route> routes;  // first match wins

  struct Match {
    const Route* route = nullptr;
    std::string_view prefix;
  };
  Match Find(std::string_view path) const;
};

}  // namespace relay
