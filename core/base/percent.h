// SPDX-License-Identifier: MIT
// Percent encoding, RFC 3986 §2.1: the one reader and writer of it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace relay {

// The value of a hex digit, in either case; -1: it is none.
int HexDigit(char c);

// The byte for which the three characters from `at` on stand; nothing when they are no escape.
std::optional<char> EscapeAt(std::string_view text, size_t at);

// Each escape as its byte; a '%' that begins none stays as it is.
std::string PercentDecode(std::string_view text);
// The same, but nothing when a '%' begins none.
std::optional<std::string> PercentDecodeStrictly(std::string_view text);

// All but the unreserved (RFC 3986 §2.3: letters, digits, "-._~") and the characters of `kept`.
std::string PercentEncode(std::string_view text, std::string_view kept = "");

}  // namespace relay
