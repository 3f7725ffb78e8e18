// SPDX-License-Identifier: MIT
#include "core/base/zone.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

WallTime At(int64_t unix_seconds) {
  return WallTime(std::chrono::seconds(unix_seconds));
}

constexpr int64_t kNewYear2027 = 1'798'761'600;  // 2027-01-01T00:00:00Z

TEST(Zone, CountsDaysInUtcUnlessTold) {
  Zone utc;
  EXPECT_EQ(DayText(utc.DayOf(At(kNewYear2027))), "2027-01-01");
  EXPECT_EQ(DayText(utc.DayOf(At(kNewYear2027) - Duration(1))), "2026-12-31");
  EXPECT_EQ(utc.DayOf(At(0)), 0);
  EXPECT_EQ(DayText(utc.DayOf(At(-1))), "1969-12-31");
}

TEST(Zone, CountsDaysOnItsOwnCalendar) {
  std::optional<Zone> shanghai = Zone::Load("Asia/Shanghai");
  std::optional<Zone> new_york = Zone::Load("America/New_York");
  ASSERT_TRUE(shanghai && new_york);
  EXPECT_EQ(DayText(shanghai->DayOf(At(kNewYear2027 - 8 * 3600))), "2027-01-01");
  EXPECT_EQ(DayText(shanghai->DayOf(At(kNewYear2027 - 8 * 3600 - 1))), "2026-12-31");
  EXPECT_EQ(DayText(new_york->DayOf(At(kNewYear2027 + 5 * 3600 - 1))), "2026-12-31");
}

TEST(Zone, AnswersForEachZoneAndSecondAlone) {
  // Asked in turn, so that what one was told last is never taken for the other's.
  auto tokyo = Zone::Load("Asia/Tokyo");
  ASSERT_TRUE(tokyo);
  Zone utc;
  const WallTime before(std::chrono::seconds(86'400 - 9 * 3600 - 1));
  const int32_t day = utc.DayOf(before);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(utc.DayOf(before), day);
    EXPECT_EQ(tokyo->DayOf(before), day);
    EXPECT_EQ(tokyo->DayOf(before + std::chrono::seconds(1)), day + 1);
    EXPECT_EQ(utc.DayOf(before + std::chrono::seconds(1)), day);
  }
}

TEST(Zone, TellsWhenADayBegins) {
  EXPECT_EQ(Zone().StartOf(1), At(86'400));
  for (const char* name : {"Asia/Shanghai", "Europe/Berlin", "America/Sao_Paulo"}) {
    std::optional<Zone> zone = Zone::Load(name);
    ASSERT_TRUE(zone) << name;
    // Sao Paulo's clocks went from 23:59:59 to 01:00 on days of this span (2017, 2018).
    for (int32_t day = 17'400; day < 18'200; ++day) {
      EXPECT_EQ(zone->DayOf(zone->StartOf(day)), day) << name;
      EXPECT_EQ(zone->DayOf(zone->StartOf(day) - Duration(1)), day - 1) << name << " " << day;
    }
  }
}

TEST(Zone, KnowsDaylightSaving) {
  std::optional<Zone> berlin = Zone::Load("Europe/Berlin");
  ASSERT_TRUE(berlin);
  // 2026-07-01T22:00Z is midnight in summer, 2026-12-01T23:00Z in winter.
  EXPECT_EQ(DayText(berlin->DayOf(At(1'782'943'200))), "2026-07-02");
  EXPECT_EQ(DayText(berlin->DayOf(At(1'782'943'199))), "2026-07-01");
  EXPECT_EQ(DayText(berlin->DayOf(At(1'796'166'000))), "2026-12-02");
  EXPECT_EQ(DayText(berlin->DayOf(At(1'796'165'999))), "2026-12-01");
}

TEST(Zone, SaysWhenItDoesNotKnowAName) {
  EXPECT_TRUE(Zone::Load("UTC"));
  EXPECT_FALSE(Zone::Load("Europe/Atlantis"));
  EXPECT_FALSE(Zone::Load("../../etc/passwd"));
}

TEST(ParseDay, ReadsWhatDayTextWrites) {
  for (int32_t day : {0, 59, 11'016, 20'783, 20'819, 80'000}) {
    EXPECT_EQ(ParseDay(DayText(day)), day);
  }
  for (const char* text : {"", "2027-1-1", "2027-02-29", "2027-13-01", "2027-00-10", "2027-01-00",
                           "1969-12-31", "2027/01/01", "2027-01-01 ", "+027-01-01", "tomorrow"}) {
    EXPECT_FALSE(ParseDay(text)) << text;
  }
}

}  // namespace
}  // namespace relay
