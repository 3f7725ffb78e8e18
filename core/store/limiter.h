// SPDX-License-Identifier: MIT
// Limits that are kept in memory: starts and tokens in any 60 seconds, requests in flight, and what
// may be spent. Process-wide, since a key's requests land on several workers. What an exchange may
// use at most is reserved before it goes on, and settled with what it used when it ends (README.md,
// "Limits"). Each scope has a mutex of its own, with no wait inside.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/async/task.h"
#include "core/async/wait_queue.h"
#include "core/base/clock.h"
#include "core/base/zone.h"
#include "core/store/minute_window.h"
#include "core/store/output_means.h"
#include "core/store/spending.h"
#include "core/store/states.h"

namespace relay {

// Zero: no such limit.
struct RateLimits {
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;
  int64_t concurrency = 0;
  CostAmounts cost{};       // nanodollars
  int64_t cost_per_5h = 0;  // nanodollars

  bool any() const { return requests_per_minute > 0 || concurrency > 0 || needs_reserve(); }
  bool any_cost() const { return cost_per_5h > 0 || cost != CostAmounts{}; }
  // Such limits want to know beforehand what a request may use.
  bool needs_reserve() const { return tokens_per_minute > 0 || any_cost(); }
};

// What one exchange may use, or has used.
struct Charge {
  int64_t tokens = 0;
  int64_t nanodollars = 0;
};

// Until then all relays together deny it, whatever is asked, if the minute's limit is this.
struct MinuteBar {
  int64_t limit = 0;
  TimePoint until{};
};

class LimitScope;
class LimitTicket;
class SharedLimits;

// An exchange's places among the requests in flight of its scopes, with what is reserved there;
// given back when it dies.
class Slot {
 public:
  static constexpr size_t kMost = 3;  // a key's, a route's, and a key's on a service

  Slot() = default;
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot();

 private:
  friend class Limiter;
  std::array<std::shared_ptr<LimitScope>, kMost> held_;
  Charge reserved_;
  size_t model_ = 0;
  TimePoint began_{};
  bool undecided_ = false;  // others are being asked: if it dies now it has not been admitted
  SharedLimits* shared_ = nullptr;  // where reservation_, if it is not 0, is to be settled
  uint64_t reservation_ = 0;
};

// What shares one allowance: a key, a route, a key on a route.
class LimitScope {
 public:
  explicit LimitScope(std::string name);
  LimitScope(const LimitScope&) = delete;
  LimitScope& operator=(const LimitScope&) = delete;
  ~LimitScope();
  const std::string& name() const { return name_; }
  int64_t InFlight() const;
  size_t Waiting() const;
  // What was spent before this run.
  PastSpending Past() const;
  // Of the answers that were settled here; nothing while there was none of that model.
  std::optional<int64_t> MeanOutput(size_t model) const;

 private:
  friend class Limiter;
  friend class LimitTicket;
  friend class Slot;
  bool Idle(TimePoint now);
  void ReleaseLocked(const Charge& reserved, const LimitTicket* asker = nullptr);
  void LeaveLocked(LimitTicket& ticket);
  // Something has changed: the first who waits looks again.
  void WakeFrontLocked();

  const std::string name_;
  const bool in_ledger_;  // what was spent here: the ledger keeps it
  mutable std::mutex mutex_;
  MinuteWindow starts_;
  MinuteWindow tokens_;
  Spending spending_;
  FiveHours five_hours_;
  MinuteBar starts_bar_;
  MinuteBar tokens_bar_;
  PastSpending past_;  // of these two: from before this run
  Charge reserved_;
  int64_t in_flight_ = 0;
  bool keeps_spending_ = false;  // must not be forgotten: money was counted against a limit
  bool keeps_starts_ = false;    // these: counted against a limit, and so to be written
  bool keeps_tokens_ = false;
  bool keeps_five_hours_ = false;
  bool changed_ = false;  // of what is written, since it was taken last
  OutputMeans outputs_;
  WaitQueue<LimitTicket> waiting_;
};

class Limiter {
 public:
  // `clock` outlives this. Days are those of `zone`.
  explicit Limiter(const Clock& clock = SystemClock::Get(), Zone zone = Zone())
      : clock_(clock), zone_(std::move(zone)) {}

  // The scope of that name, made if there is none. Resolve it once and keep it: requests then do
  // not look up names. Scopes that nobody keeps are forgotten once they are idle.
  std::shared_ptr<LimitScope> Scope(std::string_view name);
  // Null where there is none: nothing was counted there of late.
  std::shared_ptr<LimitScope> Find(std::string_view name) const;
  // Of a key's own limits, of a route's that all share, of a route's that each key has there, and
  // of a key's on one service. Keys and routes have no space in their names.
  static std::string NameOfKey(std::string_view key) { return "key " + std::string(key); }
  static std::string NameOfRoute(std::string_view route) { return "route " + std::string(route); }
  static std::string NameOfRoute(std::string_view route, std::string_view key) {
    return NameOfRoute(route) + " " + NameOfKey(key);
  }
  static std::string NameOfService(std::string_view service, std::string_view key) {
    return "service " + std::string(service) + " " + NameOfKey(key);
  }
  size_t size() const;

  // Adds what was spent in the scope of that name before this run.
  void AddPast(std::string_view scope, const Spending& spending);
  // The day on the calendar of budgets.
  int32_t Today() const { return zone_.DayOf(clock_.Wall()); }
  const Clock& clock() const { return clock_; }

