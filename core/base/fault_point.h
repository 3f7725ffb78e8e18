// SPDX-License-Identifier: MIT
// Places in the program at which it can be made to die, so that tests can show what a crash there
// leaves behind.
#pragma once

#include <string_view>

namespace relay {

// Kills the process at once, as SIGKILL does, if the environment variable RELAY_FAULT_POINT is
// `name`. Whoever can set that can kill the process anyway.
void FaultPoint(std::string_view name);

}  // namespace relay
