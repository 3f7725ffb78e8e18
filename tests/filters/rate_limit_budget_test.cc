// SPDX-License-Identifier: MIT
// rate-limit over tokens and money, and its queue, from the client's side.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "filters/limits.h"
#include "tests/support/cancel_everywhere.h"
#include "tests/support/exchange_fixture.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kMessages = "POST /api/v1/messages";
constexpr std::string_view kGenerate = "POST /api/v1beta/models/gemini-2.5-pro:generateContent";
const std::vector<std::string> kAlice = {"x-api-key: cr_alice_0123456789"};
const std::vector<std::string> kBob = {"x-api-key: cr_bob_0123456789"};

// A dollar a million tokens in, five out: 1,000 and 5,000 nanodollars a token.
std::string Body(int64_t max_tokens = 0, std::string_view model = "claude-haiku-4-5") {
  std::string body = R"({"model":")" + std::string(model) + '"';
  if (max_tokens > 0) body += R"(,"max_tokens":)" + std::to_string(max_tokens);
  return body + "}";
}
std::string Used(int64_t input, int64_t output) {
  return ScriptedUpstream::Json(
      200, R"({"type":"message","model":"claude-haiku-4-5","stop_reason":"end_turn","usage":{)"
           R"("input_tokens":)" +
               std::to_string(input) + R"(,"output_tokens":)" + std::to_string(output) + "}}");
}

std::string Chain(const std::string& options, const std::string& service = "claude") {
  return "- auth: {service: " + service + "}\n- rate-limit: " + options +
         "\n- account-select: {}\n- usage-record: {}\n";
}

