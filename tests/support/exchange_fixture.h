// SPDX-License-Identifier: MIT
// A worker with one route for tests: the filters are made from YAML as relay.yaml has them, the
// client speaks HTTP/1.1 over a line in memory, and the vendor is scripted. All in between is real.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/exchange/metrics.h"
#include "core/exchange/worker.h"
#include "core/metrics/metrics.h"
#include "core/net/resolver.h"
#include "core/store/keys.h"
#include "core/store/ledger.h"
#include "core/store/limiter.h"
#include "filters/registry.h"
#include "tests/support/scripted_upstream.h"
#include "upstreams/cluster.h"
#include "upstreams/prices.h"

namespace relay {

// Counts how often a filter is entered and finished.
struct Visits {
  int entered = 0;
  int finished = 0;
};

class WitnessFilter final : public Filter {
 public:
  WitnessFilter(std::unique_ptr<Filter> inner, Visits& visits)
      : inner_(std::move(inner)), visits_(visits) {}
  std::string_view name() const override { return inner_->name(); }
  Task<Verdict> OnRequest(Exchange& x) override {
    ++visits_.entered;
    return inner_->OnRequest(x);
  }
  void OnResponseHead(Exchange& x, Head& head) override { inner_->OnResponseHead(x, head); }
  void OnResponseChunk(Exchange& x, std::string_view bytes) override {
    inner_->OnResponseChunk(x, bytes);
  }
  void OnFinish(Exchange& x, const Outcome& outcome) noexcept override {
    ++visits_.finished;
    inner_->OnFinish(x, outcome);
  }

 private:
  std::unique_ptr<Filter> inner_;
  Visits& visits_;
};

class ExchangeWorld {
 public:
  // `filters`: as under `filters:` in relay.yaml, "- auth: {service: claude}\n- rewrite: {}\n".
  // `accounts`: of the cluster, "[{name: a, api-key: sk-a}]".
  explicit ExchangeWorld(const std::string& filters, ProviderKind kind = ProviderKind::kClaude,
                         const std::string& accounts = "[{name: a, api-key: sk-vendor-a}]")
      : upstream(loop, std::string(NameOf(kind))) {
    Problems problems;
    config = Load(filters, accounts, problems, kind);
    CheckChains(*config, problems);
    for (const std::string& line : problems.ErrorLines()) ADD_FAILURE() << line;
    worker.keys = keys;
    if (problems.failed()) return;
    const ClusterConfig& vendor = config->clusters[0];
    cluster =
        std::make_unique<Cluster>(loop, resolver, ShareCluster(vendor, nullptr, metrics, clock));
    auto table = std::make_shared<RouteTable>();
    const RouteConfig& from = config->routes[0];
    Route& route = table->routes.emplace_back();
    route.name = from.name;
    route.prefixes = from.prefixes;
    route.passthrough = from.passthrough;
    route.upstream = &upstream;
    route.metrics = &exchange_metrics.Route(from.name);
    FilterContext context{from.name, *cluster, limiter, ledger, Prices::Builtin(), metrics};
    visits.resize(from.filters.size());
    for (size_t i = 0; i < from.filters.size(); ++i) {
      route.filters.push_back(
          std::make_unique<WitnessFilter>(MakeFilter(from.filters[i], context), visits[i]));
    }
    worker.table = std::move(table);
  }
  ~ExchangeWorld() {
    // Connections own themselves: they end when their peers do.
    client_.reset();
    for (const auto& call : upstream.calls) call->vendor.reset();
    Run();
  }

