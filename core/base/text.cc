// SPDX-License-Identifier: MIT
#include "core/base/text.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace relay {
namespace {

tm UtcOf(time_t seconds) {
  tm parts{};
  gmtime_r(&seconds, &parts);
  return parts;
}

}  // namespace

std::string RandomHex(size_t bytes, std::string_view prefix) {
  constexpr size_t kPool = 512;
  thread_local std::array<unsigned char, kPool> pool;
  thread_local size_t used = kPool;
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.resize(prefix.size() + bytes * 2);
  char* to = std::ranges::copy(prefix, text.data()).out;
  for (size_t i = 0; i < bytes; ++i) {
    if (used == kPool) {
      // getrandom for up to 256 bytes is never interrupted; without it there is no safe id.
      for (size_t at = 0; at < kPool; at += 256) {
        if (getrandom(pool.data() + at, 256, 0) != 256) std::abort();
      }
      used = 0;
    }
    unsigned char byte = pool[used++];
    *to++ = kDigits[byte >> 4];
    *to++ = kDigits[byte & 15];
  }
  return text;
}

const std::string& HttpDate(WallTime now) {
  thread_local time_t made_for = -1;
  thread_local std::string text;
  time_t seconds = std::chrono::system_clock::to_time_t(now);
  if (seconds != made_for) {
    made_for = seconds;
    tm parts = UtcOf(seconds);
    std::array<char, 64> out{};
    size_t n = strftime(out.data(), out.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    text.assign(out.data(), n);
  }
  return text;
}

std::string LowerOf(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = LowerOf(c);
  return lower;
}

std::string IsoTime(WallTime when) {
  auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch());
  tm parts = UtcOf(static_cast<time_t>(millis.count() / 1000));
  std::array<char, 64> out{};
  size_t n = strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::array<char, 8> fraction{};
  std::snprintf(fraction.data(), fraction.size(), ".%03dZ",
                static_cast<int>(millis.count() % 1000));
  return std::string(out.data(), n) + fraction.data();
}

}  // namespace relay