struct RateLimitBudgetTest : testing::Test {
  static std::unique_ptr<ExchangeWorld> MakeWorld(const LimitsConfig& alice,
                                                  const std::string& options = "{}",
                                                  ProviderKind kind = ProviderKind::kClaude) {
    auto world = std::make_unique<ExchangeWorld>(Chain(options, std::string(NameOf(kind))), kind);
    // 2026-11-26, a Thursday, 12:00 UTC.
    world->clock.SetWall(WallTime(std::chrono::seconds(1'795'694'400)));
    world->AddKey("cr_alice_0123456789", {.name = "alice", .limits = LimitsOf(alice)});
    world->AddKey("cr_bob_0123456789", {.name = "bob"});
    return world;
  }
  static int Ask(ExchangeWorld& world, const std::string& body = Body(),
                 const std::vector<std::string>& key = kAlice) {
    world.Ask(kMessages, key, body);
    return world.status();
  }
};

// A client beside the world's own.
class Beside {
 public:
  Beside(ExchangeWorld& world, std::string_view request)
      : world_(world), line_(std::make_unique<MemoryLine>(world.loop)) {
    ServerConnection::Start(world.loop, line_->Take(MemoryLine::kServer), limits_, world.worker);
    peer_ = std::make_unique<TextPeer>(line_->Take(MemoryLine::kClient));
    peer_->Send(request);
    Run();
  }
  ~Beside() {
    peer_->Close();
    Run();
  }
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
  void Run() {
    for (int i = 0; i < 20; ++i) {
      line_->Step();
      world_.MoveLines();
      world_.loop.Turn();
    }
  }
  const std::string& text() {
    Run();
    return peer_->text;
  }

 private:
  ExchangeWorld& world_;
  ServerLimits limits_;
  std::unique_ptr<MemoryLine> line_;
  std::unique_ptr<TextPeer> peer_;
};

std::string Request(const std::string& body) {
  return ExchangeWorld::Request(kMessages, kAlice, body);
}

TEST_F(RateLimitBudgetTest, ASpentBudgetIsABillingErrorThatNobodyRepeats) {
  auto world = MakeWorld({.cost_per_day = 0.011});
  world->upstream.reply = Used(1000, 2000);
  EXPECT_EQ(Ask(*world), 200);
  EXPECT_EQ(Ask(*world), 429);
  EXPECT_THAT(world->answer_body(), HasSubstr(R"("type":"billing_error")"));
  EXPECT_THAT(world->answer_body(), HasSubstr("key 'alice' has spent its budget of $0.011 a day"));
  EXPECT_THAT(world->answer_head(), HasSubstr("x-should-retry: false"));
  EXPECT_THAT(world->answer_head(), HasSubstr("retry-after: 43200"));
  EXPECT_EQ(world->upstream.calls.size(), 1U);
  EXPECT_THAT(world->metrics.Text(false),
              HasSubstr("relay_rate_limited_total{action=\"refused\",limit=\"cost-per-day\","
                        "route=\"main\"} 1"));
  EXPECT_EQ(Ask(*world, Body(), kBob), 200);
  // What it promised is true.
  world->Advance(12h - 1s);
  EXPECT_EQ(Ask(*world), 429);
  world->Advance(1s);
  EXPECT_EQ(Ask(*world), 200);
}

TEST_F(RateLimitBudgetTest, ABudgetInAllNeverComesBack) {
  auto world = MakeWorld({.cost_total = 0.005});
  world->upstream.reply = Used(0, 1000);
  EXPECT_EQ(Ask(*world), 200);
  EXPECT_EQ(Ask(*world), 429);
  EXPECT_THAT(world->answer_head(), Not(HasSubstr("retry-after")));
  EXPECT_THAT(world->answer_head(), HasSubstr("x-should-retry: false"));
  EXPECT_THAT(world->answer_body(), HasSubstr("$0.005 in all"));
}

TEST_F(RateLimitBudgetTest, ASpentBudgetIsAnExhaustedQuotaForGemini) {
  auto world = MakeWorld({.cost_per_week = 0.01}, "{}", ProviderKind::kGemini);
  world->upstream.reply = ScriptedUpstream::Json(
      200, R"({"candidates":[{"finishReason":"STOP"}],"modelVersion":"gemini-2.5-pro",)"
           R"("usageMetadata":{"promptTokenCount":1000,"candidatesTokenCount":10000}})");
  world->Ask(kGenerate, kAlice, R"({"contents":[]})");
  EXPECT_EQ(world->status(), 200);
  world->Ask(kGenerate, kAlice, R"({"contents":[]})");
  EXPECT_EQ(world->status(), 429);
  EXPECT_THAT(world->answer_body(), HasSubstr(R"("status":"RESOURCE_EXHAUSTED")"));
  EXPECT_THAT(world->answer_body(), HasSubstr(R"("reason":"QUOTA_EXHAUSTED")"));
  // Monday, in three and a half days.
  EXPECT_THAT(world->answer_body(), HasSubstr(R"("retryDelay":"302400s")"));
}

TEST_F(RateLimitBudgetTest, TokensAMinuteAreARateLimitInBothDialects) {
  auto world = MakeWorld({.tokens_per_minute = 3000});
  world->upstream.reply = Used(1000, 2000);
  EXPECT_EQ(Ask(*world), 200);
  world->Advance(10s);
  EXPECT_EQ(Ask(*world), 429);
  EXPECT_THAT(world->answer_body(), HasSubstr(R"("type":"rate_limit_error")"));
  EXPECT_THAT(world->answer_body(), HasSubstr("at its limit of 3000 tokens a minute"));
  EXPECT_THAT(world->answer_head(), HasSubstr("retry-after: 51"));
  EXPECT_THAT(world->answer_head(), Not(HasSubstr("x-should-retry")));
  world->Advance(51s);
  EXPECT_EQ(Ask(*world), 200);

  auto gemini = MakeWorld({.tokens_per_minute = 100}, "{}", ProviderKind::kGemini);
  gemini->upstream.reply = ScriptedUpstream::Json(
      200, R"({"candidates":[{"finishReason":"STOP"}],"modelVersion":"gemini-2.5-pro",)"
           R"("usageMetadata":{"promptTokenCount":90,"candidatesTokenCount":10}})");
  gemini->Ask(kGenerate, kAlice, R"({"contents":[]})");
  EXPECT_EQ(gemini->status(), 200);
  gemini->Ask(kGenerate, kAlice, R"({"contents":[]})");
  EXPECT_EQ(gemini->status(), 429);
  EXPECT_THAT(gemini->answer_body(), HasSubstr(R"("reason":"RATE_LIMIT_EXCEEDED")"));
  EXPECT_THAT(gemini->answer_body(), HasSubstr(R"("retryDelay":"61s")"));
}

TEST_F(RateLimitBudgetTest, ReservesWhatTheRequestMayUse) {
  // One that runs has reserved its bytes / 4 in and 1,000 out: a little above $0.005.
  auto world = MakeWorld({.cost_per_day = 0.01});
  world->upstream.reply = "";
  world->Ask(kMessages, kAlice, Body(1000));
  ASSERT_EQ(world->upstream.calls.size(), 1U);
  Beside large(*world, Request(Body(1000)));
  EXPECT_THAT(large.text(), HasSubstr(" 429 "));
  EXPECT_THAT(large.text(), HasSubstr("rate_limit_error"));
  EXPECT_THAT(large.text(), HasSubstr("reserved for requests that are running"));
  EXPECT_THAT(large.text(), HasSubstr("retry-after: 1\r\n"));
  // Without max_tokens it is 8,192 of them.
  Beside unbounded(*world, Request(Body()));
  EXPECT_THAT(unbounded.text(), HasSubstr(" 429 "));
  Beside small(*world, Request(Body(900)));
  EXPECT_EQ(small.text(), "");
  EXPECT_EQ(world->upstream.calls.size(), 2U);
  // The body counts as well: 400 tokens more are 1,600 bytes.
  Beside wordy(*world, Request(Body(1, std::string(1600, 'm'))));
  EXPECT_THAT(wordy.text(), HasSubstr(" 429 "));
}

TEST_F(RateLimitBudgetTest, ExpectsTwiceTheMeanAnswerButNoFewerThan1024Tokens) {
  for (auto [mean, reserve] : {std::pair(10, 1024), std::pair(700, 1400), std::pair(6000, 8192)}) {
    auto world = MakeWorld({.cost_total = 1000});
    world->upstream.reply = Used(10, mean);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(Ask(*world), 200);
    world->upstream.reply = "";
    world->Ask(kMessages, kAlice, Body());
    // What it has reserved shows in what is left for one beside it.
    int64_t input = static_cast<int64_t>(Body().size()) / 4;
    int64_t spent = 3 * (10'000 + mean * 5000);
    int64_t held = input * 1000 + reserve * 5000;
    Limiter::Ask ask;
    ask.claims[0] = {world->limiter.Scope("key alice"), {.cost = {0, 0, 0, spent + held + 7}}};
    ask.reserve = {.nanodollars = 7};
    EXPECT_FALSE(world->limiter.Look(ask, world->clock.Now())) << mean;
    ask.reserve = {.nanodollars = 8};
    EXPECT_TRUE(world->limiter.Look(ask, world->clock.Now())) << mean;
  }
}

TEST_F(RateLimitBudgetTest, SettlesABrokenStreamWithWhatWasSeen) {
  auto world = MakeWorld({.cost_per_day = 0.0005});
  world->upstream.reply = "";
  world->Ask(kMessages, kAlice, R"({"model":"claude-haiku-4-5","stream":true})");
  world->upstream.calls.back()->vendor->Send(
      ScriptedUpstream::EventStream() +
      ScriptedUpstream::Piece(
          "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":"
          "\"claude-haiku-4-5\",\"usage\":{\"input_tokens\":500,\"output_tokens\":1}}}\n\n"));
  world->Run();
  world->HangUp();
  world->Run();
  ASSERT_EQ(world->ledger.Recent(1).size(), 1U);
  EXPECT_GE(world->ledger.Recent(1)[0].nanodollars, 500'000);
  EXPECT_EQ(Ask(*world), 429);
  EXPECT_THAT(world->answer_body(), HasSubstr("billing_error"));
}

TEST_F(RateLimitBudgetTest, ARefusedOrFailedRequestCostsNothing) {
  auto world = MakeWorld({.cost_per_day = 0.0001});
  world->upstream.reply = ScriptedUpstream::Json(
      400, R"({"type":"error","error":{"type":"invalid_request_error","message":"no"}})");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Ask(*world), 400);
}

TEST_F(RateLimitBudgetTest, CountsTheRoutesOwnBudgetBesideTheKeys) {
  auto world = MakeWorld({.cost_per_day = 100}, "{cost-per-day: 0.011, budget: route}");
  world->upstream.reply = Used(1000, 2000);
  EXPECT_EQ(Ask(*world, Body(), kBob), 200);
  EXPECT_EQ(Ask(*world), 429);
  EXPECT_THAT(world->answer_body(), HasSubstr("route 'main' has spent its budget of $0.011"));

  auto each = MakeWorld({}, "{cost-per-day: 0.011, budget: key}");
  each->upstream.reply = Used(1000, 2000);
  EXPECT_EQ(Ask(*each, Body(), kBob), 200);
  EXPECT_EQ(Ask(*each), 200);
  EXPECT_EQ(Ask(*each), 429);
  EXPECT_THAT(each->answer_body(), HasSubstr("key 'alice' on route 'main' has spent"));
}

TEST_F(RateLimitBudgetTest, AsksForNoBodyThatASpentBudgetRefuses) {
  auto world = MakeWorld({.cost_per_day = 0.011});
  world->upstream.reply = Used(1000, 2000);
  EXPECT_EQ(Ask(*world), 200);
  std::vector<std::string> fields = kAlice;
  fields.emplace_back("Content-Length: 1000000");
  fields.emplace_back("Expect: 100-continue");
  world->Ask(kMessages, fields);
  EXPECT_EQ(world->status(), 429);
  EXPECT_EQ(world->bodies.used(), 0U);
}

TEST_F(RateLimitBudgetTest, ClosesPathsOfUnknownPriceToKeysWithABudget) {
  auto world = MakeWorld({.cost_total = 5});
  world->Ask("GET /api/v1/files", kAlice);
  EXPECT_EQ(world->status(), 403);
  EXPECT_THAT(world->answer_body(), HasSubstr("what /v1/files costs is not known"));
  world->Ask("GET /api/v1/files", kBob);
  EXPECT_EQ(world->status(), 200);
  world->Ask("POST /api/v1/messages/count_tokens", kAlice, Body());
  EXPECT_EQ(world->status(), 200);
}

TEST_F(RateLimitBudgetTest, CountsMoneyInTheShadowWithoutRefusing) {
  auto world = MakeWorld({.cost_per_day = 0.001}, "{shadow: true}");
  world->upstream.reply = Used(1000, 2000);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Ask(*world), 200);
  EXPECT_THAT(world->metrics.Text(false),
              HasSubstr("relay_rate_limited_total{action=\"shadowed\",limit=\"cost-per-day\","
                        "route=\"main\"} 2"));
}

TEST_F(RateLimitBudgetTest, WaitsInTurnForAPlace) {
  auto world = MakeWorld({.concurrency = 1}, "{wait: 5s}");
  world->upstream.reply = "";
  world->Ask(kMessages, kAlice, Body());
  Beside first(*world, Request(Body()));
  Beside second(*world, Request(Body()));
  EXPECT_EQ(first.text() + second.text(), "");
  EXPECT_EQ(world->upstream.calls.size(), 1U);
  world->upstream.calls[0]->vendor->Send(Used(1, 1));
  world->Run();
  EXPECT_EQ(world->status(), 200);
  ASSERT_EQ(world->upstream.calls.size(), 2U);
  world->upstream.calls[1]->vendor->Send(Used(1, 1));
  EXPECT_THAT(first.text(), HasSubstr(" 200 "));
  EXPECT_EQ(second.text(), "");
  // Nobody ends any more, and time passes.
  world->Advance(6s);
  EXPECT_EQ(second.text(), "");
  ASSERT_EQ(world->upstream.calls.size(), 3U);
  Beside third(*world, Request(Body()));
  world->Advance(6s);
  EXPECT_THAT(third.text(), HasSubstr(" 429 "));
  EXPECT_THAT(third.text(), HasSubstr("1 requests at once"));
  EXPECT_THAT(world->metrics.Text(false),
              HasSubstr("relay_rate_limited_total{action=\"waited\",limit=\"concurrency\","
                        "route=\"main\"} 2"));
}

TEST_F(RateLimitBudgetTest, WaitsForTheMinuteToPass) {
  auto world = MakeWorld({.requests_per_minute = 1}, "{wait: 2m}");
  EXPECT_EQ(Ask(*world), 200);
  world->Ask(kMessages, kAlice, Body());
  EXPECT_EQ(world->client().text, "");
  world->Advance(60s);
  EXPECT_EQ(world->client().text, "");
  world->Advance(1s + 16ms);
  EXPECT_EQ(world->status(), 200);
}

TEST_F(RateLimitBudgetTest, BoundsTheQueue) {
  auto world = MakeWorld({.concurrency = 1}, "{wait: 5s, queue: 1}");
  world->upstream.reply = "";
  world->Ask(kMessages, kAlice, Body());
  Beside first(*world, Request(Body()));
  Beside second(*world, Request(Body()));
  EXPECT_EQ(first.text(), "");
  EXPECT_THAT(second.text(), HasSubstr(" 429 "));
}

TEST_F(RateLimitBudgetTest, AClientThatLeavesLeavesTheQueue) {
  auto world = MakeWorld({.concurrency = 1}, "{wait: 5s}");
  world->upstream.reply = "";
  Beside holder(*world, Request(Body()));
  world->Ask(kMessages, kAlice, Body());
  auto scope = world->limiter.Scope("key alice");
  EXPECT_EQ(scope->Waiting(), 1U);
  world->HangUp();
  world->Run();
  EXPECT_EQ(scope->Waiting(), 0U);
  EXPECT_EQ(scope->InFlight(), 1);
}

TEST_F(RateLimitBudgetTest, LeaksNothingWhereverAWaitIsCut) {
  for (Cut cut : {Cut::kClientGone, Cut::kAborted}) {
    CancelSceneOf<ExchangeWorld> scene;
    auto held = std::make_shared<std::unique_ptr<Slot>>();
    scene.begin = [held] {
      held->reset();
      auto world = MakeWorld({.concurrency = 1, .cost_per_day = 5}, "{wait: 1m}");
      world->upstream.reply = Used(10, 10);
      Limiter::Ask ask;
      ask.claims[0] = {world->limiter.Scope("key alice"), {}};
      *held = std::make_unique<Slot>();
      world->limiter.Admit(ask, world->clock.Now(), **held);
      world->Begin(Request(Body()));
      return world;
    };
    scene.on_step = [held](ExchangeWorld&, int step) {
      if (step == 20) held->reset();
    };
    scene.after_cut = [held](ExchangeWorld&) { held->reset(); };
    scene.check = [](ExchangeWorld& world) {
      auto scope = world.limiter.Scope("key alice");
      EXPECT_EQ(scope->InFlight(), 0);
      EXPECT_EQ(scope->Waiting(), 0U);
    };
    EXPECT_GT(CancelEverywhere(scene, cut), 20);
  }
}

TEST(Explain, WritesMoneyWithCentsAndNothingRounded) {
  auto text = [](int64_t nanodollars) {
    return Explain("it", {.what = Limiter::Denied::What::kCost,
                          .limit = nanodollars,
                          .window = CostWindow::kMonth,
                          .spent = true});
  };
  EXPECT_EQ(text(25'000'000'000), "it has spent its budget of $25.00 a month");
  EXPECT_EQ(text(2'500'000'000), "it has spent its budget of $2.50 a month");
  EXPECT_EQ(text(1'000), "it has spent its budget of $0.000001 a month");
}

TEST(LimitsOf, TakesDollarsExactly) {
  RateLimits limits = LimitsOf(
      {.cost_per_day = 25.1, .cost_per_week = 0.000001, .cost_per_month = 1e6, .cost_total = 0.29});
  EXPECT_EQ(limits.cost, (CostAmounts{25'100'000'000, 1000, 1'000'000'000'000'000, 290'000'000}));
}

}  // namespace
}  // namespace relay
