// SPDX-License-Identifier: MIT
// `relay accounts …`: the accounts of a running relay, over its control socket.
#pragma once

#include "admin/load.h"
#include "admin/options.h"

namespace relay {

// Gives the exit code, after telling what came of it on standard output and error.
int RunAccounts(const Options& options, const Environment& environment);

}  // namespace relay
