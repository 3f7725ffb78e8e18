// SPDX-License-Identifier: MIT
#include "core/base/network.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace relay {
namespace {

constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool BitOf(const IpAddress& address, int bit) {
  auto byte = address.bytes[static_cast<size_t>(bit / 8)];
  return ((byte >> (7 - bit % 8)) & 1) != 0;
}

std::optional<int> ParseBits(std::string_view text) {
  int bits = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
  bool whole = error == std::errc() && end == text.data() + text.size();
  bool plain = !text.empty() && text[0] >= '0' && (text[0] != '0' || text.size() == 1);
  if (!whole || !plain) return std::nullopt;
  return bits;
}

}  // namespace

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  std::string literal(text);
  IpAddress address;
  if (inet_pton(AF_INET6, literal.c_str(), address.bytes.data()) == 1) return address;
  std::copy(kMapped.begin(), kMapped.end(), address.bytes.begin());
  if (inet_pton(AF_INET, literal.c_str(), address.bytes.data() + kMapped.size()) == 1) {
    return address;
  }
  return std::nullopt;
}

bool IpAddress::v4() const {
  return std::equal(kMapped.begin(), kMapped.end(), bytes.begin());
}

std::string IpAddress::ToString() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (v4()) {
    inet_ntop(AF_INET, bytes.data() + kMapped.size(), text.data(), text.size());
  } else {
    inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
  }
  return text.data();
}

std::optional<Network> Network::Parse(std::string_view text) {
  size_t slash = text.find('/');
  std::optional<IpAddress> address = IpAddress::Parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  // An IPv4 net has its bits behind the mapped part, whichever way it is written.
  bool dotted = text.substr(0, slash).find(':') == std::string_view::npos;
  Network net{*address, 128};
  if (slash != std::string_view::npos) {
    std::optional<int> bits = ParseBits(text.substr(slash + 1));
    if (!bits || *bits > (dotted ? 32 : 128)) return std::nullopt;
    net.bits = *bits + (dotted ? 96 : 0);
  }
  for (int bit = net.bits; bit < 128; ++bit) {
    if (BitOf(net.address, bit)) return std::nullopt;
  }
  return net;
}

bool Network::Contains(const IpAddress& one) const {
  auto whole = static_cast<size_t>(bits / 8);
  if (std::memcmp(address.bytes.data(), one.bytes.data(), whole) != 0) return false;
  for (int bit = bits / 8 * 8; bit < bits; ++bit) {
    if (BitOf(address, bit) != BitOf(one, bit)) return false;
  }
  // ::/0 is all of IPv6, and not of IPv4.
  return bits >= 96 || address.v4() == one.v4();
}

bool AnyContains(std::span<const Network> nets, const IpAddress& one) {
  return std::ranges::any_of(nets, [&](const Network& net) { return net.Contains(one); });
}

}  // namespace relay
