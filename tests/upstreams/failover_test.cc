// SPDX-License-Identifier: MIT
// A cluster whose vendor does not: who is asked next, what the client sees, what an account is
// blamed for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/upstreams/claude_answers.h"

namespace relay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Health = AccountPool::Health;

TEST(Failover, R36MovesToTheNextAccountOnEachFault) {
  const std::vector<std::pair<std::string, Scripted>> kFaults = {
      {"401", Json(401, kAuthError)},
      {"403", Json(403, R"({"type":"error","error":{"type":"permission_error","message":"no"}})")},
      {"429", Json(429, kLimitError, {"retry-after: 3600"})},
      {"500", Json(500, R"({"type":"error","error":{"type":"api_error","message":"x"}})")},
      {"503", Json(503, "<html>busy</html>")},
      {"529", Json(529, kOverloaded)},
      {"credit", Json(400, R"({"type":"error","error":{"type":"invalid_request_error","message":)"
                           R"("Your credit balance is too low to access the API."}})")},
      {"reset", Nothing()},
      {"half a head", {"HTTP/1.1 200 O", Then::kClose}},
      {"garbage", {"no http at all\r\n\r\n", Then::kStay}},
      {"two lengths",
       {"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", Then::kStay}},
      {"error event", Events(kOverloadedEvent)},
      {"no event", Events("")},
      {"half an event", Events("event: message_start\ndata: {")},
  };
  for (const auto& [name, fault] : kFaults) {
    SCOPED_TRACE(name);
    ClusterWorld world(Three());
    world.vendor.Answer("sk-a", fault);
    world.vendor.Answer("sk-b", fault);
    world.vendor.Answer("sk-c", Events(kStart + kStop));
    world.AskClaude(true);
    EXPECT_EQ(world.status(), 200);
    EXPECT_THAT(world.body(), HasSubstr("message_stop"));
    EXPECT_THAT(world.body(), Not(HasSubstr("error")));
    EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b", "sk-c"));
    EXPECT_EQ(world.filter->last_attempts, 3);
    for (const SeenRequest& seen : world.vendor.requests) {
      EXPECT_EQ(seen.body, ClusterWorld::kStreamed);
    }
  }
}

TEST(Failover, StaysWithinTheTagsOfTheRoute) {
  std::vector<AccountConfig> accounts = Three();
  accounts[0].tags = {"eu"};
  accounts[2].tags = {"us", "eu"};
  ClusterWorld world(accounts);
  world.filter->tags =
      std::make_shared<const std::vector<std::string>>(std::vector<std::string>{"eu"});
  world.vendor.otherwise = Json(529, kOverloaded);
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 529);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-c"));
}

TEST(Failover, PassesTheVendorsLastWordWhenNobodyElseCanServe) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.vendor.otherwise = Json(529, kOverloaded, {"x-from: vendor"});
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 529);
  EXPECT_EQ(world.body(), kOverloaded);
  EXPECT_EQ(world.Field("x-from"), "vendor");
  // The last account is not parked by a guess.
  world.vendor.otherwise = Json(200, "{}");
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
}

TEST(Failover, PassesAnOverloadedStreamWhenNobodyElseCanServe) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.vendor.otherwise = Events(kOverloadedEvent);
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.body(), HasSubstr(kOverloadedEvent));
}

TEST(Failover, TellsTheEarliestResetWhenAllAreLimited) {
  ClusterWorld world(Three());
  world.vendor.Answer("sk-a", Json(429, kLimitError, {"retry-after: 3600"}));
  world.vendor.Answer("sk-b", Json(429, kLimitError, {"retry-after: 90"}));
  world.vendor.Answer("sk-c", Json(429, kLimitError, {"retry-after: 700"}));
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 429);
  EXPECT_EQ(world.Field("retry-after"), "90");
  EXPECT_EQ(world.Look(0).health, Health::kLimited);
  // Known by then: no request goes out, and the time that is left is told.
  world.Advance(std::chrono::seconds(30));
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 429);
  EXPECT_EQ(world.Field("retry-after"), "60");
  EXPECT_EQ(world.vendor.requests.size(), 3U);
  // What counts no tokens is not bound by a limit of tokens.
  world.Ask("GET /v1/models");
  EXPECT_EQ(world.status(), 200);
  world.Advance(std::chrono::seconds(61));
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.vendor.requests.back().credential(), "sk-b");
}

TEST(Failover, RefusesItselfWhenAllCredentialsAreRefused) {
  ClusterWorld world(Three());
  world.vendor.otherwise = Json(401, kAuthError);
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 503);
  EXPECT_THAT(world.body(), Not(HasSubstr("x-api-key")));
  EXPECT_THAT(world.body(), HasSubstr("renew"));
  EXPECT_EQ(world.Field("x-should-retry"), "false");
  EXPECT_EQ(world.Look(2).health, Health::kRefused);
}

