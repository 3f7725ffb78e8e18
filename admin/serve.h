// SPDX-License-Identifier: MIT
// `relay serve`: the process from its start to its drain.
#pragma once

#include "admin/options.h"
#include "core/config/yaml.h"

namespace relay {

// Returns the exit code: 0 after a drain, 1 when it could not start, 2 for a wrong relay.yaml.
int RunServe(const Options& options, const Environment& environment);

}  // namespace relay
