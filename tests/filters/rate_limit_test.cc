// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/cancel_everywhere.h"
#include "tests/support/exchange_fixture.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::string_view kMessages = "POST /api/v1/messages";
constexpr std::string_view kBody = R"({"model":"claude-haiku-4-5"})";
const std::vector<std::string> kAlice = {"x-api-key: cr_alice_0123456789"};
const std::vector<std::string> kBob = {"x-api-key: cr_bob_0123456789"};

std::string Chain(const std::string& options) {
  return "- auth: {service: claude}\n- rate-limit: " + options + "\n- account-select: {}\n";
}

struct RateLimitTest : testing::Test {
  static std::unique_ptr<ExchangeWorld> MakeWorld(const std::string& options, RateLimits alice,
                                                  RateLimits bob = {}) {
    auto world = std::make_unique<ExchangeWorld>(Chain(options));
    world->AddKey("cr_alice_0123456789", {.name = "alice", .limits = alice});
    world->AddKey("cr_bob_0123456789", {.name = "bob", .limits = bob});
    return world;
  }
  static int Ask(ExchangeWorld& world, const std::vector<std::string>& key) {
    world.Ask(kMessages, key, kBody);
    return world.status();
  }
};

TEST_F(RateLimitTest, Answers429WhenTheMinuteIsSpent) {
  auto world = MakeWorld("{}", {.requests_per_minute = 2});
  EXPECT_EQ(Ask(*world, kAlice), 200);
  world->Advance(10s);
  EXPECT_EQ(Ask(*world, kAlice), 200);
  EXPECT_EQ(Ask(*world, kAlice), 429);
  EXPECT_THAT(world->answer_head(), HasSubstr("retry-after: 51"));
  EXPECT_THAT(world->answer_body(), HasSubstr("rate_limit_error"));
  EXPECT_THAT(world->answer_body(),
              HasSubstr("key 'alice' is at its limit of 2 requests a minute"));
  EXPECT_EQ(Ask(*world, kBob), 200);
  EXPECT_THAT(world->metrics.Text(false),
              HasSubstr("relay_rate_limited_total{action=\"refused\",limit=\"requests-per-minute\","
                        "route=\"main\"} 1"));
  // What it promised is true.
  world->Advance(51s);
  EXPECT_EQ(Ask(*world, kAlice), 200);
}

TEST_F(RateLimitTest, HoldsAPlaceUntilTheExchangeEnds) {
  auto world = MakeWorld("{}", {.concurrency = 1});
  world->upstream.reply = "";
  auto scope = world->limiter.Scope("key alice");
  world->Ask(kMessages, kAlice, kBody);
  EXPECT_EQ(scope->InFlight(), 1);
  // A second client beside it.
  MemoryLine line(world->loop);
  ServerLimits limits;
  ServerConnection::Start(world->loop, line.Take(MemoryLine::kServer), limits, world->worker);
  TextPeer second(line.Take(MemoryLine::kClient));
  second.Send(ExchangeWorld::Request(kMessages, kAlice, kBody));
  for (int i = 0; i < 20; ++i) {
    line.Step();
    world->loop.Turn();
  }
  EXPECT_THAT(second.text, HasSubstr(" 429 "));
  EXPECT_THAT(second.text, HasSubstr("retry-after: 1\r\n"));
  EXPECT_THAT(second.text, HasSubstr("1 requests at once"));
  world->upstream.calls.back()->vendor->Send(ScriptedUpstream::Json(200, "{}"));
  world->Run();
  EXPECT_EQ(world->status(), 200);
  EXPECT_EQ(scope->InFlight(), 0);
  second.Close();
  for (int i = 0; i < 5; ++i) {
    line.Step();
    world->loop.Turn();
  }
}

TEST_F(RateLimitTest, PassesFiveOfFortyClientsAtOnce) {
  auto world = MakeWorld("{}", {.concurrency = 5});
  world->upstream.reply = "";
  std::vector<std::unique_ptr<MemoryLine>> lines;
  std::vector<std::unique_ptr<TextPeer>> clients;
  ServerLimits limits;
  auto run = [&] {
    for (int i = 0; i < 20; ++i) {
      for (const auto& line : lines) line->Step();
      world->MoveLines();
      world->loop.Turn();
    }
  };
  for (int i = 0; i < 40; ++i) {
    auto& line = *lines.emplace_back(std::make_unique<MemoryLine>(world->loop));
    ServerConnection::Start(world->loop, line.Take(MemoryLine::kServer), limits, world->worker);
    clients.push_back(std::make_unique<TextPeer>(line.Take(MemoryLine::kClient)));
    clients.back()->Send(ExchangeWorld::Request(kMessages, kAlice, kBody));
  }
  run();
  EXPECT_EQ(world->upstream.calls.size(), 5U);
  auto refused = std::count_if(clients.begin(), clients.end(), [](const auto& client) {
    return client->text.find(" 429 ") != std::string::npos;
  });
  EXPECT_EQ(refused, 35);
  EXPECT_EQ(world->limiter.Scope("key alice")->InFlight(), 5);
  for (const auto& call : world->upstream.calls) {
    call->vendor->Send(ScriptedUpstream::Json(200, "{}"));
  }
  run();
  EXPECT_EQ(world->limiter.Scope("key alice")->InFlight(), 0);
  clients.clear();
  run();
}

