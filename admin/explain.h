// SPDX-License-Identifier: MIT
// `relay explain`: what would become of a request, and why.
#pragma once

#include <string>
#include <string_view>

#include "admin/options.h"
#include "core/base/error.h"
#include "core/config/root.h"

namespace relay {

// What an Explanation has as JSON, for people: the outcome first, then a step a paragraph.
Result<std::string> ExplanationText(std::string_view json);

// Asks the relay that runs with the same data folder; where none does, or for --offline, the file
// alone tells. Returns the exit code: 0 it would be served, 1 refused, 2 bad usage or relay.yaml.
int RunExplain(const Options& options, const Environment& environment);

}  // namespace relay
