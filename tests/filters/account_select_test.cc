// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/cancel_everywhere.h"
#include "tests/support/exchange_fixture.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::string_view kMessages = "POST /api/v1/messages";
const std::vector<std::string> kAlice = {"x-api-key: cr_alice_0123456789"};
const std::vector<std::string> kBob = {"x-api-key: cr_bob_0123456789"};
const std::string kTwo = "[{name: a, api-key: sk-a}, {name: b, api-key: sk-b}]";
const std::string kNarrow = "[{name: a, api-key: sk-a, concurrency: 1}]";

std::string Chain(const std::string& options) {
  return "- auth: {service: claude}\n- account-select: " + options + "\n";
}

std::unique_ptr<ExchangeWorld> MakeWorld(const std::string& options,
                                         const std::string& accounts = kTwo) {
  auto world = std::make_unique<ExchangeWorld>(Chain(options), ProviderKind::kClaude, accounts);
  world->AddKey("cr_alice_0123456789", {.name = "alice"});
  world->AddKey("cr_bob_0123456789", {.name = "bob"});
  return world;
}

// The account that serves this request, while it does.
std::string AccountFor(ExchangeWorld& world, const std::vector<std::string>& key,
                       const std::string& session, std::string_view line = kMessages) {
  world.upstream.reply = "";
  world.Ask(line, key, R"({"model":"m","session":")" + session + "\"}");
  Exchange* x = world.exchange();
  std::string account =
      x == nullptr || x->facts.lease == nullptr ? "none" : std::string(x->facts.lease->account());
  world.upstream.calls.back()->vendor->Send(ScriptedUpstream::Json(200, "{}"));
  world.Run();
  return account;
}

Wish AnyWish() {
  Wish wish;
  wish.model = "m";
  return wish;
}

TEST(AccountSelect, KeepsASessionOnItsAccount) {
  auto world = MakeWorld("{sticky: session}");
  std::string first = AccountFor(*world, kAlice, "s1");
  std::string second = AccountFor(*world, kAlice, "s2");
  EXPECT_NE(first, second);  // the one used least recently
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(AccountFor(*world, kAlice, "s1"), first);
    EXPECT_EQ(AccountFor(*world, kAlice, "s1"), first);
    EXPECT_EQ(AccountFor(*world, kAlice, "s2"), second);
  }
}

TEST(AccountSelect, KeepsSessionsOfKeysApart) {
  auto world = MakeWorld("{sticky: session}");
  std::string first = AccountFor(*world, kAlice, "s1");
  // Bob's session of the same name is another one, and takes the account used least recently.
  EXPECT_NE(AccountFor(*world, kBob, "s1"), first);
  EXPECT_EQ(AccountFor(*world, kAlice, "s1"), first);
}

TEST(AccountSelect, KeepsAKeyOnItsAccountWhateverTheSession) {
  auto world = MakeWorld("{sticky: key}");
  std::string first = AccountFor(*world, kAlice, "s1");
  EXPECT_EQ(AccountFor(*world, kAlice, "s2"), first);
  EXPECT_NE(AccountFor(*world, kBob, "s1"), first);
  EXPECT_EQ(AccountFor(*world, kAlice, ""), first);
}

TEST(AccountSelect, TakesTurnsWithoutStickiness) {
  auto world = MakeWorld("{sticky: none}");
  std::string first = AccountFor(*world, kAlice, "s1");
  EXPECT_NE(AccountFor(*world, kAlice, "s1"), first);
  EXPECT_EQ(AccountFor(*world, kAlice, "s1"), first);
}

TEST(AccountSelect, AsksOnlyAccountsWithATagOfTheRoute) {
  auto world = MakeWorld("{tags: [eu]}",
                         "[{name: a, api-key: sk-a}, {name: b, api-key: sk-b, tags: [eu]}, "
                         "{name: c, api-key: sk-c, tags: [us, eu]}]");
  for (int i = 0; i < 4; ++i) EXPECT_NE(AccountFor(*world, kAlice, std::to_string(i)), "a");
}

TEST(AccountSelect, SaysThatNoAccountHasTheTag) {
  auto world = MakeWorld("{tags: [eu]}");
  world->Ask(kMessages, kAlice, R"({"model":"m"})");
  EXPECT_EQ(world->status(), 503);
  EXPECT_THAT(world->answer_body(), HasSubstr("tags:"));
}

TEST(AccountSelect, KeepsAKeysPassthroughOnOneAccount) {
  auto world = MakeWorld("{sticky: none}");
  std::string first = AccountFor(*world, kAlice, "", "POST /api/v1/files");
  AccountFor(*world, kBob, "");
  EXPECT_EQ(AccountFor(*world, kAlice, "", "POST /api/v1/files"), first);
}

TEST(AccountSelect, RefusesABodyThatIsNotJson) {
  auto world = MakeWorld("{}");
  world->Ask(kMessages, kAlice, "{\"model\":\"m\",}");
  EXPECT_EQ(world->status(), 400);
  EXPECT_THAT(world->answer_body(), HasSubstr("invalid_request_error"));
  world->Ask(kMessages, kAlice, R"({"model":"m","model":"n"})");
  EXPECT_EQ(world->status(), 400);
  EXPECT_TRUE(world->upstream.calls.empty());
}

