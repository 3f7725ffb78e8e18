// SPDX-License-Identifier: MIT
// Which form tests take: the short one of every run, or the long one.
#pragma once

#include <cstdlib>

namespace relay {

// Whether tests are to take their long forms (tests/run.sh --long).
inline bool IsLongForm() {
  const char* said = std::getenv("RELAY_LONG");
  return said != nullptr && *said != '\0';
}

}  // namespace relay
