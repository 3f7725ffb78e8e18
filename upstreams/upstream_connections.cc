// SPDX-License-Identifier: MIT
#include "upstreams/upstream_connections.h"

#include <utility>

#include "core/net/dialer.h"

namespace relay {

UpstreamConnections::UpstreamConnections(Loop& loop, Resolver& resolver,
                                         std::shared_ptr<const TlsClientContext> tls)
    : loop_(loop), resolver_(resolver), tls_(std::move(tls)) {}

UpstreamConnections::~UpstreamConnections() {
  for (auto& [endpoint, pool] : pools_) {
    pool.connections.ForEach([](Connection& connection) { connection.CloseNow(); });
  }
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

Task<Result<std::unique_ptr<Stream>>> UpstreamConnections::Open(const Url* endpoint,
                                                                const Head& head, Buffer body,
                                                                bool fresh,
                                                                TimePoint connect_deadline) {
  if (!fresh) {
    if (ClientConnection* connection = FindUsable(pools_[endpoint])) {
      co_return connection->Open(head, std::move(body));
    }
  }
  Endpoint target;
  target.host = endpoint->host;
  target.port = endpoint->port;
  if (endpoint->tls) {
    target.tls = tls_;
    target.alpn = {"h2", "http/1.1"};
  }
  Result<std::unique_ptr<Transport>> transport =
      co_await Dial(loop_, resolver_, std::move(target), connect_deadline);
  if (!transport) co_return std::unexpected(transport.error());
  ClientConnection* connection = ClientConnection::Start(loop_, std::move(*transport), kIdle);
  pools_[endpoint].connections.PushBack(*connection);
  co_return connection->Open(head, std::move(body));
}

}  // namespace relay
