// SPDX-License-Identifier: MIT
// The only place that reads the system's clocks. Tests drive a ManualClock instead.
#pragma once

#include <chrono>

namespace relay {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  // Monotonic: for all deadlines and limits.
  virtual TimePoint Now() const = 0;
  // The calendar: for logs, ledger days and absolute reset times.
  virtual WallTime Wall() const = 0;
};

// One moment by both clocks, from which others are reckoned.
struct Instant {
  explicit Instant(const Clock& clock) : now(clock.Now()), wall(clock.Wall()) {}
  Instant(TimePoint its_now, WallTime its_wall) : now(its_now), wall(its_wall) {}
  // What the calendar says, said or will say at a moment of the other clock.
  WallTime WallOf(TimePoint when) const {
    return wall + std::chrono::duration_cast<WallTime::duration>(when - now);
  }

  TimePoint now;
  WallTime wall;
};

class SystemClock final : public Clock {
 public:
  TimePoint Now() const override { return std::chrono::steady_clock::now(); }
  WallTime Wall() const override { return std::chrono::system_clock::now(); }
  // One for the process; stateless.
  static SystemClock& Get() {
    static SystemClock clock;
    return clock;
  }
};

// Stands still until a test moves it. Both clocks move together.
class ManualClock final : public Clock {
 public:
  TimePoint Now() const override { return now_; }
  WallTime Wall() const override { return wall_; }
  void Advance(Duration by) {
    now_ += by;
    wall_ += std::chrono::duration_cast<WallTime::duration>(by);
  }
  void SetWall(WallTime wall) { wall_ = wall; }

 private:
  TimePoint now_{std::chrono::hours(1)};
  WallTime wall_{std::chrono::seconds(1'790'000'000)};
};

}  // namespace relay
