// SPDX-License-Identifier: MIT
// A relay of one route and one cluster in one loop, between a client that writes plain bytes and a
// scripted vendor on the loopback. Time moves only when the test says so.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/exchange/metrics.h"
#include "core/exchange/worker.h"
#include "core/http/connection.h"
#include "core/net/tcp.h"
#include "tests/upstreams/vendor.h"
#include "upstreams/cluster.h"
#include "upstreams/tokens.h"

namespace relay {

// What account-select does, without the key that it needs.
class SelectFilter final : public Filter {
 public:
  explicit SelectFilter(Cluster& cluster) : cluster_(cluster) {}
  std::string_view name() const override { return "select"; }
  Task<Verdict> OnRequest(Exchange& x) override {
    Result<Unit> loaded = co_await x.LoadBody();
    if (!loaded) co_return Verdict::Refuse(ToRefusal(loaded.error()));
    x.facts.body_read = true;
    Result<Unit> read = cluster_.ReadBody(x);
    if (!read) co_return Verdict::Refuse(ToRefusal(read.error()));
    if (on_read) on_read(x);
    Cluster::Selection selection{.sticky = x.ask.session, .tags = tags, .wait = wait};
    std::expected<Unit, Refusal> selected = co_await cluster_.Select(x, std::move(selection));
    if (!selected) co_return Verdict::Refuse(selected.error());
    co_return Verdict::Continue();
  }
  void OnFinish(Exchange&, const Outcome& outcome) noexcept override {
    last_end = outcome.end;
    last_attempts = outcome.attempts;
    ++finished;
  }
  std::shared_ptr<const std::vector<std::string>> tags;
  Duration wait{};
  std::function<void(Exchange&)> on_read;
  Outcome::End last_end = Outcome::End::kFailed;
  int last_attempts = 0;
  int finished = 0;

 private:
  Cluster& cluster_;
};

class ClientSocket {
 public:
  ClientSocket(Loop& loop, const ServerLimits& limits, ServerHandler& handler) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    fd_ = ends[1];
    auto transport = std::make_unique<Tcp>(loop, Socket(ends[0]), Address(), TcpOptions{});
    ServerConnection::Start(loop, std::move(transport), limits, handler);
  }
  ClientSocket(const ClientSocket&) = delete;
  ClientSocket& operator=(const ClientSocket&) = delete;
  ~ClientSocket() { Close(); }
  void Send(std::string_view bytes) { unsent_ += bytes; }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void Move() {
    if (fd_ < 0) return;
    if (!unsent_.empty()) {
      ssize_t sent = ::send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
      if (sent > 0) unsent_.erase(0, static_cast<size_t>(sent));
    }
    char room[65536];
    while (true) {
      ssize_t got = ::recv(fd_, room, sizeof room, 0);
      if (got > 0) text.append(room, static_cast<size_t>(got));
      if (got == 0) ended = true;
      if (got <= 0) return;
    }
  }
  std::string text;
  bool ended = false;

 private:
  int fd_ = -1;
  std::string unsent_;
};

inline AccountConfig KeyAccount(std::string name, std::string_view key) {
  AccountConfig account;
  account.name = std::move(name);
  account.api_key = Secret(key);
  return account;
}
inline AccountConfig RefreshedAccount(std::string name, std::string_view refresh_token) {
  AccountConfig account;
  account.name = std::move(name);
  account.refresh_token = Secret(refresh_token);
  return account;
}
inline AccountConfig LoginAccount(std::string name, std::string_view token,
                                  std::string project = "") {
  AccountConfig account;
  account.name = std::move(name);
  account.oauth_token = Secret(token);
  account.project = std::move(project);
  return account;
}

class ClusterWorld {
 public:
  explicit ClusterWorld(std::vector<AccountConfig> accounts,
                        ProviderKind kind = ProviderKind::kClaude,
                        const std::function<void(ClusterConfig&)>& change = {}) {
    config.name = "main";
    config.provider = kind;
    config.endpoint = *ParseUrl("http://127.0.0.1:" + std::to_string(vendor.port()));
    config.code_assist_endpoint = config.endpoint;
    config.accounts = std::move(accounts);
    if (change) change(config);
    Use(ShareCluster(config, nullptr, metrics, clock, nullptr, {}, &tokens));
  }
  // A snapshot with other accounts takes the place of the one before, as in a worker.
  void Reconfigure(std::vector<AccountConfig> accounts) {
    config.accounts = std::move(accounts);
    Use(ShareCluster(config, nullptr, metrics, clock, shared.get(), {}, &tokens));
    Enter(*shared, clock.Now());
    cluster->RetainConnections();
  }
  ~ClusterWorld() {
    if (client != nullptr) client->Close();
    Settle();
    EXPECT_TRUE(worker.exchanges.empty());
    EXPECT_EQ(bodies.used(), 0U);
    for (const AccountPool::View& account : shared->pool->Look()) EXPECT_EQ(account.in_flight, 0);
    cluster.reset();
    before.clear();
    loop.Turn();
  }