TEST(AccountSelect, SaysThatThereIsNoAccount) {
  auto world = MakeWorld("{}", "[]");
  world->Ask(kMessages, kAlice, R"({"model":"m"})");
  EXPECT_EQ(world->status(), 503);
  EXPECT_THAT(world->answer_body(), HasSubstr("account"));
}

TEST(AccountSelect, WaitsForAPlaceAndNoLongerThanItMay) {
  auto world = MakeWorld("{wait: 5s}", kNarrow);
  auto held = world->cluster->pool().TryTake(AnyWish());
  ASSERT_TRUE(held);
  world->Ask(kMessages, kAlice, R"({"model":"m"})");
  EXPECT_EQ(world->status(), 0);
  world->Advance(4s);
  EXPECT_EQ(world->status(), 0);
  held->reset();
  world->Run();
  EXPECT_EQ(world->status(), 200);

  held = world->cluster->pool().TryTake(AnyWish());
  ASSERT_TRUE(held);
  world->Ask(kMessages, kAlice, R"({"model":"m"})");
  world->Advance(4900ms);
  EXPECT_EQ(world->status(), 0);
  world->Advance(200ms);
  EXPECT_NE(world->status(), 0);
  EXPECT_NE(world->status(), 200);
}

TEST(AccountSelect, DoesNotWaitWhenToldNotTo) {
  auto world = MakeWorld("{wait: 0s}", kNarrow);
  auto held = world->cluster->pool().TryTake(AnyWish());
  ASSERT_TRUE(held);
  world->Ask(kMessages, kAlice, R"({"model":"m"})");
  EXPECT_NE(world->status(), 0);
  EXPECT_NE(world->status(), 200);
}

const std::string kSession = R"({"model":"m","session":"s"})";
const std::string kOneAndMore =
    "[{name: a, api-key: sk-a, concurrency: 1}, {name: b, api-key: sk-b, priority: 90}]";

// A session of Alice on a, which has 5000 tokens of it cached, and is held by another request.
AccountPool::Taken CachedAndHeld(ExchangeWorld& world) {
  world.upstream.reply = ScriptedUpstream::Json(
      200, R"({"model":"m","usage":{"input_tokens":1,"output_tokens":1,)"
           R"("cache_read_input_tokens":4000,"cache_creation_input_tokens":1000}})");
  world.Ask(kMessages, kAlice, kSession);
  EXPECT_EQ(world.status(), 200);
  return world.cluster->pool().TryTake(AnyWish());
}

TEST(AccountSelect, WaitsAMomentForTheAccountThatHasThePromptCached) {
  auto world = MakeWorld("{wait: 5s, cache-wait: 3s}", kOneAndMore);
  AccountPool::Taken held = CachedAndHeld(*world);
  ASSERT_EQ((*held)->account(), "a");
  world->Ask(kMessages, kAlice, kSession);
  world->Advance(2900ms);
  EXPECT_EQ(world->status(), 0);
  held->reset();
  world->Run();
  EXPECT_EQ(world->status(), 200);
  EXPECT_THAT(world->metrics.Text(false),
              HasSubstr("relay_cache_lost_tokens_total{cluster=\"vendor\"} 0"));

  held = world->cluster->pool().TryTake(AnyWish());
  ASSERT_EQ((*held)->account(), "a");
  world->Ask(kMessages, kAlice, kSession);
  world->Advance(2900ms);
  EXPECT_EQ(world->status(), 0);
  world->Advance(200ms);
  EXPECT_EQ(world->status(), 200);
  EXPECT_THAT(world->metrics.Text(false),
              HasSubstr("relay_cache_lost_tokens_total{cluster=\"vendor\"} 5000"));
}

TEST(AccountSelect, MovesAtOnceWhereItMayNotWaitForTheCache) {
  for (const char* options : {"{cache-wait: 0s}", "{wait: 0s}"}) {
    auto world = MakeWorld(options, kOneAndMore);
    AccountPool::Taken held = CachedAndHeld(*world);
    world->Ask(kMessages, kAlice, kSession);
    EXPECT_EQ(world->status(), 200) << options;
    EXPECT_EQ(world->upstream.calls.size(), 2U);
  }
}

TEST(AccountSelect, LeaksNoLeaseWhereverItIsCut) {
  for (Cut cut : {Cut::kClientGone, Cut::kAborted}) {
    // The place gets free at its time, early or late, or comes with the cut.
    for (int free_at : {0, 44, 60}) {
      AccountPool::Taken held = std::unexpected(NoAccount{});
      CancelSceneOf<ExchangeWorld> scene;
      scene.begin = [&] {
        auto world = MakeWorld("{wait: 5s}", kNarrow);
        held = world->cluster->pool().TryTake(AnyWish());
        EXPECT_TRUE(held);
        world->Begin(ExchangeWorld::Request(kMessages, kAlice, R"({"model":"m","session":"s"})"));
        world->line().cut = [](size_t waiting) { return std::min<size_t>(waiting, 9); };
        return world;
      };
      scene.on_step = [&](ExchangeWorld&, int step) {
        if (step == free_at) held = std::unexpected(NoAccount{});
      };
      scene.after_cut = [&](ExchangeWorld&) { held = std::unexpected(NoAccount{}); };
      scene.check = [&](ExchangeWorld& world) {
        // Whoever held the place and whoever waited for it: it can be had again.
        EXPECT_TRUE(world.cluster->pool().TryTake(AnyWish()));
      };
      EXPECT_GT(CancelEverywhere(scene, cut), 20);
    }
  }
}

}  // namespace
}  // namespace relay
