// SPDX-License-Identifier: MIT
// One snapshot takes the place of another while workers serve: what begins afterwards, what runs
// on, and what becomes of the old one.
#include "admin/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/admin/relay_fixture.h"

namespace relay {
namespace {

using testing::HasSubstr;

constexpr std::string_view kAlice = "cr_worker-thread-test";
constexpr std::string_view kBob = "cr_bob-of-the-snapshot";

// Of the fixture's configuration: other words for some of it.
std::string With(std::string text, std::string_view old, std::string_view fresh) {
  size_t at = text.find(old);
  EXPECT_NE(at, std::string::npos) << old;
  return text.replace(at, old.size(), fresh);
}

std::shared_ptr<const Snapshot> BuildFrom(Services& services, const std::string& text,
                                          StoredObjects stored = {}) {
  auto config = ConfigOf(text, {{"RELAY_KEY", std::string(kAlice)},
                                {"BOB_KEY", std::string(kBob)},
                                {"ACCOUNT_KEY", "sk-ant-worker-test"}});
  auto built = services.Build(config, std::make_shared<const StoredObjects>(std::move(stored)));
  EXPECT_TRUE(built) << built.error().what;
  return *built;
}

std::string BobsConfig(uint16_t upstream = 1) {
  return With(RelayConfig(upstream), R"({name: alice, key: "${RELAY_KEY}"})",
              R"({name: bob, key: "${BOB_KEY}"})");
}

// The status of a request with that key; 502 or 503: it got as far as the upstream, which is none.
int StatusWith(PlainSocket& client, std::string_view key) {
  client.Send("POST /api/v1/messages HTTP/1.1\r\nhost: relay\r\nx-api-key: " + std::string(key) +
              "\r\ncontent-length: 43\r\n\r\n" + R"({"model":"claude-opus-5-5","messages":[]}  )");
  std::string answer = client.ReadAnswer();
  return answer.size() < 12 ? 0 : std::stoi(answer.substr(9, 3));
}

TEST(Snapshot, TheNextRequestIsJudgedByTheNewOne) {
  Relay relay;
  std::vector<PlainSocket> clients;  // open all the while, on either worker
  for (int i = 0; i < 8; ++i) clients.push_back(relay.Connect());
  for (PlainSocket& client : clients) EXPECT_GE(StatusWith(client, kAlice), 500);
  relay.services->Publish(BuildFrom(*relay.services, BobsConfig()));
  for (PlainSocket& client : clients) EXPECT_EQ(StatusWith(client, kAlice), 401);
  for (PlainSocket& client : clients) EXPECT_GE(StatusWith(client, kBob), 500);
}

TEST(Snapshot, AStreamRunsOnAndTheOldOneDiesWithIt) {
  HoldingUpstream upstream{std::string(kBegun)};
  Relay relay(upstream.port());
  std::weak_ptr<const Snapshot> first = relay.services->current();
  PlainSocket client = relay.Connect();
  client.Send(kMessage);
  ASSERT_THAT(client.ReadUntil("event: ping"), HasSubstr(" 200 OK"));
  // Its key, its account, its route and its cluster are gone.
  std::string other = With(BobsConfig(), "  claude:\n", "  another:\n");
  other = With(With(other, "cluster: claude", "cluster: another"), "prefix: /api", "prefix: /b");
  relay.services->Publish(BuildFrom(*relay.services, other));
  EXPECT_FALSE(first.expired());
  upstream.Say("1f\r\nevent: message_stop\ndata: {}\n\n\n\r\n0\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("\r\n0\r\n\r\n"), HasSubstr("message_stop"));
  EXPECT_THAT(Get(client, "/health"), HasSubstr(" 200 OK")) << "its connection stays open";
  EXPECT_TRUE(first.expired());
}

TEST(Snapshot, NothingIsLeftOfManyThatWereReplaced) {
  Relay relay;
  std::vector<std::weak_ptr<const Snapshot>> past;
  for (int i = 0; i < 100; ++i) {
    past.push_back(relay.services->current());
    relay.services->Publish(BuildFrom(*relay.services, i % 2 == 0 ? BobsConfig() : RelayConfig(1)));
  }
  for (const auto& each : past) EXPECT_TRUE(each.expired());
}

TEST(Snapshot, RequestsOfAllWorkersSeeOneOrTheOther) {
  Relay relay;
  std::atomic<bool> ends{false};
  std::atomic<int> asked{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] {
      PlainSocket client = relay.Connect();
      while (!ends) {
        int status = StatusWith(client, kAlice);
        // 429: so many wrong keys of one address are told to wait.
        EXPECT_TRUE(status == 401 || status == 429 || status >= 500) << status;
        ++asked;
      }
    });
  }
  for (int i = 0; i < 40 || asked < 200; ++i) {
    relay.services->Publish(BuildFrom(*relay.services, i % 2 == 0 ? BobsConfig() : RelayConfig(1)));
  }
  ends = true;
  for (std::thread& client : clients) client.join();
}

TEST(Snapshot, LimitsOfAListenerCountForNewConnections) {
  Relay relay;
  PlainSocket before = relay.Connect();
  EXPECT_THAT(Get(before, "/health"), HasSubstr(" 200 OK"));
  relay.services->Publish(BuildFrom(
      *relay.services, With(RelayConfig(1), R"({address: "127.0.0.1:0"})",
                            R"({address: "127.0.0.1:0", limits: {header-bytes: 1KiB}})")));
  std::string large =
      "GET /health HTTP/1.1\r\nhost: relay\r\nx-large: " + std::string(2000, 'x') + "\r\n\r\n";
  before.Send(large);
  EXPECT_THAT(before.ReadUntil("}"), HasSubstr(" 200 OK")) << "it has the limits it began with";
  PlainSocket after = relay.Connect();
  after.Send(large);
  EXPECT_THAT(after.ReadUntil("}"), HasSubstr("HTTP/1.1 431 "));
}

TEST(Snapshot, WhatWasSpentIsKnownOfAKeyThatComes) {
  Relay relay;
  int32_t today = relay.services->limiter.Today();
  relay.services->Kept().add_spending({{today, "bob", "m", "a", {.nanodollars = 5'000'000'000}}});
  std::string text =
      With(BobsConfig(), R"(key: "${BOB_KEY}")", R"(key: "${BOB_KEY}", limits: {cost-total: 5})");
  text = With(text, "{account-select: {}}, ", "{rate-limit: {}}, {account-select: {}}, ");
  text = With(text, "{strip-prefix: true}}]", "{strip-prefix: true}}, {usage-record: {}}]");
  relay.services->Publish(BuildFrom(*relay.services, text));
  PlainSocket client = relay.Connect();
  EXPECT_EQ(StatusWith(client, kBob), 429);
}

TEST(Snapshot, AParkedAccountStaysParkedInTheNextOne) {
  Relay relay;
  const auto before = relay.services->current();
  before->clusters[0]->pool->Report(0, {.kind = Judgement::Kind::kRefused, .cause = "401"});
  relay.services->Publish(BuildFrom(*relay.services, With(RelayConfig(1), "accounts: [",
                                                          "accounts: [{name: b, api-key: kkk}, ")));
  auto after = relay.services->current();
  EXPECT_EQ(after->clusters[0]->pool, before->clusters[0]->pool);
  std::vector<AccountPool::View> views = after->clusters[0]->pool->Look();
  ASSERT_EQ(views.size(), 2U);
  EXPECT_EQ(views[0].name, "team");
  EXPECT_EQ(views[0].health, AccountPool::Health::kRefused);
  EXPECT_EQ(views[1].health, AccountPool::Health::kReady);
}

TEST(Snapshot, TheStoresKeysAndAccountsStandBesideTheFiles) {
  Relay relay;
  auto services = Services::Make(ConfigOf(RelayConfig(1), {{"RELAY_KEY", std::string(kAlice)},
                                                           {"ACCOUNT_KEY", "sk-ant-worker-test"}}),
                                 SystemClock::Get(), uint64_t{1} << 30);
  ASSERT_TRUE(services);
  // As a directory signs it that has the same pepper.
  (*services)->SetPepper(Secret("pepper of the store"));
  HmacKey pepper("pepper of the store");
  StoredObjects stored;
  stored.keys.push_back({pepper.Sign("cr_of-the-store"), {.name = "carol"}});
  stored.keys.push_back({pepper.Sign("cr_shadowed"), {.name = "alice"}});
  StoredAccount account;
  account.cluster = "claude";
  account.config.name = "stored";
  account.config.api_key = Secret("sk-ant-stored");
  stored.accounts.push_back(account);
  account.config.name = "team";
  account.config.priority = 1;
  account.paused = true;
  stored.accounts.push_back(account);
  account.cluster = "no-such-cluster";
  stored.accounts.push_back(account);
  auto snapshot = BuildFrom(**services, RelayConfig(1), std::move(stored));
  ASSERT_NE(snapshot->keys->Find("cr_of-the-store"), nullptr);
  EXPECT_EQ(snapshot->keys->Find("cr_of-the-store")->name, "carol");
  EXPECT_EQ(snapshot->keys->Find("cr_shadowed"), nullptr) << "the file's alice counts";
  EXPECT_EQ(snapshot->keys->Find(kAlice)->name, "alice");
  const Accounts& accounts = snapshot->clusters[0]->accounts;
  ASSERT_EQ(accounts.size(), 2U);
  EXPECT_EQ(accounts[0]->name, "team");
  EXPECT_EQ(accounts[0]->priority, 50) << "the file's counts";
  EXPECT_TRUE(accounts[0]->paused) << "but for a pause";
  EXPECT_EQ(accounts[1]->name, "stored");
  EXPECT_EQ((*services)->current()->clusters[0]->accounts.size(), 1U) << "nothing is in force yet";
  (*services)->Publish(snapshot);
  EXPECT_EQ(snapshot->clusters[0]->pool->Look().size(), 2U);
}

TEST(Snapshot, ACertificateThatCannotBeReadMakesNone) {
  Relay relay;
  auto config = std::make_shared<Config>(*relay.services->current()->config);
  config->listeners[0].tls.emplace().certificate = "/no/such.crt";
  auto built = relay.services->Build(config, std::make_shared<const StoredObjects>());
  ASSERT_FALSE(built);
  EXPECT_THAT(built.error().what, HasSubstr("/no/such"));
}

}  // namespace
}  // namespace relay
