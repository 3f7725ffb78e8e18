// SPDX-License-Identifier: MIT
// A worker's event loop: the only thing that resumes coroutines and destroys exchanges.
//
// A turn: the loop polls, callbacks of sockets and timers run and mark waiters ready; then, before
// it polls again, the graves are emptied, ready waiters resumed (until neither is left), and what
// was written is flushed. "In the same turn" means before the next poll.
#pragma once

#include <atomic>
#include <coroutine>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "core/async/timer.h"
#include "core/base/clock.h"
#include "core/base/list.h"

struct uv_loop_s;

namespace relay {

struct WaiterTag {};
struct FlushTag {};

// The base of every awaitable: a suspended coroutine in some list. Unmovable; unlinks itself when
// the awaiting frame dies, so nothing ever resumes a dead one.
class Waiter : public ListNode<WaiterTag> {
 public:
  Waiter() = default;
  std::coroutine_handle<> frame;
};
using WaiterList = List<Waiter, WaiterTag>;

// What Loop::Bury destroys in its own phase.
class Mortal {
 public:
  virtual ~Mortal() = default;
};

struct OrphanTag {};
// Lives on without an owner until it buries itself, or until its loop ends.
class Orphan : public Mortal, public ListNode<OrphanTag> {};

// Has output to send at the end of the turn.
class Flushable : public ListNode<FlushTag> {
 public:
  virtual void Flush() = 0;

 protected:
  ~Flushable() = default;
};

class Loop {
 public:
  explicit Loop(const Clock& clock = SystemClock::Get());
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  // Everything that used the loop must be gone; handles still closing are waited for.
  ~Loop();

  // Until Stop().
  void Run();
  // From any thread. Run returns after the current turn.
  void Stop();
  // One turn that does not block, for tests: polls, fires timers due, drains.
  void Turn();

  // Read once a turn.
  TimePoint Now() { return wheel_.now(); }
  const Clock& clock() const { return clock_; }
  TimerWheel& timers() { return wheel_; }
  uv_loop_s* uv() { return uv_; }

  // Resumes `waiter` in this turn's last phase, once.
  void Ready(Waiter& waiter);
  // Destroys `corpse` in this turn, before any waiter is resumed.
  void Bury(std::unique_ptr<Mortal> corpse);
  // Keeps `orphan` until it buries itself: Bury(std::unique_ptr<Mortal>(this)).
  void Adopt(std::unique_ptr<Orphan> orphan) { orphans_.PushBack(*orphan.release()); }
  // Flushes in this turn, after all waiters.
  void FlushLater(Flushable& item);
  // Likewise, and before all that is there to be flushed.
  void FlushFirst(Flushable& item);
  // Runs `job` on this loop's thread soon. The only door open to other threads.
  void Post(std::function<void()> job);
  bool OnThisThread() const;

 private:
  struct Handles;
  void Drain();
  void Wake();
  void RunPosted();
  void RearmTimer();

  const Clock& clock_;
  TimerWheel wheel_;
  std::unique_ptr<Handles> handles_;
  uv_loop_s* uv_;
  bool draining_ = false;
  bool polling_ = false;  // between prepare and check: the drain comes by itself
  std::vector<std::unique_ptr<Mortal>> graves_;
  WaiterList ready_;
  List<Flushable, FlushTag> flush_;
  List<Orphan, OrphanTag> orphans_;
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
  std::atomic<bool> stopping_{false};
  TimePoint timer_set_for_{};
  bool timer_set_ = false;
};

}  // namespace relay
