// SPDX-License-Identifier: MIT
#include "admin/rehearsal.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "admin/listener_limits.h"
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
        bodies_(services.bodies.bound()),
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
    if (!snapshot->listeners.empty()) {
      const ListenerShared& listener = snapshot->listeners.front();
      limits_ = ServerLimitsOf(listener.limits);
      worker_.limits = ExchangeLimitsOf(listener.limits);
      worker_.trusted_proxies = listener.trusted_proxies;
    }
    // Our end of the pair has no address: a request says where it comes from as a proxy would.
    worker_.trusted_proxies.push_back(*Network::Parse("0.0.0.0"));
    worker_.wrong_keys = &services.wrong_keys;
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
  BodyBudget bodies_;
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
    Result<Unit> good = RehearsedRequest::CheckHeader(name, value);
    if (!good) return good;
    head.Add(name, value);
  }
  if (!request.body.empty() && !head.Has("content-type")) {
    head.Add("content-type", "application/json");
  }
  Buffer body;
  body.Append(Chunk::Static(request.body));  // which outlives all that is here
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

std::unexpected<Error> Malformed(std::string what) {
  return Fail(Party::kClient, Fault::kMalformed, std::move(what));
}

// A field that may be left out.
Result<Unit> ReadText(const JsonIndex& object, std::string_view name, std::string& to) {
  JsonValue value = object.Find(name);
  if (!value) return Unit{};
  std::optional<std::string> text = value.String();
  if (!text) {
    bool body = name == "body";
    return Malformed("'" + std::string(name) + "' must be a text" +
                     (body ? ", in which JSON stands escaped" : ""));
  }
  to = std::move(*text);
  return Unit{};
}

Result<Unit> ReadHeaders(const JsonIndex& object, RehearsedRequest& to) {
  constexpr const char* kPairs =
      "'headers' must be a list of pairs of texts: [[\"name\",\"value\"]]";
  JsonValue headers = object.Find("headers");
  if (!headers) return Unit{};
  if (!headers.Is(JsonKind::kArray)) return Malformed(kPairs);
  for (JsonArray list(headers); JsonValue item = list.Next();) {
    JsonArray pair(item);
    std::optional<std::string> name = pair.Next().String();
    std::optional<std::string> value = pair.Next().String();
    if (!name || !value || pair.Next()) return Malformed(kPairs);
    Result<Unit> good = RehearsedRequest::CheckHeader(*name, *value);
    if (!good) return good;
    to.headers.emplace_back(std::move(*name), std::move(*value));
  }
  return Unit{};
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
  static constexpr std::array<std::string_view, 5> kFields = {"method", "target", "headers", "key",
                                                              "body"};
  Result<JsonIndex> object = JsonIndex::Parse(json);
  if (!object) return std::unexpected(object.error());
  for (const JsonField& field : object->fields()) {
    std::string name = object->Key(field);
    if (std::ranges::find(kFields, name) != kFields.end()) continue;
    return Malformed("unknown field '" + Printable(name) +
                     "'; there are method, target, headers, key and body");
  }
  RehearsedRequest request;
  const std::pair<std::string_view, std::string*> texts[] = {{"method", &request.method},
                                                             {"target", &request.target},
                                                             {"key", &request.key},
                                                             {"body", &request.body}};
  for (const auto& [name, to] : texts) {
    Result<Unit> read = ReadText(*object, name, *to);
    if (!read) return std::unexpected(read.error());
  }
  Result<Unit> headers = ReadHeaders(*object, request);
  if (!headers) return std::unexpected(headers.error());
  if (!request.target.starts_with('/')) {
    return Malformed("'target' must be a path that begins with '/'");
  }
  return request;
}

Result<Unit> RehearsedRequest::CheckHeader(std::string_view name, std::string_view value) {
  const std::string quoted = "'" + Printable(std::string(name)) + "'";
  if (!IsToken(name) || !IsFieldValue(value)) {
    return Malformed(quoted + " is no header that HTTP can carry");
  }
  // WriteRequestHead leaves these out.
  static constexpr std::array<std::string_view, 3> kWritten = {"host", "expect", "content-length"};
  bool written = std::ranges::any_of(
      kWritten, [&](std::string_view one) { return EqualsIgnoreCase(one, name); });
  if (!written && !IsHopByHop(name)) return Unit{};
  return Malformed("the header " + quoted +
                   " is of the connection, which is the relay's own here; leave it out");
}

Result<Unit> Rehearse(Services& services, Endpoints& endpoints, const RehearsedRequest& request,
                      Explanation& explanation) {
  Rehearsal rehearsal(services, endpoints, explanation);
  return rehearsal.Run(request);
}

}  // namespace relay
