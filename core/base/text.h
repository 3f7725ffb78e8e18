// SPDX-License-Identifier: MIT
// Small text: put together, random for ids, dates, letters without their case.
#pragma once

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include "core/base/clock.h"

namespace relay {

// Letters of ASCII in lower case; every other byte stays what it is.
constexpr char LowerOf(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
std::string LowerOf(std::string_view text);

// Grows `text` by `more` chars, all of which fill(char*) writes: one step where appending piece by
// piece would look for room each time.
template <class F>
void AppendFilled(std::string& text, size_t more, F fill) {
  const size_t before = text.size();
  // The size that libstdc++ 12 tells is of the room, which may be more than was asked for.
  text.resize_and_overwrite(before + more, [&](char* data, size_t) {
    fill(data + before);
    return before + more;
  });
}
// Writes `text`, which may be empty, to `at`. → behind it.
inline char* Put(char* at, std::string_view text) {
  if (!text.empty()) std::memcpy(at, text.data(), text.size());
  return at + text.size();
}
// `prefix`, and behind it 2 * bytes hex digits from the system's generator, buffered by thread.
std::string RandomHex(size_t bytes, std::string_view prefix = "");
// RFC 9110 §5.6.7, "Sun, 06 Nov 1994 08:49:37 GMT"; made once a second and thread.
const std::string& HttpDate(WallTime now);
// RFC 3339 in UTC with milliseconds: "2026-11-24T05:20:00.000Z".
std::string IsoTime(WallTime when);

}  // namespace relay
