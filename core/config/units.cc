// SPDX-License-Identifier: MIT
#include "core/config/units.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "core/base/text.h"

namespace relay {
namespace {

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsAlnum(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// How many digits begin the text, when they are the usual spelling of a whole number.
size_t WholeDigits(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && IsDigit(text[n])) ++n;
  return n > 1 && text[0] == '0' ? 0 : n;
}

struct Unit {
  std::string_view name;
  int64_t factor;
};

// The largest first; formatting takes the first that divides.
constexpr std::array kTimeUnits = {
    Unit{"d", 86'400'000'000'000}, Unit{"h", 3'600'000'000'000}, Unit{"m", 60'000'000'000},
    Unit{"s", 1'000'000'000},      Unit{"ms", 1'000'000},
};
constexpr std::array kByteUnits = {
    Unit{"GiB", int64_t{1} << 30},
    Unit{"GB", 1'000'000'000},
    Unit{"MiB", int64_t{1} << 20},
    Unit{"MB", 1'000'000},
    Unit{"KiB", 1 << 10},
    Unit{"kB", 1000},
    Unit{"KB", 1000},
    Unit{"B", 1},
};

// A whole number with one of the units, in the smallest one.
Parsed<int64_t> ParseWithUnit(std::string_view text, std::span<const Unit> units) {
  size_t digits = WholeDigits(text);
  if (digits == 0) return std::unexpected(Unfit::kSyntax);
  for (const Unit& unit : units) {
    if (text.substr(digits) != unit.name) continue;
    auto count = ParseInteger(text.substr(0, digits));
    if (!count) return count;
    int64_t product = 0;
    if (__builtin_mul_overflow(*count, unit.factor, &product)) {
      return std::unexpected(Unfit::kTooLarge);
    }
    return product;
  }
  return std::unexpected(Unfit::kSyntax);
}

std::string FormatWithUnit(int64_t value, std::span<const Unit> units) {
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.factor == 0) {
      return std::to_string(value / unit.factor) + std::string(unit.name);
    }
  }
  return std::to_string(value / units.back().factor) + std::string(units.back().name);
}

bool IsIPv4(std::string_view text) {
  in_addr out{};
  return inet_pton(AF_INET, std::string(text).c_str(), &out) == 1;
}

bool IsIPv6(std::string_view text) {
  in6_addr out{};
  return inet_pton(AF_INET6, std::string(text).c_str(), &out) == 1;
}

bool IsDnsName(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  size_t start = 0;
  std::string_view last;
  while (start <= text.size()) {
    size_t dot = std::min(text.find('.', start), text.size());
    last = text.substr(start, dot - start);
    if (last.empty() || last.size() > 63 || last.front() == '-' || last.back() == '-') return false;
    for (char c : last) {
      if (!IsAlnum(c) && c != '-' && c != '_') return false;
    }
    start = dot + 1;
  }
  // A last label like this is read as part of an address by some resolvers (WHATWG URL, "ends in
  // a number"): 127.1, 0x7f000001, 2130706433.
  if (IsDigit(last[0])) {
    bool number = last.find_first_not_of("0123456789") == std::string_view::npos;
    bool hex = last.size() >= 2 && last[0] == '0' && (last[1] == 'x' || last[1] == 'X');
    return !number && !hex;
  }
  return true;
}

Parsed<uint16_t> ParsePort(std::string_view text) {
  if (text.empty() || WholeDigits(text) != text.size()) return std::unexpected(Unfit::kSyntax);
  auto port = ParseInteger(text);
  if (!port || *port > 65535) return std::unexpected(Unfit::kTooLarge);
  return static_cast<uint16_t>(*port);
}

// "host", "host:port", "[::1]", "[::1]:port"; the port is left alone when there is none.
Parsed<HostPort> ParseAuthority(std::string_view text, std::optional<uint16_t> default_port) {
  std::string_view host;
  std::string_view rest;
  if (text.starts_with('[')) {
    size_t end = text.find(']');
    if (end == std::string_view::npos) return std::unexpected(Unfit::kSyntax);
    host = text.substr(1, end - 1);
    rest = text.substr(end + 1);
    if (!IsIPv6(host)) return std::unexpected(Unfit::kSyntax);
  } else {
    size_t colon = std::min(text.find(':'), text.size());
    host = text.substr(0, colon);
    rest = text.substr(colon);
    if (!IsIPv4(host) && !IsDnsName(host)) return std::unexpected(Unfit::kSyntax);
  }
  HostPort out{LowerOf(host), default_port.value_or(0)};
  if (rest.empty()) {
    if (!default_port) return std::unexpected(Unfit::kSyntax);
    return out;
  }
  if (rest[0] != ':') return std::unexpected(Unfit::kSyntax);
  auto port = ParsePort(rest.substr(1));
  if (!port) return std::unexpected(port.error());
  out.port = *port;
  return out;
}

std::string BracketedHost(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

// RFC 3986 §3.3 without dot segments and empty segments.
bool IsUrlPath(std::string_view path) {
  size_t start = 0;
  while (start < path.size()) {
    if (path[start] != '/') return false;
    size_t end = std::min(path.find('/', start + 1), path.size());
    std::string_view segment = path.substr(start + 1, end - start - 1);
    if (segment.empty() || segment == "." || segment == "..") return false;
    for (size_t i = 0; i < segment.size(); ++i) {
      char c = segment[i];
      if (!IsAlnum(c) && std::string_view("-._~!$&'()*+,;=:@").find(c) == std::string_view::npos) {
        return false;
      }
    }
    start = end;
  }
  return true;
}

}  // namespace

uint64_t BytesOrShare::Of(uint64_t total) const {
  if (percent == 0) return bytes.count;
  auto share = static_cast<uint64_t>(percent);
  return total / 100 * share + total % 100 * share / 100;
}

Parsed<int64_t> ParseInteger(std::string_view text) {
  bool negative = text.starts_with('-');
  std::string_view digits = text.substr(negative ? 1 : 0);
  if (digits.empty() || WholeDigits(digits) != digits.size() || (negative && digits == "0")) {
    return std::unexpected(Unfit::kSyntax);
  }
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) return std::unexpected(Unfit::kTooLarge);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::unexpected(Unfit::kSyntax);
  }
  return value;
}

Parsed<double> ParseNumber(std::string_view text) {
  std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
  size_t whole = WholeDigits(digits);
  if (whole == 0) return std::unexpected(Unfit::kSyntax);
  if (whole < digits.size()) {
    std::string_view fraction = digits.substr(whole + 1);
    if (digits[whole] != '.' || fraction.empty() ||
        fraction.find_first_not_of("0123456789") != std::string_view::npos) {
      return std::unexpected(Unfit::kSyntax);
    }
  }
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) return std::unexpected(Unfit::kTooLarge);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::unexpected(Unfit::kSyntax);
  }
  return value;
}

