// SPDX-License-Identifier: MIT
// An account that logged in, between a client and a vendor: whose token ends, is taken back, and
// comes anew.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/store/memory_store.h"
#include "tests/upstreams/claude_answers.h"
#include "upstreams/token_keeper.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Health = AccountPool::Health;

const std::vector<std::string> kOwnClient = {"user-agent: claude-cli/2.1.330 (external, cli)"};

Scripted Gives(const std::string& number, int seconds = 28800) {
  return Json(200, R"({"access_token":"at-)" + number + R"(","refresh_token":"rt-)" + number +
                       R"(","expires_in":)" + std::to_string(seconds) + "}");
}

// A cluster with a login, whose token endpoint is the vendor too: its requests come without a
// credential in the head.
class LoginAccount : public testing::Test {
 protected:
  explicit LoginAccount(bool spare = false, const std::vector<AccountRule>& rules = {})
      : world(spare ? std::vector{RefreshedAccount("login", "seed"), KeyAccount("spare", "sk-b")}
                    : std::vector{RefreshedAccount("login", "seed")},
              ProviderKind::kClaude, [&rules](ClusterConfig& config) {
                config.rules = rules;
                config.oauth.token_url = config.endpoint;
                for (size_t i = 0; i < config.accounts.size(); ++i) {
                  config.accounts[i].priority = static_cast<int>(i);
                }
              }) {}
  void Will(Scripted answer) { world.vendor.Answer("", std::move(answer)); }
  void Ask(bool stream = true) { world.AskClaude(stream, kOwnClient); }

  ClusterWorld world;
  MemoryStore store;
  Vault vault{Secret("0123456789abcdef0123456789abcdef")};
  VendorCalls calls{world.loop, world.resolver, nullptr};
  TokenKeeper keeper{calls,       world.tokens, &store, [this] { return &vault; },
                     world.clock, {"run", true}};
};

class LoginAndSpare : public LoginAccount {
 protected:
  LoginAndSpare() : LoginAccount(true) {}
};

class LoginWithBroadRule : public LoginAccount {
 protected:
  LoginWithBroadRule() : LoginAccount(false, {AnyIsOverload()}) {}
  static AccountRule AnyIsOverload() {
    AccountRule rule;
    rule.match.statuses = {"4xx"};
    rule.action = RuleAction::kOverloaded;
    return rule;
  }
};

class LoginWithRule : public LoginAccount {
 protected:
  LoginWithRule() : LoginAccount(false, {OddMeansEnded()}) {}
  static AccountRule OddMeansEnded() {
    AccountRule rule;
    rule.match.statuses = {"400"};
    rule.match.errors = {"odd_*"};
    rule.action = RuleAction::kExpired;
    return rule;
  }
};

TEST_F(LoginAccount, ServesTheVendorsClientWithAFreshToken) {
  Will(Gives("1"));
  world.vendor.Answer("at-1", Events(kStart + kStop));
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.asked(), ElementsAre("", "at-1"));
  EXPECT_THAT(world.vendor.requests[1].Field("anthropic-beta"), HasSubstr("oauth-2025-04-20"));
  EXPECT_EQ(world.filter->last_attempts, 1);
  world.AskClaude(true);  // not the vendor's client
  EXPECT_EQ(world.status(), 403);
  EXPECT_EQ(world.vendor.requests.size(), 2U);
}

TEST_F(LoginAccount, R36A401RefreshesOnceAndRetriesOnTheSameAccount) {
  Will(Gives("1"));
  Will(Gives("2"));
  world.vendor.Answer("at-1", Json(401, kAuthError));
  world.vendor.Answer("at-2", Events(kStart + kStop));
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.body(), HasSubstr("message_stop"));
  EXPECT_THAT(world.asked(), ElementsAre("", "at-1", "", "at-2"));
  EXPECT_EQ(world.Look(0).health, Health::kReady);
  // The bytes were the same both times.
  EXPECT_EQ(world.vendor.requests[1].body, world.vendor.requests[3].body);
}

// A token ends by the clock: that the vendor took long to say so blames nobody.
TEST_F(LoginAndSpare, A401AfterFailoversTimeRefreshesAllTheSame) {
  Will(Gives("1"));
  Will(Gives("2"));
  world.vendor.Answer("at-1", {"", Then::kWait});
  world.vendor.Answer("at-2", Events(kStart + kStop));
  Ask();
  world.Advance(world.config.failover.within + std::chrono::seconds(1));
  world.vendor.Say(Json(401, kAuthError).bytes);
  world.Settle();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.asked(), ElementsAre("", "at-1", "", "at-2"));
  EXPECT_EQ(world.Look(0).health, Health::kReady);
}

