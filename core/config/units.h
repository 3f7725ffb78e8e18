// SPDX-License-Identifier: MIT
// The scalars of a configuration: numbers, durations, sizes, addresses. Strict: one spelling each,
// nothing is rounded, cut off or guessed.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "core/base/clock.h"

namespace relay {

// Why a text is not a value.
enum class Unfit : uint8_t {
  kSyntax,
  kTooLarge,  // well formed, but beyond what the type holds, on either side
};
template <class T>
using Parsed = std::expected<T, Unfit>;

// An amount of memory or of a body.
struct Bytes {
  uint64_t count = 0;
  auto operator<=>(const Bytes&) const = default;
};

// An amount of memory, or a share of what the process may use.
struct BytesOrShare {
  Bytes bytes;      // when percent is 0
  int percent = 0;  // 1..100
  uint64_t Of(uint64_t total) const;
  bool operator==(const BytesOrShare&) const = default;
};

// "0.0.0.0:3000", "[::1]:3000", "localhost:6379". Host in lower case, without brackets.
struct HostPort {
  std::string host;
  uint16_t port = 0;
  bool operator==(const HostPort&) const = default;
};

// "https://host[:port][/path]": no user, query or fragment.
struct Url {
  bool tls = true;
  std::string host;  // lower case, without brackets
  uint16_t port = 443;
  std::string path;  // "" or "/v1/proxy", without a trailing slash
  bool operator==(const Url&) const = default;
};

// -?(0|[1-9][0-9]*): no 0x10, 010, 1_000, +1, 1e3.
Parsed<int64_t> ParseInteger(std::string_view text);
// An integer with an optional fraction: 25, 0.5; no exponent, inf or nan.
Parsed<double> ParseNumber(std::string_view text);
// true or false, nothing else.
Parsed<bool> ParseBool(std::string_view text);
// A whole number and one of ms, s, m, h, d; "0" needs a unit too.
Parsed<Duration> ParseDuration(std::string_view text);
// A whole number and one of B, KiB, MiB, GiB (1024) or kB, KB, MB, GB (1000).
Parsed<Bytes> ParseBytes(std::string_view text);
// ParseBytes, or 1% to 100%.
Parsed<BytesOrShare> ParseBytesOrShare(std::string_view text);
// Port 0 is allowed: the system chooses.
Parsed<HostPort> ParseHostPort(std::string_view text);
Parsed<Url> ParseUrl(std::string_view text);
// A DNS name of letters, digits, '-' and '_', or an IPv4 or IPv6 address in its usual form
// (never 0x7f.1, 2130706433 or 010.0.0.1), without brackets.
bool IsHost(std::string_view text);

// The spelling that the parser above reads back, the largest unit that is exact: "10s", "32KiB".
std::string FormatDuration(Duration value);
std::string FormatBytes(Bytes value);
std::string FormatBytesOrShare(const BytesOrShare& value);
std::string FormatHostPort(const HostPort& value);
std::string FormatUrl(const Url& value);
std::string FormatNumber(double value);

}  // namespace relay
