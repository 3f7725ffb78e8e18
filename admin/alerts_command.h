// SPDX-License-Identifier: MIT
// `relay alerts …`: who a running relay tells of alerts, and a test of it.
#pragma once

#include "admin/options.h"
#include "core/config/yaml.h"

namespace relay {

// Gives the exit code: 1 when a test did not arrive.
int RunAlerts(const Options& options, const Environment& environment);

}  // namespace relay
