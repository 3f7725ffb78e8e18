// SPDX-License-Identifier: MIT
#include "admin/rehearsal.h"

#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "admin/table.h"
#include "core/async/task.h"
#include "core/http/http1_syntax.h"
#include "core/net/tcp.h"

namespace relay {
namespace {

// Nothing is waited for but our own bytes; more turns than these mean that a filter waits.
constexpr size_t kMostTurns = 200;
constexpr size_t kBytesOfTurn = 1024;
constexpr Duration kPatience = std::chrono::seconds(30);

class FrozenClock final : public Clock {
 public:
  explicit FrozenClock(const Clock& clock) : now_(clock.Now()), wall_(clock.Wall()) {}
  TimePoint Now() const override { return now_; }
  WallTime Wall() const override { return wall_; }

 private:
  const TimePoint now_;
  const WallTime wall_;
};

// One relay for one request: its loop, its client and its clusters, upon shared services.
class Rehearsal {
 public:
  Rehearsal(Services& services, Endpoints& endpoints, Explanation& explanation)
      : clock_(services.clock),
        loop_(clock_),
        resolver_(loop_),
        worker_(loop_, endpoints, bodies_, services.exchanges, ExchangeLimits{}) {
    std::shared_ptr<const Snapshot> snapshot = services.current();
    std::vector<Cluster*> clusters;
    std::vector<Upstream*> upstreams;
    for (const auto& shared : snapshot->clusters) {
      clusters_.push_back(std::make_unique<Cluster>(loop_, resolver_, shared));
      clusters.push_back(clusters_.back().get());
      upstreams.push_back(clusters_.back().get());
    }
    worker_.table = MakeRoutes(services, *snapshot->config, clusters, upstreams);
    worker_.keys = snapshot->keys;
    // Our end of the pair has no address: a request says where it comes from as a proxy would.
    worker_.trusted_proxies = {*Network::Parse("0.0.0.0")};
    worker_.wrong_keys = &services.wrong_keys;
    if (!snapshot->config->listeners.empty()) {
      worker_.limits.wrong_keys = snapshot->config->listeners.front().limits.wrong_keys;
    }
    worker_.explanation = &explanation;
  }
  ~Rehearsal() {
    story_ = Task<Unit>();
    stream_.reset();
    connections_.ForEach([](Connection& connection) { connection.CloseNow(); });
    loop_.Turn();
  }

  Result<Unit> Run(const RehearsedRequest& request);

 private:
  Result<ClientConnection*> Connect();
  Task<Unit> Await();

  const FrozenClock clock_;
  Loop loop_;
  // Of its own: what is only looked at keeps no other out.
  BodyBudget bodies_{size_t{64} << 20};
  Resolver resolver_;
  std::vector<std::unique_ptr<Cluster>> clusters_;
  Worker worker_;
  ServerLimits limits_;
  List<Connection, ConnectionTag> connections_;
  std::unique_ptr<Stream> stream_;
  std::optional<Result<Unit>> ended_;
  Waiter start_;
  Task<Unit> story_;
};

// Two ends of one socket: the client's connection, and the relay's.
Result<ClientConnection*> Rehearsal::Connect() {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    return Fail(Party::kRelay, Fault::kInternal, "no socket: " + ErrnoText(errno));
  }
  auto server = std::make_unique<Tcp>(loop_, Socket(ends[0]), Address(), TcpOptions{});
  connections_.PushBack(*ServerConnection::Start(loop_, std::move(server), limits_, worker_));
  TcpOptions options;
  options.party = Party::kUpstream;
  auto near = std::make_unique<Tcp>(loop_, Socket(ends[1]), Address(), std::move(options));
  ClientConnection* client = ClientConnection::Start(loop_, std::move(near), kPatience);
  connections_.PushBack(*client);
  return client;
}

Task<Unit> Rehearsal::Await() {
  Result<Head> head = co_await stream_->ReadHead(loop_.Now() + kPatience);
  if (head) {
    ended_ = Unit{};
  } else {
    ended_ = std::unexpected(head.error());
  }
  co_return Unit{};
}

Result<Unit> Rehearsal::Run(const RehearsedRequest& request) {
  Result<ClientConnection*> client = Connect();
  if (!client) return std::unexpected(client.error());
  Head head;
  head.method = head.Keep(request.method);
  head.target = head.Keep(request.target);
  head.authority = head.Keep("relay.test");
  for (const auto& [name, value] : request.headers) {
    if (!IsToken(name) || !IsFieldValue(value)) {
      return Fail(Party::kClient, Fault::kMalformed,
                  "'" + Printable(name) + "' is no header that HTTP can carry");
    }
    head.Add(name, value);
  }
  if (!request.body.empty() && !head.Has("content-type")) {
    head.Add("content-type", "application/json");
  }
  Buffer body;
  body.AppendCopy(request.body);
  head.content_length = body.size();
  Result<std::unique_ptr<Stream>> stream = (*client)->Open(head, std::move(body));
  if (!stream) return std::unexpected(stream.error());
  stream_ = std::move(*stream);
  story_ = Await();
  story_.StartOn(loop_, start_, [](void*) noexcept {}, nullptr);
  const size_t most = kMostTurns + request.body.size() / kBytesOfTurn;
  for (size_t turn = 0; turn < most && !ended_; ++turn) loop_.Turn();
  if (ended_) return *ended_;
  return Fail(Party::kRelay, Fault::kTimeout, "a filter waits for what does not come");
}

}  // namespace

std::string RehearsedRequest::Json() const {
  JsonText json;
  json.BeginObject().Field("method", method).Field("target", target);
  json.Key("headers").BeginArray();
  for (const auto& [name, value] : headers) {
    json.BeginArray().String(name).String(value).EndArray();
  }
  json.EndArray();
  if (!key.empty()) json.Field("key", key);
  if (!body.empty()) json.Field("body", body);
  return json.EndObject().Take();
}

Result<RehearsedRequest> RehearsedRequest::Parse(std::string_view json) {
  Result<JsonIndex> object = JsonIndex::Parse(json);
  if (!object) return std::unexpected(object.error());
  RehearsedRequest request;
  request.method = object->Find("method").String().value_or(request.method);
  request.target = object->Find("target").String().value_or("");
  request.key = object->Find("key").String().value_or("");
  request.body = object->Find("body").String().value_or("");
  for (JsonArray list(object->Find("headers")); JsonValue item = list.Next();) {
    JsonArray pair(item);
    std::optional<std::string> name = pair.Next().String();
    std::optional<std::string> value = pair.Next().String();
    if (!name || !value) {
      return Fail(Party::kClient, Fault::kMalformed, "'headers' must be pairs of texts");
    }
    request.headers.emplace_back(std::move(*name), std::move(*value));
  }
  if (!request.target.starts_with('/')) {
    return Fail(Party::kClient, Fault::kMalformed, "'target' must be a path that begins with '/'");
  }
  return request;
}

Result<Unit> Rehearse(Services& services, Endpoints& endpoints, const RehearsedRequest& request,
                      Explanation& explanation) {
  Rehearsal rehearsal(services, endpoints, explanation);
  return rehearsal.Run(request);
}

}  // namespace relay
