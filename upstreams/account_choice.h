// SPDX-License-Identifier: MIT
// Which account serves a request: a pure function of what a pool knows. Serving and explaining
// ask the same one; only the latter gives it a Decision to fill in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "upstreams/account.h"
#include "upstreams/cached_prompt.h"
#include "upstreams/recent_failures.h"
#include "upstreams/usage_windows.h"

namespace relay {

// kProbing: a rest is over, and one request finds out whether its cause is.
enum class AccountHealth : uint8_t {
  kReady,
  kLimited,
  kOverloaded,
  kRefused,
  kBroken,
  kProbing,
  kExpired,  // waits for a new token
  kPaused,   // by a person
  kSpared,   // ready, but its pause-at is reached
};
std::string_view NameOf(AccountHealth health);
// Of a trouble, as it is stored; nothing for what is none.
std::optional<AccountHealth> ParseTrouble(std::string_view name);

// That an account fails, until something shows whether it does.
inline bool IsGuess(AccountHealth health) {
  return health == AccountHealth::kOverloaded || health == AccountHealth::kBroken;
}

// What a request asks of an account.
struct Wish {
  std::string model;
  std::string family;                 // the models that share its limits; "": not known
  std::string sticky;                 // scope and session; "": none
  bool vendor_client = false;         // subscription accounts serve only these
  std::optional<Account::Kind> only;  // the call exists for this kind alone
  std::string bound;                  // who alone may serve it: a name or "tag:…"; "": any
  bool sure = false;                  // better nobody than one that may well fail
  bool settles = false;               // better one that may well fail than to wait for a busy one
  bool generates = true;              // else limits, which count tokens, are no bar; it counts for
                                      // no use, and no session begins or moves by it
  std::vector<size_t> tried;          // accounts that failed this request already
  // An account must have one of these; null or empty: any may serve.
  std::shared_ptr<const std::vector<std::string>> tags = {};
  // Until then it rather waits for its session's account, which has its prompt cached, than moves.
  TimePoint own_until{};
};

// Why nobody can serve: the reason that is nearest to being cured. That an account would fail is
// only a guess, and none of them.
struct NoAccount {
  enum class Why : uint8_t {
    kEmpty,     // the cluster has no account
    kBound,     // bound to another account
    kTag,       // none has a tag that the route asks for
    kClient,    // only subscriptions, and the client is not the vendor's
    kCall,      // only accounts of a kind for which the call does not exist
    kModel,     // none that serves the model
    kTried,     // all that could were tried
    kUnsuited,  // tried, and may not serve this request
    kPaused,    // a person paused them
    kRefused,   // the vendor does not accept the credentials
    kExpired,   // their tokens have ended, and are refreshed at `until`
    kLimited,   // at their limits, until `until`
    kBusy,      // as many requests in flight as may be
    kUntried,   // one that could serve was not asked, or may well fail
  };
  // Keeps the reason that is nearer to being cured, and of two limits the earlier end.
  void Add(const NoAccount& other);

  Why why = Why::kEmpty;
  TimePoint until{};  // kLimited, kExpired: the earliest end; kBusy: when to look again, epoch: not
                      // before
};
// One word: "paused", "busy".
std::string_view NameOf(NoAccount::Why why);

// What keeps an account from serving, all of it or one family of models.
struct Trouble {
  std::string family;  // "": the whole account
  AccountHealth health = AccountHealth::kReady;
  std::string cause;
  TimePoint until{};   // it rests until then, and is probed by one request after
  uint64_t probe = 0;  // that request's lease; 0: none
  bool noted = false;  // a guess, while as many accounts rest by guesses as may: it is no bar

  // Whether it stands against a request.
  bool Concerns(const Wish& wish) const;
};

// What went wrong with a request of an account.
struct Incident {
  WallTime when{};
  int status = 0;  // 0: no answer came
  std::string cause;
};

// How often an account was used of late: each use counts half as much every kHalf. Kept so that
// two are compared without asking the time.
class UseOfLate {
 public:
  static constexpr Duration kHalf = std::chrono::minutes(30);
  // `since`: of all uses that are compared; it moves on by Age once in a while.
  static double One(TimePoint since, TimePoint now);
  void Add(double uses) { value_ += uses; }
  // As if everything had been counted from `by` later on.
  void Age(Duration by);
  double value() const { return value_; }

