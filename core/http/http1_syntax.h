// SPDX-License-Identifier: MIT
// The small words of HTTP/1 heads (RFC 9110 §5.6, §7.2): tokens, hosts, lengths, clean values.
#pragma once

#include <cstdint>
#include <string_view>

namespace relay {

// How many bytes at the front of `text` may stand in a token (RFC 9110 §5.6.2).
size_t TokenLength(std::string_view text);
// A whole token of at least one byte.
bool IsToken(std::string_view text);
// host[:port] as a request's Host may be (RFC 9110 §7.2, without what no client of ours sends).
bool IsHostAndPort(std::string_view text);
inline bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
// Digits only, below 2^63.
bool ReadDecimal(std::string_view digits, uint64_t& number);
// Without spaces and tabs at its ends.
std::string_view TrimBlanks(std::string_view text);
// The first control byte (HTAB too, and DEL) at or after `from`; text.size() if there is none.
size_t FindControl(std::string_view text, size_t from);
// Holds no control byte but HTAB: may stand in a header's value.
bool IsFieldValue(std::string_view text);

}  // namespace relay
