// SPDX-License-Identifier: MIT
#include "core/exchange/body_budget.h"

#include <utility>

namespace relay {

// A body that waits, while it does; what it was granted goes on if it dies before it took it.
class BodyBudget::Ticket final : public WaitTicket {
 public:
  Ticket(BodyBudget& budget, Loop& loop, Owner its_owner, size_t its_bytes)
      : WaitTicket(loop), owner(its_owner), bytes(its_bytes), budget_(budget) {}
  ~Ticket() {
    std::lock_guard lock(budget_.mutex_);
    if (granted) {
      budget_.GiveLocked(owner, bytes);
    } else if (linked()) {
      budget_.waiting_.Leave(*this);
    } else {
      return;
    }
    // It may have been the one that stood in the others' way.
    budget_.ServeLocked();
  }

  enum class Turn : uint8_t { kServed, kWait, kFull };
  Turn Try() {
    std::lock_guard lock(budget_.mutex_);
    if (std::exchange(granted, false)) return Turn::kServed;
    if (linked()) return Turn::kWait;
    if (budget_.waiting_.size() >= kMostWaiting) return Turn::kFull;
    budget_.waiting_.Enter(*this);
    // Room may have come since the caller looked, and nobody would speak of it any more.
    budget_.ServeLocked();
    return std::exchange(granted, false) ? Turn::kServed : Turn::kWait;
  }

  const Owner owner;
  const size_t bytes;
  bool granted = false;  // under the mutex; counted as used already

 private:
  BodyBudget& budget_;
};

BodyBudget::BodyBudget(size_t bound) : bound_(bound) {}

BodyBudget::~BodyBudget() = default;

bool BodyBudget::TryTake(Owner owner, size_t bytes) {
  std::lock_guard lock(mutex_);
  if (!waiting_.empty() || !FitsLocked(bytes)) return false;
  TakeLocked(owner, bytes);
  return true;
}

Task<bool> BodyBudget::Take(Loop& loop, Owner owner, size_t bytes, TimePoint deadline) {
  if (TryTake(owner, bytes)) co_return true;
  Ticket ticket(*this, loop, owner, bytes);
  while (true) {
    Ticket::Turn turn = ticket.Try();
    if (turn != Ticket::Turn::kWait) co_return turn == Ticket::Turn::kServed;
    if (loop.Now() >= deadline) co_return false;
    co_await ticket.Wait(deadline);
  }
}

void BodyBudget::Give(Owner owner, size_t bytes) {
  if (bytes == 0) return;
  std::lock_guard lock(mutex_);
  GiveLocked(owner, bytes);
  ServeLocked();
}

void BodyBudget::TakeLocked(Owner owner, size_t bytes) {
  if (bytes == 0) return;
  used_ += bytes;
  held_[owner] += bytes;
}

void BodyBudget::GiveLocked(Owner owner, size_t bytes) {
  used_ -= bytes;
  auto at = held_.find(owner);
  at->second -= bytes;
  if (at->second == 0) held_.erase(at);
}

void BodyBudget::ServeLocked() {
  while (Ticket* next = NextLocked()) {
    if (!FitsLocked(next->bytes)) return;
    TakeLocked(next->owner, next->bytes);
    waiting_.Leave(*next);
    next->granted = true;
    next->Wake();
  }
}

// Of the owner that holds least, the first that came. Smaller ones behind it wait, too: else large
// bodies would never have their turn.
BodyBudget::Ticket* BodyBudget::NextLocked() {
  Ticket* next = nullptr;
  size_t least = 0;
  waiting_.ForEach([&](Ticket& ticket) {
    size_t held = HeldLocked(ticket.owner);
    if (next != nullptr && held >= least) return;
    next = &ticket;
    least = held;
  });
  return next;
}

size_t BodyBudget::HeldLocked(Owner owner) const {
  auto at = held_.find(owner);
  return at == held_.end() ? 0 : at->second;
}

size_t BodyBudget::used() const {
  std::lock_guard lock(mutex_);
  return used_;
}

size_t BodyBudget::waiting() const {
  std::lock_guard lock(mutex_);
  return waiting_.size();
}

}  // namespace relay