TEST_F(RateLimitTest, GivesThePlaceBackWhenTheClientLeaves) {
  auto world = MakeWorld("{}", {.concurrency = 1});
  world->upstream.reply = "";
  world->Ask(kMessages, kAlice, kBody);
  EXPECT_EQ(world->limiter.Scope("key alice")->InFlight(), 1);
  world->HangUp();
  world->Run();
  EXPECT_EQ(world->limiter.Scope("key alice")->InFlight(), 0);
}

TEST_F(RateLimitTest, GivesEachKeyItsOwnAllowanceOnTheRoute) {
  auto world = MakeWorld("{requests-per-minute: 1, budget: key}", {});
  EXPECT_EQ(Ask(*world, kAlice), 200);
  EXPECT_EQ(Ask(*world, kAlice), 429);
  EXPECT_THAT(world->answer_body(), HasSubstr("key 'alice' on route 'main' is at its limit of 1"));
  EXPECT_EQ(Ask(*world, kBob), 200);
}

TEST_F(RateLimitTest, LetsAllKeysShareTheRoutesAllowance) {
  auto world = MakeWorld("{requests-per-minute: 1, budget: route}", {});
  EXPECT_EQ(Ask(*world, kAlice), 200);
  EXPECT_EQ(Ask(*world, kBob), 429);
  EXPECT_THAT(world->answer_body(), HasSubstr("route 'main' is at its limit of 1"));
}

TEST_F(RateLimitTest, CountsWhatTheRouteRefusesAgainstNobody) {
  auto world = MakeWorld("{requests-per-minute: 1, budget: route}", {.requests_per_minute = 2});
  EXPECT_EQ(Ask(*world, kAlice), 200);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Ask(*world, kAlice), 429);
  EXPECT_THAT(world->answer_body(), HasSubstr("route 'main'"));
}

TEST_F(RateLimitTest, CountsInTheShadowWithoutRefusing) {
  auto world = MakeWorld("{shadow: true}", {.requests_per_minute = 1});
  EXPECT_EQ(Ask(*world, kAlice), 200);
  EXPECT_EQ(Ask(*world, kAlice), 200);
  EXPECT_EQ(Ask(*world, kAlice), 200);
  EXPECT_THAT(
      world->metrics.Text(false),
      HasSubstr("relay_rate_limited_total{action=\"shadowed\",limit=\"requests-per-minute\","
                "route=\"main\"} 2"));
}

TEST_F(RateLimitTest, TakesNothingForCallsThatCostNothing) {
  auto world = MakeWorld("{}", {.requests_per_minute = 1});
  for (int i = 0; i < 3; ++i) {
    world->Ask("POST /api/v1/messages/count_tokens", kAlice, kBody);
    EXPECT_EQ(world->status(), 200);
    world->Ask("GET /api/v1/models", kAlice);
    EXPECT_EQ(world->status(), 200);
    world->Ask("POST /api/v1internal:loadCodeAssist", kAlice, "{}");
    EXPECT_EQ(world->status(), 200);
  }
  EXPECT_EQ(Ask(*world, kAlice), 200);
  EXPECT_EQ(Ask(*world, kAlice), 429);
  // Passthrough is not free: it may make the vendor work.
  world->Ask("GET /api/v1/files", kAlice);
  EXPECT_EQ(world->status(), 429);
}

TEST_F(RateLimitTest, WarnsOfABudgetWithoutALimit) {
  Problems problems;
  auto config =
      ExchangeWorld::Load(Chain("{budget: route}"), "[{name: a, api-key: sk-a}]", problems);
  CheckChains(*config, problems);
  EXPECT_FALSE(problems.failed());
  bool warned = false;
  for (const std::string& line : problems.WarningLines()) {
    warned = warned || line.find("'budget' has no effect") != std::string::npos;
  }
  EXPECT_TRUE(warned);
}

TEST_F(RateLimitTest, LeaksNoPlaceWhereverItIsCut) {
  for (Cut cut : {Cut::kClientGone, Cut::kAborted}) {
    CancelSceneOf<ExchangeWorld> scene;
    scene.begin = [] {
      auto world = MakeWorld("{concurrency: 3}", {.concurrency = 2});
      world->Begin(ExchangeWorld::Request(kMessages, kAlice, kBody));
      world->line().cut = [](size_t waiting) { return std::min<size_t>(waiting, 9); };
      return world;
    };
    scene.check = [](ExchangeWorld& world) {
      EXPECT_EQ(world.limiter.Scope("key alice")->InFlight(), 0);
      EXPECT_EQ(world.limiter.Scope("route main key alice")->InFlight(), 0);
    };
    EXPECT_GT(CancelEverywhere(scene, cut), 20);
  }
}

}  // namespace
}  // namespace relay
