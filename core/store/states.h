// SPDX-License-Identifier: MIT
// Small states that outlive the process: the health of accounts, which session sticks to which
// account, what budgets have counted. Each has an owner who holds it in memory and never waits for
// a store; what changed is written behind, with the ledger (ledger_keeper.h).
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/store/store.h"

namespace relay {

// How owners tell that something has changed.
class StateBell {
 public:
  // From any thread, after the change, at once. Wakes at most once for each Take.
  void Ring() noexcept {
    if (rung_.load(std::memory_order_relaxed) || rung_.exchange(true)) return;
    if (wake_) wake_();
  }
  // Whom to wake, from any thread; null: nobody. Before other threads ring, or after they did.
  void WakeBy(std::function<void()> wake) { wake_ = std::move(wake); }

  bool rung() const { return rung_; }
  // True: it was rung since the last call. What changes from now on rings again.
  bool Take() { return rung_.exchange(false); }

 private:
  std::atomic<bool> rung_{false};
  std::function<void()> wake_;
};

class StateOwner {
 public:
  virtual ~StateOwner() = default;
  // Of all its blobs.
  virtual std::string_view kind() const = 0;
  // Appends what has changed since the last call, as it is now.
  virtual void TakeChanged(std::vector<StateBlob>& to) = 0;
  // Adds what earlier runs left to what is there already, which may be in use. Returns the ids of
  // what nobody needs any more.
  virtual std::vector<std::string> Restore(const std::vector<StateBlob>& blobs) = 0;
};

// What is to be written of all owners. For one thread at a time.
class StateKeeper {
 public:
  // All of them outlive it.
  StateKeeper(std::vector<StateOwner*> owners, StateBell& bell)
      : owners_(std::move(owners)), bell_(bell) {}

  std::vector<std::string> kinds() const;
  // `blobs` of all kinds. Those that nobody needs are to be dropped from the store.
  void Restore(std::vector<StateBlob> blobs);
  // There is something to write.
  bool changed() const { return bell_.rung() || !pending_.empty(); }
  // All that the store does not have yet.
  std::vector<StateBlob> Take();
  // What was taken last is in the store. Without this the next Take gives it again.
  void Arrived() { pending_.clear(); }

 private:
  const std::vector<StateOwner*> owners_;
  StateBell& bell_;
  std::map<std::pair<std::string, std::string>, std::string> pending_;  // kind, id -> value
};

}  // namespace relay
