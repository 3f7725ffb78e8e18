// SPDX-License-Identifier: MIT
// What of the limiter outlives the process.
#include <algorithm>
#include <utility>

#include "core/store/limiter.h"

namespace relay {
namespace {

using Moment = Limiter::Kept::Moment;

// A bucket is told as its last moment, so that nothing in it is taken for older than it is.
std::vector<Moment> MomentsOf(const MinuteWindow& window, const Instant& at) {
  std::vector<Moment> moments;
  for (const MinuteWindow::Bucket& bucket : window.Buckets()) {
    TimePoint last = std::min(bucket.begin + std::chrono::seconds(1), at.now);
    moments.push_back({at.WallOf(last), bucket.amount});
  }
  return moments;
}

// A clock that was put back makes no moment one that is still to come.
void AddMoments(const std::vector<Moment>& moments, TimePoint now, WallTime wall,
                MinuteWindow& to) {
  for (const Moment& moment : moments) {
    if (moment.amount <= 0) continue;
    Duration age = std::max<Duration>(wall - moment.when, Duration::zero());
    if (age <= std::chrono::minutes(2)) to.AddPast(now - age, moment.amount, now);
  }
}

}  // namespace

std::vector<std::shared_ptr<LimitScope>> Limiter::AllScopes() const {
  std::vector<std::shared_ptr<LimitScope>> scopes;
  while (true) {
    scopes.reserve(size() + 16);
    std::lock_guard lock(mutex_);
    // Room that is made under the mutex would keep others waiting.
    if (scopes_.size() > scopes.capacity()) continue;
    for (const auto& [name, scope] : scopes_) scopes.push_back(scope);
    return scopes;
  }
}

std::vector<Limiter::Kept> Limiter::TakeChanged() {
  std::vector<Kept> all;
  for (const std::shared_ptr<LimitScope>& scope : AllScopes()) {
    MinuteWindow starts;
    MinuteWindow tokens;
    Spending spending;
    FiveHours five_hours;
    {
      std::lock_guard lock(scope->mutex_);
      if (!std::exchange(scope->changed_, false)) continue;
      if (scope->keeps_starts_) starts = scope->starts_;
      if (scope->keeps_tokens_) tokens = scope->tokens_;
      if (scope->keeps_five_hours_) five_hours = scope->five_hours_;
      if (scope->keeps_spending_ && !scope->in_ledger_) spending = scope->spending_;
    }
    Kept kept{.scope = scope->name_};
    const Instant at(clock_);
    kept.starts = MomentsOf(starts, at);
    kept.tokens = MomentsOf(tokens, at);
    kept.spending = spending;
    kept.five_hours = five_hours;
    all.push_back(std::move(kept));
  }
  return all;
}

bool Limiter::Restore(const Kept& kept) {
  TimePoint now = clock_.Now();
  WallTime wall = clock_.Wall();
  int32_t today = zone_.DayOf(wall);
  Spending spending = kept.spending;
  bool spent = spending.SpentOn(today) != CostAmounts();
  std::shared_ptr<LimitScope> scope = Scope(kept.scope);
  std::lock_guard lock(scope->mutex_);
  AddMoments(kept.starts, now, wall, scope->starts_);
  AddMoments(kept.tokens, now, wall, scope->tokens_);
  bool runs = kept.five_hours.LeftAt(wall) > Duration::zero();
  scope->five_hours_.AddPast(kept.five_hours, wall);
  scope->past_.five_hours.AddPast(kept.five_hours, wall);
  if (spent) scope->spending_.AddPast(spending, today);
  if (spent) scope->past_.calendar.AddPast(spending, today);
  scope->keeps_spending_ = scope->keeps_spending_ || spent || runs;
  return spent || runs || scope->starts_.Count(now) > 0 || scope->tokens_.Count(now) > 0;
}

void Limiter::AddPast(std::string_view name, const Spending& spending) {
  std::shared_ptr<LimitScope> scope = Scope(name);
  int32_t today = Today();
  std::lock_guard lock(scope->mutex_);
  scope->spending_.AddPast(spending, today);
  scope->past_.calendar.AddPast(spending, today);
  scope->keeps_spending_ = true;
}

}  // namespace relay
