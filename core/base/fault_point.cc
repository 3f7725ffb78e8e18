// SPDX-License-Identifier: MIT
#include "core/base/fault_point.h"

#include <csignal>
#include <cstdlib>
#include <string>

namespace relay {

void FaultPoint(std::string_view name) {
  static const std::string kWanted = [] {
    const char* value = std::getenv("RELAY_FAULT_POINT");
    return std::string(value == nullptr ? "" : value);
  }();
  if (!kWanted.empty() && kWanted == name) std::raise(SIGKILL);
}

}  // namespace relay
