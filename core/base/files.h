// SPDX-License-Identifier: MIT
// Files as wholes.
#pragma once

#include <expected>
#include <string>

namespace relay {

// All bytes of a file, or of whatever else can be opened by its path and ends. The error is errno.
std::expected<std::string, int> ReadWholeFile(const std::string& path);

}  // namespace relay
