// SPDX-License-Identifier: MIT
#include "core/store/limiter.h"

#include <algorithm>

namespace relay {
namespace {

int64_t SecondOf(TimePoint now) {
  return std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
}

}  // namespace

void MinuteWindow::Advance(TimePoint now) {
  int64_t second = SecondOf(now);
  int64_t steps = std::min(second - second_, kBuckets);
  for (int64_t i = 1; i <= steps; ++i) {
    uint32_t& bucket = starts_[static_cast<size_t>((second_ + i) % kBuckets)];
    sum_ -= bucket;
    bucket = 0;
  }
  // After a long pause the buckets are all empty, and where the ring begins does not matter.
  if (second > second_) second_ = second;
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
  for (int64_t age = kBuckets - 1; age >= 0; --age) {
    if (left < limit) break;
    int64_t second = second_ - age;
    if (second < 0) continue;
    left -= starts_[static_cast<size_t>(second % kBuckets)];
    if (left < limit) {
      // The bucket of `second` leaves the ring when second + kBuckets begins.
      return TimePoint(std::chrono::seconds(second + kBuckets)) - now;
    }
  }
  return Duration::zero();
}

Slot::~Slot() {
  for (Hold& hold : holds_) {
    if (hold.limiter != nullptr) hold.limiter->Release(hold.scope);
  }
}

Limiter::Shard& Limiter::ShardOf(std::string_view scope) {
  return shards_[std::hash<std::string_view>{}(scope) % shards_.size()];
}

std::expected<void, Limiter::Denied> Limiter::Admit(std::string_view scope,
                                                    const RateLimits& limits, TimePoint now,
                                                    bool shadow, Slot& slot) {
  Slot::Hold* hold = nullptr;
  for (Slot::Hold& free : slot.holds_) {
    if (free.limiter == nullptr && hold == nullptr) hold = &free;
  }
  if (hold == nullptr) return {};  // a chain has at most two scopes: its key's and its route's
  hold->scope = scope;

  Shard& shard = ShardOf(scope);
  std::lock_guard lock(shard.mutex);
  auto at = shard.states.find(scope);
  if (at == shard.states.end()) at = shard.states.emplace(std::string(scope), State()).first;
  State& state = at->second;
  std::expected<void, Denied> verdict;
  if (limits.concurrency > 0 && state.in_flight >= limits.concurrency) {
    verdict = std::unexpected(
        Denied{Denied::What::kConcurrency, limits.concurrency, std::chrono::seconds(1)});
  } else if (limits.requests_per_minute > 0 &&
             state.minute.Count(now) >= limits.requests_per_minute) {
    verdict = std::unexpected(Denied{Denied::What::kRequests, limits.requests_per_minute,
                                     state.minute.Until(limits.requests_per_minute, now)});
  }
  if (!verdict && !shadow) return verdict;
  state.minute.Add(now);
  ++state.in_flight;
  hold->limiter = this;
  return verdict;
}

int64_t Limiter::InFlight(std::string_view scope) {
  Shard& shard = ShardOf(scope);
  std::lock_guard lock(shard.mutex);
  auto at = shard.states.find(scope);
  return at == shard.states.end() ? 0 : at->second.in_flight;
}

void Limiter::Release(std::string_view scope) {
  Shard& shard = ShardOf(scope);
  std::lock_guard lock(shard.mutex);
  auto at = shard.states.find(scope);
  if (at != shard.states.end()) --at->second.in_flight;
}

}  // namespace relay