TEST_F(LoginWithRule, ATokenThatARuleCallsEndedIsRefreshed) {
  Will(Gives("1"));
  Will(Gives("2"));
  world.vendor.Answer("at-1", Json(400, R"({"error":{"type":"odd_error","message":"x"}})"));
  world.vendor.Answer("at-2", Events(kStart + kStop));
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.asked(), ElementsAre("", "at-1", "", "at-2"));
  EXPECT_EQ(world.Look(0).health, Health::kReady);
}

TEST_F(LoginAndSpare, ASecond401BlamesTheAccountAndFailsOver) {
  Will(Gives("1"));
  Will(Gives("2"));
  world.vendor.Answer("at-1", Json(401, kAuthError));
  world.vendor.Answer("at-2", Json(401, kAuthError));
  world.vendor.Answer("sk-b", Events(kStart + kStop));
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.asked(), ElementsAre("", "at-1", "", "at-2", "sk-b"));
  EXPECT_EQ(world.Look(0).health, Health::kRefused);
}

TEST_F(LoginAndSpare, AnExpiredTokenMovesTheRequestUntilItIsRefreshed) {
  Will(Json(503, "{}"));
  world.vendor.Answer("sk-b", Events(kStart + kStop));
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.asked(), ElementsAre("", "sk-b"));
  EXPECT_EQ(world.Look(0).health, Health::kExpired);
  EXPECT_THAT(world.Look(0).cause, HasSubstr("503"));
  Will(Gives("1"));
  world.vendor.Answer("at-1", Events(kStart + kStop));
  world.Advance(3s);
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.Look(0).health, Health::kReady);
}

// For x-relay-decision.
TEST_F(LoginAndSpare, TellsOfATokenThatCannotBeHadByAWord) {
  std::string* tried = nullptr;
  world.filter->on_read = [&](Exchange& x) { tried = &x.facts.way.tried; };
  world.vendor.Answer("sk-b", {"", Then::kWait});
  Will(Json(503, "{}"));
  Ask();
  ASSERT_NE(tried, nullptr);
  EXPECT_EQ(*tried, "login:expired");
  world.vendor.Answer("sk-b", {"", Then::kWait});
  Will(Json(400, R"({"error":"invalid_grant"})"));
  world.Advance(3s);
  Ask();
  EXPECT_EQ(*tried, "login:refused");
}

// A rule for whatever a gateway says must not keep a token from being renewed.
TEST_F(LoginWithBroadRule, A401IsAboutTheTokenAllTheSame) {
  Will(Gives("1"));
  Will(Gives("2"));
  world.vendor.Answer("at-1", Json(401, kAuthError));
  world.vendor.Answer("at-2", Events(kStart + kStop));
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.asked(), ElementsAre("", "at-1", "", "at-2"));
  EXPECT_EQ(world.Look(0).health, Health::kReady);
}

TEST_F(LoginAccount, SaysThatALoginIsBeingRenewed) {
  Will(Json(503, "{}", {"retry-after: 20"}));
  Ask();
  EXPECT_EQ(world.status(), 503);
  EXPECT_EQ(world.Field("retry-after"), "20");
  EXPECT_THAT(world.body(), HasSubstr("being renewed"));
  EXPECT_EQ(world.Field("x-should-retry"), "");
  Ask();
  EXPECT_EQ(world.Field("retry-after"), "20");
}

TEST_F(LoginAccount, SaysThatAPersonIsNeeded) {
  Will(Json(400, R"({"error":"invalid_grant"})"));
  Ask();
  EXPECT_EQ(world.status(), 503);
  EXPECT_EQ(world.Field("x-should-retry"), "false");
  EXPECT_THAT(world.body(), Not(HasSubstr("invalid_grant")));
  EXPECT_EQ(world.Look(0).health, Health::kRefused);
  EXPECT_THAT(world.Look(0).cause, HasSubstr("relay accounts login"));
  std::vector<Incident> incidents = world.shared->pool->Incidents("login");
  ASSERT_EQ(incidents.size(), 1U);
  EXPECT_EQ(incidents[0].status, 0);
  EXPECT_THAT(incidents[0].cause, HasSubstr("invalid_grant"));
  // A person logs in and says so.
  TokenAnswer answer;
  answer.access = Secret("at-9");
  answer.refresh = Secret("rt-9");
  Task<Result<Unit>> put = keeper.Put("main/login", Secret("seed"), std::move(answer));
  auto story = [](Task<Result<Unit>> inner) -> Task<Unit> {
    Result<Unit> done = co_await std::move(inner);
    EXPECT_TRUE(done);
    co_return Unit{};
  };
  Task<Unit> root = story(std::move(put));
  root.Start([](void*) noexcept {}, nullptr);
  world.Settle();
  EXPECT_TRUE(world.shared->pool->Reset("login"));
  EXPECT_FALSE(world.shared->pool->Reset("nobody"));
  world.vendor.Answer("at-9", Events(kStart + kStop));
  Ask();
  EXPECT_EQ(world.status(), 200);
}

