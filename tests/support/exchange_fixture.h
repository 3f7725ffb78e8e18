// SPDX-License-Identifier: MIT
// A worker with one route for tests of filters, which are made from YAML as relay.yaml has them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/net/resolver.h"
#include "core/store/keys.h"
#include "core/store/ledger.h"
#include "core/store/limiter.h"
#include "filters/registry.h"
#include "tests/support/worker_fixture.h"
#include "upstreams/cluster.h"
#include "upstreams/prices.h"

namespace relay {

class ExchangeWorld final : public WorkerWorld {
 public:
  // `filters`: as under `filters:` in relay.yaml, "- auth: {service: claude}\n- rewrite: {}\n".
  // `accounts`: of the cluster, "[{name: a, api-key: sk-a}]".
  explicit ExchangeWorld(const std::string& filters, ProviderKind kind = ProviderKind::kClaude,
                         const std::string& accounts = "[{name: a, api-key: sk-vendor-a}]")
      : WorkerWorld(std::string(NameOf(kind))) {
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
  ~ExchangeWorld() override { Finish(); }

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

  void ExpectNothingHeld() override {
    WorkerWorld::ExpectNothingHeld();
    for (const AccountPool::View& account : cluster->pool().Look()) {
      EXPECT_EQ(account.in_flight, 0);
    }
  }

  Resolver resolver{loop};
  Limiter limiter{clock};
  Ledger ledger;
  StateBell bell;
  KeyUses uses{bell};
  std::shared_ptr<KeyDirectory> keys =
      std::make_shared<KeyDirectory>(Secret("pepper of the tests"), limiter, uses);
  std::shared_ptr<const Config> config;
  std::unique_ptr<Cluster> cluster;
};

}  // namespace relay
