// SPDX-License-Identifier: MIT
// The accounts of a cluster: who is healthy, how many requests each carries, and which session
// sticks to which. Process-wide, under one mutex with no wait inside; a place that becomes free is
// given to the first waiter that can use it, whichever worker it lives on.
#pragma once

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
#include "core/base/error.h"
#include "core/base/list.h"
#include "core/exchange/upstream.h"
#include "core/store/states.h"
#include "upstreams/account.h"
#include "upstreams/account_choice.h"

namespace relay {

// What an upstream's answer, or the failure to get one, says about the account.
struct Judgement {
  enum class Kind : uint8_t {
    kFine,        // pass the answer on
    kRequest,     // the request's own fault: passes, never counts against the account
    kUnsuited,    // this account may not serve this request; others may, and it may serve others
    kLimited,     // this account is at its limit, until `until`
    kOverloaded,  // the vendor is short of capacity: not the account's fault
    kExpired,     // its token has ended and could not be refreshed yet
    kRefused,     // the credential is not accepted: needs a person
    kBroken,      // connection trouble or a 5xx
  };
  // How much of the account a limit is of.
  enum class Scope : uint8_t { kAccount, kFamily };
  Kind kind = Kind::kFine;
  Scope scope = Scope::kAccount;  // kLimited only
  int status = 0;                 // as failover.on names it; 0: no answer came
  // kRequest: for thinking in the history that this account will not read.
  bool foreign_thinking = false;
  std::string cause = {};  // "429 rate_limit_error", for logs
  TimePoint until{};       // kLimited, kOverloaded: when to come back; epoch: a default
  // kFine, of a stream: from the request's end to its first event; zero: not known.
  Duration first_content{};
};

class AccountPool;

class AccountLease final : public Lease {
 public:
  // `probe`: names it as the one request that finds out whether a rest is over; 0: it is not.
  // `guess`: the account failed others of late, and was taken since no other could serve.
  // `lost`: what its session had cached on the account before; no tokens: nothing, or it stays.
  AccountLease(std::shared_ptr<AccountPool> pool, std::shared_ptr<const Account> account,
               size_t index, uint64_t probe, bool guess, bool may_have_moved, CachedPrompt lost,
               const Wish& wish)
      : pool_(std::move(pool)),
        account_(std::move(account)),
        index_(static_cast<uint32_t>(index)),
        guess_(guess),
        may_have_moved_(may_have_moved),
        probe_(probe),
        lost_(std::move(lost)),
        sticky_(wish.sticky),
        family_(wish.family),
        tags_(wish.tags) {}
  ~AccountLease() override;
  std::string_view account() const override { return account_->name; }
  void NoteUsage(const Usage& usage, TimePoint since) override;
  // As it was when the lease was taken, whatever is reconfigured.
  const std::shared_ptr<const Account>& details() const { return account_; }
  size_t index() const { return index_; }
  bool guess() const { return guess_; }
  // Its session had another account before, as far as the pool can tell: there is none, or this
  // account has answered it nothing yet, so that it may be one that was forgotten.
  bool may_have_moved() const { return may_have_moved_; }
  const CachedPrompt& lost() const { return lost_; }
  // What another account that takes its place must obey, too.
  const std::string& sticky() const { return sticky_; }
  // Of the models that it was taken for.
  const std::string& family() const { return family_; }
  const std::shared_ptr<const std::vector<std::string>>& tags() const { return tags_; }

 private:
  std::shared_ptr<AccountPool> pool_;
  std::shared_ptr<const Account> account_;
  uint32_t index_;
  bool guess_;
  bool may_have_moved_;
  uint64_t probe_;
  CachedPrompt lost_;
  std::string sticky_;
  std::string family_;
  std::shared_ptr<const std::vector<std::string>> tags_;
};

class AccountPool : public std::enable_shared_from_this<AccountPool> {
 public:
  // More waiters than this are told at once that all are busy.
  static constexpr size_t kMostWaiting = 1000;
  // Of more sessions than this, those longest unused are forgotten. Also what outlives the process.
  static constexpr size_t kMostSessions = 50'000;

  // `clock` outlives this.
  AccountPool(const Accounts& accounts, const Clock& clock, const OutlierConfig& outliers = {});
  ~AccountPool();

  // These are the accounts from now on. What is known of one goes by its name: health, requests in
  // flight, sessions and indices stay. One that is gone gets no new request, and those that it has
  // end as they will; should it come back, it is what it was. One with another credential, or
  // another way, is not held to be refused any more. Who waits looks again.
  void Reconfigure(const Accounts& accounts, const OutlierConfig& outliers = {});

