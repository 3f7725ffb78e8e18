// SPDX-License-Identifier: MIT
// `relay state export FILE` and `relay state import FILE`: the whole state of the store that
// relay.yaml names, as one encrypted file.
#pragma once

#include "admin/options.h"
#include "core/config/yaml.h"

namespace relay {

// Returns the exit code.
int RunState(const Options& options, const Environment& environment);

}  // namespace relay
