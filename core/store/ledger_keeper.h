// SPDX-License-Identifier: MIT
// Brings the ledger's books behind the requests to where they last: the journal to the disk every
// few milliseconds, sums, exchanges and states that changed to the store every second, and what
// earlier runs left in their journals, under their own epochs, once. A thread of its own, that
// sleeps while nothing is used.
//
// A store or disk that fails costs nothing of it: all stays in memory and is tried again. The first
// failure and the recovery are events of the log.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/store/ledger_books.h"
#include "core/store/past.h"
#include "core/store/states.h"
#include "core/store/store.h"

namespace relay {

class LedgerKeeper {
 public:
  // A power cut takes at most what was used in 50 ms (R38): the rest is for the disk.
  static constexpr Duration kSyncEvery = std::chrono::milliseconds(30);
  static constexpr Duration kFlushEvery = std::chrono::seconds(1);  // unless the store says else
  static constexpr Duration kFinishPatience = std::chrono::seconds(10);
  static constexpr int32_t kKeptDays = Ledger::kDays;
  static constexpr int64_t kKeptHours = int64_t{31} * 24;

  // What may fail: beginning or writing the journal, its way to the disk, and calls of the store;
  // and an epoch of ours that others took for dead.
  enum class Op : uint8_t {
    kJournal,
    kSync,
    kFlush,
    kLoad,
    kStates,
    kReplay,
    kFold,
    kExpire,
    kEnded
  };
  static constexpr size_t kOps = 9;
  static std::string_view NameOf(Op op);

  struct Status {
    bool journal_fails = false;
    bool store_fails = false;
    std::array<uint64_t, kOps> errors{};  // since the start
    bool degraded() const { return journal_fails || store_fails; }
  };

  // All of these outlive it. `ledger` tells the calendar; `states`: null where there are none.
  LedgerKeeper(Store& store, LedgerBooks& books, const Ledger& ledger, const Clock& clock,
               std::vector<DeadEpoch> dead, StateKeeper* states = nullptr);
  LedgerKeeper(const LedgerKeeper&) = delete;
  LedgerKeeper& operator=(const LedgerKeeper&) = delete;
  // Stops where it stands, as a crash would: what is in the journal only is for the next run.
  ~LedgerKeeper();

  // What a store that could not be read at the start has of earlier runs: read once it can be, and
  // given to `add`, on the keeper's thread. Until then no states are written, which would take the
  // place of older ones. Before Start.
  struct Late {
    std::string journals;
    std::string run;  // our own
    std::function<void(const Past&)> add;
  };
  void ReadLate(Late late) { late_ = std::move(late); }

  // Begins the journals, and the thread.
  void Start();
  // When nobody uses ledger and states any more: stops the thread, brings all to the store and
  // folds the epochs of this run, so that nothing is left in the journal. Waits for the store; one
  // that fails is tried again, up to kFinishPatience, where there is no journal to leave it in. The
  // log says what was not done.
  void Finish();

  // What is due now, on the caller's thread, when there is no other. The time until more is.
  Duration Step();

  Status status() const;

 private:
  void Run(const std::stop_token& stop);
  void StopThread();
  void BeginJournals();
  void TellOfTrouble();
  void TellOfRecovery();
  void Plan(TimePoint now);
  void BeginRound();
  void Advance();
  bool CallNext();
  bool CallFlush();
  Store::Done<Flushed> AnsweringFlush(Op op);
  void CallLoad();
  bool CallStates();
  Result<Unit> AddLate();
  void TellOfEnded(std::string_view note);
  void TakeEnded();
  void EndQuiet();
  void RemoveDeadFiles();
  Store::Done<Unit> Answering(Op op);
  void WaitForAnswer();
  bool TakeAnswer();
  void OnDone(Op op);
  void OnFailed(Op op, const std::string& why);
  bool FinishOnce();
  bool StatesAreLeft() const;
  void TellOfLeft() const;
  bool FoldAll();
  void Count(Op op);

  Store& store_;
  LedgerBooks& books_;
  const Ledger& ledger_;
  const Clock& clock_;

  // The stepping thread's.
  std::deque<DeadEpoch> dead_;
  StateKeeper* const states_;
  std::optional<Late> late_;
  StoredPast loaded_;                 // for late_
  std::vector<LedgerFlush> flushes_;  // under way
  bool gave_back_ = false;            // that flush was, once
  std::vector<EndedEpoch> ended_;     // as the last flush or replay was told
  std::optional<Op> calling_;         // of the store
  bool in_round_ = false;             // one call after the other, until none is left or one fails
  bool flush_wanted_ = false;
  bool states_wanted_ = false;
  bool states_flushed_ = false;  // they are in the flush under way
  bool finishing_ = false;
  bool journal_well_ = true;               // since the last time it was due
  std::optional<TimePoint> last_round_;    // none yet
  std::optional<TimePoint> work_since_;    // there is something to tell, or to begin
  std::optional<TimePoint> states_since_;  // states have changed that are not told
  TimePoint due_;
  int32_t expired_on_ = INT32_MIN;
  int64_t quiet_at_ = INT64_MIN;  // the hour in which quiet epochs were looked for
  bool folded_ = false;           // all epochs of this run, at its end

  mutable std::mutex mutex_;
  std::condition_variable answered_;
  std::optional<Result<Unit>> answer_;  // not yet taken
  Status status_;

  std::jthread thread_;
};

}  // namespace relay
