// SPDX-License-Identifier: MIT
// How many of an account's requests failed of late: of the last half minute to minute.
#pragma once

#include "core/base/clock.h"

namespace relay {

class RecentFailures {
 public:
  static constexpr Duration kHalf = std::chrono::seconds(30);

  void Add(bool failed, TimePoint now) {
    Roll(now);
    ++half_.requests;
    if (failed) ++half_.failures;
  }
  // Whether there were `volume` requests at least, and `percent` of them or more failed.
  bool Reach(int percent, int volume, TimePoint now) {
    Roll(now);
    int requests = half_.requests + before_.requests;
    return requests >= volume && (half_.failures + before_.failures) * 100 >= percent * requests;
  }
  void Forget() { half_ = before_ = {}; }

 private:
  struct Counts {
    int requests = 0;
    int failures = 0;
  };
  void Roll(TimePoint now) {
    if (now - since_ < kHalf) return;
    before_ = now - since_ < 2 * kHalf ? half_ : Counts();
    half_ = {};
    since_ = now;
  }

  TimePoint since_{};
  Counts half_;
  Counts before_;
};

}  // namespace relay
