// SPDX-License-Identifier: MIT
// The process-wide bound on what the bodies of requests hold together. Above it new bytes wait with
// the reading paused, so that senders slow down instead of memory growing; what becomes free goes
// to the key that holds least, so that no key's uploads keep the others out.
#pragma once

#include <cstddef>
#include <mutex>
#include <unordered_map>

#include "core/async/task.h"
#include "core/async/wait_queue.h"
#include "core/base/clock.h"

namespace relay {

// One for the process; thread-safe.
class BodyBudget {
 public:
  // Whose bodies share: a key's count by the same address, which outlives what it holds. Null: all
  // that belong to nobody.
  using Owner = const void*;
  // More than this who wait are told at once that there is no room.
  static constexpr size_t kMostWaiting = 1000;

  explicit BodyBudget(size_t bound);
  ~BodyBudget();

  // False: it would go beyond the bound, or others wait for room already. Nothing is taken then.
  bool TryTake(Owner owner, size_t bytes);
  // The same, but waits its turn until `deadline`; false: there was no room. More than the bound
  // never fits: do not ask. The budget outlives the task.
  Task<bool> Take(Loop& loop, Owner owner, size_t bytes, TimePoint deadline);
  void Give(Owner owner, size_t bytes);

  size_t used() const;
  size_t waiting() const;
  size_t bound() const { return bound_; }

 private:
  class Ticket;
  bool FitsLocked(size_t bytes) const { return bytes <= bound_ - used_; }
  void TakeLocked(Owner owner, size_t bytes);
  void GiveLocked(Owner owner, size_t bytes);
  // Gives room to those who wait, as far as it goes.
  void ServeLocked();
  Ticket* NextLocked();
  size_t HeldLocked(Owner owner) const;

  const size_t bound_;
  mutable std::mutex mutex_;
  size_t used_ = 0;
  std::unordered_map<Owner, size_t> held_;  // none that is zero
  WaitQueue<Ticket> waiting_;
};

}  // namespace relay
