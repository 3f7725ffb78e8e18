// SPDX-License-Identifier: MIT
// Tokens and money: the reserve rule, and what the calendar says.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "core/store/limiter.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using What = Limiter::Denied::What;

constexpr int64_t kDollar = 1'000'000'000;

RateLimits PerDay(int64_t nanodollars) {
  return {.cost = {nanodollars, 0, 0, 0}};
}

struct BudgetTest : testing::Test {
  // 2026-11-26, a Thursday, 12:00 UTC.
  BudgetTest() { clock.SetWall(WallTime(std::chrono::seconds(1'795'694'400))); }

  Limiter::Ask AskFor(const RateLimits& limits, Charge reserve) {
    Limiter::Ask ask;
    ask.claims[0] = {scope, limits};
    ask.reserve = reserve;
    return ask;
  }
  std::optional<Limiter::Denied> Try(const RateLimits& limits, Charge reserve) {
    return limiter.Look(AskFor(limits, reserve), clock.Now());
  }
  // Admitted; null when it was not.
  std::unique_ptr<Slot> Begin(const RateLimits& limits, Charge reserve) {
    auto slot = std::make_unique<Slot>();
    if (limiter.Admit(AskFor(limits, reserve), clock.Now(), *slot)) slot.reset();
    return slot;
  }
  void Use(const RateLimits& limits, Charge used) {
    std::unique_ptr<Slot> slot = Begin(limits, {});
    ASSERT_NE(slot, nullptr);
    limiter.Settle(*slot, used);
  }

  ManualClock clock;
  Limiter limiter{clock};
  std::shared_ptr<LimitScope> scope = limiter.Scope("key alice");
};

TEST_F(BudgetTest, AdmitsWhileSpentAndReservedAndItsOwnStayWithinTheCap) {
  RateLimits limits = PerDay(10 * kDollar);
  auto first = Begin(limits, {.nanodollars = 4 * kDollar});
  auto second = Begin(limits, {.nanodollars = 5 * kDollar});
  ASSERT_TRUE(first && second);
  auto denied = Try(limits, {.nanodollars = kDollar + 1});
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->what, What::kCost);
  EXPECT_EQ(denied->window, CostWindow::kDay);
  EXPECT_EQ(denied->limit, 10 * kDollar);
  EXPECT_FALSE(denied->spent);
  EXPECT_EQ(denied->retry_after, Duration(1s));
  EXPECT_FALSE(Try(limits, {.nanodollars = kDollar}));
  // Settled with less than was reserved: the rest is free again.
  limiter.Settle(*first, {.nanodollars = kDollar});
  EXPECT_FALSE(Try(limits, {.nanodollars = 4 * kDollar}));
  EXPECT_TRUE(Try(limits, {.nanodollars = 4 * kDollar + 1}));
}

TEST_F(BudgetTest, AdmitsOneThatMayUseMoreThanTheCapWhenNothingIsInFlight) {
  RateLimits limits = PerDay(kDollar);
  auto alone = Begin(limits, {.nanodollars = 50 * kDollar});
  ASSERT_TRUE(alone);
  EXPECT_TRUE(Try(limits, {.nanodollars = 1}));
  limiter.Settle(*alone, {.nanodollars = kDollar - 1});
  EXPECT_TRUE(Begin(limits, {.nanodollars = 50 * kDollar}));
}

TEST_F(BudgetTest, ASpentBudgetIsNothingToWaitFor) {
  RateLimits limits = PerDay(kDollar);
  Use(limits, {.nanodollars = kDollar});
  auto denied = Try(limits, {.nanodollars = 1});
  ASSERT_TRUE(denied);
  EXPECT_TRUE(denied->spent);
  EXPECT_EQ(denied->retry_after, Duration(12h));  // midnight
  clock.Advance(12h - 1s);
  EXPECT_TRUE(Try(limits, {.nanodollars = 1}));
  clock.Advance(1s);
  EXPECT_FALSE(Try(limits, {.nanodollars = 1}));
}

TEST_F(BudgetTest, EachWindowHasItsOwnEnd) {
  const std::vector<std::pair<CostAmounts, std::optional<Duration>>> kCases = {
      {{kDollar, 0, 0, 0}, 12h},
      {{0, kDollar, 0, 0}, 12h + 3 * 24h},  // Monday
      {{0, 0, kDollar, 0}, 12h + 4 * 24h},  // the first of December
      {{0, 0, 0, kDollar}, std::nullopt},
      {{kDollar, kDollar, 0, 0}, 12h + 3 * 24h},
      {{kDollar, 0, 0, kDollar}, std::nullopt},
      {{2 * kDollar, 0, kDollar, 0}, 12h + 4 * 24h}};
  Use({}, {.nanodollars = kDollar});
  for (const auto& [cost, retry_after] : kCases) {
    auto denied = Try({.cost = cost}, {});
    ASSERT_TRUE(denied);
    EXPECT_TRUE(denied->spent);
    EXPECT_EQ(denied->retry_after, retry_after);
  }
}

TEST_F(BudgetTest, DaysAreThoseOfTheConfiguredZone) {
  Limiter shanghai(clock, *Zone::Load("Asia/Shanghai"));
  scope = shanghai.Scope("key alice");
  Limiter::Ask ask = AskFor(PerDay(1), {});
  Slot slot;
  ASSERT_FALSE(shanghai.Admit(ask, clock.Now(), slot));
  shanghai.Settle(slot, {.nanodollars = 1});
  auto denied = shanghai.Look(ask, clock.Now());
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->retry_after, Duration(4h));  // it is 20:00 there
}

TEST_F(BudgetTest, ASpentBudgetIsToldBeforeALimitThatPasses) {
  RateLimits limits = PerDay(kDollar);
  limits.requests_per_minute = 1;
  Use(limits, {.nanodollars = kDollar});
  auto route = limiter.Scope("route main");
  Limiter::Ask ask = AskFor(limits, {});
  ask.claims[1] = {route, {.concurrency = 1}};
  auto denied = limiter.Look(ask, clock.Now());
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->what, What::kCost);
  EXPECT_EQ(denied->retry_after, Duration(12h));
}

TEST_F(BudgetTest, TheOvershootIsAtMostWhatActualUsesExceedTheirReservesBy) {
  constexpr int64_t kCap = 100;
  RateLimits limits = PerDay(kCap);
  unsigned random = 7;
  auto next = [&](unsigned below) {
    random = random * 1664525U + 1013904223U;
    return static_cast<int64_t>((random >> 12) % below);
  };
  struct Running {
    std::unique_ptr<Slot> slot;
    int64_t reserved;
  };
  for (int round = 0; round < 300; ++round) {
    scope = limiter.Scope("round " + std::to_string(round));
    std::vector<Running> running;
    int64_t spent = 0;
    int64_t excess = 0;
    for (int step = 0; step < 200; ++step) {
      if (next(2) == 0) {
        int64_t reserve = 1 + next(20);
        auto slot = Begin(limits, {.nanodollars = reserve});
        // Admitted only while money is left.
        ASSERT_TRUE(slot == nullptr || spent < kCap);
        if (slot != nullptr) running.push_back({std::move(slot), reserve});
      } else if (!running.empty()) {
        int64_t used = next(30);
        limiter.Settle(*running.back().slot, {.nanodollars = used});
        excess += std::max<int64_t>(used - running.back().reserved, 0);
        spent += used;
        running.pop_back();
      }
      ASSERT_LE(spent, kCap + excess + 20);  // 20: a single one may reserve more than is left
    }
  }
}

TEST_F(BudgetTest, CountsTheTokensOfTheLastMinute) {
  RateLimits limits{.tokens_per_minute = 1000};
  Use(limits, {.tokens = 400});
  clock.Advance(20s);
  Use(limits, {.tokens = 300});
  EXPECT_FALSE(Try(limits, {.tokens = 300}));
  auto running = Begin(limits, {.tokens = 200});
  ASSERT_TRUE(running);
  auto denied = Try(limits, {.tokens = 101});
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->what, What::kTokens);
  EXPECT_EQ(denied->limit, 1000);
  EXPECT_EQ(denied->retry_after, Duration(41s));  // then the first 400 are past
  clock.Advance(41s);
  EXPECT_FALSE(Try(limits, {.tokens = 101}));
  EXPECT_TRUE(Try(limits, {.tokens = 501}));
  // Beyond what any passing of time gives: others must end.
  denied = Try(limits, {.tokens = 5000});
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->retry_after, Duration(1s));
}

