// SPDX-License-Identifier: MIT
// What the scopes of an ask say to it: the reserve rule, as it is applied in memory. For the
// limiter's own files.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>

#include "core/async/wait_queue.h"
#include "core/store/limiter.h"

namespace relay {

// After which to ask again for what others hold.
inline constexpr Duration kAskAgain = std::chrono::seconds(1);

// Beyond any real request, and far from where sums overflow.
inline constexpr Charge kMostCharge = {1'000'000'000'000, 100'000'000'000'000};
Charge Clamp(const Charge& charge);

// Asks who does not wait come after all who do.
inline constexpr uint64_t kNotWaiting = std::numeric_limits<uint64_t>::max();

// From `wall` until the window that holds `day` ends in the zone, and not less than a second;
// nothing: never.
std::optional<Duration> TimeToEndOf(CostWindow window, int32_t day, const Zone& zone,
                                    WallTime wall);

// Who waits, while it does, in the queue of the scope that denies it.
class LimitTicket final : public WaitTicket {
 public:
  explicit LimitTicket(Loop& loop) : WaitTicket(loop) {}
  ~LimitTicket();

  // Under the mutexes of its ask's scopes; `at` is written by its own thread alone.
  std::shared_ptr<LimitScope> at;         // null: it stands in no queue
  bool woken = false;                     // and has not looked since
  std::optional<Limiter::Denied> denied;  // when it last looked
};

// The denials of one ask as one. The first stands, but for a budget that is spent, which no waiting
// helps; of the waits the longest counts.
class Denials {
 public:
  explicit Denials(TimePoint now) : now_(now), earliest_(now) {}

  // `passes`: the time after which this denial ends by itself.
  void Add(const Limiter::Denied& denied, std::optional<Duration> retry_after,
           std::optional<Duration> passes = {});
  void NotBefore(TimePoint when) { earliest_ = std::max(earliest_, when); }

  const std::optional<Limiter::Denied>& denied() const { return denied_; }
  // When to look again if nothing changes; max: only a change can help.
  TimePoint again() const { return again_; }
  // When nothing denies it any more if nothing changes; max: that never comes by itself.
  TimePoint passes() const { return stuck_ ? TimePoint::max() : again_; }
  // Whatever changes, it is not admitted before.
  TimePoint earliest() const { return earliest_; }

 private:
  TimePoint now_;
  std::optional<Limiter::Denied> denied_;
  TimePoint again_ = TimePoint::max();
  bool stuck_ = false;  // something denies it that does not pass by itself
  TimePoint earliest_;
};

// Holds the mutexes of the ask's scopes while it lives.
class Limiter::Judge {
 public:
  // `arrival`: whoever waits and came earlier goes first.
  Judge(const Limiter& limiter, const Ask& ask, TimePoint now, uint64_t arrival);

  const std::optional<Denied>& denied() const { return denials_.denied(); }
  TimePoint again() const { return denials_.again(); }
  TimePoint passes() const { return denials_.passes(); }
  TimePoint earliest() const { return denials_.earliest(); }
  void Take(Slot& slot);

 private:
  using What = Denied::What;

  void Lock();
  void JudgeClaim(size_t claim);
  void JudgeStarts(size_t claim);
  void JudgeTokens(size_t claim);
  void JudgeCosts(size_t claim);
  void JudgeFiveHours(size_t claim);

  const Limiter& limiter_;
  const Ask& ask_;
  const Charge reserve_;
  const TimePoint now_;
  const uint64_t arrival_;
  WallTime wall_{};
  int32_t today_ = 0;
  std::array<std::unique_lock<std::mutex>, Slot::kMost> locks_;
  Denials denials_;
};

}  // namespace relay
