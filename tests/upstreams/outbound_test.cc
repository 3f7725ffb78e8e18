// SPDX-License-Identifier: MIT
// The way out: an account's own endpoint and proxy. The scripted vendor plays the proxy too: what
// it answers to CONNECT, then what it answers in the tunnel.
#include <gmock/gmock.h>

#include "tests/upstreams/cluster_world.h"

namespace relay {
namespace {

using testing::HasSubstr;
using testing::Not;
using Health = AccountPool::Health;

constexpr const char* kTunnel = "HTTP/1.1 200 OK\r\n\r\n";

// Accounts "a" (priority 10) and "b", whose ways out `change` may set; they name an upstream that
// only a proxy would find.
std::unique_ptr<ClusterWorld> World(std::vector<AccountConfig> accounts,
                                    const std::function<void(ClusterConfig&)>& change) {
  for (size_t i = 0; i < accounts.size(); ++i) accounts[i].priority = static_cast<int>(i);
  return std::make_unique<ClusterWorld>(std::move(accounts), ProviderKind::kClaude, change);
}

// The vendor's own address as a proxy.
ProxyUrl ByVendor(const ClusterConfig& config, std::string_view login = "") {
  return *ParseProxyUrl("http://" + std::string(login) +
                        "127.0.0.1:" + std::to_string(config.endpoint.port));
}

TEST(Outbound, GoesByTheAccountsProxyAndUsesTheTunnelAgain) {
  auto world = World({KeyAccount("a", "sk-a")}, [](ClusterConfig& config) {
    config.accounts[0].proxy = ByVendor(config, "alice:s3cret@");
    config.endpoint = *ParseUrl("http://api.test");
  });
  world->vendor.Answer("", {kTunnel});  // `Vendor` looks at no proxy-authorization
  world->AskClaude(false);
  EXPECT_EQ(world->status(), 200) << world->client->text;
  world->AskClaude(false);
  EXPECT_EQ(world->status(), 200);
  ASSERT_EQ(world->vendor.requests.size(), 3U);
  EXPECT_EQ(world->vendor.requests[0].line(), "CONNECT api.test:80 HTTP/1.1");
  EXPECT_EQ(world->vendor.requests[0].Field("proxy-authorization"), "Basic YWxpY2U6czNjcmV0");
  EXPECT_EQ(world->vendor.requests[1].line(), "POST /v1/messages HTTP/1.1");
  EXPECT_EQ(world->vendor.requests[1].Field("host"), "api.test");
  EXPECT_EQ(world->vendor.requests[1].Field("proxy-authorization"), "");
  EXPECT_EQ(world->vendor.accepted, 1);
}

TEST(Outbound, TheClustersProxyIsForAccountsThatNameNone) {
  auto world = World({KeyAccount("a", "sk-a"), KeyAccount("b", "sk-b")}, [](ClusterConfig& config) {
    config.proxy = ByVendor(config);
    config.accounts[1].proxy = ProxyUrl();  // direct
  });
  world->vendor.Answer("", {kTunnel});
  world->vendor.Answer("sk-a", Json(529, "{}"));
  world->AskClaude(false);
  ASSERT_EQ(world->vendor.requests.size(), 3U);
  EXPECT_THAT(world->vendor.requests[0].line(), HasSubstr("CONNECT 127.0.0.1:"));
  EXPECT_EQ(world->vendor.requests[2].line(), "POST /v1/messages HTTP/1.1");
  EXPECT_EQ(world->vendor.requests[2].credential(), "sk-b");
}

TEST(Outbound, ADeadProxyIsTheAccountsTroubleAndTheNextTakesOver) {
  auto world = World({KeyAccount("a", "sk-a"), KeyAccount("b", "sk-b")}, [](ClusterConfig& config) {
    config.accounts[0].proxy = *ParseProxyUrl("socks5://127.0.0.1:1");  // nobody listens there
  });
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(world->Look(0).health, Health::kReady) << i;
    world->AskClaude(true);
    EXPECT_EQ(world->status(), 200);
  }
  EXPECT_EQ(world->Look(0).health, Health::kBroken);
  EXPECT_THAT(world->Look(0).cause,
              HasSubstr("the proxy socks5://127.0.0.1:1 fails: cannot connect"));
  EXPECT_EQ(world->Look(1).health, Health::kReady);
  EXPECT_THAT(world->metrics.Text(true),
              HasSubstr(R"(relay_upstream_attempts_total{account="main/a",reason="proxy"} 5)"));
}

TEST(Outbound, WhereNoOtherAccountIsADeadProxyIsToldInGeneralWords) {
  auto world = World({KeyAccount("a", "sk-a")}, [](ClusterConfig& config) {
    config.accounts[0].proxy = *ParseProxyUrl("http://u:s3cret@127.0.0.1:1");
  });
  world->AskClaude(false);
  EXPECT_EQ(world->status(), 502);
  EXPECT_THAT(world->body(), HasSubstr("cannot be reached"));
  EXPECT_THAT(world->body(), Not(HasSubstr("127.0.0.1")));
}

TEST(Outbound, AProxyThatWillNotHaveTheUserNeedsAPerson) {
  auto world = World({KeyAccount("a", "sk-a"), KeyAccount("b", "sk-b")}, [](ClusterConfig& config) {
    config.accounts[0].proxy = ByVendor(config, "u:s3cret@");
  });
  world->vendor.Answer("", {"HTTP/1.1 407 Who\r\n\r\n"});
  world->AskClaude(false);
  EXPECT_EQ(world->status(), 200);
  EXPECT_EQ(world->Look(0).health, Health::kRefused);
  EXPECT_THAT(world->Look(0).cause, HasSubstr("does not accept user and password (407)"));
  EXPECT_THAT(world->metrics.Text(true),
              HasSubstr(R"(relay_upstream_attempts_total{account="main/a",reason="proxy"} 1)"));
}

TEST(Outbound, AloneWithSuchAProxyTheClientIsToldNotToTryAgain) {
  auto world = World({KeyAccount("a", "sk-a")}, [](ClusterConfig& config) {
    config.accounts[0].proxy = ByVendor(config, "u:s3cret@");
  });
  world->vendor.otherwise = {"HTTP/1.1 407 Who\r\n\r\n"};
  world->AskClaude(false);
  EXPECT_EQ(world->status(), 503);
  EXPECT_EQ(world->Field("x-should-retry"), "false");
  EXPECT_THAT(world->body(), HasSubstr("no credential of cluster 'main' is accepted"));
}

TEST(Outbound, ASilentProxyCostsNoMoreThanTheConnectTimeout) {
  auto world = World({KeyAccount("a", "sk-a"), KeyAccount("b", "sk-b")},
                     [](ClusterConfig& config) { config.accounts[0].proxy = ByVendor(config); });
  world->vendor.Answer("", Silence());
  world->AskClaude(false);
  EXPECT_EQ(world->client->text, "");
  world->Advance(std::chrono::seconds(6));
  EXPECT_EQ(world->status(), 200);
  EXPECT_EQ(world->vendor.requests.back().credential(), "sk-b");
  EXPECT_EQ(world->vendor.abandoned, 1);
}

TEST(Outbound, FailoverGoesByConnectForProxiesToo) {
  auto world = World({KeyAccount("a", "sk-a"), KeyAccount("b", "sk-b")}, [](ClusterConfig& config) {
    config.accounts[0].proxy = *ParseProxyUrl("http://127.0.0.1:1");
    config.failover.on = {"429"};
  });
  world->AskClaude(false);
  EXPECT_EQ(world->status(), 502);
  EXPECT_EQ(world->vendor.requests.size(), 0U);
}

TEST(Outbound, R58_AnAccountOfTheStoreMayNotNameAPrivateAddress) {
  auto ask = [](const char* endpoint, bool from_store, bool allow) {
    auto world = World({KeyAccount("a", "sk-a")}, [&](ClusterConfig& config) {
      config.accounts[0].from_store = from_store;
      config.allow_private = allow;
      if (*endpoint != '\0') {
        config.accounts[0].endpoint =
            *ParseUrl(endpoint + (":" + std::to_string(config.endpoint.port)));
      }
    });
    world->AskClaude(false);
    EXPECT_EQ(world->vendor.accepted, world->status() == 200 ? 1 : 0);
    return world->status();
  };
  EXPECT_EQ(ask("http://127.0.0.1", false, false), 200);  // what relay.yaml says is trusted
  EXPECT_EQ(ask("http://127.0.0.1", true, true), 200);
  EXPECT_EQ(ask("", true, false), 200);  // the cluster's endpoint is relay.yaml's
  EXPECT_EQ(ask("http://127.0.0.1", true, false), 502);
}

TEST(Outbound, R58_WhatIsOfTheStoreIsDialledInTheOpenInternetOnly) {
  ClusterConfig cluster;
  cluster.name = "main";
  cluster.endpoint = *ParseUrl("https://10.0.0.1");
  cluster.proxy = *ParseProxyUrl("socks5://10.0.0.2:1080");
  AccountConfig account = KeyAccount("a", "sk-a");
  struct Case {
    bool from_store, allow, own_endpoint, own_proxy;
    bool public_endpoint, public_proxy;
  };
  for (const Case& c :
       {Case{false, false, true, true, false, false}, Case{true, true, true, true, false, false},
        Case{true, false, false, false, false, false}, Case{true, false, true, false, true, false},
        Case{true, false, false, true, false, true}, Case{true, false, true, true, true, true}}) {
    account.from_store = c.from_store;
    cluster.allow_private = c.allow;
    account.endpoint.reset();
    account.proxy.reset();
    if (c.own_endpoint) account.endpoint = *ParseUrl("https://10.0.0.3");
    if (c.own_proxy) account.proxy = *ParseProxyUrl("https://u:p@10.0.0.4:443");
    cluster.accounts = {account};
    const Account made = AccountsOf(cluster, nullptr)[0];
    const Endpoint dialled = *DialledEndpoint(made.endpoint, nullptr);
    EXPECT_EQ(dialled.host, c.own_endpoint ? "10.0.0.3" : "10.0.0.1");
    EXPECT_EQ(dialled.public_only, c.public_endpoint);
    // What OAuth asks is relay.yaml's or the vendor's own; the proxy is the account's all the same.
    EXPECT_FALSE(made.oauth_way.public_only);
    EXPECT_EQ(made.oauth_way.proxy, made.endpoint.way.proxy);
    EXPECT_EQ(made.oauth_way.public_proxy_only, c.public_proxy);
    EXPECT_EQ(made.code_assist_endpoint.way, made.endpoint.way);
    ASSERT_TRUE(dialled.proxy);
    EXPECT_EQ(dialled.proxy->host, c.own_proxy ? "10.0.0.4" : "10.0.0.2");
    EXPECT_EQ(dialled.proxy->public_only, c.public_proxy);
  }
}

// Connections are those of an account object; one with another way out is another.
TEST(Outbound, AnAccountWithAnotherWayOutIsAnother) {
  ClusterConfig cluster;
  cluster.name = "main";
  cluster.endpoint = *ParseUrl("https://api.test/v1");
  auto share = [&](const char* endpoint, const char* proxy, const Accounts& before = {}) {
    AccountConfig account = KeyAccount("a", "sk-a");
    if (*endpoint != '\0') account.endpoint = *ParseUrl(endpoint);
    account.proxy = *ParseProxyUrl(proxy);
    cluster.accounts = {account};
    return ShareAccounts(AccountsOf(cluster, nullptr), before);
  };
  Accounts first = share("", "http://u:p@p.test:1");
  EXPECT_EQ(share("", "http://u:p@p.test:1", first)[0], first[0]);
  EXPECT_NE(share("https://api.test/v2", "http://u:p@p.test:1", first)[0], first[0]);
  for (const char* proxy : {"direct", "socks5://u:p@p.test:1", "https://u:p@p.test:1",
                            "http://p.test:1", "http://u:q@p.test:1", "http://v:p@p.test:1",
                            "http://u:p@p.test:2", "http://u:p@q.test:1"}) {
    EXPECT_NE(share("", proxy, first)[0], first[0]) << proxy;
  }
}

}  // namespace
}  // namespace relay
