// SPDX-License-Identifier: MIT
// One hierarchical timer wheel a loop. Arming and disarming a timer moves a list node and makes no
// system call, so a deadline may be pushed back with every chunk. Resolution: one tick (8 ms);
// a timer never fires early.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "core/base/clock.h"
#include "core/base/list.h"

namespace relay {

class TimerWheel;
struct TimerTag {};

// Something that happens later. Dies disarmed.
class Timer : private ListNode<TimerTag> {
 public:
  explicit Timer(TimerWheel& wheel) : wheel_(wheel) {}
  virtual ~Timer() = default;
  // (Re)arms: OnTimer once, at `when` or up to a tick later.
  void ArmAt(TimePoint when);
  void ArmIn(Duration delay);
  void Disarm() { Unlink(); }
  bool armed() const { return linked(); }

 protected:
  // Runs in the loop's timer phase. May arm again or delete this timer.
  virtual void OnTimer() = 0;

 private:
  friend class TimerWheel;
  friend class List<Timer, TimerTag>;
  TimerWheel& wheel_;
  uint64_t due_ = 0;  // in ticks
};

// A timer that calls a member function: `MethodTimer<Foo, &Foo::OnIdle> idle_{wheel, *this};`
template <class T, void (T::*method)()>
class MethodTimer final : public Timer {
 public:
  MethodTimer(TimerWheel& wheel, T& owner) : Timer(wheel), owner_(owner) {}

 protected:
  void OnTimer() override { (owner_.*method)(); }

 private:
  T& owner_;
};

class TimerWheel {
 public:
  static constexpr Duration kTick = std::chrono::milliseconds(8);

  explicit TimerWheel(const Clock& clock)
      : clock_(clock), start_(clock.Now()), now_(start_), fresh_(true) {}
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Fires everything due by now, in order of ticks.
  void Advance();
  // When Advance should run next at the latest; nothing when no timer is armed.
  std::optional<TimePoint> Next() const;
  // The time, read from the clock at the first call after Stale(): once a turn.
  TimePoint now() {
    if (!fresh_) {
      now_ = std::max(now_, clock_.Now());
      fresh_ = true;
    }
    return now_;
  }
  // Time may have passed: the loop is about to block, or has run for long.
  void Stale() { fresh_ = false; }

 private:
  friend class Timer;
  static constexpr int kLevels = 4;
  static constexpr int kBits = 6;
  static constexpr uint64_t kSlots = uint64_t{1} << kBits;

  void Insert(Timer& timer);
  void Cascade(int level);
  uint64_t TickAtOrAfter(TimePoint when) const;

  const Clock& clock_;
  TimePoint start_;
  TimePoint now_;
  bool fresh_;
  uint64_t tick_ = 0;  // all timers due at or before it have fired
  std::array<std::array<List<Timer, TimerTag>, kSlots>, kLevels> slots_;
};

}  // namespace relay
