// SPDX-License-Identifier: MIT
#include "core/exchange/chain.h"

#include "core/exchange/path.h"

namespace relay {

RouteTable::Match RouteTable::Find(std::string_view path) const {
  for (const Route& route : routes) {
    for (const std::string& exact : route.paths) {
      if (path == exact) return {&route, ""};
    }
    for (const std::string& prefix : route.prefixes) {
      if (HasPrefix(path, prefix)) return {&route, prefix};
    }
  }
  return {};
}

}  // namespace relay
