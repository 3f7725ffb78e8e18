// SPDX-License-Identifier: MIT
// What a relay makes of the answers about limits that it shares: such as are late, come out of
// another day, or do not come.
#include "core/store/shared_limits.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "core/async/loop.h"
#include "core/store/limiter.h"
#include "core/store/redis_limits.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using What = Limiter::Denied::What;
using Verdict = SharedLimits::Verdict;

RespReply Number(int64_t number) {
  return {RespReply::Kind::kInteger, number, "", {}};
}
RespReply List(std::vector<RespReply> items) {
  return {RespReply::Kind::kArray, 0, "", std::move(items)};
}
RespReply Numbers(const std::vector<int64_t>& numbers) {
  std::vector<RespReply> items;
  for (int64_t number : numbers) items.push_back(Number(number));
  return List(std::move(items));
}
RespReply Reply(LimitOutcome outcome, const std::vector<int64_t>& denials = {},
                const std::vector<int64_t>& five_hours = {}) {
  return List({Number(static_cast<int64_t>(outcome)), Numbers(denials), Number(20'000),
               Numbers(five_hours)});
}
const std::vector<int64_t> kNoPlace = {
    static_cast<int64_t>(What::kConcurrency), 0, 0, 0, 1000, 0, 0};

// --- What is learned -----------------------------------------------------------------------------

// Says always the same.
class OneAnswer final : public SharedLimits {
 public:
  Task<Verdict> Reserve(Loop&, Limiter::Ask) override {
    ++asked;
    co_return verdict;
  }
  void Settle(Settlement) override {}
  Status status() const override { return {}; }

  Verdict verdict;
  int asked = 0;
};

struct LearnTest : testing::Test {
  LearnTest() { limiter.ShareBy(&others); }
  std::optional<Limiter::Denied> Ask(const RateLimits& limits) {
    Limiter::Ask ask;
    ask.claims[0] = {limiter.Scope("key alice"), limits};
    std::optional<Limiter::Everywhere> got;
    auto run = [&]() -> Task<Unit> {
      got = co_await limiter.AdmitEverywhere(loop, ask, loop.Now(), 1);
      co_return Unit();
    };
    Task<Unit> task = run();
    task.Start([](void*) noexcept {}, nullptr);
    EXPECT_TRUE(got);
    return got->over;
  }
  ManualClock clock;
  Loop loop{clock};
  Limiter limiter{clock};
  OneAnswer others;
};

TEST_F(LearnTest, ABudgetOfYesterdayIsNotSpentToday) {
  const RateLimits limits{.cost = {100, 0, 0, 0}};
  others.verdict.denied = {.what = What::kCost, .limit = 100, .spent = true};
  others.verdict.common.day = limiter.Today() - 1;
  for (int i = 1; i <= 3; ++i) {
    EXPECT_TRUE(Ask(limits)->spent);
    EXPECT_EQ(others.asked, i);
  }
  others.verdict.common.day = limiter.Today();
  EXPECT_TRUE(Ask(limits)->spent);
  EXPECT_TRUE(Ask(limits)->spent);
  EXPECT_EQ(others.asked, 4);
}

TEST_F(LearnTest, FiveHoursAreThoseOfAllFromTheFirstAnswerOn) {
  const RateLimits limits{.cost_per_5h = 100};
  Slot slot;
  Limiter::Ask alone;
  alone.claims[0] = {limiter.Scope("key alice"), limits};
  EXPECT_FALSE(limiter.Admit(alone, clock.Now(), slot));
  limiter.Settle(slot, {.nanodollars = 60});
  others.verdict.common.five_hours[0] = FiveHours(clock.Wall() - 4h, 100);
  EXPECT_FALSE(Ask(limits)) << "the others admit it";
  auto here = Ask(limits);
  ASSERT_TRUE(here);
  EXPECT_EQ(others.asked, 1);
  EXPECT_LE(*here->retry_after, 1h);
  clock.Advance(1h + 1s);
  others.verdict = {};
  EXPECT_FALSE(Ask(limits));
}

// --- Answers that are late or do not come --------------------------------------------------------

struct AnswersTest : testing::Test {
  AnswersTest() {
    limits.Open();
    Turns();
  }
  struct Asking {
    Task<Unit> task;
    std::optional<Verdict> verdict;
  };
  std::unique_ptr<Asking> Begin() {
    auto asking = std::make_unique<Asking>();
    asking->task = Run(*asking);
    asking->task.Start([](void*) noexcept {}, nullptr);
    Turns();
    return asking;
  }
  Task<Unit> Run(Asking& asking) {
    Limiter::Ask ask;
    ask.claims[0] = {limiter.Scope("key alice"), {.concurrency = 2}};
    asking.verdict = co_await limits.Reserve(loop, ask);
    co_return Unit();
  }
  void Turns() {
    for (int i = 0; i < 6; ++i) loop.Turn();
  }
  void Advance(Duration by) {
    clock.Advance(by);
    Turns();
  }
  void Answer(size_t command, Result<RespReply> reply) {
    std::exchange(commands.at(command), {})(std::move(reply));
    Turns();
  }
  static std::unexpected<Error> Broken() {
    return std::unexpected(Error{Party::kRelay, Fault::kReset, "closed the connection", true});
  }
  ManualClock clock;
  Loop loop{clock};
  Limiter limiter{clock};
  std::vector<Store::Done<RespReply>> commands;
  RedisLimits limits{loop,
                     [this](const SharedRequest&, Store::Done<RespReply> done) {
                       commands.push_back(std::move(done));
                     },
                     {.relay = "a"},
                     clock};
};

TEST_F(AnswersTest, WhatWasDeniedStaysDeniedWhereAskingAgainTakesTooLong) {
  auto first = Begin();
  auto second = Begin();
  Answer(0, Reply(LimitOutcome::kAdmitted));
  Answer(1, Reply(LimitOutcome::kAdmitted));
  limits.Settle({.reservation = first->verdict->reservation});
  auto third = Begin();  // tells of the first
  limits.Settle({.reservation = second->verdict->reservation});
  auto fourth = Begin();
  Answer(3, Reply(LimitOutcome::kDenied, kNoPlace));
  EXPECT_FALSE(fourth->verdict) << "the second was not told before it";
  Answer(2, Reply(LimitOutcome::kAdmitted));
  ASSERT_EQ(commands.size(), 5U) << "it is asked again";
  Advance(RedisLimits::kAnswerWithin + 20ms);
  ASSERT_TRUE(fourth->verdict);
  ASSERT_TRUE(fourth->verdict->denied);
  EXPECT_EQ(fourth->verdict->denied->what, What::kConcurrency);
  EXPECT_EQ(fourth->verdict->reservation, 0U);
  EXPECT_FALSE(fourth->verdict->away);
  EXPECT_FALSE(limits.status().away);
  EXPECT_EQ(limits.status().alone, 0U);
}

TEST_F(AnswersTest, OneConnectionThatBreaksIsNotTheEndOfSharing) {
  auto first = Begin();
  Answer(0, Broken());
  EXPECT_FALSE(first->verdict);
  EXPECT_FALSE(limits.status().away);
  Advance(RedisLimits::kRepeat + 20ms);
  ASSERT_EQ(commands.size(), 2U);
  Answer(1, Reply(LimitOutcome::kAdmitted));
  ASSERT_TRUE(first->verdict);
  EXPECT_FALSE(first->verdict->away);
  EXPECT_NE(first->verdict->reservation, 0U);
  EXPECT_EQ(limits.status().alone, 0U);
}

TEST_F(AnswersTest, WhoFailsAgainAndAgainGoesByItsOwnBeforeItsTimeIsOver) {
  auto first = Begin();
  for (size_t i = 0; i < RedisLimits::kTries; ++i) {
    ASSERT_EQ(commands.size(), i + 1);
    Answer(i, Broken());
    Advance(RedisLimits::kRepeat + 20ms);
  }
  ASSERT_TRUE(first->verdict);
  EXPECT_TRUE(first->verdict->away);
  EXPECT_TRUE(limits.status().away);
  EXPECT_EQ(limits.status().alone, 1U);
}

TEST_F(AnswersTest, ASettlementThatFailsOnceIsToldAgainAndNobodyIsAway) {
  auto first = Begin();
  Answer(0, Reply(LimitOutcome::kAdmitted));
  limits.Settle({.reservation = first->verdict->reservation});
  Turns();
  Advance(RedisLimits::kSettleWithin + 20ms);
  ASSERT_EQ(commands.size(), 2U);
  Answer(1, Broken());
  EXPECT_FALSE(limits.status().away);
  Advance(RedisLimits::kRepeat + 20ms);
  ASSERT_EQ(commands.size(), 3U);
  Answer(2, Reply(LimitOutcome::kSettled));
  Advance(10s);
  EXPECT_EQ(commands.size(), 3U);
}

// --- Answers that nobody understands -------------------------------------------------------------

TEST(LimitAnswers, AreReadOrRefusedWhole) {
  Limiter limiter;
  Limiter::Ask ask;
  ask.claims[0] = {limiter.Scope("key alice"), {.concurrency = 1, .cost_per_5h = 5}};
  auto read = [&](const RespReply& reply, bool reserves = true) {
    return redis_limit_calls::Read(reply, reserves ? &ask : nullptr, Zone(), TimePoint(),
                                   WallTime());
  };
  auto denied = read(Reply(LimitOutcome::kDenied, kNoPlace, {1000, 3}));
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->verdict.denied->what, What::kConcurrency);
  EXPECT_EQ(denied->verdict.common.day, 20'000);
  ASSERT_TRUE(denied->verdict.common.five_hours[0]);
  EXPECT_EQ(denied->verdict.common.five_hours[0]->began(), WallTime(1s));
  EXPECT_TRUE(read(Reply(LimitOutcome::kLapsed)));
  EXPECT_TRUE(read(Reply(LimitOutcome::kSettled), false));
  EXPECT_TRUE(read(Reply(LimitOutcome::kAdmitted)));

  EXPECT_FALSE(read(Reply(LimitOutcome::kDenied))) << "by what?";
  EXPECT_FALSE(read(Reply(LimitOutcome::kSettled))) << "it was asked for";
  EXPECT_FALSE(read(Reply(LimitOutcome::kAdmitted), false)) << "nobody asked";
  EXPECT_FALSE(read(Reply(LimitOutcome::kDenied, {2, 0, 0})));
  EXPECT_FALSE(read(Reply(LimitOutcome::kDenied, {2, 7, 0, 0, 1000, 0, 0})));
  EXPECT_FALSE(read(Reply(LimitOutcome::kAdmitted, {}, {1000})));
  EXPECT_FALSE(read(Reply(LimitOutcome::kAdmitted, {}, {int64_t{1} << 62, 5})));
  EXPECT_FALSE(read(List({Number(1)})));
  EXPECT_FALSE(read(Number(1)));
}

}  // namespace
}  // namespace relay
