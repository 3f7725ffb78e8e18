// SPDX-License-Identifier: MIT
// Opens connections to upstreams: name, TCP, an outbound proxy, TLS, all before one deadline.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/async/task.h"
#include "core/net/proxy.h"
#include "core/net/resolver.h"
#include "core/net/transport.h"

namespace relay {

class TlsClientContext;

struct Endpoint {
  std::string host;  // a name, or a literal address
  uint16_t port = 443;
  std::shared_ptr<const TlsClientContext> tls;  // null: plain TCP
  std::vector<std::string> alpn;  // offered in this order, such as {"h2", "http/1.1"}; TLS only
  // Refuses addresses outside the open internet (Address::IsPublic), whatever the name says today.
  // A proxy of which that is not asked gets the address that was looked at, not the name.
  bool public_only = false;
  // The way there. It resolves the name, and is asked for a tunnel to plain ports too.
  std::optional<Proxy> proxy;
  Duration write_stall = std::chrono::seconds(60);
};

// When the next address is tried while the one before has not answered (RFC 8305 §5).
constexpr Duration kNextAddressAfter = std::chrono::milliseconds(250);

// A connection that is ready for Start, its TLS handshake done. Errors are the upstream's and
// retryable: kConnect (name, TCP), kTls (handshake, certificate), kTimeout (the deadline passed);
// with a proxy also kProxy (not reached, silent, unwilling) and kUnauthenticated (its user).
// Destroying the task at any step closes whatever was open.
Task<Result<std::unique_ptr<Transport>>> Dial(Loop& loop, Resolver& resolver, Endpoint endpoint,
                                              TimePoint deadline);

}  // namespace relay
