// SPDX-License-Identifier: MIT
// How limits stand, and when they would let an ask in: told without counting anything.
#include <gtest/gtest.h>

#include "core/store/limiter.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using What = Limiter::Denied::What;

constexpr int64_t kDollar = 1'000'000'000;

TEST(LimiterLook, TellsEachLimitOfAClaim) {
  ManualClock clock;
  Limiter limiter(clock);
  const Limiter::Claim claim{limiter.Scope("route r"),
                             {.requests_per_minute = 5,
                              .tokens_per_minute = 1000,
                              .concurrency = 2,
                              .cost = {3 * kDollar, 0, 0, 9 * kDollar},
                              .cost_per_5h = 2 * kDollar}};
  Limiter::Ask ask;
  ask.claims[0] = claim;
  Slot ended;
  ASSERT_FALSE(limiter.Admit(ask, clock.Now(), ended));
  limiter.Settle(ended, {.tokens = 100, .nanodollars = kDollar});
  ask.reserve = {.tokens = 30, .nanodollars = kDollar / 2};
  Slot runs;
  ASSERT_FALSE(limiter.Admit(ask, clock.Now(), runs));

  std::vector<Limiter::Use> uses = limiter.Look(claim, clock.Now());
  ASSERT_EQ(uses.size(), 6U);
  auto expect = [&](size_t i, What what, int64_t limit, int64_t used, int64_t reserved) {
    EXPECT_EQ(uses[i].what, what) << i;
    EXPECT_EQ(uses[i].limit, limit) << i;
    EXPECT_EQ(uses[i].used, used) << i;
    EXPECT_EQ(uses[i].reserved, reserved) << i;
    EXPECT_EQ(uses[i].left(), limit - used - reserved) << i;
  };
  expect(0, What::kRequests, 5, 2, 0);
  expect(1, What::kTokens, 1000, 100, 30);
  expect(2, What::kConcurrency, 2, 1, 0);
  expect(3, What::kFiveHours, 2 * kDollar, kDollar, kDollar / 2);
  expect(4, What::kCost, 3 * kDollar, kDollar, kDollar / 2);
  EXPECT_EQ(uses[4].window, CostWindow::kDay);
  expect(5, What::kCost, 9 * kDollar, kDollar, kDollar / 2);
  EXPECT_EQ(uses[5].window, CostWindow::kTotal);
  EXPECT_TRUE(limiter.Look(Limiter::Claim{}, clock.Now()).empty());
}

TEST(LimiterLook, TellsWhenTimeAloneLetsItIn) {
  ManualClock clock;
  Limiter limiter(clock);
  Limiter::Ask ask;
  ask.claims[0] = {limiter.Scope("route r"), {.requests_per_minute = 1, .concurrency = 1}};
  TimePoint passes{};
  {
    Slot runs;
    ASSERT_FALSE(limiter.Admit(ask, clock.Now(), runs));
    ASSERT_TRUE(limiter.Look(ask, clock.Now(), &passes));
    EXPECT_EQ(passes, TimePoint::max()) << "the one that runs must end";
  }
  ASSERT_TRUE(limiter.Look(ask, clock.Now(), &passes));
  EXPECT_EQ(passes, clock.Now() + 61s);
  clock.Advance(61s);
  EXPECT_FALSE(limiter.Look(ask, clock.Now()));
  Slot slot;
  EXPECT_FALSE(limiter.Admit(ask, clock.Now(), slot));
}

}  // namespace
}  // namespace relay
