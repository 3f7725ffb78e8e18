// SPDX-License-Identifier: MIT
// Commands of a plan that bills each one (Upstash's free plan: 500,000 a month). When they run low
// the relay says less often what was used, and refuses nobody.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/clock.h"

namespace relay {

class RedisBudget {
 public:
  static constexpr Duration kMaxInterval = std::chrono::minutes(10);
  // What may be used ahead of an even pace: two days' worth of a month.
  static constexpr int64_t kBurstShare = 15;

  // `per_month` 0: there is no budget. `interval` is how often is flushed while all is well.
  RedisBudget(int64_t per_month, Duration interval) : per_month_(per_month), interval_(interval) {}

  // Of UTC: "2026-11".
  static std::string MonthOf(WallTime when);

  struct View {
    int64_t per_month = 0;   // 0: no budget, and the others but `used` mean nothing
    int64_t used = 0;        // this month
    int64_t forecast = 0;    // of the whole month, if it goes on as it went in its time so far
    Duration interval{};     // between two flushes, now
    bool stretched = false;  // longer than it was meant to be
  };
  // `used`: in the month of `now`.
  View Look(WallTime now, int64_t used) const;

 private:
  int64_t per_month_;
  Duration interval_;
};

}  // namespace relay
