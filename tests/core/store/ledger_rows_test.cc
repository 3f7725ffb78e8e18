// SPDX-License-Identifier: MIT
#include "core/store/ledger_rows.h"

#include <gtest/gtest.h>

#include "tests/core/store/entries.h"

namespace relay {
namespace {

TEST(LedgerRows, SumsByDayAndByHour) {
  LedgerRows rows;
  LedgerEntry entry = TestEntry("1", 10);
  rows.Add(entry, TestPeriod(entry));
  rows.Add(TestEntry("2", 5), TestPeriod(entry));
  rows.Add(TestEntry("3", 1, "bob"), {kTestDay + 1, HourOf(entry.when) + 24});
  RowSet all = rows.All();
  ASSERT_EQ(all.days.size(), 2U);
  EXPECT_EQ(all.days[0].day, kTestDay);
  EXPECT_EQ(all.days[0].key, "alice");
  EXPECT_EQ(all.days[0].account, "claude/team");
  EXPECT_EQ(all.days[0].totals.input, 15);
  EXPECT_EQ(all.days[0].totals.requests, 2);
  ASSERT_EQ(all.hours.size(), 2U);
  EXPECT_EQ(all.hours[0].hour, 1'790'000'000 / 3600);
  EXPECT_EQ(all.hours[0].totals.input, 15);
  EXPECT_EQ(all.hours[1].key, "bob");
}

TEST(LedgerRows, GivesWhatChangedOnceWithItsPresentTotals) {
  LedgerRows rows;
  LedgerEntry entry = TestEntry("1", 10);
  rows.Add(entry, TestPeriod(entry));
  rows.Add(TestEntry("2", 1, "bob"), TestPeriod(entry));
  EXPECT_TRUE(rows.changed());
  RowSet first = rows.TakeChanged();
  EXPECT_EQ(first.days.size(), 2U);
  EXPECT_EQ(first.hours.size(), 2U);
  EXPECT_FALSE(rows.changed());
  EXPECT_TRUE(rows.TakeChanged().empty());

  rows.Add(TestEntry("3", 1, "bob"), TestPeriod(entry));
  RowSet again = rows.TakeChanged();
  EXPECT_EQ(again.days.size(), 1U);
  EXPECT_EQ(SumOf(again).input, 2);
  EXPECT_EQ(SumOfHours(again).input, 2);
}

TEST(LedgerRows, TellsWhatItCountsBeyondABase) {
  LedgerRows rows;
  LedgerEntry entry = TestEntry("1", 10);
  Period now = TestPeriod(entry);
  Period next{now.day + 1, now.hour + 24};
  rows.Add(entry, now);
  rows.Add(TestEntry("2", 5, "bob"), now);
  LedgerRows base;
  base.Set(rows.All());
  EXPECT_TRUE(rows.Since(base).empty());
  rows.Add(TestEntry("3", 7), now);
  rows.Add(TestEntry("4", 1, "carol"), next);
  LedgerRows since = rows.Since(base);
  RowSet rest = since.TakeChanged();
  ASSERT_EQ(rest.days.size(), 2U);
  ASSERT_EQ(rest.hours.size(), 2U);
  LedgerTotals seven;
  seven.Add(TestEntry("3", 7));
  EXPECT_EQ(rest.days[0].totals, seven);
  EXPECT_EQ(rest.hours[0].totals, seven);
  EXPECT_EQ(SumOf(rest).requests, 2);
  EXPECT_EQ(SumOf(rest).input, 8);
  // A base may know what was forgotten since, and forgets it too.
  base.DropUnknown(since);
  ASSERT_EQ(base.All().days.size(), 1U);
  EXPECT_EQ(base.All().days[0].key, "alice");
  EXPECT_EQ(base.TakeChanged().hours.size(), 1U);
}

TEST(LedgerRows, TakesAbsoluteTotalsInPlaceOfItsOwn) {
  LedgerRows rows;
  LedgerEntry entry = TestEntry("1", 10);
  rows.Add(entry, TestPeriod(entry));
  RowSet all = rows.All();
  rows.Set(all);
  rows.Set(all);
  EXPECT_EQ(SumOf(rows.All()), SumOf(all));
  EXPECT_EQ(SumOf(rows.All()).input, 10);
}

TEST(LedgerRows, ForgetsOldRowsThatWereTakenAndNeverBeginsThemAnew) {
  LedgerRows rows;
  LedgerEntry old = TestEntry("1", 10);
  Period then = TestPeriod(old);
  Period now{then.day + 1, then.hour + 24};
  rows.Add(old, then);
  rows.Add(TestEntry("2", 1), now);
  rows.Forget(now);
  EXPECT_EQ(rows.All().days.size(), 2U) << "it was never taken";

  rows.TakeChanged();
  rows.Forget(now);
  ASSERT_EQ(rows.All().days.size(), 1U);
  ASSERT_EQ(rows.All().hours.size(), 1U);
  // A clock that was put back: counted for what is still held.
  EXPECT_EQ(rows.Held(then).day, now.day);
  EXPECT_EQ(rows.Held(then).hour, now.hour);
  rows.Add(TestEntry("3", 2), rows.Held(then));
  ASSERT_EQ(rows.All().days.size(), 1U);
  EXPECT_EQ(SumOf(rows.All()).input, 3);
}

}  // namespace
}  // namespace relay
