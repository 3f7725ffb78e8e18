// SPDX-License-Identifier: MIT
// One worker's connections to a cluster: opened when needed, used again while they may be, and
// never by another account than the one they were opened for. They outlive a snapshot as long as
// their account stays what it is.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "core/async/task.h"
#include "core/http/connection.h"
#include "core/net/resolver.h"
#include "core/net/tls_context.h"
#include "upstreams/account.h"

namespace relay {

class UpstreamConnections {
 public:
  static constexpr Duration kIdle = std::chrono::seconds(50);

  // `loop` and `resolver` outlive this.
  UpstreamConnections(Loop& loop, Resolver& resolver, std::shared_ptr<const TlsClientContext> tls);
  UpstreamConnections(const UpstreamConnections&) = delete;
  UpstreamConnections& operator=(const UpstreamConnections&) = delete;
  // Ends all of them at once. Not from within a callback of one.
  ~UpstreamConnections();

  // Sends a request. `endpoint` is an account's own, and shares its life: its address is what
  // connections are kept by. `head` outlives the task. `fresh`: on a connection that carried no
  // request before. One of an account that Retain has left out ends with its answer. Errors: of the
  // dialler, or a head that cannot be sent (kInternal).
  Task<Result<std::unique_ptr<Stream>>> Open(std::shared_ptr<const AccountEndpoint> endpoint,
                                             const Head& head, Buffer body, bool fresh,
                                             TimePoint connect_deadline);
  // Ends the connections of all but these accounts: what idles at once, the others with the last
  // answer that they carry. Not from within a callback of one.
  void Retain(const Accounts& accounts);

 private:
  struct Pool {
    List<Connection, ConnectionTag> connections;  // the dead unlink themselves
  };
  static ClientConnection* FindUsable(Pool& pool);
  bool Retained(const std::shared_ptr<const AccountEndpoint>& endpoint) const;

  Loop& loop_;
  Resolver& resolver_;
  const std::shared_ptr<const TlsClientContext> tls_;
  std::unordered_map<std::shared_ptr<const AccountEndpoint>, Pool> pools_;
  Pool leaving_;  // carry their last answers
  // Of the last Retain, which share their accounts' lives; nothing before the first.
  using Owners = std::set<std::weak_ptr<const void>, std::owner_less<>>;
  std::optional<Owners> retained_;
};

}  // namespace relay
