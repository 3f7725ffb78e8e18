// SPDX-License-Identifier: MIT
// Limits that are kept in memory: starts in any 60 seconds, and requests in flight. Process-wide,
// since a key's requests land on several workers; sharded by scope, each shard under one mutex.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
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
  // When Count will have fallen below `limit`.
  Duration Until(int64_t limit, TimePoint now);

 private:
  static constexpr int64_t kBuckets = 61;
  void Advance(TimePoint now);
  std::array<uint32_t, kBuckets> starts_{};
  int64_t second_ = 0;
  int64_t sum_ = 0;
};

class Limiter;

// A place among the requests in flight of some scopes; given back when it dies.
class Slot {
 public:
  Slot() = default;
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot();

 private:
  friend class Limiter;
  struct Hold {
    Limiter* limiter = nullptr;
    std::string scope;
  };
  std::array<Hold, 2> holds_;
};

class Limiter {
 public:
  struct Denied {
    enum class What : uint8_t { kRequests, kConcurrency } what;
    int64_t limit;
    Duration retry_after;  // true for requests; an estimate of one second for concurrency
  };

  // Counts a start in `scope` if both limits allow it, all or nothing; adds the hold to `slot`.
  // `shadow` counts and admits whatever the limits say, but still tells that it would not.
  std::expected<void, Denied> Admit(std::string_view scope, const RateLimits& limits, TimePoint now,
                                    bool shadow, Slot& slot);
  int64_t InFlight(std::string_view scope);

 private:
  friend class Slot;
  struct State {
    MinuteWindow minute;
    int64_t in_flight = 0;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  struct Shard {
    std::mutex mutex;
    std::unordered_map<std::string, State, Hash, std::equal_to<>> states;
  };
  Shard& ShardOf(std::string_view scope);
  void Release(std::string_view scope);
  std::array<Shard, 16> shards_;
};

}  // namespace relay
