// SPDX-License-Identifier: MIT
// A second reader of JSON objects, written from RFC 8259 and R41 alone, as a descent that a reader
// can check by eye. The fuzz target compares the index with it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace relay {

// Names, unescaped, and the values' bytes, in order.
using ReferenceObject = std::vector<std::pair<std::string, std::string_view>>;

// Nothing when `text` is not one object and blanks, is deeper than 64, is not UTF-8, has over 1024
// fields, or gives one of its own fields twice.
std::optional<ReferenceObject> ReadJsonObject(std::string_view text);

}  // namespace relay
