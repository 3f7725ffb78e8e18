// SPDX-License-Identifier: MIT
// Addresses without ports, and nets of them, for rules about who may do what. Both families are
// one: an IPv4 address is the IPv6 address that it is mapped to (RFC 4291 §2.5.5.2).
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace relay {

struct IpAddress {
  std::array<uint8_t, 16> bytes{};
  // "192.0.2.1" or "2001:db8::1", without brackets; nothing for any other form.
  static std::optional<IpAddress> Parse(std::string_view text);
  bool v4() const;
  // As Parse takes it.
  std::string ToString() const;
  auto operator<=>(const IpAddress&) const = default;
};

struct Network {
  IpAddress address;  // the first one
  int bits = 128;     // of it that all have, 96 more than IPv4's own count
  // "10.0.0.0/8", "2001:db8::/32", or one address. Nothing where bits behind the net's are set.
  static std::optional<Network> Parse(std::string_view text);
  bool Contains(const IpAddress& one) const;
  bool operator==(const Network&) const = default;
};

bool AnyContains(std::span<const Network> nets, const IpAddress& one);

}  // namespace relay
