// SPDX-License-Identifier: MIT
#include "core/store/spending.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <limits>

namespace relay {
namespace {

using std::chrono::year;
using testing::ElementsAre;

int32_t Day(int y, unsigned m, unsigned d) {
  auto date = std::chrono::sys_days(year(y) / std::chrono::month(m) / std::chrono::day(d));
  return static_cast<int32_t>(date.time_since_epoch().count());
}

TEST(Spending, CountsInTheDayTheWeekTheMonthAndInAll) {
  int32_t monday = Day(2026, 11, 23);
  Spending spending(monday);
  spending.Add(monday, 1);
  EXPECT_THAT(spending.SpentOn(monday), ElementsAre(1, 1, 1, 1));
  spending.Add(monday + 1, 10);
  EXPECT_THAT(spending.SpentOn(monday + 1), ElementsAre(10, 11, 11, 11));
  // Sunday is the last day of an ISO week.
  spending.Add(monday + 6, 100);
  EXPECT_THAT(spending.SpentOn(monday + 6), ElementsAre(100, 111, 111, 111));
  EXPECT_THAT(spending.SpentOn(monday + 7), ElementsAre(0, 0, 111, 111));
  EXPECT_THAT(spending.SpentOn(Day(2026, 12, 1)), ElementsAre(0, 0, 0, 111));
}

TEST(Spending, AWeekGoesOnOverTheYearsEnd) {
  Spending spending;
  spending.Add(Day(2026, 12, 31), 5);  // a Thursday
  EXPECT_THAT(spending.SpentOn(Day(2027, 1, 3)), ElementsAre(0, 5, 0, 5));
  EXPECT_THAT(spending.SpentOn(Day(2027, 1, 4)), ElementsAre(0, 0, 0, 5));
}

TEST(Spending, TheSameMonthOfAnotherYearIsAnother) {
  Spending spending;
  spending.Add(Day(2026, 11, 5), 5);
  EXPECT_THAT(spending.SpentOn(Day(2027, 11, 5)), ElementsAre(0, 0, 0, 5));
}

TEST(Spending, IsBuiltFromRowsOfThePast) {
  int32_t today = Day(2026, 11, 26);  // a Thursday
  Spending spending(today);
  spending.AddPast(today, 1);
  spending.AddPast(Day(2026, 11, 23), 10);
  spending.AddPast(Day(2026, 11, 22), 100);
  spending.AddPast(Day(2026, 10, 31), 1000);
  spending.AddPast(Day(2025, 11, 26), 10'000);
  EXPECT_THAT(spending.SpentOn(today), ElementsAre(1, 11, 111, 11'111));
}

TEST(Spending, AClockReadBeforeMidnightAndCountedAfterItTakesNothingBack) {
  int32_t today = Day(2026, 11, 26);
  Spending spending(today);
  spending.Add(today, 5);
  spending.Add(today - 1, 2);
  EXPECT_THAT(spending.SpentOn(today), ElementsAre(7, 7, 7, 7));
}

TEST(Spending, AClockThatWasWrongDoesNotKeepItsDayForYears) {
  Spending spending;
  spending.Add(Day(2031, 5, 5), 5);
  spending.Add(Day(2026, 11, 26), 2);
  EXPECT_THAT(spending.SpentOn(Day(2026, 11, 26)), ElementsAre(2, 2, 2, 7));
}

TEST(Spending, AddsWhatAnotherKnowsAsOfToday) {
  Spending past(Day(2026, 11, 25));  // a Wednesday
  past.Add(Day(2026, 11, 25), 3);
  Spending spending;
  spending.Add(Day(2026, 11, 26), 1);
  spending.AddPast(past, Day(2026, 11, 26));
  EXPECT_THAT(spending.SpentOn(Day(2026, 11, 26)), ElementsAre(1, 4, 4, 4));
  EXPECT_THAT(past.SpentOn(Day(2026, 11, 25)), ElementsAre(3, 3, 3, 3));
}

TEST(Spending, StaysAtTheGreatest) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  Spending spending;
  spending.Add(0, kMost - 1);
  spending.Add(0, kMost - 1);
  EXPECT_THAT(spending.SpentOn(0), ElementsAre(kMost, kMost, kMost, kMost));
}

TEST(FiveHours, BeginWithTheFirstUseAndEndFiveHoursLater) {
  using namespace std::chrono_literals;
  WallTime noon(std::chrono::seconds(1'795'694'400));
  FiveHours five;
  EXPECT_EQ(five.SpentAt(noon), 0);
  EXPECT_EQ(five.LeftAt(noon), 0s);
  five.Add(noon, 3);
  five.Add(noon + 4h, 4);
  EXPECT_EQ(five.SpentAt(noon + 4h), 7);
  EXPECT_EQ(five.LeftAt(noon + 4h), 1h);
  EXPECT_EQ(five.SpentAt(noon + 5h), 0);
  five.Add(noon + 6h, 1);
  EXPECT_EQ(five.SpentAt(noon + 6h), 1);
  EXPECT_EQ(five.LeftAt(noon + 6h), 5h);
  EXPECT_EQ(five.SpentAt(noon), 0) << "a clock that was put back ends them";
}

TEST(FiveHours, AddWhatAnotherKnows) {
  using namespace std::chrono_literals;
  WallTime noon(std::chrono::seconds(1'795'694'400));
  FiveHours five;
  five.AddPast(FiveHours(noon - 5h, 100), noon);
  EXPECT_EQ(five.SpentAt(noon), 0);
  five.AddPast(FiveHours(noon - 1h, 100), noon);
  EXPECT_EQ(five.SpentAt(noon), 100);
  FiveHours late;
  late.Add(noon, 1);
  late.AddPast(FiveHours(noon - 1h, 100), noon);
  EXPECT_EQ(late.SpentAt(noon), 101);
  EXPECT_EQ(late.LeftAt(noon), 4h);
}

TEST(EndOf, IsTheFirstDayAfterTheWindow) {
  int32_t thursday = Day(2026, 11, 26);
  EXPECT_EQ(EndOf(CostWindow::kDay, thursday), thursday + 1);
  EXPECT_EQ(EndOf(CostWindow::kWeek, thursday), Day(2026, 11, 30));
  EXPECT_EQ(EndOf(CostWindow::kWeek, Day(2026, 11, 30)), Day(2026, 12, 7));
  EXPECT_EQ(EndOf(CostWindow::kWeek, Day(2026, 11, 29)), Day(2026, 11, 30));
  EXPECT_EQ(EndOf(CostWindow::kMonth, thursday), Day(2026, 12, 1));
  EXPECT_EQ(EndOf(CostWindow::kMonth, Day(2026, 12, 31)), Day(2027, 1, 1));
  EXPECT_EQ(EndOf(CostWindow::kMonth, Day(2028, 2, 1)), Day(2028, 3, 1));
  EXPECT_EQ(EndOf(CostWindow::kTotal, thursday), std::nullopt);
  // Before the epoch too: a machine without a clock begins there.
  EXPECT_EQ(EndOf(CostWindow::kWeek, -4), -3);
  EXPECT_EQ(EndOf(CostWindow::kWeek, -3), 4);
}

}  // namespace
}  // namespace relay
