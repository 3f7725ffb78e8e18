// SPDX-License-Identifier: MIT
// Coroutines of several loops that wait for their turn at something process-wide: first come, first
// served. The queue and what stands in it are guarded by its owner's mutex; the owner hands things
// out under it, and each waiter goes on from its own loop.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "core/async/event.h"
#include "core/base/list.h"

namespace relay {

struct WaitTag {};

// A coroutine's place in queues of one owner, made and destroyed by it. Whoever derives from this
// adds what the coroutine wants and is given, and leaves the queue before it dies.
class WaitTicket : public ListNode<WaitTag> {
 public:
  explicit WaitTicket(Loop& loop) : arrival_(Next()), bell_(std::make_shared<Bell>(loop)) {}
  ~WaitTicket() { bell_->heard = false; }

  // Its own coroutine's: look under the mutex, let go of it, wait, look again. A Wake in between is
  // not lost, since the loop hears of it only once the coroutine has suspended.
  TimedWait Wait(TimePoint deadline) { return bell_->event.Wait(deadline); }
  // From any thread, under the owner's mutex while it stands in a queue or leaves it to be served:
  // that its loop is there is certain only then.
  void Wake() {
    bell_->loop.Post([bell = bell_] {
      if (bell->heard) bell->event.NotifyAll();
    });
  }
  // Smaller: came earlier, whichever queue it stands in.
  uint64_t arrival() const { return arrival_; }

 private:
  // Outlives the ticket as long as a Wake is on its way.
  struct Bell {
    explicit Bell(Loop& its_loop) : loop(its_loop), event(its_loop) {}
    Loop& loop;
    Event event;        // this and the next only on the loop's thread
    bool heard = true;  // the ticket lives
  };
  static uint64_t Next() {
    static std::atomic<uint64_t> next{0};
    return next++;
  }

  const uint64_t arrival_;
  const std::shared_ptr<Bell> bell_;
};

// T derives from WaitTicket. Every call is made under the owner's mutex.
template <class T>
class WaitQueue {
 public:
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* front() { return list_.front(); }
  // Behind all that came before it, also when it comes from another queue of its owner.
  void Enter(T& ticket) {
    list_.InsertSorted(ticket, [](const T& a, const T& b) { return a.arrival() < b.arrival(); });
    ++size_;
  }
  // `ticket` stands in this queue.
  void Leave(T& ticket) {
    ticket.Unlink();
    --size_;
  }
  // The first for which `wanted(const T&)` holds; null when there is none.
  template <class F>
  T* Find(F wanted) {
    return list_.Find(std::move(wanted));
  }
  // `visit(T&)` for each, in order; it lets all of them stand.
  template <class F>
  void ForEach(F visit) {
    list_.ForEach(std::move(visit));
  }

 private:
  List<T, WaitTag> list_;
  size_t size_ = 0;
};

}  // namespace relay
