// SPDX-License-Identifier: MIT
// Awaitables: an Event that coroutines of one loop wait for, with or without a deadline, and Sleep.
#pragma once

#include "core/async/loop.h"

namespace relay {

// co_await gives true when resumed by its list's owner, false when the deadline passed first.
class TimedWait : public Waiter, private Timer {
 public:
  // Stands in `list` until woken or timed out. No deadline: TimePoint::max().
  TimedWait(Loop& loop, WaiterList* list, TimePoint deadline)
      : Timer(loop.timers()), loop_(loop), list_(list), deadline_(deadline) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    frame = handle;
    if (list_ != nullptr) list_->PushBack(*this);
    if (deadline_ != TimePoint::max()) ArmAt(deadline_);
  }
  bool await_resume() {
    Disarm();
    return !timed_out_;
  }

 private:
  void OnTimer() override {
    // Woken in this very turn already: the wake-up wins.
    if (woken()) return;
    timed_out_ = true;
    loop_.Ready(*this);
  }
  bool woken() const { return woken_; }
  friend class Event;
  Loop& loop_;
  WaiterList* list_;
  TimePoint deadline_;
  bool timed_out_ = false;
  bool woken_ = false;
};

// A condition that somebody else on the same loop announces. Keeps no state: check, then wait.
class Event {
 public:
  explicit Event(Loop& loop) : loop_(loop) {}
  TimedWait Wait(TimePoint deadline = TimePoint::max()) { return {loop_, &waiting_, deadline}; }
  bool awaited() const { return !waiting_.empty(); }
  void NotifyAll() {
    while (NotifyOne()) {
    }
  }
  // False when nobody waited.
  bool NotifyOne() {
    auto* waiter = static_cast<TimedWait*>(waiting_.PopFront());
    if (waiter == nullptr) return false;
    waiter->woken_ = true;
    loop_.Ready(*waiter);
    return true;
  }

 private:
  Loop& loop_;
  WaiterList waiting_;
};

inline TimedWait Sleep(Loop& loop, Duration delay) {
  return {loop, nullptr, loop.Now() + delay};
}

}  // namespace relay
