// SPDX-License-Identifier: MIT
// Where state outlives a process: behind this interface stand memory, SQLite and Redis. Nothing of
// it is on the path of a request; everything is written behind and read at start.
//
// Calls come from any thread and never block (but for LateStore, whose caller may). `done` runs
// once: on a thread of the store, or before the call returns. It must not wait, and what it touches
// must live until then; a store that dies first finishes what was asked of it. Errors (kRelay):
// kInternal tells of a full disk and the like in words of the system, and the caller tries again
// later; nothing of the call was done.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/store/ledger_rows.h"

namespace relay {

// Some rows of one epoch with their absolute totals, and exchanges singly.
struct LedgerFlush {
  std::string epoch;
  // Grows with each flush of an epoch: one that is older than what the store has is ignored, so
  // that a late or repeated flush changes nothing.
  int64_t sequence = 0;
  RowSet rows;
  std::vector<LedgerEntry> recent;  // in the order of their ends; known by their ids
};

// An epoch that was folded, by whomever.
struct EndedEpoch {
  std::string epoch;
  int64_t sequence = 0;  // of the newest flush that is in what was folded; 0: of none
  bool operator==(const EndedEpoch&) const = default;
};

// What became of the flushes of one call.
struct Flushed {
  // Nothing of theirs was taken by this call, but an earlier one may have been.
  std::vector<EndedEpoch> ended;
};

struct EpochRows {
  std::string epoch;
  int64_t sequence = 0;  // of its newest flush
  RowSet rows;
  // Its writer may be alive on another machine: not to be folded, unless its journal is here.
  bool may_live = false;
};

struct LedgerImage {
  RowSet folded;                    // of all epochs that were folded, in sum
  std::vector<EpochRows> epochs;    // the others
  std::vector<std::string> ended;   // names of those that were folded
  std::vector<LedgerEntry> recent;  // oldest first
};

// Something small that its owner can do without: an account's health, a session's account, what a
// budget has counted.
struct StateBlob {
  std::string kind;   // "health"
  std::string id;     // unique in its kind
  std::string value;  // empty: there is none
  bool operator==(const StateBlob&) const = default;
};

// What people made: a key, an account, a user, a setting.
struct StoredObject {
  std::string kind;
  std::string id;
  int64_t version = 0;  // never used twice in a store, so that no old one is taken for a new one
  std::string value;
  bool operator==(const StoredObject&) const = default;
};

struct Directory {
  int64_t version = 0;  // grows with each write of any object
  std::vector<StoredObject> objects;
};

struct ObjectWrite {
  std::string kind;
  std::string id;
  int64_t expected = 0;              // the version that was read; 0: there must be none
  std::optional<std::string> value;  // nothing: removes it
};

struct ObjectWritten {
  bool conflict = false;  // somebody else was first, and nothing was written
  int64_t version = 0;    // what it is now; 0: there is none
  // The directory's with this write, one more than before it; 0: nothing was written.
  int64_t directory = 0;
};

// Where a store stands, for /health, /ready and /metrics.
struct StoreStatus {
  enum class Link : uint8_t {
    kLocal,  // there is nothing to connect to
    kConnecting,
    kConnected,
    kDisconnected,  // tried again and again
  };
  Link link = Link::kLocal;
  // Several relays use the store, and what others change is not heard of as it comes
  // (WatchObjects).
  bool deaf = false;
  // How often a flush is worth its cost.
  Duration flush_every = std::chrono::seconds(1);
  // The first one after a pause, from the first that it tells of on: sooner where it then goes with
  // what is told anyway.
  Duration first_flush = std::chrono::seconds(1);
  // How long states that changed may wait for a flush to go with, where each call has its price.
  Duration states_wait = {};
  bool stretched = false;      // that is longer than it was meant to be, since commands run low
  uint64_t commands = 0;       // sent since the start: a far store may bill each
  int64_t month_used = 0;      // commands of this month (UTC), of earlier runs too
  int64_t month_budget = 0;    // 0: there is none
  int64_t month_forecast = 0;  // if it goes on like this
  int64_t month_idle = 0;      // of a month in which nothing is asked of this relay
};

class Store {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  static constexpr size_t kRecent = Ledger::kRecent;

  virtual ~Store() = default;
  // "memory", "embedded", "redis": for /health and the log.
  virtual std::string_view kind() const = 0;
  // From any thread, at once.
  virtual StoreStatus status() const { return {}; }

  virtual void Load(Done<LedgerImage> done) = 0;
  // All of the flushes or none, but for those of epochs that were folded.
  virtual void Flush(std::vector<LedgerFlush> flushes, Done<Flushed> done) = 0;
  // The epoch has ended: adds its rows to the folded ones, once. Flushes of it are not taken from
  // then on and told as ended, and folding it again is ignored. When it is done, all of the epoch
  // is there to stay, whatever happens to the machine: its journal is needed no more.
  virtual void Fold(std::string epoch, Done<Unit> done) = 0;
  // Drops rows before `kept_from`, of whatever epoch.
  virtual void Expire(Period kept_from, Done<Unit> done) = 0;

  virtual void LoadStates(std::string kind, Done<std::vector<StateBlob>> done) = 0;
  virtual void PutStates(std::vector<StateBlob> blobs, Done<Unit> done) = 0;
  // Both calls as one. An error may be of either: all of it is to be told again.
  virtual void FlushWithStates(std::vector<LedgerFlush> flushes, std::vector<StateBlob> blobs,
                               Done<Flushed> done) {
    Flush(std::move(flushes), [this, blobs = std::move(blobs),
                               done = std::move(done)](Result<Flushed> flushed) mutable {
      if (!flushed || blobs.empty()) return done(std::move(flushed));
      PutStates(std::move(blobs), [done, flushed = std::move(*flushed)](Result<Unit> put) {
        if (!put) return done(std::unexpected(std::move(put.error())));
        done(flushed);
      });
    });
  }

  // What several relays have counted of their limits together counts no more; none of them runs.
  // Nothing to do where limits are in memory alone.
  virtual void ForgetLimits(Done<Unit> done) { done(Unit()); }

  virtual void LoadObjects(Done<Directory> done) = 0;
  // Compare and set.
  virtual void WriteObject(ObjectWrite write, Done<ObjectWritten> done) = 0;
  // From now on, for as long as the store lives, `changed` is told of every change that others make
  // to the directory: with a version of it that is not older, on a thread of the store, perhaps
  // more than once. Called once. A store that nobody else uses never tells anything.
  virtual void WatchObjects(std::function<void(int64_t version)> changed) { (void)changed; }
};

// Waits for one call, for start-up and tests, never on a loop:
//   auto image = Await<LedgerImage>([&](auto done) { store.Load(std::move(done)); });
template <class T, class F>
Result<T> Await(F call) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  std::future<Result<T>> future = promise->get_future();
  call(Store::Done<T>([promise](Result<T> result) { promise->set_value(std::move(result)); }));
  return future.get();
}

}  // namespace relay
