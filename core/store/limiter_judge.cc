// SPDX-License-Identifier: MIT
#include "core/store/limiter_judge.h"

#include <algorithm>
#include <cassert>
#include <functional>

namespace relay {

Charge Clamp(const Charge& charge) {
  return {std::clamp<int64_t>(charge.tokens, 0, kMostCharge.tokens),
          std::clamp<int64_t>(charge.nanodollars, 0, kMostCharge.nanodollars)};
}

std::optional<Duration> TimeToEndOf(CostWindow window, int32_t day, const Zone& zone,
                                    WallTime wall) {
  std::optional<int32_t> end = EndOf(window, day);
  if (!end) return std::nullopt;
  return std::max<Duration>(zone.StartOf(*end) - wall, kAskAgain);
}

LimitTicket::~LimitTicket() {
  if (at == nullptr) return;
  std::shared_ptr<LimitScope> scope = at;
  std::lock_guard lock(scope->mutex_);
  scope->LeaveLocked(*this);
}

void Denials::Add(const Limiter::Denied& denied, std::optional<Duration> retry_after,
                  std::optional<Duration> passes) {
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
  NotBefore(now_ + *passes);
  TimePoint at = now_ + *retry_after;
  again_ = again_ == TimePoint::max() ? at : std::max(again_, at);
}

Limiter::Judge::Judge(const Limiter& limiter, const Ask& ask, TimePoint now, uint64_t arrival)
    : limiter_(limiter),
      ask_(ask),
      reserve_(Clamp(ask.reserve)),
      now_(now),
      arrival_(arrival),
      denials_(now) {
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

void Limiter::Judge::Take(Slot& slot) {
  assert(slot.held_ == decltype(slot.held_)());
  slot.reserved_ = reserve_;
  slot.model_ = ask_.model;
  slot.began_ = now_;
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

// In the order of addresses, so that two exchanges never wait for one another.
void Limiter::Judge::Lock() {
  std::array<LimitScope*, Slot::kMost> scopes{};
  for (size_t i = 0; i < scopes.size(); ++i) scopes[i] = ask_.claims[i].scope.get();
  std::sort(scopes.begin(), scopes.end(), std::less<>());
  for (size_t i = 0; i < scopes.size(); ++i) {
    if (scopes[i] != nullptr) locks_[i] = std::unique_lock(scopes[i]->mutex_);
  }
}

void Limiter::Judge::JudgeClaim(size_t claim) {
  const auto& [scope, limits] = ask_.claims[claim];
  JudgeCosts(claim);
  JudgeStarts(claim);
  if (limits.concurrency > 0 && scope->in_flight_ >= limits.concurrency) {
    denials_.Add({.what = What::kConcurrency, .claim = claim, .limit = limits.concurrency},
                 kAskAgain);
  }
  JudgeTokens(claim);
  LimitTicket* first = scope->waiting_.front();
  bool others = first != nullptr && first->arrival() < arrival_;
  if (!others || (denied() && denied()->claim == claim)) return;
  Denied theirs = *first->denied;
  theirs.claim = claim;
  denials_.Add(theirs, kAskAgain);
}

void Limiter::Judge::JudgeStarts(size_t claim) {
  const auto& [scope, limits] = ask_.claims[claim];
  int64_t limit = limits.requests_per_minute;
  if (limit == 0 || scope->starts_.Count(now_) < limit) return;
  // Those who wait take the first places that come.
  auto ahead = static_cast<int64_t>(arrival_ == kNotWaiting ? scope->waiting_.size() : 0);
  Duration wait = scope->starts_.Until(std::max<int64_t>(limit - ahead, 1), now_);
  denials_.Add({.what = What::kRequests, .claim = claim, .limit = limit}, wait, wait);
}

// Below `room` tokens in the minute it is admitted: so that with all reserves the limit holds, or
// if nothing is in flight, anything below the limit.
void Limiter::Judge::JudgeTokens(size_t claim) {
  const auto& [scope, limits] = ask_.claims[claim];
  int64_t limit = limits.tokens_per_minute;
  if (limit == 0) return;
  int64_t room = limit - scope->reserved_.tokens - reserve_.tokens + 1;
  if (scope->in_flight_ == 0) room = std::max(room, limit);
  if (scope->tokens_.Count(now_) < room) return;
  Denied denied{.what = What::kTokens, .claim = claim, .limit = limit};
  Duration least = scope->tokens_.Until(limit, now_);
  if (room > 0) {
    denials_.Add(denied, scope->tokens_.Until(room, now_), least);
  } else {
    denials_.Add(denied, std::max(least, kAskAgain));
    denials_.NotBefore(now_ + least);
  }
}

void Limiter::Judge::JudgeCosts(size_t claim) {
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
      denials_.Add(denied, TimeToEndOf(window, today_, limiter_.zone_, wall_));
    } else if (scope->in_flight_ > 0 &&
               PlusClamped(spent, scope->reserved_.nanodollars + reserve_.nanodollars) > cap) {
      denials_.Add(denied, kAskAgain);
    }
  }
}

void Limiter::Judge::JudgeFiveHours(size_t claim) {
  const auto& [scope, limits] = ask_.claims[claim];
  int64_t cap = limits.cost_per_5h;
  if (cap == 0) return;
  int64_t spent = scope->five_hours_.SpentAt(wall_);
  Denied denied{.what = What::kFiveHours, .claim = claim, .limit = cap};
  if (spent >= cap) {
    denied.spent = true;
    denials_.Add(denied, std::max(scope->five_hours_.LeftAt(wall_), kAskAgain));
  } else if (scope->in_flight_ > 0 &&
             PlusClamped(spent, scope->reserved_.nanodollars + reserve_.nanodollars) > cap) {
    denials_.Add(denied, kAskAgain);
  }
}

}  // namespace relay
