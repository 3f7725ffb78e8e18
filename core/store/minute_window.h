// SPDX-License-Identifier: MIT
// What happened in any 60 seconds.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/base/clock.h"

namespace relay {

// Starts, or tokens, of the last 60 s in one-second buckets; the bucket that is partly older counts
// whole, so no 60 s ever hold more than the limit.
class MinuteWindow {
 public:
  int64_t Count(TimePoint now);
  void Add(TimePoint now, int64_t amount = 1);
  // Of a moment that is past, and may be too old to count. One before the clock's zero counts at
  // it.
  void AddPast(TimePoint when, int64_t amount, TimePoint now);
  // From now until Count is below `limit`, which is above zero; zero when it is.
  Duration Until(int64_t limit, TimePoint now);

  struct Bucket {
    TimePoint begin;
    int64_t amount = 0;
  };
  // Those that hold something, the oldest first.
  std::vector<Bucket> Buckets() const;

 private:
  static constexpr int64_t kBuckets = 61;
  void Advance(TimePoint now);
  std::array<int64_t, kBuckets> amounts_{};
  int64_t second_ = 0;  // of the newest bucket; goes only forward, though workers' clocks differ
  int64_t sum_ = 0;
};

}  // namespace relay
