// SPDX-License-Identifier: MIT
#include "admin/fetch.h"

#include <functional>
#include <memory>
#include <utility>

#include "admin/control.h"
#include "core/async/loop.h"
#include "core/async/task.h"
#include "core/http/connection.h"
#include "core/net/dialer.h"
#include "core/net/tcp.h"
#include "core/net/tls_context.h"

namespace relay {
namespace {

// An answer of the relay's own is never longer.
constexpr size_t kMostBytes = size_t{64} << 20;

Head HeadFor(const FetchRequest& request, const std::string& target, const std::string& authority) {
  Head head;
  head.method = head.Keep(request.method);
  head.target = head.Keep(target);
  head.authority = head.Keep(authority);
  if (!request.body.empty()) head.Add("content-type", "application/json");
  if (!request.body.empty() || request.method != "GET") head.content_length = request.body.size();
  return head;
}

// What `body` begins with goes, line by line, to who wants them.
void TellLines(std::string& body, const std::function<void(std::string_view)>& on_line) {
  size_t begin = 0;
  for (size_t end; (end = body.find('\n', begin)) != std::string::npos; begin = end + 1) {
    on_line(std::string_view(body).substr(begin, end - begin));
  }
  body.erase(0, begin);
}

// `request` outlives the task.
Task<Result<Fetched>> Ask(Stream& stream, const FetchRequest& request, TimePoint deadline) {
  Result<Head> head = co_await stream.ReadHead(deadline);
  if (!head) co_return std::unexpected(head.error());
  Fetched fetched;
  fetched.status = head->status;
  while (true) {
    Result<Chunk> chunk = co_await stream.Read(deadline);
    if (!chunk) co_return std::unexpected(chunk.error());
    if (chunk->empty()) break;
    fetched.body += chunk->view();
    if (request.on_line && fetched.status / 100 == 2) TellLines(fetched.body, request.on_line);
    if (fetched.body.size() > kMostBytes) {
      co_return Fail(Party::kUpstream, Fault::kBodyTooLarge, "the answer is too long");
    }
  }
  co_return fetched;
}

// What one fetch needs, in the order in which it must die.
struct Session {
  Loop loop;
  Resolver resolver{loop};
  List<Connection, ConnectionTag> connections;
  std::unique_ptr<Stream> stream;

  ~Session() {
    stream.reset();
    connections.ForEach([](Connection& connection) { connection.CloseNow(); });
    loop.Turn();
  }
};

Task<Result<Fetched>> Send(Session& session, std::unique_ptr<Transport> transport, Head head,
                           const FetchRequest& request, TimePoint deadline) {
  ClientConnection* connection =
      ClientConnection::Start(session.loop, std::move(transport), std::chrono::seconds(60));
  session.connections.PushBack(*connection);
  Buffer bytes;
  if (!request.body.empty()) bytes.AppendCopy(request.body);
  Result<std::unique_ptr<Stream>> stream = connection->Open(head, std::move(bytes));
  if (!stream) co_return std::unexpected(stream.error());
  session.stream = std::move(*stream);
  Result<Fetched> fetched = co_await Ask(*session.stream, request, deadline);
  co_return fetched;
}

Task<Result<Fetched>> DialAndSend(Session& session, Endpoint endpoint, Head head,
                                  const FetchRequest& request, TimePoint deadline) {
  Result<std::unique_ptr<Transport>> transport =
      co_await Dial(session.loop, session.resolver, std::move(endpoint), deadline);
  if (!transport) co_return std::unexpected(transport.error());
  Result<Fetched> fetched =
      co_await Send(session, std::move(*transport), std::move(head), request, deadline);
  co_return fetched;
}

// Runs `task` to its end. Its result is put where the caller sees it.
Result<Fetched> RunToEnd(Session& session, Task<Result<Fetched>> task) {
  Result<Fetched> result = Fail(Party::kRelay, Fault::kInternal, "nothing was fetched");
  auto story = [](Loop& loop, Task<Result<Fetched>> inner, Result<Fetched>& to) -> Task<Unit> {
    to = co_await std::move(inner);
    loop.Stop();
    co_return Unit{};
  };
  Task<Unit> root = story(session.loop, std::move(task), result);
  Waiter start;
  root.StartOn(session.loop, start, [](void*) noexcept {}, nullptr);
  session.loop.Run();
  return result;
}

}  // namespace

Result<Fetched> FetchUnix(const std::string& socket_path, const FetchRequest& request,
                          Duration patience) {
  Result<Socket> socket = ConnectUnix(socket_path);
  if (!socket) return std::unexpected(socket.error());
  Session session;
  TcpOptions options;
  options.party = Party::kUpstream;
  auto transport =
      std::make_unique<Tcp>(session.loop, std::move(*socket), Address(), std::move(options));
  return RunToEnd(session,
                  Send(session, std::move(transport), HeadFor(request, request.target, "localhost"),
                       request, session.loop.Now() + patience));
}

Result<Fetched> FetchUrl(const Url& base, const FetchRequest& request, Duration patience) {
  Endpoint endpoint;
  endpoint.host = base.host;
  endpoint.port = base.port;
  if (base.tls) {
    auto tls = TlsClientContext::Make();
    if (!tls) return std::unexpected(tls.error());
    endpoint.tls = *tls;
    endpoint.alpn = {"http/1.1"};
  }
  Session session;
  Head head = HeadFor(request, base.path + request.target, FormatHostPort({base.host, base.port}));
  return RunToEnd(session, DialAndSend(session, std::move(endpoint), std::move(head), request,
                                       session.loop.Now() + patience));
}

}  // namespace relay
