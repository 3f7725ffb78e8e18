// SPDX-License-Identifier: MIT
// The URL of an outbound proxy, as a scalar of the configuration. It may hold a password.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/secret.h"
#include "core/config/units.h"

namespace relay {

// "http://[user[:password]@]host:port", the same with https:// (TLS to the proxy) and socks5:// or
// socks5h:// (either way the proxy resolves names). "direct": none.
struct ProxyUrl {
  enum class Kind : uint8_t { kDirect, kHttp, kHttps, kSocks5 };
  Kind kind = Kind::kDirect;
  std::string host;  // lower case, without brackets
  uint16_t port = 0;
  Secret user;  // percent-decoded, as is the password
  Secret password;
  bool direct() const { return kind == Kind::kDirect; }
  bool operator==(const ProxyUrl&) const = default;
};

// The port must be there. The last '@' ends user and password, which may hold any other printable
// character as it is, but '%' as %25; at most 255 bytes each, and not what the protocol could not
// carry: a ':' in the user of HTTP (RFC 7617 §2), an empty password of SOCKS (RFC 1929 §2).
Parsed<ProxyUrl> ParseProxyUrl(std::string_view text);
// Without user and password.
std::string FormatProxyUrl(const ProxyUrl& value);
// All of it, as ParseProxyUrl reads it.
Secret RevealProxyUrl(const ProxyUrl& value);

}  // namespace relay
