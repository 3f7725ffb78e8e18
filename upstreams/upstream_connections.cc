// SPDX-License-Identifier: MIT
#include "upstreams/upstream_connections.h"

#include <utility>

namespace relay {

UpstreamConnections::UpstreamConnections(Loop& loop, Resolver& resolver,
                                         std::shared_ptr<const TlsClientContext> tls)
    : loop_(loop), resolver_(resolver), tls_(std::move(tls)) {}

UpstreamConnections::~UpstreamConnections() {
  for (auto& [endpoint, pool] : pools_) {
    pool.connections.ForEach([](Connection& connection) { connection.CloseNow(); });
  }
  leaving_.connections.ForEach([](Connection& connection) { connection.CloseNow(); });
}

void UpstreamConnections::Retain(const Accounts& accounts) {
  retained_.emplace(accounts.begin(), accounts.end());
  for (auto at = pools_.begin(); at != pools_.end();) {
    if (Retained(at->first)) {
      ++at;
      continue;
    }
    List<Connection, ConnectionTag>& connections = at->second.connections;
    while (Connection* connection = connections.front()) {
      leaving_.connections.PushBack(*connection);
      connection->GoAway();
    }
    at = pools_.erase(at);
  }
}

// An endpoint shares its account's life, so both have one owner.
bool UpstreamConnections::Retained(const std::shared_ptr<const AccountEndpoint>& endpoint) const {
  return !retained_ || retained_->contains(endpoint);
}

ClientConnection* UpstreamConnections::FindUsable(Pool& pool) {
  // The busy go to the end, so that the next search meets them last.
  List<Connection, ConnectionTag> busy;
  ClientConnection* found = nullptr;
  while (Connection* next = pool.connections.front()) {
    auto* connection = static_cast<ClientConnection*>(next);
    if (connection->usable()) {
      found = connection;
      break;
    }
    busy.PushBack(*connection);
  }
  pool.connections.Splice(busy);
  return found;
}

Task<Result<std::unique_ptr<Stream>>> UpstreamConnections::Open(
    std::shared_ptr<const AccountEndpoint> endpoint, const Head& head, Buffer body, bool fresh,
    TimePoint connect_deadline) {
  auto known = pools_.find(endpoint);
  if (!fresh && known != pools_.end()) {
    if (ClientConnection* connection = FindUsable(known->second)) {
      co_return connection->Open(head, std::move(body));
    }
  }
  Result<Endpoint> target = DialledEndpoint(*endpoint, tls_);
  if (!target) co_return std::unexpected(target.error());
  Result<std::unique_ptr<Transport>> transport =
      co_await Dial(loop_, resolver_, *std::move(target), connect_deadline);
  if (!transport) co_return std::unexpected(transport.error());
  ClientConnection* connection = ClientConnection::Start(loop_, std::move(*transport), kIdle);
  // Its account may have been retired meanwhile.
  bool retained = Retained(endpoint);
  (retained ? pools_[endpoint] : leaving_).connections.PushBack(*connection);
  auto stream = connection->Open(head, std::move(body));
  if (!retained) connection->GoAway();
  co_return std::move(stream);
}

}  // namespace relay
