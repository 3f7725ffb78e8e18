// SPDX-License-Identifier: MIT
#include <algorithm>

#include "core/store/limiter_judge.h"
#include "core/store/shared_limits.h"

namespace relay {

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

PastSpending LimitScope::Past() const {
  std::lock_guard lock(mutex_);
  return past_;
}

std::optional<int64_t> LimitScope::MeanOutput(size_t model) const {
  std::lock_guard lock(mutex_);
  return outputs_.Of(model);
}

bool LimitScope::Idle(TimePoint now) {
  std::lock_guard lock(mutex_);
  return in_flight_ == 0 && !keeps_spending_ && starts_.Count(now) == 0 && tokens_.Count(now) == 0;
}

void LimitScope::ReleaseLocked(const Charge& reserved, const LimitTicket* asker) {
  --in_flight_;
  reserved_.tokens -= reserved.tokens;
  reserved_.nanodollars -= reserved.nanodollars;
  if (asker == nullptr || waiting_.front() != asker) WakeFrontLocked();
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
  // Before those are woken who then ask there again.
  if (reservation_ != 0) shared_->Settle({.reservation = reservation_});
  for (const auto& scope : held_) {
    if (scope == nullptr) continue;
    std::lock_guard lock(scope->mutex_);
    if (undecided_) {
      scope->starts_.AddPast(began_, -1, began_);
      scope->starts_bar_ = {};  // all have one more
    }
    scope->ReleaseLocked(reserved_);
  }
}

// --- The limiter -------------------------------------------------------------------------------

std::shared_ptr<LimitScope> Limiter::Scope(std::string_view name) {
  std::lock_guard lock(mutex_);
  auto at = scopes_.find(name);
  if (at != scopes_.end()) return at->second;
  if (scopes_.size() >= look_at_) ForgetIdleLocked();
  std::string own(name);
  return scopes_.emplace(own, std::make_shared<LimitScope>(own)).first->second;
}

std::shared_ptr<LimitScope> Limiter::Find(std::string_view name) const {
  std::lock_guard lock(mutex_);
  auto at = scopes_.find(name);
  return at == scopes_.end() ? nullptr : at->second;
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
  // Before those are woken who then ask there again.
  if (shared_ != nullptr) SettleShared(slot, charge);
  slot.reservation_ = 0;
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

void Limiter::SettleShared(const Slot& slot, const Charge& charge) {
  SharedLimits::Settlement settlement{.reservation = slot.reservation_};
  bool any = slot.reservation_ != 0;
  for (size_t i = 0; i < slot.held_.size(); ++i) {
    const std::shared_ptr<LimitScope>& scope = slot.held_[i];
    if (scope == nullptr) continue;
    std::lock_guard lock(scope->mutex_);
    // What a key spends is told whether it has a budget or not: it may get one.
    bool spends = scope->in_ledger_ || scope->keeps_spending_;
    Charge part{scope->keeps_tokens_ ? charge.tokens : 0, spends ? charge.nanodollars : 0};
    if (part.tokens == 0 && part.nanodollars == 0) continue;
    settlement.uses[i] = {scope->name_, part, scope->past_};
    any = true;
  }
  if (any) shared_->Settle(std::move(settlement));
}

void Limiter::Undo(Slot& slot, const LimitTicket* asker) {
  for (std::shared_ptr<LimitScope>& held : slot.held_) {
    std::shared_ptr<LimitScope> scope = std::move(held);
    if (scope == nullptr) continue;
    std::lock_guard lock(scope->mutex_);
    scope->starts_.AddPast(slot.began_, -1, slot.began_);
    scope->ReleaseLocked(slot.reserved_, asker);
  }
}

bool Limiter::IsShared(const Ask& ask) const {
  return shared_ != nullptr && std::ranges::any_of(ask.claims, [](const Claim& claim) {
           return claim.scope != nullptr && claim.limits.any();
         });
}

}  // namespace relay
