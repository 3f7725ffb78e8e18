// SPDX-License-Identifier: MIT
// The accounts of a cluster: who is healthy, how many requests each carries, and which session
// sticks to which. Process-wide, under one mutex with no I/O inside; a release wakes the first
// waiter, whichever worker it lives on.
#pragma once

#include <cstdint>
#include <deque>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/async/event.h"
#include "core/async/task.h"
#include "core/base/clock.h"
#include "core/exchange/upstream.h"
#include "upstreams/account.h"

namespace relay {

// What an upstream's answer, or the failure to get one, says about the account.
struct Judgement {
  enum class Kind : uint8_t {
    kFine,        // pass the answer on
    kRequest,     // the request's own fault: passes, never counts against the account
    kLimited,     // this account is at its limit, until `until`
    kOverloaded,  // the vendor is short of capacity: not the account's fault
    kRefused,     // the credential is not accepted: needs a person
    kBroken,      // connection trouble or a 5xx
  };
  Kind kind = Kind::kFine;
  std::string cause;  // "429 rate_limit_error", for logs and refusals
  TimePoint until{};  // kLimited, kOverloaded: when to come back; epoch: a default
};

struct Wish {
  std::string model;
  std::string sticky;          // scope and session; "": none
  bool vendor_client = false;  // subscription accounts serve only these
  uint64_t skip = 0;           // bit i: account i was tried already
};

// Why nobody can serve.
struct NoAccount {
  enum class Why : uint8_t { kEmpty, kClient, kModel, kLimited, kResting, kBusy, kTried } why;
  TimePoint until{};  // kLimited, kResting: the earliest end
};

class AccountPool;

class AccountLease final : public Lease {
 public:
  AccountLease(std::shared_ptr<AccountPool> pool, size_t index, bool moved)
      : pool_(std::move(pool)), index_(index), moved_(moved) {}
  ~AccountLease() override;
  std::string_view account() const override { return details().name; }
  const Account& details() const;
  size_t index() const { return index_; }
  // The session's own account could not serve.
  bool moved() const { return moved_; }

 private:
  std::shared_ptr<AccountPool> pool_;
  size_t index_;
  bool moved_;
};

class AccountPool : public std::enable_shared_from_this<AccountPool> {
 public:
  // At most 64 accounts (Wish::skip is a mask).
  AccountPool(std::vector<Account> accounts, const Clock& clock);

  using Taken = std::expected<std::unique_ptr<AccountLease>, NoAccount>;
  // Sticky account, then priority, then least in flight, then least recently used.
  Taken TryTake(const Wish& wish);
  // The same, but waits its turn, first come first served, while all that could serve are busy.
  Task<Taken> Take(Loop& loop, Wish wish, TimePoint deadline);
  void Report(size_t index, const Judgement& judgement);

  const std::vector<Account>& accounts() const { return accounts_; }
  struct View {
    std::string_view name;
    std::string state;  // "ready", "limited", "overloaded", "refused", "broken"
    std::string cause;
    int in_flight;
    TimePoint until;
  };
  std::vector<View> Look();

 private:
  friend class AccountLease;
  struct State {
    int in_flight = 0;
    uint64_t last_used = 0;
    int failures = 0;  // in a row
    Judgement::Kind trouble = Judgement::Kind::kFine;
    std::string cause;
    TimePoint until{};
  };
  struct Sticky {
    size_t index;
    TimePoint used;
  };
  // A waiter's place in the queue. Lives on its own loop; the pool only posts to it.
  struct Ticket {
    explicit Ticket(Loop& its_loop) : loop(&its_loop), event(its_loop) {}
    Loop* loop;
    Event event;
    bool alive = true;  // touched on its loop's thread only
  };
  class Place;

  Taken TakeLocked(const Wish& wish, TimePoint now);
  bool Rests(const State& state, TimePoint now) const;
  bool Suits(const Account& account, const Wish& wish, NoAccount& why) const;
  void Release(size_t index);
  void WakeFirstLocked();
  void Remember(const std::string& sticky, size_t index, TimePoint now);

  const std::vector<Account> accounts_;
  const Clock& clock_;
  std::mutex mutex_;
  std::vector<State> states_;
  std::unordered_map<std::string, Sticky> sticky_;
  std::deque<std::shared_ptr<Ticket>> waiting_;
  uint64_t turn_ = 0;
};

}  // namespace relay
