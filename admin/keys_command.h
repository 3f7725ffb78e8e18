// SPDX-License-Identifier: MIT
// `relay keys …`: the relay keys of the running relay, over its control socket.
#pragma once

#include <string>
#include <string_view>

#include "admin/options.h"
#include "core/base/error.h"
#include "core/config/yaml.h"

namespace relay {

// Returns the exit code.
int RunKeys(const Options& options, const Environment& environment);

// The answer to GET /admin/v1/keys as a table. Errors: it is none.
Result<std::string> KeysTable(std::string_view json);

}  // namespace relay