  using Taken = std::expected<std::unique_ptr<AccountLease>, NoAccount>;
  // The best account (account_choice.h). A decision that is given is filled in.
  Taken TryTake(const Wish& wish, Decision* decision = nullptr);
  // The same, but waits its turn, first come first served, while all that are sure to serve are
  // busy; when it may wait no longer, one that may well fail is better than none. The pool outlives
  // the task: leases and clusters hold it.
  Task<Taken> Take(Loop& loop, Wish wish, TimePoint deadline, Decision* decision = nullptr);
  // Whether TryTake would find an account, or why it would not. Takes nothing.
  std::expected<Unit, NoAccount> CanServe(const Wish& wish);
  // How TryTake would choose at `now`. Takes nothing.
  Decision Explain(const Wish& wish, TimePoint now);
  // How long an account rests after that: as the vendor says, within bounds, or by default. What is
  // not kLimited, kOverloaded, kRefused or kBroken calls for no rest; a kBroken one grows.
  static TimePoint RestUntil(const Judgement& judgement, TimePoint now);
  // What came of a request that this account served for `wish`. True when it changed what Look()
  // says.
  bool Report(size_t index, const Judgement& judgement, const Wish& wish = {});

  // That account has answered the lease's session well. `moved`: not before what another had signed
  // was taken out. From then on it is known whether the session moved.
  void NoteAnswered(const AccountLease& lease, bool moved);

  // What the vendor says of the account's windows; one of which it says nothing stays as it was.
  void NoteWindows(size_t index, const UsageWindows& windows);

  // What an answer left in the account's cache, if the lease's session is still on it. Not kept
  // beyond the process, and forgotten with the session.
  void NoteCached(const AccountLease& lease, CachedPrompt cached);

  using Health = AccountHealth;
  struct View {
    std::string name;
    Health health = Health::kReady;
    Health rested_for = Health::kReady;  // kProbing: what may be over
    std::string cause = {};              // "" when ready
    std::string family = {};  // "": the whole account; else only these models, others are served
    int in_flight = 0;
    TimePoint until{};  // of the rest; epoch when there is none
    // How long streams took to their first event, a moving average; zero: not known yet.
    Duration first_content{};
    UsageWindows windows = {};  // those that are known and not over
  };
  // Of the accounts that there are.
  std::vector<View> Look();
  // Forgets what is held against an account: a person says that it is cured. False: there is none.
  bool Reset(std::string_view account);
  static constexpr size_t kMostIncidents = 20;
  // What went wrong with its requests, the newest first.
  std::vector<Incident> Incidents(std::string_view account);
  size_t waiting();
  // Requests that have an account, of all that there ever were.
  int in_flight();

  // What outlives the process (account_pool_states.cc): by names, and by wall time.
  struct KeptTrouble {
    std::string family;
    Health health = Health::kReady;
    std::string cause;
    WallTime until{};
  };
  struct KeptWindow {
    double used = 0;
    WallTime until{};  // epoch: nothing is known
  };
  struct KeptHealth {
    std::string account;
    int failures = 0;
    std::vector<KeptTrouble> troubles;
    KeptWindow five_hours = {};
    KeptWindow week = {};
  };
  struct KeptSession {
    size_t slot = 0;  // below kMostSessions; no two sessions have one
    std::string sticky;
    std::string family;  // "": all models that have no account of their own
    std::string account;
    WallTime used{};
    bool moved = false;
  };
  // Rung after each change, by any thread; outlives this. Before other threads use this.
  void RingAt(StateBell& bell) { bell_ = &bell; }
  // Of all accounts and sessions that changed since the last call. That a session was used again is
  // told only after a while, and what of a window is used when it is a hundredth more.
  std::vector<KeptHealth> TakeChangedHealth();
  std::vector<KeptSession> TakeChangedSessions();
  // Adds what an earlier run knew; what this one knows already counts more. An account that is not
  // there may come later, and is kept in mind as long as it rests. False: there is nothing to know.
  bool RestoreHealth(const KeptHealth& kept);
  // The same; returns the slots of those that nobody needs any more.
  std::vector<size_t> RestoreSessions(std::vector<KeptSession> kept);

