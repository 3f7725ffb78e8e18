// SPDX-License-Identifier: MIT
#include "core/store/limiter.h"

#include <algorithm>
#include <cassert>
#include <limits>

namespace relay {
namespace {

constexpr Duration kAskAgain = std::chrono::seconds(1);
// Beyond any real request, and far from where sums overflow.
constexpr Charge kMostCharge = {1'000'000'000'000, 100'000'000'000'000};

// Asks who does not wait come after all who do.
constexpr uint64_t kNotWaiting = std::numeric_limits<uint64_t>::max();

Charge Clamp(const Charge& charge) {
  return {std::clamp<int64_t>(charge.tokens, 0, kMostCharge.tokens),
          std::clamp<int64_t>(charge.nanodollars, 0, kMostCharge.nanodollars)};
}

}  // namespace

// Who waits, while it does, in the queue of the scope that denies it.
class LimitTicket final : public WaitTicket {
 public:
  explicit LimitTicket(Loop& loop) : WaitTicket(loop) {}
  ~LimitTicket() {
    if (at == nullptr) return;
    std::shared_ptr<LimitScope> scope = at;
    std::lock_guard lock(scope->mutex_);
    scope->LeaveLocked(*this);
  }

  // Under the mutexes of its ask's scopes; `at` is written by its own thread alone.
  std::shared_ptr<LimitScope> at;         // null: it stands in no queue
  bool woken = false;                     // and has not looked since
  std::optional<Limiter::Denied> denied;  // when it last looked
};

// --- Scopes ------------------------------------------------------------------------------------

LimitScope::LimitScope(std::string name)
    : name_(std::move(name)), in_ledger_(name_.starts_with(Limiter::NameOfKey(""))) {}
LimitScope::~LimitScope() = default;

int64_t LimitScope::InFlight() const {
  std::lock_guard lock(mutex_);
  return in_flight_;
}

size_t LimitScope::Waiting() const {
  std::lock_guard lock(mutex_);
  return waiting_.size();
}

std::optional<int64_t> LimitScope::MeanOutput(size_t model) const {
  std::lock_guard lock(mutex_);
  return outputs_.Of(model);
}

bool LimitScope::Idle(TimePoint now) {
  std::lock_guard lock(mutex_);
  return in_flight_ == 0 && !keeps_spending_ && starts_.Count(now) == 0 && tokens_.Count(now) == 0;
}

void LimitScope::ReleaseLocked(const Charge& reserved) {
  --in_flight_;
  reserved_.tokens -= reserved.tokens;
  reserved_.nanodollars -= reserved.nanodollars;
  WakeFrontLocked();
}

void LimitScope::LeaveLocked(LimitTicket& ticket) {
  bool first = waiting_.front() == &ticket;
  waiting_.Leave(ticket);
  ticket.at.reset();
  if (first) WakeFrontLocked();
}

void LimitScope::WakeFrontLocked() {
  LimitTicket* first = waiting_.front();
  if (first == nullptr || std::exchange(first->woken, true)) return;
  first->Wake();
}

Slot::~Slot() {
  for (const auto& scope : held_) {
    if (scope == nullptr) continue;
    std::lock_guard lock(scope->mutex_);
    scope->ReleaseLocked(reserved_);
  }
}

// --- The judge ---------------------------------------------------------------------------------

// What the scopes of an ask say to it. Holds their mutexes while it lives.
class Limiter::Judge {
 public:
  // `arrival`: whoever waits and came earlier goes first.
  Judge(const Limiter& limiter, const Ask& ask, TimePoint now, uint64_t arrival)
      : limiter_(limiter),
        ask_(ask),
        reserve_(Clamp(ask.reserve)),
        now_(now),
        arrival_(arrival),
        earliest_(now) {
    bool costs = std::any_of(ask.claims.begin(), ask.claims.end(),
                             [](const Claim& claim) { return claim.limits.any_cost(); });
    if (costs) {
      wall_ = limiter.clock_.Wall();
      today_ = limiter.zone_.DayOf(wall_);
    }
    Lock();
    for (size_t i = 0; i < ask.claims.size(); ++i) {
      if (ask.claims[i].scope != nullptr) JudgeClaim(i);
    }
  }

  const std::optional<Denied>& denied() const { return denied_; }
  // When to look again if nothing changes; max: only a change can help.
  TimePoint again() const { return again_; }
  // When nothing denies it any more if nothing changes; max: that never comes by itself.
  TimePoint passes() const { return stuck_ ? TimePoint::max() : again_; }
  // Whatever changes, it is not admitted before.
  TimePoint earliest() const { return earliest_; }

