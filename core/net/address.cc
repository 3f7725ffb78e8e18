// SPDX-License-Identifier: MIT
#include "core/net/address.h"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <cstring>

namespace relay {
namespace {

struct Net4 {
  uint32_t base;
  int bits;
};

constexpr uint32_t Quad(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return a << 24 | b << 16 | c << 8 | d;
}

// RFC 6890 and its registry: what is not globally reachable.
constexpr std::array kClosed4 = {
    Net4{Quad(0, 0, 0, 0), 8},      Net4{Quad(10, 0, 0, 0), 8},     Net4{Quad(100, 64, 0, 0), 10},
    Net4{Quad(127, 0, 0, 0), 8},    Net4{Quad(169, 254, 0, 0), 16}, Net4{Quad(172, 16, 0, 0), 12},
    Net4{Quad(192, 0, 0, 0), 24},   Net4{Quad(192, 0, 2, 0), 24},   Net4{Quad(192, 88, 99, 0), 24},
    Net4{Quad(192, 168, 0, 0), 16}, Net4{Quad(198, 18, 0, 0), 15},  Net4{Quad(198, 51, 100, 0), 24},
    Net4{Quad(203, 0, 113, 0), 24}, Net4{Quad(224, 0, 0, 0), 3},
};

bool IsPublic4(uint32_t address) {
  for (const Net4& net : kClosed4) {
    if ((address ^ net.base) >> (32 - net.bits) == 0) return false;
  }
  return true;
}

uint32_t Last32(const uint8_t* bytes) {
  return Quad(bytes[0], bytes[1], bytes[2], bytes[3]);
}

bool IsPublic6(const in6_addr& address) {
  const uint8_t* b = address.s6_addr;
  // NAT64 (64:ff9b::/96) carries an IPv4 address; so does 6to4 (2002::/16).
  constexpr std::array<uint8_t, 12> kNat64 = {0, 0x64, 0xff, 0x9b};
  if (std::memcmp(b, kNat64.data(), kNat64.size()) == 0) return IsPublic4(Last32(b + 12));
  if (b[0] == 0x20 && b[1] == 0x02) return IsPublic4(Last32(b + 2));
  if ((b[0] & 0xe0) != 0x20) return false;                               // only 2000::/3 is global
  if (b[0] == 0x20 && b[1] == 0x01 && (b[2] & 0xfe) == 0) return false;  // 2001::/23, Teredo too
  return !(b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8);
}

}  // namespace

Address::Address() : store_{} {
  std::memset(&store_, 0, sizeof store_);
  store_.v4.sin_family = AF_INET;
}

Result<Address> Address::Parse(std::string_view text) {
  auto refuse = [&] {
    return Fail(
        Party::kRelay, Fault::kMalformed,
        "'" + std::string(text) + "' is not an address: write 127.0.0.1:3000 or [::1]:3000");
  };
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse();
  std::string_view host = text.substr(0, colon);
  std::string_view digits = text.substr(colon + 1);
  uint16_t port = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size()) return refuse();
  bool bracketed = host.starts_with('[');
  if (!bracketed && host.find(':') != std::string_view::npos) return refuse();
  std::optional<Address> address = FromLiteral(host, port);
  if (!address) return refuse();
  return *address;
}

std::optional<Address> Address::FromLiteral(std::string_view host, uint16_t port) {
  bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  std::string text(host);
  if (text.size() != std::strlen(text.c_str())) return std::nullopt;
  Address address;
  if (!bracketed && inet_pton(AF_INET, text.c_str(), &address.store_.v4.sin_addr) == 1) {
    address.set_port(port);
    return address;
  }
  in6_addr v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return std::nullopt;
  address.store_.v6 = {};
  address.store_.v6.sin6_family = AF_INET6;
  address.store_.v6.sin6_addr = v6;
  address.set_port(port);
  return FromSockaddr(address.data());
}

Address Address::FromSockaddr(const sockaddr* from) {
  Address address;
  if (from->sa_family == AF_INET) {
    std::memcpy(&address.store_.v4, from, sizeof address.store_.v4);
  } else if (from->sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, from, sizeof v6);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      std::memcpy(&address.store_.v4.sin_addr, v6.sin6_addr.s6_addr + 12, 4);
      address.store_.v4.sin_port = v6.sin6_port;
    } else {
      address.store_.v6 = v6;
    }
  }
  return address;
}

socklen_t Address::size() const {
  return v6() ? sizeof store_.v6 : sizeof store_.v4;
}

uint16_t Address::port() const {
  return ntohs(v6() ? store_.v6.sin6_port : store_.v4.sin_port);
}

void Address::set_port(uint16_t port) {
  (v6() ? store_.v6.sin6_port : store_.v4.sin_port) = htons(port);
}

bool Address::IsWildcard() const {
  if (v6()) return IN6_IS_ADDR_UNSPECIFIED(&store_.v6.sin6_addr);
  return store_.v4.sin_addr.s_addr == INADDR_ANY;
}

bool Address::IsPublic() const {
  return v6() ? IsPublic6(store_.v6.sin6_addr) : IsPublic4(ntohl(store_.v4.sin_addr.s_addr));
}

std::string Address::Bytes() const {
  if (v6()) return std::string(reinterpret_cast<const char*>(&store_.v6.sin6_addr), 16);
  return std::string(reinterpret_cast<const char*>(&store_.v4.sin_addr), 4);
}

std::string Address::HostString() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* from = v6() ? static_cast<const void*>(&store_.v6.sin6_addr)
                          : static_cast<const void*>(&store_.v4.sin_addr);
  if (inet_ntop(store_.any.sa_family, from, text.data(), text.size()) == nullptr) return "?";
  return text.data();
}

std::string Address::ToString() const {
  std::string host = HostString();
  if (v6()) host = "[" + host + "]";
  return host + ":" + std::to_string(port());
}

bool Address::operator==(const Address& other) const {
  if (v6() != other.v6() || port() != other.port()) return false;
  if (v6()) {
    return std::memcmp(&store_.v6.sin6_addr, &other.store_.v6.sin6_addr, sizeof(in6_addr)) == 0 &&
           store_.v6.sin6_scope_id == other.store_.v6.sin6_scope_id;
  }
  return store_.v4.sin_addr.s_addr == other.store_.v4.sin_addr.s_addr;
}

}  // namespace relay
