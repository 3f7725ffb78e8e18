// SPDX-License-Identifier: MIT
#include "core/store/redis_budget.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

using namespace std::chrono_literals;

const WallTime kNovember = std::chrono::sys_days(std::chrono::year(2026) / 11 / 1);

TEST(RedisBudget, NamesMonthsOfUtc) {
  EXPECT_EQ(RedisBudget::MonthOf(kNovember), "2026-11");
  EXPECT_EQ(RedisBudget::MonthOf(kNovember - 1s), "2026-10");
}

TEST(RedisBudget, WithoutABudgetNothingIsStretched) {
  RedisBudget budget(0, 1s);
  auto view = budget.Look(kNovember + 15 * 24h, 10'000'000);
  EXPECT_FALSE(view.stretched);
  EXPECT_EQ(view.interval, 1s);
  EXPECT_EQ(view.forecast, 20'000'000);
}

TEST(RedisBudget, LetsABusyDayPass) {
  RedisBudget budget(500'000, 1s);
  EXPECT_FALSE(budget.Look(kNovember, 0).stretched);
  EXPECT_FALSE(budget.Look(kNovember + 4h, 4 * 3600).stretched) << "one a second from the start";
  EXPECT_FALSE(budget.Look(kNovember + 15 * 24h, 250'000).stretched) << "at an even pace";
}

TEST(RedisBudget, StretchesTheIntervalAsCommandsRunLow) {
  RedisBudget budget(500'000, 1s);
  auto calm = budget.Look(kNovember + 24h, 34'000);
  auto worse = budget.Look(kNovember + 24h, 50'000);
  auto worst = budget.Look(kNovember + 24h, 499'999);
  EXPECT_TRUE(calm.stretched);
  EXPECT_GT(calm.interval, 5s);
  EXPECT_GT(worse.interval, calm.interval);
  EXPECT_EQ(worst.interval, RedisBudget::kMaxInterval);
  EXPECT_EQ(budget.Look(kNovember + 24h, 600'000).interval, RedisBudget::kMaxInterval);
}

// A relay that is busy all month: each flush is a command, and the interval follows.
TEST(RedisBudget, LastsForTheWholeMonth) {
  RedisBudget budget(500'000, 1s);
  int64_t used = 0;
  for (WallTime now = kNovember; RedisBudget::MonthOf(now) == "2026-11";) {
    ++used;
    now += std::chrono::duration_cast<WallTime::duration>(budget.Look(now, used).interval);
  }
  EXPECT_LT(used, 500'000);
  EXPECT_GT(used, 400'000);
}

TEST(RedisBudget, KeepsAnIntervalThatIsLongEnough) {
  RedisBudget budget(500'000, 60s);
  EXPECT_FALSE(budget.Look(kNovember + 24h, 34'000).stretched);
}

}  // namespace
}  // namespace relay