  void Take(Slot& slot) {
    assert(slot.held_ == decltype(slot.held_)());
    slot.reserved_ = reserve_;
    slot.model_ = ask_.model;
    for (size_t i = 0; i < ask_.claims.size(); ++i) {
      const auto& [scope, limits] = ask_.claims[i];
      if (scope == nullptr) continue;
      scope->starts_.Add(now_);
      ++scope->in_flight_;
      scope->reserved_.tokens += reserve_.tokens;
      scope->reserved_.nanodollars += reserve_.nanodollars;
      scope->keeps_spending_ = scope->keeps_spending_ || limits.any_cost();
      scope->keeps_starts_ = scope->keeps_starts_ || limits.requests_per_minute > 0;
      scope->keeps_tokens_ = scope->keeps_tokens_ || limits.tokens_per_minute > 0;
      scope->keeps_five_hours_ = scope->keeps_five_hours_ || limits.cost_per_5h > 0;
      scope->changed_ = scope->changed_ || scope->keeps_starts_;
      slot.held_[i] = scope;
    }
  }

 private:
  using What = Denied::What;

  // In the order of addresses, so that two exchanges never wait for one another.
  void Lock() {
    std::array<LimitScope*, Slot::kMost> scopes{};
    for (size_t i = 0; i < scopes.size(); ++i) scopes[i] = ask_.claims[i].scope.get();
    std::sort(scopes.begin(), scopes.end(), std::less<>());
    for (size_t i = 0; i < scopes.size(); ++i) {
      if (scopes[i] != nullptr) locks_[i] = std::unique_lock(scopes[i]->mutex_);
    }
  }

  void JudgeClaim(size_t claim) {
    const auto& [scope, limits] = ask_.claims[claim];
    JudgeCosts(claim);
    JudgeStarts(claim);
    if (limits.concurrency > 0 && scope->in_flight_ >= limits.concurrency) {
      Deny({.what = What::kConcurrency, .claim = claim, .limit = limits.concurrency}, kAskAgain);
    }
    JudgeTokens(claim);
    LimitTicket* first = scope->waiting_.front();
    bool others = first != nullptr && first->arrival() < arrival_;
    if (!others || (denied_ && denied_->claim == claim)) return;
    Denied theirs = *first->denied;
    theirs.claim = claim;
    Deny(theirs, kAskAgain);
  }

  void JudgeStarts(size_t claim) {
    const auto& [scope, limits] = ask_.claims[claim];
    int64_t limit = limits.requests_per_minute;
    if (limit == 0 || scope->starts_.Count(now_) < limit) return;
    // Those who wait take the first places that come.
    auto ahead = static_cast<int64_t>(arrival_ == kNotWaiting ? scope->waiting_.size() : 0);
    Duration wait = scope->starts_.Until(std::max<int64_t>(limit - ahead, 1), now_);
    Deny({.what = What::kRequests, .claim = claim, .limit = limit}, wait, wait);
  }

  // Below `room` tokens in the minute it is admitted: so that with all reserves the limit holds, or
  // if nothing is in flight, anything below the limit.
  void JudgeTokens(size_t claim) {
    const auto& [scope, limits] = ask_.claims[claim];
    int64_t limit = limits.tokens_per_minute;
    if (limit == 0) return;
    int64_t room = limit - scope->reserved_.tokens - reserve_.tokens + 1;
    if (scope->in_flight_ == 0) room = std::max(room, limit);
    if (scope->tokens_.Count(now_) < room) return;
    Denied denied{.what = What::kTokens, .claim = claim, .limit = limit};
    Duration least = scope->tokens_.Until(limit, now_);
    if (room > 0) {
      Deny(denied, scope->tokens_.Until(room, now_), least);
    } else {
      Deny(denied, std::max(least, kAskAgain));
      earliest_ = std::max(earliest_, now_ + least);
    }
  }

  void JudgeCosts(size_t claim) {
    const auto& [scope, limits] = ask_.claims[claim];
    if (!limits.any_cost()) return;
    JudgeFiveHours(claim);
    const CostAmounts& all_spent = scope->spending_.SpentOn(today_);
    for (CostWindow window : kAllCostWindows) {
      int64_t cap = limits.cost[static_cast<size_t>(window)];
      if (cap == 0) continue;
      int64_t spent = all_spent[static_cast<size_t>(window)];
      Denied denied{.what = What::kCost, .claim = claim, .limit = cap, .window = window};
      if (spent >= cap) {
        denied.spent = true;
        Deny(denied, TimeToEndOf(window));
      } else if (scope->in_flight_ > 0 &&
                 PlusClamped(spent, scope->reserved_.nanodollars + reserve_.nanodollars) > cap) {
        Deny(denied, kAskAgain);
      }
    }
  }

  void JudgeFiveHours(size_t claim) {
    const auto& [scope, limits] = ask_.claims[claim];
    int64_t cap = limits.cost_per_5h;
    if (cap == 0) return;
    int64_t spent = scope->five_hours_.SpentAt(wall_);
    Denied denied{.what = What::kFiveHours, .claim = claim, .limit = cap};
    if (spent >= cap) {
      denied.spent = true;
      Deny(denied, std::max(scope->five_hours_.LeftAt(wall_), kAskAgain));
    } else if (scope->in_flight_ > 0 &&
               PlusClamped(spent, scope->reserved_.nanodollars + reserve_.nanodollars) > cap) {
      Deny(denied, kAskAgain);
    }
  }