Parsed<bool> ParseBool(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::unexpected(Unfit::kSyntax);
}

Parsed<Duration> ParseDuration(std::string_view text) {
  auto count = ParseWithUnit(text, kTimeUnits);
  if (!count) return std::unexpected(count.error());
  return Duration(*count);
}

Parsed<Bytes> ParseBytes(std::string_view text) {
  auto count = ParseWithUnit(text, kByteUnits);
  if (!count) return std::unexpected(count.error());
  return Bytes{static_cast<uint64_t>(*count)};
}

Parsed<BytesOrShare> ParseBytesOrShare(std::string_view text) {
  if (text.ends_with('%')) {
    auto percent = ParseInteger(text.substr(0, text.size() - 1));
    if (!percent) return std::unexpected(percent.error());
    if (*percent < 1 || *percent > 100) return std::unexpected(Unfit::kTooLarge);
    return BytesOrShare{{}, static_cast<int>(*percent)};
  }
  auto bytes = ParseBytes(text);
  if (!bytes) return std::unexpected(bytes.error());
  return BytesOrShare{*bytes, 0};
}

Parsed<HostPort> ParseHostPort(std::string_view text) {
  return ParseAuthority(text, std::nullopt);
}

Parsed<Url> ParseUrl(std::string_view text) {
  Url url;
  if (LowerOf(text.substr(0, 8)) == "https://") {
    text.remove_prefix(8);
  } else if (LowerOf(text.substr(0, 7)) == "http://") {
    url.tls = false;
    text.remove_prefix(7);
  } else {
    return std::unexpected(Unfit::kSyntax);
  }
  size_t slash = std::min(text.find('/'), text.size());
  auto authority = ParseAuthority(text.substr(0, slash), url.tls ? 443 : 80);
  if (!authority) return std::unexpected(authority.error());
  if (authority->port == 0) return std::unexpected(Unfit::kTooLarge);
  std::string_view path = text.substr(slash);
  if (path.ends_with('/')) path.remove_suffix(1);
  if (!IsUrlPath(path)) return std::unexpected(Unfit::kSyntax);
  url.host = std::move(authority->host);
  url.port = authority->port;
  url.path = std::string(path);
  return url;
}

bool IsHost(std::string_view text) {
  return IsIPv4(text) || IsIPv6(text) || IsDnsName(text);
}

std::string FormatDuration(Duration value) {
  return FormatWithUnit(value.count(), kTimeUnits);
}

std::string FormatBytes(Bytes value) {
  // Powers of two before powers of ten: 32KiB, not 32768B; 1000kB only where it is exact.
  return FormatWithUnit(static_cast<int64_t>(value.count), kByteUnits);
}

std::string FormatBytesOrShare(const BytesOrShare& value) {
  if (value.percent != 0) return std::to_string(value.percent) + "%";
  return FormatBytes(value.bytes);
}

std::string FormatHostPort(const HostPort& value) {
  return BracketedHost(value.host) + ":" + std::to_string(value.port);
}

std::string FormatUrl(const Url& value) {
  std::string text = value.tls ? "https://" : "http://";
  text += BracketedHost(value.host);
  if (value.port != (value.tls ? 443 : 80)) text += ":" + std::to_string(value.port);
  return text + value.path;
}

std::string FormatNumber(double value) {
  std::array<char, 64> out{};
  auto [end, error] =
      std::to_chars(out.data(), out.data() + out.size(), value, std::chars_format::fixed);
  return error == std::errc() ? std::string(out.data(), end) : std::string("?");
}

}  // namespace relay
