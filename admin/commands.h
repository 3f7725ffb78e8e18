// SPDX-License-Identifier: MIT
// The commands beside `serve` and `check` that need more than a print. Each returns the exit code.
#pragma once

#include <expected>
#include <string>

#include "admin/options.h"
#include "core/config/yaml.h"

namespace relay {

// Where a running relay has its control socket, by what the command line, the environment or
// relay.yaml says. An int is the exit code after a complaint.
std::expected<std::string, int> FindControlSocket(const Options& options,
                                                  const Environment& environment);

int RunUsage(const Options& options, const Environment& environment);
int RunRekey(const Options& options, const Environment& environment);
int RunHealth(const Options& options, const Environment& environment);
int RunReload(const Options& options, const Environment& environment);
int RunDiff(const Options& options, const Environment& environment);

}  // namespace relay
