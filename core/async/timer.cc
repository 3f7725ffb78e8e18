// SPDX-License-Identifier: MIT
#include "core/async/timer.h"

namespace relay {

void Timer::ArmAt(TimePoint when) {
  due_ = wheel_.TickAtOrAfter(when);
  wheel_.Insert(*this);
}

void Timer::ArmIn(Duration delay) {
  ArmAt(wheel_.now() + delay);
}

uint64_t TimerWheel::TickAtOrAfter(TimePoint when) const {
  if (when <= start_) return tick_ + 1;
  auto ticks = (when - start_ + kTick - Duration(1)) / kTick;
  return std::max(tick_ + 1, static_cast<uint64_t>(ticks));
}

void TimerWheel::Insert(Timer& timer) {
  uint64_t delta = timer.due_ - tick_;
  for (int level = 0; level < kLevels; ++level) {
    if (delta < (uint64_t{1} << (kBits * (level + 1))) || level == kLevels - 1) {
      // Past the last level's reach (37 h) a timer waits in its farthest slot and is sorted anew.
      uint64_t reach = (uint64_t{1} << (kBits * (level + 1))) - 1;
      uint64_t due = tick_ + std::min(delta, reach);
      slots_[static_cast<size_t>(level)][(due >> (kBits * level)) % kSlots].PushBack(timer);
      return;
    }
  }
}

void TimerWheel::Cascade(int level) {
  List<Timer, TimerTag> moving;
  moving.Splice(slots_[static_cast<size_t>(level)][(tick_ >> (kBits * level)) % kSlots]);
  while (Timer* timer = moving.PopFront()) {
    timer->due_ = std::max(timer->due_, tick_);
    Insert(*timer);
  }
}

void TimerWheel::Advance() {
  Stale();
  now();
  auto target = static_cast<uint64_t>((now_ - start_) / kTick);
  while (tick_ < target) {
    // An empty wheel jumps: a loop that slept for hours does not count its ticks.
    std::optional<TimePoint> next = Next();
    if (!next) {
      tick_ = target;
      return;
    }
    auto next_tick = static_cast<uint64_t>((*next - start_) / kTick);
    if (next_tick > target) {
      tick_ = target;
      return;
    }
    tick_ = std::max(tick_ + 1, next_tick);
    for (int level = kLevels - 1; level >= 1; --level) {
      if (tick_ % (uint64_t{1} << (kBits * level)) == 0) Cascade(level);
    }
    List<Timer, TimerTag> due;
    due.Splice(slots_[0][tick_ % kSlots]);
    while (Timer* timer = due.PopFront()) {
      if (timer->due_ > tick_) {
        Insert(*timer);
      } else {
        timer->OnTimer();
      }
    }
  }
}

std::optional<TimePoint> TimerWheel::Next() const {
  // The next tick at which a slot of level 0 fires or one of a higher level comes down.
  std::optional<uint64_t> best;
  for (int level = 0; level < kLevels; ++level) {
    uint64_t unit = uint64_t{1} << (kBits * level);
    uint64_t base = tick_ / unit;
    for (uint64_t step = 1; step <= kSlots; ++step) {
      if (slots_[static_cast<size_t>(level)][(base + step) % kSlots].empty()) continue;
      uint64_t at = (base + step) * unit;
      best = best ? std::min(*best, at) : at;
      break;
    }
  }
  if (!best) return std::nullopt;
  return start_ + kTick * static_cast<int64_t>(*best);
}

}  // namespace relay
