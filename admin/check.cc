// SPDX-License-Identifier: MIT
#include "admin/check.h"

#include <sys/socket.h>

#include <cstdio>
#include <memory>
#include <utility>

#include "admin/load.h"
#include "admin/services.h"
#include "core/async/task.h"
#include "core/exchange/path.h"
#include "core/exchange/worker.h"
#include "core/net/tcp.h"

namespace relay {
namespace {

constexpr Duration kPatience = std::chrono::seconds(30);
// Of a test: its bodies are small.
constexpr uint64_t kMemory = uint64_t{1} << 30;
// What a test sends whose key is no key's name.
constexpr std::string_view kUnknownKey = "cr_unknown_key_of_a_test";

// A cluster up to the moment at which it would ask its vendor: that request is answered here.
class DryUpstream final : public Upstream {
 public:
  explicit DryUpstream(Cluster& cluster) : cluster_(cluster) {}
  std::string_view name() const override { return cluster_.name(); }
  std::string_view provider() const override { return cluster_.provider(); }
  Dialect DialectOf(std::string_view path) const override { return cluster_.DialectOf(path); }
  std::optional<Ask> Recognise(std::string_view method, std::string_view path) const override {
    return cluster_.Recognise(method, path);
  }
  Result<Unit> ReadBody(Exchange& x) const override { return cluster_.ReadBody(x); }
  Duration idle_timeout() const override { return cluster_.idle_timeout(); }

  Task<std::expected<Answer, Refusal>> Send(Exchange& x) override {
    if (x.facts.lease == nullptr) {
      std::expected<Unit, Refusal> selected = co_await cluster_.Select(x, "", Duration::zero());
      if (!selected) co_return std::unexpected(selected.error());
    }
    account_ = std::string(cluster_.name()) + "/" + std::string(x.facts.lease->account());
    Answer answer;
    answer.head.status = 200;
    answer.head.content_length = 0;
    co_return answer;
  }

  // "cluster/name" of who would have served; "" when nobody was asked.
  const std::string& account() const { return account_; }

 private:
  Cluster& cluster_;
  std::string account_;
};

class NoEndpoints final : public Endpoints {
 public:
  std::optional<Reply> Answer(const Head&, std::string_view) override { return std::nullopt; }
};

// What came of one request.
struct Seen {
  int status = 0;  // 0: no answer came
  std::string route;
  std::string account;
  std::string why;  // without an answer
};

// One relay for one request: its loop, its client and its upstreams.
class Bench {
 public:
  explicit Bench(Services& services)
      : services_(services),
        resolver_(loop_),
        worker_(loop_, endpoints_, services.bodies, services.exchanges, ExchangeLimits{}) {
    std::vector<Cluster*> clusters;
    std::vector<Upstream*> upstreams;
    std::shared_ptr<const Snapshot> snapshot = services.current();
    for (const auto& shared : snapshot->clusters) {
      clusters_.push_back(std::make_unique<Cluster>(loop_, resolver_, shared));
      upstreams_.push_back(std::make_unique<DryUpstream>(*clusters_.back()));
      clusters.push_back(clusters_.back().get());
      upstreams.push_back(upstreams_.back().get());
    }
    worker_.table = MakeRoutes(services, *snapshot->config, clusters, upstreams);
    worker_.keys = snapshot->keys;
    // Our end of the pair has no address: a test says where it comes from as a proxy would.
    worker_.trusted_proxies = {*Network::Parse("0.0.0.0")};
  }
  ~Bench() {
    stream_.reset();
    connections_.ForEach([](Connection& connection) { connection.CloseNow(); });
    loop_.Turn();
  }

  Seen Run(const TestConfig& test);

 private:
  Result<Unit> Connect(ClientConnection*& client);
  Head RequestOf(const TestConfig& test) const;
  Task<Unit> Await(Seen& seen);

  Services& services_;
  Loop loop_;
  NoEndpoints endpoints_;
  Resolver resolver_;
  std::vector<std::unique_ptr<Cluster>> clusters_;
  std::vector<std::unique_ptr<DryUpstream>> upstreams_;
  Worker worker_;
  ServerLimits limits_;
  List<Connection, ConnectionTag> connections_;
  std::unique_ptr<Stream> stream_;
};

// Two ends of one socket: the client's connection, and the relay's.
Result<Unit> Bench::Connect(ClientConnection*& client) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    return Fail(Party::kRelay, Fault::kInternal, "no socket: " + ErrnoText(errno));
  }
  auto server = std::make_unique<Tcp>(loop_, Socket(ends[0]), Address(), TcpOptions{});
  connections_.PushBack(*ServerConnection::Start(loop_, std::move(server), limits_, worker_));
  TcpOptions options;
  options.party = Party::kUpstream;
  auto near = std::make_unique<Tcp>(loop_, Socket(ends[1]), Address(), std::move(options));
  client = ClientConnection::Start(loop_, std::move(near), kPatience);
  connections_.PushBack(*client);
  return Unit{};
}

Head Bench::RequestOf(const TestConfig& test) const {
  Head head;
  head.method = head.Keep(test.method);
  head.target = head.Keep(test.path);
  head.authority = head.Keep("relay.test");
  for (const auto& [name, value] : test.headers) head.Add(name, value);
  if (!test.key.empty()) {
    const KeyConfig* key = services_.current()->config->FindKey(test.key);
    head.Add("x-api-key", key == nullptr ? kUnknownKey : key->key.Reveal());
  }
  if (!test.body.IsNull() && !head.Has("content-type")) {
    head.Add("content-type", "application/json");
  }
  return head;
}

