// SPDX-License-Identifier: MIT
#include "core/base/text.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <thread>

namespace relay {
namespace {

WallTime At(int64_t millis) {
  return WallTime(std::chrono::milliseconds(millis));
}

TEST(RandomHex, GivesTwoDigitsAByte) {
  for (size_t bytes : {0U, 1U, 12U, 32U, 2000U}) {
    std::string text = RandomHex(bytes);
    EXPECT_EQ(text.size(), 2 * bytes);
    EXPECT_EQ(text.find_first_not_of("0123456789abcdef"), std::string::npos) << text;
  }
}

TEST(RandomHex, StandsBehindItsPrefix) {
  std::string id = RandomHex(12, "req_");
  EXPECT_EQ(id.size(), 28U);
  EXPECT_TRUE(id.starts_with("req_"));
}

TEST(AppendFilled, GrowsByWhatIsAskedForHoweverMuchRoomThereIs) {
  for (size_t before = 0; before < 70; ++before) {
    std::string text(before, 'a');
    text.shrink_to_fit();
    AppendFilled(text, 9, [](char* at) { std::memset(at, 'b', 9); });
    EXPECT_EQ(text, std::string(before, 'a') + std::string(9, 'b'));
  }
}

TEST(RandomHex, NeverGivesTheSameTwice) {
  std::set<std::string> seen;
  for (int i = 0; i < 10'000; ++i) seen.insert(RandomHex(8));
  std::set<std::string> others;
  std::thread other([&] {
    for (int i = 0; i < 10'000; ++i) others.insert(RandomHex(8));
  });
  other.join();
  seen.merge(others);
  EXPECT_EQ(seen.size(), 20'000U);
}

TEST(RandomHex, UsesAllValuesOfAByte) {
  std::set<std::string> seen;
  std::string text = RandomHex(20'000);
  for (size_t i = 0; i < text.size(); i += 2) seen.insert(text.substr(i, 2));
  EXPECT_EQ(seen.size(), 256U);
}

TEST(HttpDate, IsTheFormOfTheRfc) {
  EXPECT_EQ(HttpDate(At(784'111'777'000)), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(HttpDate(At(784'111'777'999)), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(HttpDate(At(784'111'778'000)), "Sun, 06 Nov 1994 08:49:38 GMT");
  EXPECT_EQ(HttpDate(At(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(HttpDate(At(1'709'164'800'000)), "Thu, 29 Feb 2024 00:00:00 GMT");
}

TEST(IsoTime, HasMillisecondsInUtc) {
  EXPECT_EQ(IsoTime(At(1'795'497'600'005)), "2026-11-24T05:20:00.005Z");
  EXPECT_EQ(IsoTime(At(999)), "1970-01-01T00:00:00.999Z");
  EXPECT_EQ(IsoTime(At(1'709'251'199'999)), "2024-02-29T23:59:59.999Z");
}

}  // namespace
}  // namespace relay