  struct Claim {
    std::shared_ptr<LimitScope> scope;  // null: none
    RateLimits limits;
  };
  // What an exchange asks of its scopes, which are different ones.
  struct Ask {
    std::array<Claim, Slot::kMost> claims;
    Charge reserve = {};
    size_t model = 0;  // whose mean output the first claim's scope learns; see OutputMeans::IdOf
    // Counts and admits whatever the limits say, but tells all the same what they said.
    bool shadow = false;
  };
  struct Denied {
    // kAway: what other relays have used is not known, and nothing is to be served without it.
    enum class What : uint8_t { kRequests, kTokens, kConcurrency, kFiveHours, kAway, kCost } what;
    size_t claim = 0;     // the first one that denies
    int64_t limit = 0;    // of requests, tokens or nanodollars
    CostWindow window{};  // kCost
    // kFiveHours, kCost: nothing is left. Else what is left is reserved for others, and waiting may
    // help.
    bool spent = false;
    // When no minute or calendar stands in the way any more; at least the second after which to
    // ask again for what others hold, which nobody can foretell. Nothing: it never ends.
    std::optional<Duration> retry_after = {};
  };
  // What all relays together know of an ask's scopes, by the clock that they share.
  struct Common {
    int32_t day = 0;  // as of which it was judged
    // Those that run, in each claim that has such a limit.
    std::array<std::optional<FiveHours>, Slot::kMost> five_hours = {};
    // What is over in each claim until a minute has passed.
    std::array<MinuteBar, Slot::kMost> starts = {};
    std::array<MinuteBar, Slot::kMost> tokens = {};
  };
  // Counts a start in all claims if all their limits allow it, else in none; `slot`, which is
  // empty, holds the places.
  std::optional<Denied> Admit(const Ask& ask, TimePoint now, Slot& slot);
  // What Admit would say, counting nothing. `passes`: from when on it would say so no more if
  // nothing but time changes; max: only others can cure it.
  std::optional<Denied> Look(const Ask& ask, TimePoint now, TimePoint* passes = nullptr);

  // How one of a claim's limits stands.
  struct Use {
    Denied::What what = Denied::What::kRequests;
    CostWindow window{};   // kCost
    int64_t limit = 0;     // of requests, tokens or nanodollars
    int64_t used = 0;      // of it; of concurrency: the requests in flight
    int64_t reserved = 0;  // by requests in flight, of tokens and money
    int64_t left() const { return limit - used - reserved; }
  };
  // Of all limits that the claim has.
  std::vector<Use> Look(const Claim& claim, TimePoint now);

  using Admitted = std::expected<std::unique_ptr<Slot>, Denied>;
  // The same, but waits its turn until `deadline`: first come, first served among those that wait
  // for the same scope, whichever worker they live on. Denied at once when `most` wait there, or
  // when waiting until then cannot help. The limiter outlives the task.
  Task<Admitted> AdmitInTurn(Loop& loop, Ask ask, TimePoint deadline, size_t most);

  // Other relays have the same limits: what this admits is asked there as well. It outlives this;
  // null: there are none. Before other threads use this.
  void ShareBy(SharedLimits* shared) { shared_ = shared; }
  // Whether an ask goes to the others.
  bool IsShared(const Ask& ask) const;
  // Exactly one of them is not there, but for who waited or is in shadow.
  struct Everywhere {
    std::unique_ptr<Slot> slot;  // null: denied
    std::optional<Denied> over;  // the limit that was in the way, if there was one
  };
  // Like AdmitInTurn, of all relays together: a limit that others have used up is asked again when
  // it says so, when something of it is given back here, and else every second, by the first who
  // waits for it. Without a `deadline` to come nobody waits.
  Task<Everywhere> AdmitEverywhere(Loop& loop, Ask ask, TimePoint deadline, size_t most);

  // The exchange of `slot` is over and used this; `output`: the tokens of a whole answer. Without
  // it the slot's end settles with nothing.
  void Settle(Slot& slot, const Charge& used, std::optional<int64_t> output = {});

  // What a scope has counted against limits, for a store: minute windows by wall time, since clocks
  // of other runs differ.
  struct Kept {
    struct Moment {
      WallTime when;
      int64_t amount = 0;
      bool operator==(const Moment&) const = default;
    };
    std::string scope;
    std::vector<Moment> starts = {};
    std::vector<Moment> tokens = {};
    Spending spending = {};
    FiveHours five_hours = {};
  };
  // Rung after each change, by any thread; outlives this. Before other threads use this.
  void RingAt(StateBell& bell) { bell_ = &bell; }
  // Of all scopes that changed since the last call. A key's own spending is not in it: the ledger
  // has that.
  std::vector<Kept> TakeChanged();
  // Adds what an earlier run has counted. False: none of it counts any more.
  bool Restore(const Kept& kept);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  class Judge;
  class Turn;
  // The exchange of `slot` does not go on: as if it had never been admitted. `asker`, who holds it,
  // is not woken by that.
  static void Undo(Slot& slot, const LimitTicket* asker);
  // What all relays together have spent: a budget of which nothing is left is refused by this one
  // itself from now on.
  void Learn(const Ask& ask, const std::optional<Denied>& denied, const Common& common);
  // What all have denied and still would at `by`, if nothing is given back here meanwhile.
  static std::optional<Denied> Barred(const Ask& ask, TimePoint now, TimePoint by);
  void SettleShared(const Slot& slot, const Charge& charge);
  void ForgetIdleLocked();
  std::vector<std::shared_ptr<LimitScope>> AllScopes() const;
  void Changed() const {
    if (bell_ != nullptr) bell_->Ring();
  }

  const Clock& clock_;
  const Zone zone_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<LimitScope>, Hash, std::equal_to<>> scopes_;
  size_t look_at_ = 64;  // scopes at which idle ones are looked for
  StateBell* bell_ = nullptr;
  SharedLimits* shared_ = nullptr;
};

}  // namespace relay
