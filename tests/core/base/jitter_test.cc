// SPDX-License-Identifier: MIT
#include "core/base/jitter.h"

#include <gtest/gtest.h>

#include <set>

namespace relay {
namespace {

using namespace std::chrono_literals;

TEST(Jitter, StaysAroundTheTimeAndIsNotAlwaysTheSame) {
  std::set<Duration> seen;
  for (int i = 0; i < 1000; ++i) {
    Duration time = Jittered(1s);
    EXPECT_GE(time, 750ms);
    EXPECT_LE(time, 1250ms);
    seen.insert(time);
  }
  EXPECT_GT(seen.size(), 100U);
  EXPECT_EQ(Jittered(0s), 0s);
  EXPECT_EQ(RandomPart(0s), 0s);
}

}  // namespace
}  // namespace relay
