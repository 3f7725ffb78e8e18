// SPDX-License-Identifier: MIT
// The words of complaints: names and values in quotes, and what a mistyped name was meant to be.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/config/node.h"

namespace relay {

// 'text': long ones are cut, control bytes are '?'.
std::string Quote(std::string_view text);
// What a complaint says that a node is: its text (numbers without quotes), "empty", or its kind.
std::string Shown(const Node& node);
// "empty", "a single value", "a list" or "a map"
std::string_view KindName(const Node& node);
// "a, b or c"
std::string Listed(std::span<const std::string_view> words);

// The name among `names` that is most like `name`, empty when none is near (edit distance of at
// most a third of its length, swapped neighbours counting once).
std::string_view NearestName(std::string_view name, std::span<const std::string_view> names);
// " (did you mean 'x'?)" or "".
std::string DidYouMean(std::string_view name, std::span<const std::string_view> names);

}  // namespace relay