// What blames the one account that was asked, each in its own way.
const std::vector<std::pair<std::string, Scripted>> kBlames = {
    {"refused", Json(401, kAuthError)},
    {"unsuited", Json(403, "<html>blocked</html>")},
    {"limited", Json(429, kLimitError, {"retry-after: 3600"})},
};

TEST(Failover, AsksToComeAgainWhereTheOthersAreOnlyBusy) {
  for (const auto& [name, blame] : kBlames) {
    SCOPED_TRACE(name);
    std::vector<AccountConfig> accounts = {KeyAccount("a", "sk-a"), KeyAccount("b", "sk-b")};
    accounts[1].concurrency = 1;
    ClusterWorld world(std::move(accounts));
    Wish wish;
    wish.tried = {0};
    AccountPool::Taken held = world.shared->pool->TryTake(wish);
    world.vendor.Answer("sk-a", blame);
    world.AskClaude(false);
    EXPECT_EQ(world.client->text, "");
    world.Advance(std::chrono::seconds(6));
    EXPECT_EQ(world.status(), 503);
    EXPECT_EQ(world.Field("retry-after"), "1");
    EXPECT_EQ(world.Field("x-should-retry"), "");
    EXPECT_THAT(world.body(), HasSubstr("carries as many requests as it may"));
    EXPECT_THAT(world.asked(), ElementsAre("sk-a"));
  }
}

TEST(Failover, AsksOneThatMayFailWhenItHasWaitedForABusyOneInVain) {
  std::vector<AccountConfig> accounts = Three();
  accounts[1].concurrency = 1;
  ClusterWorld world(std::move(accounts));
  Wish second;
  second.tried = {0, 2};
  AccountPool::Taken held = world.shared->pool->TryTake(second);
  world.shared->pool->Report(
      2, {.kind = Judgement::Kind::kOverloaded, .until = world.loop.Now() + std::chrono::hours(1)});
  world.vendor.Answer("sk-a", Json(401, kAuthError));
  world.AskClaude(false);
  EXPECT_EQ(world.client->text, "");
  world.Advance(std::chrono::seconds(6));
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-c"));
}

TEST(Failover, AsksToComeAgainWhereItsAttemptsWereUsedUpBeforeTheAccounts) {
  for (const auto& [name, blame] : kBlames) {
    SCOPED_TRACE(name);
    ClusterWorld world(Three(), ProviderKind::kClaude,
                       [](ClusterConfig& config) { config.failover.attempts = 2; });
    world.vendor.Answer("sk-a", blame);
    world.vendor.Answer("sk-b", blame);
    world.AskClaude(false);
    EXPECT_EQ(world.status(), 503);
    EXPECT_EQ(world.Field("retry-after"), "1");
    EXPECT_EQ(world.Field("x-should-retry"), "");
    EXPECT_THAT(world.body(), HasSubstr("again"));
    EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b"));
    // Nothing was taken of the account that was not asked.
    EXPECT_EQ(world.Look(2).in_flight, 0);
  }
}

TEST(Failover, CountsOnlyAccountsThatCouldServeAmongThoseThatWereNotAsked) {
  for (bool serves : {true, false}) {
    SCOPED_TRACE(serves);
    std::vector<AccountConfig> accounts = {KeyAccount("a", "sk-a"), KeyAccount("b", "sk-b")};
    if (!serves) accounts[1].models = {"claude-haiku-*"};
    ClusterWorld world(std::move(accounts), ProviderKind::kClaude,
                       [](ClusterConfig& config) { config.failover.attempts = 1; });
    world.shared->pool->Report(1, {.kind = Judgement::Kind::kLimited,
                                   .until = world.clock.Now() + std::chrono::seconds(90)});
    world.vendor.Answer("sk-a", Json(401, kAuthError));
    world.AskClaude(false);
    EXPECT_EQ(world.status(), serves ? 429 : 503);
    EXPECT_EQ(world.Field("retry-after"), serves ? "90" : "");
    EXPECT_EQ(world.Field("x-should-retry"), serves ? "" : "false");
  }
}

TEST(Failover, TellsTheReasonNearestToACureInWhateverOrderTheyCame) {
  for (bool refused_first : {true, false}) {
    SCOPED_TRACE(refused_first);
    ClusterWorld world({KeyAccount("a", "sk-a"), KeyAccount("b", "sk-b")});
    world.vendor.Answer(refused_first ? "sk-a" : "sk-b", Json(401, kAuthError));
    world.vendor.Answer(refused_first ? "sk-b" : "sk-a", Json(403, "<html>blocked</html>"));
    world.AskClaude(false);
    EXPECT_EQ(world.status(), 503);
    EXPECT_THAT(world.body(), HasSubstr("renew"));
    EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b"));
  }
}

