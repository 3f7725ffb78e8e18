// SPDX-License-Identifier: MIT
// A numeric socket address: IPv4 or IPv6 and a port. Names are the resolver's business.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace relay {

class Address {
 public:
  // 0.0.0.0:0.
  Address();
  // "127.0.0.1:3000" or "[::1]:3000". The error names the text and says what is expected.
  static Result<Address> Parse(std::string_view text);
  // A canonical literal ("192.0.2.1", "2001:db8::1", also in brackets); nothing for a name, and
  // for the decimal, octal and short forms of IPv4 that inet_aton takes.
  static std::optional<Address> FromLiteral(std::string_view host, uint16_t port);
  // From the kernel. An IPv4 address mapped into IPv6 becomes IPv4; an unknown family 0.0.0.0:0.
  static Address FromSockaddr(const sockaddr* address);

  const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&store_); }
  socklen_t size() const;
  bool v6() const { return store_.any.sa_family == AF_INET6; }
  uint16_t port() const;
  void set_port(uint16_t port);
  // 0.0.0.0 or ::.
  bool IsWildcard() const;
  // Whether it lies in the open internet: no loopback, private, link-local, shared, multicast or
  // reserved net, nor one of those mapped or translated into IPv6 (RFC 6890, RFC 6052).
  bool IsPublic() const;
  // "192.0.2.1:4711" or "[2001:db8::1]:4711".
  std::string ToString() const;
  // The 4 or 16 bytes of the address alone, in the order of the network.
  std::string Bytes() const;
  // Without port and brackets.
  std::string HostString() const;
  bool operator==(const Address& other) const;

 private:
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  } store_;
};

}  // namespace relay
