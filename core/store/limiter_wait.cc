// SPDX-License-Identifier: MIT
#include <algorithm>
#include <utility>

#include "core/store/limiter_judge.h"

namespace relay {

// One ask that waits, and what came of it when it last looked.
class Limiter::Turn {
 public:
  Turn(Limiter& limiter, Loop& loop, Ask ask, TimePoint deadline, size_t most)
      : limiter_(limiter),
        loop_(loop),
        ask_(std::move(ask)),
        deadline_(deadline),
        most_(most),
        ticket_(loop) {}

  // Nothing: it must wait, see Wait.
  std::optional<Admitted> Look() {
    TimePoint now = loop_.Now();
    Judge judge(limiter_, ask_, now, ticket_.arrival());
    ticket_.woken = false;
    if (!judge.denied()) {
      auto slot = std::make_unique<Slot>();
      judge.Take(*slot);
      LeaveLocked();
      return Admitted(std::move(slot));
    }
    const Denied& denied = *judge.denied();
    const std::shared_ptr<LimitScope>& scope = ask_.claims[denied.claim].scope;
    bool full = ticket_.at == nullptr && scope->waiting_.size() >= most_;
    if (denied.spent || full || now >= deadline_ || judge.earliest() > deadline_) {
      LeaveLocked();
      return Admitted(std::unexpected(denied));
    }
    if (ticket_.at != scope) {
      LeaveLocked();
      scope->waiting_.Enter(ticket_);
      ticket_.at = scope;
    }
    ticket_.denied = denied;
    // Those behind the first are woken when they are the first.
    bool first = scope->waiting_.front() == &ticket_;
    again_ = first ? std::min(deadline_, judge.again()) : deadline_;
    return std::nullopt;
  }
  TimedWait Wait() { return ticket_.Wait(again_); }

 private:
  void LeaveLocked() {
    if (ticket_.at != nullptr) ticket_.at->LeaveLocked(ticket_);
  }

  Limiter& limiter_;
  Loop& loop_;
  const Ask ask_;
  const TimePoint deadline_;
  const size_t most_;
  LimitTicket ticket_;
  TimePoint again_;
};

Task<Limiter::Admitted> Limiter::AdmitInTurn(Loop& loop, Ask ask, TimePoint deadline, size_t most) {
  Turn turn(*this, loop, std::move(ask), deadline, most);
  while (true) {
    std::optional<Admitted> admitted = turn.Look();
    if (admitted) {
      if (*admitted) Changed();
      co_return std::move(*admitted);
    }
    co_await turn.Wait();
  }
}

}  // namespace relay
