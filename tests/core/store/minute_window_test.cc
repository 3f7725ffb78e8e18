// SPDX-License-Identifier: MIT
#include "core/store/minute_window.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace relay {
namespace {

using namespace std::chrono_literals;

TimePoint Second(double second) {
  return TimePoint(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(second)));
}

TEST(MinuteWindow, CountsWhatMayBeYoungerThanAMinute) {
  MinuteWindow window;
  window.Add(Second(1000.9));
  EXPECT_EQ(window.Count(Second(1000.9)), 1);
  EXPECT_EQ(window.Count(Second(1060.95)), 1);  // the bucket might hold a start of 1000.99
  EXPECT_EQ(window.Count(Second(1061)), 0);
}

TEST(MinuteWindow, TellsWhenThereIsRoomAgain) {
  MinuteWindow window;
  for (int second : {1000, 1010, 1020}) window.Add(Second(second));
  TimePoint now = Second(1030.5);
  EXPECT_EQ(window.Until(4, now), 0s);
  EXPECT_EQ(window.Until(3, now), 30500ms);
  EXPECT_EQ(window.Until(1, now), 50500ms);
  EXPECT_EQ(window.Count(now + window.Until(1, now)), 0);
}

TEST(MinuteWindow, ForgetsAllAfterAPauseAndNothingWhenAClockIsBehind) {
  MinuteWindow window;
  window.Add(Second(50));
  window.Add(Second(49));  // another worker's clock, cached a little earlier
  EXPECT_EQ(window.Count(Second(48)), 2);
  EXPECT_EQ(window.Count(Second(100'000)), 0);
}

TEST(MinuteWindow, NeverLetsAnyMinuteHoldMoreThanTheLimit) {
  constexpr int64_t kLimit = 7;
  std::mt19937 random(11);  // NOLINT(bugprone-random-generator-seed): the same run each time
  std::uniform_int_distribution<int> pause(0, 4000);
  MinuteWindow window;
  std::deque<TimePoint> starts;
  TimePoint now = Second(5000);
  for (int i = 0; i < 20'000; ++i) {
    now += std::chrono::milliseconds(pause(random));
    if (window.Count(now) >= kLimit) {
      // What it promises is true, and not a tick earlier.
      Duration wait = window.Until(kLimit, now);
      ASSERT_GT(wait, 0s);
      MinuteWindow copy = window;
      ASSERT_GE(copy.Count(now + wait - 1ns), kLimit);
      ASSERT_LT(copy.Count(now + wait), kLimit);
      continue;
    }
    window.Add(now);
    starts.push_back(now);
    while (now - starts.front() >= 60s) starts.pop_front();
    ASSERT_LE(static_cast<int64_t>(starts.size()), kLimit);
  }
}

TEST(MinuteWindow, TakesWhatIsPast) {
  MinuteWindow window;
  window.Add(Second(1030), 70);
  window.AddPast(Second(1000), 500, Second(1030));
  window.AddPast(Second(900), 9, Second(1030));
  window.AddPast(Second(2000), 1, Second(1030));
  EXPECT_EQ(window.Count(Second(1030)), 571);
  auto buckets = window.Buckets();
  ASSERT_EQ(buckets.size(), 2U);
  EXPECT_EQ(buckets[0].begin, Second(1000));
  EXPECT_EQ(buckets[0].amount, 500);
  EXPECT_EQ(buckets[1].amount, 71);
  EXPECT_EQ(window.Count(Second(1061)), 71);
  // A machine whose clock has just begun.
  MinuteWindow young;
  young.AddPast(Second(-30), 5, Second(3));
  EXPECT_EQ(young.Count(Second(60)), 5);
  EXPECT_EQ(young.Count(Second(61)), 0);
}

TEST(MinuteWindow, CountsAmounts) {
  MinuteWindow window;
  window.Add(Second(1000), 500);
  window.Add(Second(1030), 70);
  EXPECT_EQ(window.Count(Second(1030)), 570);
  EXPECT_EQ(window.Until(571, Second(1030)), 0s);
  EXPECT_EQ(window.Until(570, Second(1030)), 31s);
  EXPECT_EQ(window.Until(70, Second(1030)), 61s);
  EXPECT_EQ(window.Count(Second(1061)), 70);
}

}  // namespace
}  // namespace relay