TEST_F(BudgetTest, ARequestLargerThanAMinutesTokensGoesAlone) {
  RateLimits limits{.tokens_per_minute = 1000};
  auto large = Begin(limits, {.tokens = 5000});
  ASSERT_TRUE(large);
  EXPECT_TRUE(Try(limits, {.tokens = 1}));
  limiter.Settle(*large, {.tokens = 4000});
  auto denied = Try(limits, {.tokens = 1});
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->retry_after, Duration(61s));
  clock.Advance(61s);
  EXPECT_FALSE(Try(limits, {.tokens = 5000}));
}

TEST_F(BudgetTest, ASlotThatDiesUnsettledGivesItsReserveBack) {
  RateLimits limits = PerDay(10);
  auto first = Begin(limits, {.nanodollars = 10});
  EXPECT_TRUE(Try(limits, {.nanodollars = 1}));
  first.reset();
  EXPECT_FALSE(Try(limits, {.nanodollars = 10}));
  EXPECT_EQ(scope->InFlight(), 0);
}

TEST_F(BudgetTest, SettlesOnce) {
  RateLimits limits = PerDay(10);
  auto slot = Begin(limits, {.nanodollars = 3});
  limiter.Settle(*slot, {.nanodollars = 4});
  limiter.Settle(*slot, {.nanodollars = 4});
  slot.reset();
  EXPECT_EQ(scope->InFlight(), 0);
  auto other = Begin(limits, {.nanodollars = 1});
  EXPECT_FALSE(Try(limits, {.nanodollars = 5}));
  EXPECT_TRUE(Try(limits, {.nanodollars = 6}));
}

