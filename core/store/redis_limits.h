// SPDX-License-Identifier: MIT
// Limits that several relays share in Redis: one command reserves for an exchange, and carries what
// others of this relay have used since; what nothing carries is told a moment later.
//
// What is reserved hangs on this relay's lease, which is renewed while something is held: a relay
// that is gone holds nothing after kLease. While Redis does not answer, each relay goes by its own
// limiter alone, or refuses (fail closed); what is used meanwhile is told when it answers again,
// and so is what is in flight then.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/async/loop.h"
#include "core/base/zone.h"
#include "core/store/redis_limit_calls.h"
#include "core/store/shared_limits.h"
#include "core/store/store.h"

namespace relay {

class RedisLimits final : public SharedLimits {
 public:
  static constexpr Duration kLease = std::chrono::seconds(15);
  static constexpr Duration kRenew = std::chrono::seconds(5);
  // After a command that failed; who has failed so often goes by its own.
  static constexpr Duration kRepeat = std::chrono::milliseconds(100);
  static constexpr int kTries = 3;
  // An exchange waits no longer than this to be told what others hold.
  static constexpr Duration kAnswerWithin = std::chrono::milliseconds(500);
  // What has ended, and what was used without a limit.
  static constexpr Duration kSettleWithin = std::chrono::milliseconds(100);
  static constexpr Duration kUsesApart = std::chrono::seconds(5);  // are told apart
  static constexpr Duration kMinute = std::chrono::seconds(61);
  static constexpr Duration kTellWithin = std::chrono::seconds(1);
  // While Redis does not answer.
  static constexpr Duration kTryAgain = std::chrono::seconds(1);
  static constexpr size_t kMostInOne = 1000;  // of each kind, in one command

  struct Options {
    std::string relay = {};  // our name: no other has it
    Zone zone = {};
    bool fail_closed = false;
    Duration lease = kLease;
    Duration answer_within = kAnswerWithin;
  };
  // Sends a command and gives its answer, on the loop's thread.
  using Call = std::function<void(SharedRequest request, Store::Done<RespReply> done)>;

  // All of these outlive it.
  RedisLimits(Loop& loop, Call call, Options options, const Clock& clock);
  RedisLimits(const RedisLimits&) = delete;
  RedisLimits& operator=(const RedisLimits&) = delete;
  ~RedisLimits() override;

  // From any thread. What was spent before this run is known from now on; until then nobody is
  // asked, as if Redis were away.
  void Open();

  Task<Verdict> Reserve(Loop& loop, Limiter::Ask ask) override;
  void Settle(Settlement settlement) override;
  Status status() const override;

  // On the loop's thread, before anything is said on a new connection. Its server may have taken
  // another's place that had heard more of us: what we hold there is told anew.
  void OnConnected();

  // On the loop's thread: a command is about to go to Redis, and what is to be told may go with it.
  void TellNow();

  // On the loop's thread: tells what is left to be told, once, and then calls `done`. Nothing is
  // reserved any more.
  void Finish(std::function<void()> done);

 private:
  class Pending;
  struct Reserving;
  enum class HeldState : uint8_t {
    kAsked,
    kHeld,
    kLost,  // Redis does not know of it, or may not: it is to be told
  };
  // What is reserved, or would be if Redis had been there.
  struct Held {
    HeldState state = HeldState::kAsked;
    bool told = false;           // Redis may know of it
    std::string text = {};       // what it holds there
    Pending* pending = nullptr;  // who waits for the answer
  };

  // Under the mutex.
  uint64_t BeginLocked(Pending& pending, Limiter::Ask ask);
  void EndLocked(uint64_t id, bool begun);
  Verdict AloneLocked(uint64_t id, bool shadow);
  Verdict UndecidedLocked(uint64_t id, Pending& pending);
  void FailLocked(const Reserving& reserving);
  void GoAwayLocked(std::string_view why);
  void UseLocked(Use use);
  void WakeLocked();
  void LoseAllLocked();
  void SetLocked(Held& held, HeldState state);

  // On the loop's thread.
  void Work();
  void Send(std::shared_ptr<Reserving> reserving);
  bool TakeBatch();
  void OnReply(bool carried, const std::shared_ptr<Reserving>& reserving, TimePoint sent,
               Result<RespReply> reply);
  void OnSettled();
  void OnBack();
  void OnFailed(const std::shared_ptr<Reserving>& reserving, std::string_view why);
  void OnReserved(const std::shared_ptr<Reserving>& reserving,
                  const redis_limit_calls::Answer& answer);
  void SendDeferred();
  void Plan();
  void OnTime();

  Loop& loop_;
  const Call call_;
  const Options options_;
  const Clock& clock_;
  std::atomic<bool> open_{false};

  mutable std::mutex mutex_;  // guards these
  uint64_t next_ = 0;
  std::unordered_map<uint64_t, Held> held_;
  std::array<size_t, 3> counts_{};                 // of held_, by state
  std::vector<std::shared_ptr<Reserving>> asked_;  // not yet sent
  std::vector<LimitBatch::End> ends_;              // not yet told
  // The same, by scope and time. Only what counts in a minute is kept apart for long.
  std::map<std::pair<std::string, WallTime>, LimitBatch::Used> uses_;
  bool posted_ = false;  // Work is on its way
  bool away_ = false;
  TimePoint try_at_{};  // while it is away
  uint64_t alone_ = 0;

  // The loop's.
  std::optional<LimitBatch> batch_;  // not yet answered
  bool batch_sent_ = false;
  int64_t sequence_ = 0;
  uint64_t fence_ = 1;
  bool anew_ = true;    // our lease is to be forgotten before anything is held
  uint64_t anews_ = 0;  // how often that was said
  int failed_ = 0;      // commands in turn that reserved nothing
  std::vector<std::shared_ptr<Reserving>> deferred_;  // until batch_ is answered, or repeat_at_
  TimePoint repeat_at_{};
  TimePoint last_call_{};
  TimePoint settle_by_ = TimePoint::max();
  TimePoint tell_by_ = TimePoint::max();
  std::function<void()> finish_;
  bool finished_ = false;
  MethodTimer<RedisLimits, &RedisLimits::OnTime> timer_;
};

}  // namespace relay
