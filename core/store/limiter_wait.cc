// SPDX-License-Identifier: MIT
// Asks that wait their turn for a limit of the limiter, of this relay alone or of all that share
// it.
#include <algorithm>
#include <utility>

#include "core/store/limiter_judge.h"
#include "core/store/shared_limits.h"

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

  // Nothing: it must wait, see Wait. `stay`: who is admitted keeps its place in the queue.
  std::optional<Admitted> Look(bool stay = false) {
    TimePoint now = loop_.Now();
    Judge judge(limiter_, ask_, now, ticket_.arrival());
    ticket_.woken = false;
    if (!judge.denied()) {
      auto slot = std::make_unique<Slot>();
      judge.Take(*slot);
      if (!stay) LeaveLocked();
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
  // Other relays deny what Look has admitted. False: it is not to wait for that.
  bool StandBy(const SharedLimits::Verdict& verdict) {
    const Denied& denied = *verdict.denied;
    std::shared_ptr<LimitScope> scope = ask_.claims[denied.claim].scope;
    TimePoint now = loop_.Now();
    if (ticket_.at != scope) Leave();
    std::lock_guard lock(scope->mutex_);
    bool full = ticket_.at == nullptr && scope->waiting_.size() >= most_;
    bool hopeless = denied.spent || denied.what == Denied::What::kAway;
    if (hopeless || full || now >= deadline_ || verdict.earliest > deadline_) return false;
    if (ticket_.at == nullptr) {
      scope->waiting_.Enter(ticket_);
      ticket_.at = scope;
    }
    ticket_.denied = denied;
    bool first = scope->waiting_.front() == &ticket_;
    TimePoint again = std::min(verdict.again, std::max(now + kAskAgain, verdict.earliest));
    // Something was given back while the others were asked.
    if (ticket_.woken) again = now;
    again_ = first ? std::min(deadline_, again) : deadline_;
    return true;
  }
  void Leave() {
    std::shared_ptr<LimitScope> scope = ticket_.at;
    if (scope == nullptr) return;
    std::lock_guard lock(scope->mutex_);
    LeaveLocked();
  }
  TimedWait Wait() { return ticket_.Wait(again_); }
  const LimitTicket& ticket() const { return ticket_; }

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

void Limiter::Learn(const Ask& ask, const std::optional<Denied>& denied, const Common& common) {
  WallTime wall = clock_.Wall();
  for (size_t i = 0; i < ask.claims.size(); ++i) {
    if (ask.claims[i].scope == nullptr) continue;
    LimitScope& scope = *ask.claims[i].scope;
    std::lock_guard lock(scope.mutex_);
    if (common.five_hours[i]) scope.five_hours_.Follow(*common.five_hours[i], wall);
    if (common.starts[i].limit > 0) scope.starts_bar_ = common.starts[i];
    if (common.tokens[i].limit > 0) scope.tokens_bar_ = common.tokens[i];
  }
  if (!denied || !denied->spent || denied->what != Denied::What::kCost) return;
  // Where one of the clocks has passed midnight, the other's day says nothing.
  if (common.day != zone_.DayOf(wall)) return;
  LimitScope& scope = *ask.claims[denied->claim].scope;
  std::lock_guard lock(scope.mutex_);
  scope.spending_.Raise(denied->window, common.day, denied->limit);
}

std::optional<Limiter::Denied> Limiter::Barred(const Ask& ask, TimePoint now, TimePoint by) {
  for (size_t i = 0; i < ask.claims.size(); ++i) {
    const auto& [scope, limits] = ask.claims[i];
    if (scope == nullptr) continue;
    std::lock_guard lock(scope->mutex_);
    auto denied = [&](const MinuteBar& bar, int64_t limit, Denied::What what) {
      bool bars = limit > 0 && limit == bar.limit && bar.until > by;
      Denied why{.what = what, .claim = i, .limit = limit, .retry_after = bar.until - now};
      return bars ? std::optional(why) : std::nullopt;
    };
    auto starts = denied(scope->starts_bar_, limits.requests_per_minute, Denied::What::kRequests);
    if (starts) return starts;
    auto tokens = denied(scope->tokens_bar_, limits.tokens_per_minute, Denied::What::kTokens);
    if (tokens) return tokens;
  }
  return std::nullopt;
}

Task<Limiter::Everywhere> Limiter::AdmitEverywhere(Loop& loop, Ask ask, TimePoint deadline,
                                                   size_t most) {
  if (ask.shadow) {
    auto slot = std::make_unique<Slot>();
    std::optional<Denied> denied = Admit(ask, loop.Now(), *slot);
    SharedLimits::Verdict verdict = co_await shared_->Reserve(loop, ask);
    Learn(ask, verdict.denied, verdict.common);
    slot->shared_ = shared_;
    slot->reservation_ = verdict.reservation;
    co_return Everywhere{std::move(slot), denied ? denied : verdict.denied};
  }
  TimePoint now = loop.Now();
  std::optional<Denied> barred = Barred(ask, now, std::max(now, deadline));
  if (barred) co_return Everywhere{nullptr, barred};
  Turn turn(*this, loop, ask, deadline, most);
  std::optional<Denied> over;
  while (true) {
    std::optional<Admitted> here = turn.Look(/*stay=*/true);
    if (here && !*here) co_return Everywhere{nullptr, here->error()};
    if (here) {
      std::unique_ptr<Slot> slot = std::move(**here);
      slot->undecided_ = true;
      SharedLimits::Verdict verdict = co_await shared_->Reserve(loop, ask);
      Learn(ask, verdict.denied, verdict.common);
      slot->shared_ = shared_;
      slot->reservation_ = verdict.reservation;
      if (!verdict.denied) {
        slot->undecided_ = false;
        turn.Leave();
        Changed();
        co_return Everywhere{std::move(slot), over};
      }
      Undo(*slot, &turn.ticket());
      if (!turn.StandBy(verdict)) co_return Everywhere{nullptr, verdict.denied};
      if (!over) over = verdict.denied;
    } else if (!over) {
      over = turn.ticket().denied;
    }
    co_await turn.Wait();
  }
}

}  // namespace relay
