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

class RouteMetrics;

struct Route {
  std::string name;
  std::vector<std::string> prefixes;     // whole segments
  std::vector<std::string> paths;        // exact
  std::vector<std::string> passthrough;  // paths after the prefix, whole segments
  std::vector<std::unique_ptr<Filter>> filters;
  Upstream* upstream = nullptr;     // the worker's; outlives the table
  RouteMetrics* metrics = nullptr;  // the process's; outlives the table
};

struct RouteTable {
  std::vector<Route> routes;  // first match wins

  struct Match {
    const Route* route = nullptr;  // null: none matches
    std::string_view prefix;       // the route's; "" where an exact path matched
  };
  // `path` is normalised (path.h).
  Match Find(std::string_view path) const;
};

}  // namespace relay