TEST_F(LoginAccount, AClientThatLeavesDoesNotEndARefresh) {
  Will({"", Then::kWait});
  Ask();
  world.client->Close();
  world.Settle();
  EXPECT_TRUE(world.worker.exchanges.empty());
  world.vendor.Say(Gives("1").bytes);
  world.Settle();
  world.vendor.Answer("at-1", Events(kStart + kStop));
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.asked(), ElementsAre("", "at-1"));
}

// The vendor's own address as a proxy.
ProxyUrl ByVendor(const ClusterConfig& config, std::string_view login = "") {
  return *ParseProxyUrl("http://" + std::string(login) +
                        "127.0.0.1:" + std::to_string(config.endpoint.port));
}

TEST_F(LoginAccount, IsRefreshedByItsProxyAndByTheNewOneWhenThatChanges) {
  AccountConfig behind = RefreshedAccount("login", "seed");
  behind.proxy = *ParseProxyUrl("socks5://127.0.0.1:1");  // nobody listens there
  world.Reconfigure({behind});
  Ask();
  EXPECT_EQ(world.status(), 503);
  EXPECT_EQ(world.vendor.accepted, 0);
  EXPECT_EQ(world.Look(0).health, Health::kExpired);
  EXPECT_THAT(world.Look(0).cause, HasSubstr("the proxy socks5://127.0.0.1:1 fails"));
  behind.proxy = ByVendor(world.config);
  world.Reconfigure({behind});
  world.shared->pool->Reset("login");
  Will({"HTTP/1.1 200 OK\r\n\r\n"});  // the tunnel to the token endpoint
  Will(Gives("1"));
  Will({"HTTP/1.1 200 OK\r\n\r\n"});
  world.vendor.Answer("at-1", Events(kStart + kStop));
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.asked(), ElementsAre("", "", "", "at-1"));
  EXPECT_THAT(world.vendor.requests[0].line(), HasSubstr("CONNECT "));
  // The tokens are what they were, and so is the account's proxy where its priority changes.
  behind.priority = 99;
  world.Reconfigure({behind});
  Will({"HTTP/1.1 200 OK\r\n\r\n"});
  world.vendor.Answer("at-1", Events(kStart + kStop));
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.asked().back(), "at-1");
}

TEST_F(LoginAccount, AProxyThatWillNotHaveTheUserNeedsAPersonAtARefreshToo) {
  AccountConfig behind = RefreshedAccount("login", "seed");
  behind.proxy = ByVendor(world.config, "u:s3cret@");
  world.Reconfigure({behind});
  Will({"HTTP/1.1 407 Who\r\n\r\n"});
  Ask();
  EXPECT_EQ(world.status(), 503);
  EXPECT_EQ(world.Field("x-should-retry"), "false");
  EXPECT_EQ(world.Look(0).health, Health::kRefused);
  EXPECT_THAT(world.Look(0).cause, HasSubstr("does not accept user and password (407)"));
  EXPECT_THAT(world.asked(), ElementsAre(""));
}

TEST_F(LoginAccount, ATokenLivesThroughAChangeOfTheConfiguration) {
  Will(Gives("1"));
  world.vendor.Answer("at-1", Events(kStart + kStop));
  world.vendor.Answer("at-1", Events(kStart + kStop));
  Ask();
  AccountConfig changed = RefreshedAccount("login", "seed");
  changed.priority = 99;
  world.Reconfigure({changed});
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.asked(), ElementsAre("", "at-1", "at-1"));
}

TEST(AccountPool, APausedAccountServesNobody) {
  ManualClock clock;
  auto account = std::make_shared<Account>();
  account->name = "a";
  account->paused = true;
  auto pool = std::make_shared<AccountPool>(Accounts{account}, clock);
  AccountPool::Taken taken = pool->TryTake({});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().why, NoAccount::Why::kPaused);
  EXPECT_EQ(pool->Look()[0].health, Health::kPaused);
  auto resumed = std::make_shared<Account>(*account);
  resumed->paused = false;
  pool->Reconfigure({resumed});
  EXPECT_TRUE(pool->TryTake({}));
}

TEST(AccountPool, KeepsTheLastIncidentsOfAnAccount) {
  ManualClock clock;
  auto account = std::make_shared<Account>();
  account->name = "a";
  auto pool = std::make_shared<AccountPool>(Accounts{account}, clock);
  for (int i = 0; i < 25; ++i) {
    pool->Report(0, {.kind = Judgement::Kind::kBroken, .status = 500 + i, .cause = "x"});
  }
  pool->Report(0, {.kind = Judgement::Kind::kFine});
  std::vector<Incident> incidents = pool->Incidents("a");
  ASSERT_EQ(incidents.size(), AccountPool::kMostIncidents);
  EXPECT_EQ(incidents.front().status, 524);
  EXPECT_EQ(incidents.back().status, 505);
  EXPECT_TRUE(pool->Incidents("nobody").empty());
}

}  // namespace
}  // namespace relay
