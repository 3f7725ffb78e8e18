// SPDX-License-Identifier: MIT
// What happened in any 60 seconds.
#pragma once

#include <array>
#include <cstdint>

#include "core/base/clock.h"

namespace relay {

// Starts, or tokens, of the last 60 s in one-second buckets; the bucket that is partly older counts
// whole, so no 60 s ever hold more than the limit.
class MinuteWindow {
 public:
  int64_t Count(TimePoint now);
  void Add(TimePoint now, int64_t amount = 1);
  // From now until Count is below `limit`, which is above zero; zero when it is.
  Duration Until(int64_t limit, TimePoint now);

 private:
  static constexpr int64_t kBuckets = 61;
  void Advance(TimePoint now);
  std::array<int64_t, kBuckets> amounts_{};
  int64_t second_ = 0;  // of the newest bucket; goes only forward, though workers' clocks differ
  int64_t sum_ = 0;
};

}  // namespace relay