 private:
  double value_ = 0;
};

// What a pool knows of an account.
struct AccountState {
  std::string name;
  std::shared_ptr<const Account> account;  // null: not among those that there are
  std::optional<AccessMark> before;        // as the configuration before had it, if one did
  double capacity = 1;                     // shares of the load; the smallest account has one
  int in_flight = 0;
  UseOfLate use;
  uint64_t last_used = 0;  // the pool's turn then
  int failures = 0;        // in a row
  RecentFailures recent;
  Duration last_rest{};   // for failures; zero: none yet
  TimePoint rest_over{};  // its end
  std::vector<Trouble> troubles;
  UsageWindows windows;  // zero where the vendor does not say
  bool changed = false;  // of the last three, since they were taken
  UsageWindows told;     // the windows as they were taken
  // How long streams took to their first event, a moving average; zero: not known yet.
  Duration first_content{};
  std::deque<Incident> incidents;  // the newest first
};

// Until when others are to serve what is new, since the account's pause-at is reached; epoch: not.
TimePoint SparedUntil(const AccountState& state, TimePoint now);

// Whether a key's `bind`, an account's name or "tag:…", means it.
bool IsBoundTo(const Account& account, std::string_view bound);

// What stands against an account for a request.
struct Bar {
  std::optional<NoAccount::Why> why;  // it cannot serve
  bool guess = false;                 // it would, but may well fail
  bool rests = false;                 // so that others are to serve
  bool spared = false;                // it would, but others are to
  TimePoint until{};                  // of `why`, else of these; epoch: not known
  bool none() const { return !why && !rests; }
};
// `index`: as Wish::tried has it.
Bar BarOf(const AccountState& state, size_t index, const Wish& wish, TimePoint now);

bool HasModel(const Account& account, std::string_view model);
// Whether it may serve other models, though not those of the wish: it has not got them, or is at a
// limit of their family. So a session keeps it for those.
bool ServesOthers(const AccountState& state, const Wish& wish, TimePoint now);

// The account that a wish's session has.
struct SessionAccount {
  size_t index = 0;
  const CachedPrompt* cached = nullptr;  // there, and alive; null: nothing is
};

// How a choice came about.
struct Decision {
  enum class Outcome : uint8_t {
    kChosen,
    kBarred,    // cannot serve: `why`
    kGuess,     // may well fail, and another is sure to serve, or will be soon
    kSpared,    // its pause-at is reached, and another can serve
    kNotOwn,    // the session has another account
    kPriority,  // another comes first
    kLoad,      // another carries less, each by its capacity
    kRecent,    // another was used less of late, each by its capacity
    kWindow,    // another, about as much used, loses what is left of its window sooner
  };
  struct Candidate {
    std::string name;
    size_t index = 0;  // as Wish::tried has it
    Outcome outcome = Outcome::kBarred;
    NoAccount::Why why = NoAccount::Why::kEmpty;  // kBarred only
    bool guess = false;                           // it may well fail, whether chosen or not
    bool spared = false;                          // its pause-at is reached, likewise
    TimePoint until{};                            // of these or a limit; epoch: not known
  };
  enum class Session : uint8_t {
    kNone,   // the request has none, or generates nothing, which begins and moves none; or nobody
             // serves it
    kNew,    // it had no account yet, or, of its models, none that serves these
    kKept,   // on its account
    kMoved,  // its account does not serve: that candidate says why
  };

  std::vector<Candidate> candidates;  // the accounts that there are, as the pool has them
  Session session = Session::kNone;
  std::string session_account;   // that the session had; "": none
  std::string others_on;         // its account for other models, which it keeps; "": the same
  CachedPrompt cached;           // what lives of its prompt there; no tokens: nothing
  std::optional<size_t> chosen;  // the index of an account
  NoAccount none;                // where nobody was chosen
  bool waits_for_own = false;    // as `none` says busy, until then: Wish::own_until

  const Candidate* Find(std::string_view account) const;  // null: not among them
  // What the vendor must read anew, since the session moves; null: nothing.
  const CachedPrompt* lost() const;
};
// One word each: "chosen", "barred", "guess", "spared", "session", "priority", "load", "recent",
// "window"; "none", "new", "kept", "moved".
std::string_view NameOf(Decision::Outcome outcome);
std::string_view NameOf(Decision::Session session);

// The session's account, then priority, then least in flight, then least used of late, both
// relative to the account's capacity, what is in flight in whole shares: an idle account is no
// better than one of four shares that carries three; where a session begins or moves, which stays
// longer than what is in flight, in steps of four shares and one and a half times the mean.
// Of those that are about equally used, by no more than half of what the request brings to a share,
// that whose five hours end first, if they leave something over at the pace at which they are used.
//
// `brings`: how much the account's use will grow by the request; where a session begins by it, by
// those that follow, too.
// An account whose pause-at is reached serves what is new where no other can, that whose window
// begins anew first; and only after those one that rests by a guess, or is being probed, where none
// that is full is surer to serve, or the wish waits for none (`settles`). Where the wish would wait
// for its session's account, and that one is full or at a limit that ends in time, all are as busy
// until then. A decision is filled in where one is given, and changes nothing.
std::expected<size_t, NoAccount> ChooseAccount(std::span<const AccountState> states,
                                               const std::optional<SessionAccount>& session,
                                               const Wish& wish, TimePoint now, double brings,
                                               Decision* decision = nullptr);

}  // namespace relay