Task<Unit> Bench::Await(Seen& seen) {
  Result<Head> head = co_await stream_->ReadHead(loop_.Now() + kPatience);
  if (head) {
    seen.status = head->status;
  } else {
    seen.why = head.error().what;
  }
  loop_.Stop();
  co_return Unit{};
}

Seen Bench::Run(const TestConfig& test) {
  Seen seen;
  if (Result<std::string> path = NormalisePath(test.path.substr(0, test.path.find('?')))) {
    RouteTable::Match match = worker_.table->Find(*path);
    if (match.route != nullptr) seen.route = match.route->name;
  }
  ClientConnection* client = nullptr;
  if (Result<Unit> connected = Connect(client); !connected) {
    seen.why = connected.error().what;
    return seen;
  }
  Head request = RequestOf(test);
  Buffer body;
  if (!test.body.IsNull()) body.AppendCopy(RenderJson(test.body));
  request.content_length = body.size();
  Result<std::unique_ptr<Stream>> stream = client->Open(request, std::move(body));
  if (!stream) {
    seen.why = stream.error().what;
    return seen;
  }
  stream_ = std::move(*stream);
  Task<Unit> story = Await(seen);
  Waiter start;
  story.StartOn(loop_, start, [](void*) noexcept {}, nullptr);
  loop_.Run();
  for (const auto& upstream : upstreams_) {
    if (!upstream->account().empty()) seen.account = upstream->account();
  }
  return seen;
}

bool IsAccount(std::string_view seen, std::string_view expected) {
  if (seen == expected) return true;
  size_t slash = seen.find('/');
  return slash != std::string_view::npos && seen.substr(slash + 1) == expected;
}

std::string Or(const std::string& text, std::string_view otherwise) {
  return text.empty() ? std::string(otherwise) : text;
}

TestOutcome Judge(const TestConfig& test, const Seen& seen) {
  using Kind = TestOutcome::Kind;
  std::string head = test.place.Text() + ": ";
  std::string request = test.method + " " + test.path;
  if (!test.key.empty()) request += " (key " + test.key + ")";
  if (seen.status == 0) return {Kind::kFailed, head + "FAILED: " + request + ": " + seen.why};
  std::string wrong;
  auto differs = [&](std::string_view what, const std::string& got, const std::string& expected) {
    wrong += (wrong.empty() ? "" : "; ") + std::string(what) + " is " + got + ", not " + expected;
  };
  if (!test.route.empty() && test.route != seen.route) {
    differs("route", Or(seen.route, "none"), test.route);
  }
  if (!test.account.empty() && !IsAccount(seen.account, test.account)) {
    differs("account", Or(seen.account, "none"), test.account);
  }
  if (test.status != 0 && test.status != seen.status) {
    differs("status", std::to_string(seen.status), std::to_string(test.status));
  }
  if (!wrong.empty()) {
    if (seen.account.empty() && test.status == 0) {
      wrong += " (the relay answers " + std::to_string(seen.status) + ")";
    }
    return {Kind::kFailed, head + "FAILED: " + request + ": " + wrong};
  }
  std::string what = "route " + Or(seen.route, "none");
  what += seen.account.empty() ? ", answered " + std::to_string(seen.status)
                               : ", account " + seen.account;
  return {Kind::kPassed, head + "ok: " + request + ": " + what};
}

}  // namespace

std::vector<TestOutcome> RunConfigTests(const std::shared_ptr<const Config>& config) {
  std::vector<TestOutcome> outcomes;
  for (const TestConfig& test : config->tests) {
    if (!test.skipped.empty()) {
      outcomes.push_back({TestOutcome::Kind::kSkipped, test.place.Text() +
                                                           ": skipped: " + test.method + " " +
                                                           test.path + ": " + test.skipped});
      continue;
    }
    // Limits, health and stickiness begin anew for each.
    auto services = Services::Make(config, SystemClock::Get(), kMemory);
    if (!services) {
      outcomes.push_back(
          {TestOutcome::Kind::kFailed, test.place.Text() + ": FAILED: " + services.error().what});
      continue;
    }
    Bench bench(**services);
    outcomes.push_back(Judge(test, bench.Run(test)));
  }
  return outcomes;
}

int RunCheck(const Options& options, const Environment& environment) {
  Problems problems;
  std::shared_ptr<const Config> config = LoadChecked(options.config, environment, problems);
  if (!Report(*config, problems)) return kExitUsage;
  size_t passed = 0;
  size_t failed = 0;
  size_t skipped = 0;
  for (const TestOutcome& outcome : RunConfigTests(config)) {
    std::printf("%s\n", outcome.line.c_str());
    if (outcome.kind == TestOutcome::Kind::kPassed) ++passed;
    if (outcome.kind == TestOutcome::Kind::kFailed) ++failed;
    if (outcome.kind == TestOutcome::Kind::kSkipped) ++skipped;
  }
  std::printf("%s is good; tests: %zu passed, %zu failed, %zu skipped\n", options.config.c_str(),
              passed, failed, skipped);
  return failed == 0 ? kExitOk : kExitFailed;
}

}  // namespace relay
