// SPDX-License-Identifier: MIT
// x-relay-decision: what a key that may see it is told of each answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/exchange_fixture.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kMessages = "POST /api/v1/messages";
const std::vector<std::string> kAlice = {"x-api-key: cr_alice_0123456789"};
const std::vector<std::string> kBob = {"x-api-key: cr_bob_0123456789"};
const std::string kBody = R"({"model":"m","session":"s1"})";

// Alice may see it, Bob may not.
std::unique_ptr<ExchangeWorld> MakeWorld(const std::string& limit, RateLimits limits = {}) {
  auto world = std::make_unique<ExchangeWorld>("- auth: {service: claude}\n- rate-limit: " + limit +
                                               "\n- account-select: {}\n- usage-record: {}\n");
  KeyRecord alice{.name = "alice"};
  alice.decisions = true;
  alice.limits = limits;
  world->AddKey("cr_alice_0123456789", alice);
  world->AddKey("cr_bob_0123456789", {.name = "bob"});
  return world;
}

// The header's value, "" where there is none.
std::string DecisionIn(const ExchangeWorld& world) {
  const std::string head = world.answer_head() + "\r\n";
  const std::string name = "x-relay-decision: ";
  size_t at = head.find(name);
  if (at == std::string::npos) return "";
  at += name.size();
  return head.substr(at, head.find("\r\n", at) - at);
}

TEST(Decision, IsToldToAKeyThatMaySeeIt) {
  auto world = MakeWorld("{}");
  world->Ask(kMessages, kAlice, kBody);
  EXPECT_EQ(world->status(), 200);
  EXPECT_EQ(DecisionIn(*world), "route=main; account=a; sticky=new; attempts=1");
  world->Ask(kMessages, kAlice, kBody);
  EXPECT_EQ(DecisionIn(*world), "route=main; account=a; sticky=kept; attempts=1");
  world->Ask(kMessages, kBob, kBody);
  EXPECT_EQ(world->status(), 200);
  EXPECT_EQ(DecisionIn(*world), "");
}

TEST(Decision, OfAnUpstreamIsNotPassedOn) {
  auto world = MakeWorld("{}");
  world->upstream.reply =
      "HTTP/1.1 200 OK\r\nX-Relay-Decision: forged\r\ncontent-length: 2\r\n\r\n{}";
  for (const auto& key : {kAlice, kBob}) {
    world->Ask(kMessages, key, kBody);
    EXPECT_EQ(world->status(), 200);
    EXPECT_THAT(world->answer_head(), Not(HasSubstr("forged")));
  }
}

TEST(Decision, StandsOnRefusals) {
  auto world = MakeWorld("{}", {.requests_per_minute = 1});
  world->Ask(kMessages, kAlice, kBody);
  world->Ask(kMessages, kAlice, kBody);
  EXPECT_EQ(world->status(), 429);
  EXPECT_EQ(DecisionIn(*world), "route=main; refused=rate-limit");
  world->Ask(kMessages, {"x-api-key: cr_nobody_0123456789"}, kBody);
  EXPECT_EQ(world->status(), 401);
  EXPECT_EQ(DecisionIn(*world), "") << "nobody is known who may see it";
}

TEST(Decision, TellsHowLongARequestWaited) {
  auto world = MakeWorld("{concurrency: 1, wait: 10s}");
  world->upstream.reply = "";
  world->Begin(ExchangeWorld::Request(kMessages, kAlice, kBody));
  world->Run();
  Slot other;
  Limiter::Ask ask;
  ask.claims[0] = {world->limiter.Scope(Limiter::NameOfRoute("main", "alice")), {}};
  ASSERT_FALSE(world->limiter.Admit(ask, world->clock.Now(), other));
  world->upstream.calls.back()->vendor->Send(ScriptedUpstream::Json(200, "{}"));
  world->Run();
  world->upstream.reply = ScriptedUpstream::Json(200, "{}");
  world->Ask(kMessages, kAlice, kBody);
  EXPECT_EQ(world->status(), 0) << "it waits";
  world->Advance(1500ms);
  world->limiter.Settle(other, {});
  world->Run();
  EXPECT_EQ(world->status(), 200);
  EXPECT_EQ(DecisionIn(*world), "route=main; account=a; sticky=kept; attempts=1; wait=1500ms");
}

}  // namespace
}  // namespace relay
