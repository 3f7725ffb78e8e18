// SPDX-License-Identifier: MIT
// What a request's target may be before it is routed: '//' collapses; dot segments,
// encoded once, more often or not, and %2f, %5c, %00 are refused, so that no filter or upstream
// reads another path than the router did.
#pragma once

#include <string>
#include <string_view>

#include "core/base/error.h"

namespace relay {

// `path` without query. Errors: kMalformed.
Result<std::string> NormalisePath(std::string_view path);
// True when `prefix` ("/api", "/") matches whole segments of `path`.
bool HasPrefix(std::string_view path, std::string_view prefix);
// `path` after a prefix that it has; at least "/".
std::string_view AfterPrefix(std::string_view path, std::string_view prefix);

}  // namespace relay