 private:
  friend class AccountLease;
  static constexpr Duration kStickyLife = std::chrono::hours(1);
  // How much later than told a session may have been used.
  static constexpr Duration kTellUse = std::chrono::minutes(5);
  static constexpr Duration kMostRest = std::chrono::hours(24 * 8);
  using State = AccountState;
  struct SessionTag {};
  struct ChangedTag {};
  // Whose account it is: a session's, or of its models of one family, where the session's own does
  // not serve these.
  struct SessionKey {
    std::string sticky;
    std::string family;  // "": the session's own
  };
  struct SessionName {
    std::string_view sticky;
    std::string_view family;
    SessionName(std::string_view its_sticky, std::string_view its_family)
        : sticky(its_sticky), family(its_family) {}
    SessionName(const SessionKey& key)  // NOLINT(google-explicit-constructor)
        : sticky(key.sticky), family(key.family) {}
    bool operator==(const SessionName&) const = default;
  };
  // They find without making a key.
  struct SessionHash {
    using is_transparent = void;
    size_t operator()(SessionName name) const {
      std::hash<std::string_view> hash;
      return name.family.empty() ? hash(name.sticky) : hash(name.sticky) * 31 + hash(name.family);
    }
  };
  struct SameSession {
    using is_transparent = void;
    bool operator()(SessionName a, SessionName b) const { return a == b; }
  };
  // Which account a session sticks to.
  struct Session : ListNode<SessionTag>, ListNode<ChangedTag> {
    const SessionKey* key = nullptr;  // in sessions_
    size_t index = 0;
    TimePoint used{};
    TimePoint told{};  // when it was used as far as it was taken
    size_t slot = 0;
    bool moved = false;     // it had another account before, or has, for other models
    bool split = false;     // some of its models have accounts of their own
    bool answered = false;  // well, by this account
    CachedPrompt cached;    // on this one
  };
  struct Choice {
    size_t index = 0;
    uint64_t probe = 0;
    bool guess = false;
    std::shared_ptr<const Account> account;
    bool may_have_moved = true;
    CachedPrompt lost;  // on the account that the session leaves
  };
  using Choosing = std::expected<Choice, NoAccount>;
  class Ticket;

  Session* FindSessionLocked(std::string_view sticky, std::string_view family);
  // That of the wish's models, if it has not gone by; else that of the session.
  Session* SessionForLocked(const Wish& wish, TimePoint now);
  Session* SessionOfLocked(const AccountLease& lease);  // null: it has another account by now
  // The account that the wish's session has.
  std::optional<SessionAccount> AccountOfSessionLocked(const Wish& wish, TimePoint now);
  std::expected<size_t, NoAccount> FindLocked(const Wish& wish, TimePoint now,
                                              Decision* decision = nullptr);
  Choosing ChooseLocked(const Wish& wish, TimePoint now, Decision* decision);
  Taken LeaseOf(Choosing choice, const Wish& wish);
  Choice OccupyLocked(size_t index, const Wish& wish, TimePoint now);
  void Release(size_t index, uint64_t probe);
  void ReleaseLocked(size_t index, uint64_t probe);
  void ShareLocked();
  double BringsLocked(const Wish& wish, TimePoint now) const;
  void CountUseLocked(State& state, const Wish& wish, bool begins, TimePoint now);
  bool ReportLocked(size_t index, const Judgement& judgement, const Wish& wish);
  void WakeAllLocked();
  // Says in `choice` whether the session may have had another account before, and what it leaves
  // there. True: it begins on this account.
  bool RememberLocked(const Wish& wish, Choice& choice, TimePoint now);
  Session& EnterSessionLocked(const Wish& wish, std::string_view family);
  void TouchSessionLocked(Session& session, bool changed, TimePoint now);
  void ForgetOldest();
  size_t TakeSlotLocked();
  Session* RestoreSessionLocked(const KeptSession& kept, TimePoint now, WallTime wall);
  void GiveSlotsLocked(const std::vector<std::pair<Session*, size_t>>& restored);
  size_t IndexOfLocked(std::string_view account);
  void Changed() const {
    if (bell_ != nullptr) bell_->Ring();
  }
  static void Learn(State& state, Duration first_content);
  // Ends what a good answer shows to be over. True when there was any.
  bool Recover(State& state, const Wish& wish, TimePoint now);
  bool Park(State& state, Trouble trouble, TimePoint now);
  // Counts a failure. True when it is one too many.
  bool CountFailure(State& state, TimePoint now) const;
  // How long an account rests for failures this time.
  Duration NextRest(const State& state, TimePoint now) const;
  bool MayRestByGuess(const State& state, TimePoint now) const;
  void NoteIncident(State& state, const Judgement& judgement);
  State* StateOfLocked(std::string_view account);  // null: there is none

  const Clock& clock_;
  std::mutex mutex_;
  OutlierConfig outliers_;
  std::vector<State> states_;  // by index; one for each name that there ever was
  std::unordered_map<SessionKey, Session, SessionHash, SameSession> sessions_;
  List<Session, SessionTag> by_use_;  // all of sessions_, the longest unused first
  List<Session, ChangedTag> changed_sessions_;
  std::vector<size_t> free_slots_;  // of those below slots_
  size_t slots_ = 0;
  StateBell* bell_ = nullptr;
  WaitQueue<Ticket> waiting_;
  uint64_t turn_ = 0;
  TimePoint use_since_;        // of each UseOfLate
  UseOfLate use_by_sessions_;  // by requests that have one
};

}  // namespace relay