TEST(Failover, LetsNoLimitOfOneAccountSpeakForAnotherThatBrokeOff) {
  ClusterWorld world({KeyAccount("a", "sk-a"), KeyAccount("b", "sk-b")});
  world.vendor.Answer("sk-a", Json(429, kLimitError, {"retry-after: 3600"}));
  world.vendor.Answer("sk-b", Nothing());
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 502);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b"));
}

TEST(Failover, StopsAtItsAttempts) {
  ClusterWorld world(Three(), ProviderKind::kClaude,
                     [](ClusterConfig& config) { config.failover.attempts = 2; });
  world.vendor.otherwise = Json(500, "{}");
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 500);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b"));
}

TEST(Failover, MovesOnlyForWhatFailoverNames) {
  ClusterWorld world(Three(), ProviderKind::kClaude,
                     [](ClusterConfig& config) { config.failover.on = {"429"}; });
  world.vendor.otherwise = Json(500, "{}");
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 500);
  EXPECT_EQ(world.vendor.requests.size(), 1U);
}

TEST(Failover, NeverShowsARefusedCredentialEvenWithoutFailover) {
  ClusterWorld world(Three(), ProviderKind::kClaude,
                     [](ClusterConfig& config) { config.failover.on = {"429"}; });
  world.vendor.otherwise = Json(401, kAuthError);
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 503);
  EXPECT_EQ(world.vendor.requests.size(), 1U);
}

TEST(Failover, R36SendsAgainAtOnceOnAStaleConnection) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
  // The second request meets a connection that ends as it arrives.
  world.vendor.Answer("sk-a", Nothing());
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.vendor.accepted, 2);
  EXPECT_EQ(world.vendor.requests.size(), 3U);
  EXPECT_EQ(world.filter->last_attempts, 1);
}

TEST(Failover, R36SendsNothingAgainOfWhichAnAnswerHadBegun) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.AskClaude(false);
  world.vendor.Answer("sk-a", {"HTTP/1.1 200 O", Then::kClose});
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 502);
  EXPECT_EQ(world.vendor.requests.size(), 2U);
}

TEST(Failover, R36TriesEachAccountOnceAndNoMoreThanItsAttempts) {
  std::vector<AccountConfig> accounts;
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    accounts.push_back(KeyAccount(name, std::string("sk-") + name));
  }
  ClusterWorld world(std::move(accounts));
  world.vendor.otherwise = Nothing();
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 502);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b", "sk-c"));
}

TEST(Failover, R36BeginsNoTryBeyondTheTimeForAllOfThem) {
  for (int first_byte : {20, 40}) {
    SCOPED_TRACE(first_byte);
    ClusterWorld world(Three(), ProviderKind::kClaude, [&](ClusterConfig& config) {
      config.timeouts.first_byte = std::chrono::seconds(first_byte);
      config.failover.within = std::chrono::seconds(30);
    });
    world.vendor.otherwise = Silence();
    world.AskClaude(false);
    world.Advance(std::chrono::seconds(first_byte + 1));
    // 20 s leave time for another; then it is over, though a third account were there.
    EXPECT_EQ(world.vendor.requests.size(), first_byte == 20 ? 2U : 1U);
    world.Advance(std::chrono::seconds(first_byte + 1));
    EXPECT_EQ(world.status(), 504);
    EXPECT_EQ(world.vendor.requests.size(), first_byte == 20 ? 2U : 1U);
  }
}

TEST(Failover, R36LeavesAnAccountAloneThatBrokeFiveTimesAndProbesItWithOneRequest) {
  ClusterWorld world(Three());
  int session = 0;
  // Each of a session of its own, which sticks to nobody yet.
  auto ask = [&] {
    world.AskClaude(false, {"x-claude-code-session-id: s" + std::to_string(++session)});
  };
  for (int i = 0; i < 5; ++i) {
    if (i % 2 == 0) {
      world.vendor.Answer("sk-a", Json(500, "{}"));
    } else {
      // On the connection of the one before, which is no try, and on a new one.
      world.vendor.Answer("sk-a", Nothing());
      world.vendor.Answer("sk-a", Nothing());
    }
    ask();
    EXPECT_EQ(world.status(), 200);
    EXPECT_EQ(world.filter->last_attempts, 2);
  }
  EXPECT_EQ(world.Look(0).health, Health::kBroken);
  world.vendor.requests.clear();
  for (int i = 0; i < 3; ++i) ask();
  EXPECT_THAT(world.asked(), ElementsAre("sk-b", "sk-b", "sk-b"));
  world.Advance(std::chrono::seconds(5));
  world.vendor.requests.clear();
  world.vendor.Answer("sk-a", Silence());
  ask();
  std::unique_ptr<ClientSocket> probe = std::move(world.client);
  for (int i = 0; i < 3; ++i) ask();
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b", "sk-b", "sk-b"));
  world.vendor.requests.clear();
  probe.reset();
  world.Settle();
  // The client of that probe left: the next is one, and well.
  ask();
  ask();
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-a"));
  EXPECT_EQ(world.Look(0).health, Health::kReady);
}