  // Until nothing has moved for some turns: all is in this process, and the kernel's loopback is
  // done when a call returns.
  void Settle() {
    for (int i = 0; i < 30; ++i) {
      if (client != nullptr) client->Move();
      loop.Turn();
    }
    if (client != nullptr) client->Move();
  }
  void Advance(Duration by) {
    clock.Advance(by);
    Settle();
  }
  static std::string Request(std::string_view line, std::string_view body,
                             const std::vector<std::string>& fields = {}) {
    std::string text = std::string(line) + " HTTP/1.1\r\nHost: relay.test\r\n";
    for (const std::string& field : fields) text += field + "\r\n";
    if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return text + "\r\n" + std::string(body);
  }
  // A new client asks; the one before is gone.
  void Begin(std::string_view line, std::string_view body,
             const std::vector<std::string>& fields = {}) {
    client = std::make_unique<ClientSocket>(loop, limits, worker);
    client->Send(Request(line, body, fields));
  }
  void Ask(std::string_view line, std::string_view body = "",
           const std::vector<std::string>& fields = {}) {
    Begin(line, body, fields);
    Settle();
  }
  // POST /v1/messages, streamed or not.
  void AskClaude(bool stream, const std::vector<std::string>& fields = {}) {
    Ask("POST /v1/messages", stream ? kStreamed : kWhole, fields);
  }
  static constexpr std::string_view kWhole =
      R"({"model":"claude-opus-5-5","max_tokens":5,"messages":[{"role":"user","content":"hi"}]})";
  static constexpr std::string_view kStreamed =
      R"({"model":"claude-opus-5-5","max_tokens":5,"stream":true,"messages":[]})";

  int status() const { return client->text.size() < 12 ? 0 : std::stoi(client->text.substr(9, 3)); }
  // The value of a field of the answer, "" if there is none.
  std::string Field(std::string_view name) const {
    SeenRequest as_seen;
    as_seen.head = client->text.substr(0, client->text.find("\r\n\r\n"));
    return as_seen.Field(name);
  }
  std::string body() const {
    size_t end = client->text.find("\r\n\r\n");
    return end == std::string::npos ? "" : client->text.substr(end + 4);
  }
  // Which accounts the vendor was asked with, by credential.
  std::vector<std::string> asked() const {
    std::vector<std::string> credentials;
    for (const SeenRequest& seen : vendor.requests) credentials.push_back(seen.credential());
    return credentials;
  }
  AccountPool::View Look(size_t account) const { return shared->pool->Look()[account]; }

  struct NoEndpoints final : Endpoints {
    std::optional<Reply> Answer(const Head&, std::string_view) override { return {}; }
  };
  ManualClock clock;
  Loop loop{clock};
  Resolver resolver{loop};
  Vendor vendor{loop};
  Metrics metrics;
  Tokens tokens{clock};
  ExchangeMetrics exchange_metrics{metrics};
  BodyBudget bodies{size_t{64} << 20};
  NoEndpoints endpoints;
  ServerLimits limits;
  ClusterConfig config;
  std::shared_ptr<const ClusterShared> shared;
  std::unique_ptr<Cluster> cluster;
  std::vector<std::unique_ptr<Cluster>> before;  // their exchanges may run yet
  Worker worker{loop, endpoints, bodies, exchange_metrics, ExchangeLimits{}};
  SelectFilter* filter = nullptr;
  std::unique_ptr<ClientSocket> client;

 private:
  void Use(std::shared_ptr<const ClusterShared> next) {
    shared = std::move(next);
    auto fresh = std::make_unique<Cluster>(loop, resolver, shared, cluster.get());
    if (cluster != nullptr) before.push_back(std::move(cluster));
    cluster = std::move(fresh);
    auto table = std::make_shared<RouteTable>();
    Route& route = table->routes.emplace_back();
    route.name = "main";
    route.prefixes = {"/"};
    route.passthrough = {"/v1/files"};
    route.upstream = cluster.get();
    route.metrics = &exchange_metrics.Route("main");
    auto select = std::make_unique<SelectFilter>(*cluster);
    filter = select.get();
    route.filters.push_back(std::move(select));
    worker.table = std::move(table);
  }
};

}  // namespace relay
