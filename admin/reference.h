// SPDX-License-Identifier: MIT
// What relay.yaml and its filters may hold, printed from the same declarations that read them.
#pragma once

#include <string>

namespace relay {

// `relay filters`: each filter with its summary, facts and options.
std::string FiltersReference();
// `relay schema`: the JSON schema of relay.yaml, filters' options included; one line.
std::string ConfigSchema();

}  // namespace relay
