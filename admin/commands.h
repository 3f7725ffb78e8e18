// SPDX-License-Identifier: MIT
// The commands beside `serve` and `check` that need more than a print. Each returns the exit code.
#pragma once

#include "admin/options.h"
#include "core/config/yaml.h"

namespace relay {

int RunUsage(const Options& options, const Environment& environment);
int RunRekey(const Options& options, const Environment& environment);
int RunHealth(const Options& options, const Environment& environment);
int RunReload(const Options& options, const Environment& environment);
int RunDiff(const Options& options, const Environment& environment);

}  // namespace relay