TEST_F(BudgetTest, HostileAmountsNeitherOverflowNorGiveBack) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  RateLimits limits{.tokens_per_minute = 1000, .cost = {0, 0, 0, 10}};
  auto first = Begin(limits, {kMost, kMost});
  ASSERT_TRUE(first);
  EXPECT_TRUE(Try(limits, {kMost, kMost}));
  limiter.Settle(*first, {-5, -5});
  EXPECT_FALSE(Try(limits, {1, 1}));
  auto second = Begin(limits, {1, 1});
  limiter.Settle(*second, {kMost, kMost});
  auto denied = Try(limits, {});
  ASSERT_TRUE(denied);
  EXPECT_TRUE(denied->spent);
}

TEST_F(BudgetTest, BeginsWithWhatWasSpentBefore) {
  Spending spending(limiter.Today());
  spending.AddPast(limiter.Today(), 3);
  spending.AddPast(limiter.Today() - 1, 4);  // Wednesday
  limiter.AddPast(Limiter::NameOfKey("alice"), spending);
  RateLimits day = PerDay(4);
  auto slot = Begin(day, {});
  EXPECT_FALSE(Try(day, {.nanodollars = 1}));
  EXPECT_TRUE(Try(day, {.nanodollars = 2}));
  EXPECT_TRUE(Try({.cost = {0, 7, 0, 0}}, {})->spent);
}

TEST_F(BudgetTest, AScopeWithSpendingIsNotForgotten) {
  Use(PerDay(100), {.nanodollars = 60});
  scope.reset();
  clock.Advance(2min);
  for (int i = 0; i < 10'000; ++i) limiter.Scope("passing " + std::to_string(i));
  scope = limiter.Scope("key alice");
  auto slot = Begin(PerDay(100), {});
  EXPECT_TRUE(Try(PerDay(100), {.nanodollars = 41}));
}

TEST_F(BudgetTest, CountsSpendingWhereNoLimitIsYet) {
  Use({}, {.nanodollars = 10});
  EXPECT_TRUE(Try(PerDay(10), {}));
}

TEST_F(BudgetTest, LosesNoMoneyAmongThreads) {
  constexpr int kThreads = 4;
  RateLimits limits{.cost = {0, 0, 0, 1'000'000}};
  std::atomic<int64_t> paid{0};
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= kThreads; ++seed) {
    threads.emplace_back([&, random = seed * 2654435761U]() mutable {
      for (int i = 0; i < 5000; ++i) {
        random = random * 1664525U + 1013904223U;
        Charge charge{.tokens = 1, .nanodollars = 1 + (random >> 8) % 90};
        Slot slot;
        if (limiter.Admit(AskFor(limits, charge), clock.Now(), slot)) continue;
        limiter.Settle(slot, charge);
        paid += charge.nanodollars;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // Reserves were exact, so the cap holds; what is left is less than one may need.
  EXPECT_LE(paid, 1'000'000);
  EXPECT_TRUE(Try({.cost = {0, 0, 0, paid}}, {})->spent);
  EXPECT_FALSE(Try({.cost = {0, 0, 0, paid + 1}}, {.nanodollars = 1}));
}

TEST_F(BudgetTest, LearnsHowLongTheAnswersOfAModelAre) {
  Limiter::Ask ask = AskFor({}, {});
  ask.model = OutputMeans::IdOf("opus");
  for (int64_t output : {100, 300}) {
    Slot slot;
    limiter.Admit(ask, clock.Now(), slot);
    limiter.Settle(slot, {}, output);
  }
  // A broken answer says nothing of the length of whole ones.
  Slot cut;
  limiter.Admit(ask, clock.Now(), cut);
  limiter.Settle(cut, {});
  EXPECT_EQ(scope->MeanOutput(ask.model), 200);
  EXPECT_EQ(scope->MeanOutput(OutputMeans::IdOf("haiku")), std::nullopt);
}

}  // namespace
}  // namespace relay
