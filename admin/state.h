// SPDX-License-Identifier: MIT
// What outlives the process: the store, in the data folder or in Redis, the folder's journal, and
// the thread that keeps ledger and states in them. A relay serves without all of it, and says so.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/keyring.h"
#include "core/base/clock.h"
#include "core/config/root.h"
#include "core/store/data_folder.h"
#include "core/store/ledger.h"
#include "core/store/ledger_keeper.h"
#include "core/store/redis_limits.h"
#include "core/store/states.h"
#include "core/store/store.h"

namespace relay {

// In the data folder.
inline constexpr std::string_view kStoreFile = "relay.db";
inline constexpr std::string_view kJournalFolder = "journal";

// The store that a configuration names, without its state: embedded in `folder` unless it says
// another path, or Redis. Errors: it cannot be opened.
Result<std::unique_ptr<Store>> OpenStoreOf(const StoreConfig& config, const std::string& folder,
                                           const Clock& clock);

class State {
 public:
  struct Site {
    // Why there is no folder, where it is null. Locked by us; outlives the state.
    const DataFolder* folder = nullptr;
    std::string no_folder = {};
    size_t workers = 1;
    JournalFiles* files = &JournalFiles::System();
  };

  // Who has in memory what is to last. They outlive the state.
  struct Kept {
    Ledger& ledger;
    std::vector<StateOwner*> owners;
    StateBell& bell;  // that the owners ring
    // Adds what keys spent on those days to their budgets.
    std::function<void(const std::vector<DayRow>& days)> add_spending;
  };

  // Gives them what earlier runs left, and from then on keeps in store and journal what they are
  // told. Before anybody else uses them. Null for `store: memory`. Without a folder it is a state
  // that keeps nothing, or nothing but what Redis is told every flush interval, with a warning of
  // what that loses. A store that is not to be had yet is tried again, and the journal kept
  // meanwhile; what it has is then added to what is there. Errors (for people) are those that
  // another try does not mend: a store that is damaged, of another program or of a newer relay, or
  // was used with another encryption key; before that is known nothing is written to it
  // (keyring.h). The clock outlives the state.
  static Result<std::unique_ptr<State>> Open(const Config& config, const Site& site,
                                             const Clock& clock, Kept kept);
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  // Nobody uses them any more. Brings all to the store, and waits for it.
  ~State();

  // Where objects are written, whose calls may come once it was met; null where nothing is kept.
  Store* store() const { return store_.get(); }
  // Null unless several relays share limits. Asks nobody before what earlier runs spent is known.
  SharedLimits* shared_limits() const { return limits_; }
  // Null where nothing is kept.
  Keyring* keyring() const { return keyring_.get(); }
  // Gives what the store was found to hold when it was met, which may be now or later, on whatever
  // thread. Called once; null: nobody is to be told any more.
  void WhenMet(std::function<void(Contact)> tell);

  // "embedded", "redis"; "memory": there is no store, or not yet.
  std::string_view kind() const;
  // Of the store, where there is one. From any thread, at once.
  StoreStatus store_status() const;
  // Store or journal fail, or there are none where there should be. From any thread, at once.
  LedgerKeeper::Status status() const;

 private:
  explicit State(Kept kept) : kept_(std::move(kept)), states_(kept_.owners, kept_.bell) {}
  Result<Unit> Begin(const Config& config, const Site& site, const Clock& clock);
  Result<Past> OpenStore(const Config& config, const std::string& run, const std::string& path,
                         const std::string& journals, const Clock& clock);
  void Add(const std::string& path, const Past& past);

  const Kept kept_;
  StateKeeper states_;
  Result<Unit> Meet(Store& store);

  std::unique_ptr<Keyring> keyring_;
  std::mutex met_mutex_;  // guards the next two
  std::optional<Contact> contact_;
  std::function<void(Contact)> tell_;
  std::unique_ptr<Store> store_;
  RedisLimits* limits_ = nullptr;  // the store's
  std::unique_ptr<LedgerBooks> books_;
  std::unique_ptr<LedgerKeeper> keeper_;
};

}  // namespace relay
