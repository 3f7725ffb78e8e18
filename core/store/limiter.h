// SPDX-License-Identifier: MIT
// Limits that are kept in memory: starts in any 60 seconds, and requests in flight. Process-wide,
// since a key's requests land on several workers. Each scope has a mutex of its own, with no I/O
// and no allocation inside.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/base/clock.h"

namespace relay {

// Zero: no such limit.
struct RateLimits {
  int64_t requests_per_minute = 0;
  int64_t concurrency = 0;
};

// Starts of the last 60 s in one-second buckets; the bucket that is partly older counts whole, so
// no 60 s ever hold more than the limit.
class MinuteWindow {
 public:
  int64_t Count(TimePoint now);
  void Add(TimePoint now);
  // From now until Count is below `limit`; zero when it is.
  Duration Until(int64_t limit, TimePoint now);

 private:
  static constexpr int64_t kBuckets = 61;
  void Advance(TimePoint now);
  std::array<uint32_t, kBuckets> starts_{};
  int64_t second_ = 0;  // of the newest bucket; goes only forward, though workers' clocks differ
  int64_t sum_ = 0;
};

// What shares one allowance: a key, a route, a key on a route.
class LimitScope {
 public:
  LimitScope() = default;
  LimitScope(const LimitScope&) = delete;
  LimitScope& operator=(const LimitScope&) = delete;
  int64_t InFlight() const;

 private:
  friend class Limiter;
  friend class Slot;
  bool Idle(TimePoint now);
  mutable std::mutex mutex_;
  MinuteWindow minute_;
  int64_t in_flight_ = 0;
};

// An exchange's places among the requests in flight of its scopes; given back when it dies.
class Slot {
 public:
  static constexpr size_t kMost = 2;  // a key's and a route's

  Slot() = default;
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot();

 private:
  friend class Limiter;
  std::array<std::shared_ptr<LimitScope>, kMost> held_;
};

class Limiter {
 public:
  // `clock` outlives this.
  explicit Limiter(const Clock& clock = SystemClock::Get()) : clock_(clock) {}

  // The scope of that name, made if there is none. Resolve it once and keep it: requests then do
  // not look up names. Scopes that nobody keeps are forgotten once they are idle.
  std::shared_ptr<LimitScope> Scope(std::string_view name);
  size_t size() const;

  struct Claim {
    std::shared_ptr<LimitScope> scope;
    RateLimits limits;
  };
  struct Denied {
    enum class What : uint8_t { kRequests, kConcurrency } what;
    size_t claim;  // the first one that denies
    int64_t limit;
    // When no minute limit stands in the way any more; at least the second after which to ask again
    // for a place, which nobody can foretell.
    Duration retry_after;
  };
  // Counts a start in all claims (Slot::kMost at most, of different scopes) if all their limits
  // allow it, else in none; `slot`, which is empty, holds the places. `shadow` counts and admits
  // whatever the limits say, but tells all the same what they said.
  static std::optional<Denied> Admit(std::span<const Claim> claims, TimePoint now, bool shadow,
                                     Slot& slot);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  void ForgetIdleLocked();

  const Clock& clock_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<LimitScope>, Hash, std::equal_to<>> scopes_;
  size_t look_at_ = 64;  // scopes at which idle ones are looked for
};

}  // namespace relay