  std::optional<Duration> TimeToEndOf(CostWindow window) const {
    std::optional<int32_t> end = EndOf(window, today_);
    if (!end) return std::nullopt;
    return std::max<Duration>(limiter_.zone_.StartOf(*end) - wall_, kAskAgain);
  }

  // The first denial stands, but for a budget that is spent, which no waiting helps; of the waits
  // the longest counts. `passes`: the time after which this denial ends by itself.
  void Deny(const Denied& denied, std::optional<Duration> retry_after,
            std::optional<Duration> passes = {}) {
    bool first = !denied_;
    if (first) {
      denied_ = denied;
      denied_->retry_after = retry_after;
    } else {
      std::optional<Duration> longest = denied_->retry_after;
      if (!retry_after || !longest) {
        longest.reset();
      } else {
        longest = std::max(*longest, *retry_after);
      }
      if (denied.spent && !denied_->spent) denied_ = denied;
      denied_->retry_after = longest;
    }
    stuck_ = stuck_ || !passes;
    if (!passes) return;
    earliest_ = std::max(earliest_, now_ + *passes);
    TimePoint at = now_ + *retry_after;
    again_ = again_ == TimePoint::max() ? at : std::max(again_, at);
  }

  const Limiter& limiter_;
  const Ask& ask_;
  const Charge reserve_;
  const TimePoint now_;
  const uint64_t arrival_;
  WallTime wall_{};
  int32_t today_ = 0;
  std::array<std::unique_lock<std::mutex>, Slot::kMost> locks_;
  std::optional<Denied> denied_;
  TimePoint again_ = TimePoint::max();
  bool stuck_ = false;  // something denies it that does not pass by itself
  TimePoint earliest_;
};

// --- The limiter -------------------------------------------------------------------------------

std::shared_ptr<LimitScope> Limiter::Scope(std::string_view name) {
  std::lock_guard lock(mutex_);
  auto at = scopes_.find(name);
  if (at != scopes_.end()) return at->second;
  if (scopes_.size() >= look_at_) ForgetIdleLocked();
  std::string own(name);
  return scopes_.emplace(own, std::make_shared<LimitScope>(own)).first->second;
}

size_t Limiter::size() const {
  std::lock_guard lock(mutex_);
  return scopes_.size();
}

void Limiter::ForgetIdleLocked() {
  TimePoint now = clock_.Now();
  // Nobody but the map holds it, and nobody can get it now: names are resolved under this mutex.
  std::erase_if(scopes_, [&](const auto& entry) {
    return entry.second.use_count() == 1 && entry.second->Idle(now);
  });
  look_at_ = std::max<size_t>(64, scopes_.size() * 2);
}

std::optional<Limiter::Denied> Limiter::Look(const Ask& ask, TimePoint now, TimePoint* passes) {
  Judge judge(*this, ask, now, kNotWaiting);
  if (passes != nullptr) *passes = judge.passes();
  return judge.denied();
}

std::optional<Limiter::Denied> Limiter::Admit(const Ask& ask, TimePoint now, Slot& slot) {
  std::optional<Denied> denied;
  {
    Judge judge(*this, ask, now, kNotWaiting);
    if (!judge.denied() || ask.shadow) judge.Take(slot);
    denied = judge.denied();
  }
  if (!denied || ask.shadow) Changed();
  return denied;
}

void Limiter::Settle(Slot& slot, const Charge& used, std::optional<int64_t> output) {
  Charge charge = Clamp(used);
  TimePoint now = clock_.Now();
  WallTime wall = clock_.Wall();
  int32_t today = charge.nanodollars > 0 ? zone_.DayOf(wall) : 0;
  for (std::shared_ptr<LimitScope>& held : slot.held_) {
    std::shared_ptr<LimitScope> scope = std::move(held);
    if (scope == nullptr) continue;
    std::lock_guard lock(scope->mutex_);
    if (&held == &slot.held_.front() && output && slot.model_ != 0) {
      scope->outputs_.Note(slot.model_, *output);
    }
    if (charge.tokens > 0) scope->tokens_.Add(now, charge.tokens);
    bool kept = charge.tokens > 0 && scope->keeps_tokens_;
    if (charge.nanodollars > 0) {
      scope->spending_.Add(today, charge.nanodollars);
      scope->five_hours_.Add(wall, charge.nanodollars);
      kept = kept || scope->keeps_five_hours_ || (scope->keeps_spending_ && !scope->in_ledger_);
    }
    scope->changed_ = scope->changed_ || kept;
    scope->ReleaseLocked(slot.reserved_);
  }
  Changed();
}

// --- Waiting -----------------------------------------------------------------------------------

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
