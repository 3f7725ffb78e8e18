// SPDX-License-Identifier: MIT
#include "core/store/wrong_keys.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

using namespace std::chrono_literals;

const IpAddress kHere = *IpAddress::Parse("192.0.2.1");
const TimePoint kNow{1h};

TEST(WrongKeys, TellsHowLongToWaitOnceThereAreTooManyInAMinute) {
  WrongKeys wrong;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(wrong.Add(kHere, 3, kNow + i * 10s));
  EXPECT_EQ(wrong.Add(kHere, 3, kNow + 30s), 30s);
  EXPECT_EQ(wrong.Add(kHere, 3, kNow + 59s), 1s);
  EXPECT_FALSE(wrong.Add(*IpAddress::Parse("192.0.2.2"), 3, kNow + 59s)) << "another address";
  EXPECT_FALSE(wrong.Add(kHere, 3, kNow + 60s)) << "another minute";
}

TEST(WrongKeys, TakesANetOfIPv6ForOneCustomer) {
  WrongKeys wrong;
  EXPECT_FALSE(wrong.Add(*IpAddress::Parse("2001:db8:0:1::1"), 1, kNow));
  EXPECT_TRUE(wrong.Add(*IpAddress::Parse("2001:db8:0:1:ffff::2"), 1, kNow));
  EXPECT_FALSE(wrong.Add(*IpAddress::Parse("2001:db8:0:2::1"), 1, kNow));
}

TEST(WrongKeys, ALookCountsNothing) {
  WrongKeys wrong;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(wrong.Look(kHere, 1, kNow));
  EXPECT_EQ(wrong.size(), 0U);
  EXPECT_FALSE(wrong.Add(kHere, 1, kNow));
  EXPECT_EQ(wrong.Look(kHere, 1, kNow + 10s), Duration(50s));
  EXPECT_EQ(wrong.Add(kHere, 1, kNow + 10s), Duration(50s));
  EXPECT_FALSE(wrong.Look(kHere, 1, kNow + 60s)) << "the minute is over";
}

TEST(WrongKeys, ForgetsTheOldestWhereThereAreTooManyPlaces) {
  WrongKeys wrong;
  EXPECT_FALSE(wrong.Add(kHere, 1, kNow));
  for (uint32_t i = 0; i < 3 * WrongKeys::kMost; ++i) {
    IpAddress other = *IpAddress::Parse("10.0.0.0");
    for (size_t byte = 0; byte < 3; ++byte) {
      other.bytes[15 - byte] = static_cast<uint8_t>(i >> (8 * byte));
    }
    EXPECT_FALSE(wrong.Add(other, 1, kNow + 1s));
    ASSERT_LE(wrong.size(), WrongKeys::kMost);
  }
  EXPECT_FALSE(wrong.Add(kHere, 1, kNow + 2s)) << "forgotten";
  wrong.Add(*IpAddress::Parse("192.0.2.9"), 1, kNow + 10min);
  EXPECT_EQ(wrong.size(), 1U) << "minutes that are over";
}

}  // namespace
}  // namespace relay
