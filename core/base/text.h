// SPDX-License-Identifier: MIT
// Small text: random ids, dates, letters without their case.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/base/clock.h"

namespace relay {

// Letters of ASCII in lower case; every other byte stays what it is.
constexpr char LowerOf(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
std::string LowerOf(std::string_view text);

// 2 * bytes hex digits from the system's generator, buffered by thread.
std::string RandomHex(size_t bytes);
// RFC 9110 §5.6.7, "Sun, 06 Nov 1994 08:49:37 GMT"; made once a second and thread.
const std::string& HttpDate(WallTime now);
// RFC 3339 in UTC with milliseconds: "2026-11-24T05:20:00.000Z".
std::string IsoTime(WallTime when);

}  // namespace relay