  static std::shared_ptr<const Config> Load(const std::string& filters, const std::string& accounts,
                                            Problems& problems,
                                            ProviderKind kind = ProviderKind::kClaude) {
    std::string text =
        "listeners: [{address: '127.0.0.1:0'}]\nclusters:\n  vendor:\n    provider: " +
        std::string(NameOf(kind)) + "\n    accounts: " + accounts +
        "\nroutes:\n  - name: main\n    match: {prefix: /api}\n    cluster: vendor\n" +
        "    passthrough: [/v1/files]\n    filters:\n";
    for (std::string_view rest = filters; !rest.empty();) {
      size_t end = std::min(rest.find('\n'), rest.size());
      text += "      " + std::string(rest.substr(0, end)) + "\n";
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    auto unset = [](std::string_view) -> std::optional<std::string> { return {}; };
    return LoadConfigText(text, "relay.yaml", "/", unset, problems);
  }

  void AddKey(std::string_view secret, KeyRecord record) {
    ASSERT_TRUE(keys->Add(secret, std::move(record)));
  }

  // A request as the client writes it; the content-length is added where there is a body.
  static std::string Request(std::string_view line, const std::vector<std::string>& fields = {},
                             std::string_view body = {}) {
    std::string text = std::string(line) + " HTTP/1.1\r\nHost: relay.test\r\n";
    for (const std::string& field : fields) text += field + "\r\n";
    if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return text + "\r\n" + std::string(body);
  }

  // A new client sends this. The one before, if any, is gone.
  void Begin(std::string_view request) {
    client_.reset();
    Run();
    line_ = std::make_unique<MemoryLine>(loop);
    ServerConnection::Start(loop, line_->Take(MemoryLine::kServer), limits_, worker);
    client_ = std::make_unique<TextPeer>(line_->Take(MemoryLine::kClient));
    client_->Send(request);
  }
  MemoryLine& line() { return *line_; }
  TextPeer& client() { return *client_; }
  void HangUp() { client_->Close(); }

  // One piece moves on each line. False: nothing did.
  bool MoveLines() {
    bool moved = line_ != nullptr && line_->Step();
    return upstream.Step() || moved;
  }
  // Until nothing moves any more.
  void Run() {
    for (int still = 0; still < 3;) {
      bool moved = MoveLines();
      loop.Turn();
      still = moved ? 0 : still + 1;
    }
  }
  void Advance(Duration by) {
    clock.Advance(by);
    Run();
  }

  // Begin and Run.
  void Ask(std::string_view line, const std::vector<std::string>& fields = {},
           std::string_view body = {}) {
    Begin(Request(line, fields, body));
    Run();
  }
  // Of what the client got.
  int status() const {
    return client_->text.size() < 12 ? 0 : std::stoi(client_->text.substr(9, 3));
  }
  std::string answer_head() const {
    return client_->text.substr(0, client_->text.find("\r\n\r\n"));
  }
  std::string answer_body() const {
    size_t end = client_->text.find("\r\n\r\n");
    return end == std::string::npos ? "" : client_->text.substr(end + 4);
  }
  // The one exchange under way, or null.
  Exchange* exchange() { return worker.exchanges.front(); }

  struct NoEndpoints final : Endpoints {
    std::optional<Reply> Answer(const Head&, std::string_view) override { return {}; }
  };

  ManualClock clock;
  Loop loop{clock};
  Resolver resolver{loop};
  Metrics metrics;
  ExchangeMetrics exchange_metrics{metrics};
  BodyBudget bodies{size_t{64} << 20};
  NoEndpoints endpoints;
  Limiter limiter{clock};
  Ledger ledger;
  ScriptedUpstream upstream;
  std::shared_ptr<KeyDirectory> keys =
      std::make_shared<KeyDirectory>(Secret("pepper of the tests"), limiter);
  std::shared_ptr<const Config> config;
  std::unique_ptr<Cluster> cluster;
  Worker worker{loop, endpoints, bodies, exchange_metrics, ExchangeLimits{}};
  std::vector<Visits> visits;  // of the filters, in the chain's order; never resized

 private:
  ServerLimits limits_;
  std::unique_ptr<MemoryLine> line_;
  std::unique_ptr<TextPeer> client_;
};

}  // namespace relay