TEST(Failover, R11BreaksNoAccountByBadRequests) {
  ClusterWorld world(Three());
  for (int status : {400, 404, 413, 422, 400, 413, 422, 400}) {
    world.vendor.Answer("sk-a", Json(status, "{}"));
    world.AskClaude(false);
    EXPECT_EQ(world.status(), status);
  }
  EXPECT_EQ(world.Look(0).health, Health::kReady);
  world.AskClaude(false);
  EXPECT_EQ(world.vendor.requests.back().credential(), "sk-a");
}

TEST(Failover, LimitsTheFamilyOfAModelAndNoOther) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.vendor.Answer("sk-a", Json(429, kLimitError, {"retry-after: 90"}));
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 429);
  world.Ask("POST /v1/messages", R"({"model":"claude-haiku-5","max_tokens":5,"messages":[]})");
  EXPECT_EQ(world.status(), 200);
  world.Ask("POST /v1/messages", R"({"model":"claude-opus-4-1","max_tokens":5,"messages":[]})");
  EXPECT_EQ(world.status(), 429);
  EXPECT_EQ(world.Field("retry-after"), "90");
}

TEST(Failover, FailsOverBehindAKeepAliveUntilTheFirstEvent) {
  ClusterWorld world(Three());
  world.vendor.Answer("sk-a", Silence());
  world.vendor.otherwise = Events(kStart + kStop);
  world.AskClaude(true);
  world.Advance(std::chrono::milliseconds(15'100));
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.body(), HasSubstr("event: ping"));
  EXPECT_EQ(world.vendor.requests.size(), 1U);
  world.vendor.CloseAll();
  world.Settle();
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b"));
  EXPECT_THAT(world.body(), HasSubstr("message_stop"));
  EXPECT_THAT(world.body(), Not(HasSubstr("event: error")));
  EXPECT_EQ(world.filter->last_end, Outcome::End::kComplete);
}

TEST(Failover, TellsInTheStreamThatNobodyServesBehindAKeepAlive) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.vendor.otherwise = Silence();
  world.AskClaude(true);
  world.Advance(std::chrono::milliseconds(15'100));
  world.vendor.CloseAll();
  world.Settle();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.body(), HasSubstr("event: error"));
  EXPECT_THAT(world.body(), HasSubstr("broke off before it answered"));
}

TEST(Failover, MovesASessionAndKeepsItThere) {
  ClusterWorld world(Three());
  const std::vector<std::string> kSession = {"x-claude-code-session-id: s1"};
  world.AskClaude(false, kSession);
  world.vendor.Answer("sk-a", Json(429, kLimitError, {"retry-after: 30"}));
  world.AskClaude(false, kSession);
  world.Advance(std::chrono::seconds(31));
  world.AskClaude(false, kSession);
  world.AskClaude(false);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-a", "sk-b", "sk-b", "sk-a"));
}

// The client leaves after each turn of the loop: nothing is held any more, whatever was under way.
TEST(Failover, LeavesNothingBehindWhenCancelledAnywhere) {
  const std::vector<Scripted> kFirst = {Json(529, kOverloaded), Events(kOverloadedEvent), Nothing(),
                                        Events(kStart + kStop), Silence()};
  for (size_t fault = 0; fault < kFirst.size(); ++fault) {
    for (int turns = 0; turns < 40; ++turns) {
      SCOPED_TRACE(std::to_string(fault) + " after " + std::to_string(turns));
      ClusterWorld world(Three());
      world.vendor.Answer("sk-a", kFirst[fault]);
      world.vendor.otherwise = Events(kStart + kStop);
      world.Begin("POST /v1/messages", ClusterWorld::kStreamed);
      for (int i = 0; i < turns; ++i) {
        world.client->Move();
        world.loop.Turn();
      }
      world.client->Close();
      world.Settle();
      EXPECT_TRUE(world.worker.exchanges.empty());
      EXPECT_LE(world.filter->finished, 1);
      // ~ClusterWorld looks at leases and bodies.
    }
  }
}

}  // namespace
}  // namespace relay
