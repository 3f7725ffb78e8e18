// SPDX-License-Identifier: MIT
#include "core/store/limiter.h"

#include <algorithm>
#include <cassert>

namespace relay {
namespace {

constexpr Duration kAskAgain = std::chrono::seconds(1);

int64_t SecondOf(TimePoint now) {
  return std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
}

}  // namespace

void MinuteWindow::Advance(TimePoint now) {
  int64_t second = SecondOf(now);
  if (second <= second_) return;
  int64_t steps = std::min(second - second_, kBuckets);
  for (int64_t i = 0; i < steps; ++i) {
    uint32_t& bucket = starts_[static_cast<size_t>((second - i) % kBuckets)];
    sum_ -= bucket;
    bucket = 0;
  }
  second_ = second;
}

int64_t MinuteWindow::Count(TimePoint now) {
  Advance(now);
  return sum_;
}

void MinuteWindow::Add(TimePoint now) {
  Advance(now);
  ++starts_[static_cast<size_t>(second_ % kBuckets)];
  ++sum_;
}

Duration MinuteWindow::Until(int64_t limit, TimePoint now) {
  Advance(now);
  int64_t left = sum_;
  for (int64_t second = second_ - kBuckets + 1; left >= limit && second <= second_; ++second) {
    if (second < 0) continue;
    left -= starts_[static_cast<size_t>(second % kBuckets)];
    // The bucket leaves when the second kBuckets after its own begins.
    if (left < limit) return TimePoint(std::chrono::seconds(second + kBuckets)) - now;
  }
  return Duration::zero();
}

int64_t LimitScope::InFlight() const {
  std::lock_guard lock(mutex_);
  return in_flight_;
}

bool LimitScope::Idle(TimePoint now) {
  std::lock_guard lock(mutex_);
  return in_flight_ == 0 && minute_.Count(now) == 0;
}

Slot::~Slot() {
  for (const auto& scope : held_) {
    if (scope == nullptr) continue;
    std::lock_guard lock(scope->mutex_);
    --scope->in_flight_;
  }
}

std::shared_ptr<LimitScope> Limiter::Scope(std::string_view name) {
  std::lock_guard lock(mutex_);
  auto at = scopes_.find(name);
  if (at != scopes_.end()) return at->second;
  if (scopes_.size() >= look_at_) ForgetIdleLocked();
  return scopes_.emplace(name, std::make_shared<LimitScope>()).first->second;
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

std::optional<Limiter::Denied> Limiter::Admit(std::span<const Claim> claims, TimePoint now,
                                              bool shadow, Slot& slot) {
  assert(claims.size() <= Slot::kMost && slot.held_[0] == nullptr);
  // In the order of addresses, so that two exchanges never wait for one another.
  std::array<LimitScope*, Slot::kMost> scopes{};
  for (size_t i = 0; i < claims.size(); ++i) scopes[i] = claims[i].scope.get();
  std::sort(scopes.begin(), scopes.end(), std::less<>());
  std::array<std::unique_lock<std::mutex>, Slot::kMost> locks;
  for (size_t i = 0; i < scopes.size(); ++i) {
    if (scopes[i] != nullptr) locks[i] = std::unique_lock(scopes[i]->mutex_);
  }

  std::optional<Denied> denied;
  for (size_t i = 0; i < claims.size(); ++i) {
    const auto& [scope, limits] = claims[i];
    auto deny = [&](Denied::What what, int64_t limit, Duration retry_after) {
      if (!denied) denied = Denied{what, i, limit, retry_after};
      denied->retry_after = std::max(denied->retry_after, retry_after);
    };
    int64_t per_minute = limits.requests_per_minute;
    if (per_minute > 0 && scope->minute_.Count(now) >= per_minute) {
      deny(Denied::What::kRequests, per_minute, scope->minute_.Until(per_minute, now));
    }
    if (limits.concurrency > 0 && scope->in_flight_ >= limits.concurrency) {
      deny(Denied::What::kConcurrency, limits.concurrency, kAskAgain);
    }
  }
  if (denied && !shadow) return denied;
  for (size_t i = 0; i < claims.size(); ++i) {
    claims[i].scope->minute_.Add(now);
    ++claims[i].scope->in_flight_;
    slot.held_[i] = claims[i].scope;
  }
  return denied;
}

}  // namespace relay
