// SPDX-License-Identifier: MIT
#include "upstreams/account_pool.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/store/keys.h"

namespace relay {
namespace {

constexpr Duration kStickyLife = std::chrono::hours(1);
constexpr size_t kStickyBound = 50'000;
// How long an account rests where the vendor does not say, and bounds for what it says.
constexpr Duration kLimitedDefault = std::chrono::seconds(60);
constexpr Duration kRefusedRest = std::chrono::minutes(10);
constexpr Duration kShortRest = std::chrono::seconds(5);
constexpr Duration kLeastRest = std::chrono::seconds(1);
constexpr Duration kMostRest = std::chrono::hours(24 * 8);
constexpr int kBrokenInARow = 5;

bool Serves(const Account& account, std::string_view model) {
  return account.models.empty() || model.empty() ||
         std::any_of(account.models.begin(), account.models.end(),
                     [&](const std::string& glob) { return GlobMatch(glob, model); });
}

AccountPool::Health HealthAfter(Judgement::Kind kind) {
  switch (kind) {
    case Judgement::Kind::kLimited: return AccountPool::Health::kLimited;
    case Judgement::Kind::kOverloaded: return AccountPool::Health::kOverloaded;
    case Judgement::Kind::kRefused: return AccountPool::Health::kRefused;
    case Judgement::Kind::kBroken: return AccountPool::Health::kBroken;
    default: return AccountPool::Health::kReady;
  }
}

NoAccount::Why WhyOf(AccountPool::Health health) {
  switch (health) {
    case AccountPool::Health::kLimited: return NoAccount::Why::kLimited;
    case AccountPool::Health::kRefused: return NoAccount::Why::kRefused;
    default: return NoAccount::Why::kResting;
  }
}

}  // namespace

std::string_view NameOf(AccountPool::Health health) {
  switch (health) {
    case AccountPool::Health::kReady: return "ready";
    case AccountPool::Health::kLimited: return "limited";
    case AccountPool::Health::kOverloaded: return "overloaded";
    case AccountPool::Health::kRefused: return "refused";
    case AccountPool::Health::kBroken: return "broken";
  }
  return "ready";
}

AccountLease::~AccountLease() {
  pool_->Release(index_);
}

const Account& AccountLease::details() const {
  return pool_->accounts_[index_];
}

AccountPool::AccountPool(std::vector<Account> accounts, const Clock& clock)
    : accounts_(std::move(accounts)), clock_(clock), states_(accounts_.size()) {}

std::optional<NoAccount::Why> AccountPool::Hindrance(size_t index, const Wish& wish,
                                                     TimePoint now) const {
  const Account& account = accounts_[index];
  const State& state = states_[index];
  using Why = NoAccount::Why;
  if (account.kind == Account::Kind::kSubscription && !wish.vendor_client) return Why::kClient;
  if (wish.only && *wish.only != account.kind) return Why::kCall;
  if (!Serves(account, wish.model)) return Why::kModel;
  if (std::find(wish.tried.begin(), wish.tried.end(), index) != wish.tried.end()) {
    return Why::kTried;
  }
  bool limited = state.trouble == Health::kLimited;
  if (Rests(index, now) && !(limited && !wish.generates)) return WhyOf(state.trouble);
  if (account.concurrency > 0 && state.in_flight >= account.concurrency) return Why::kBusy;
  return {};
}

AccountPool::Choosing AccountPool::ChooseLocked(const Wish& wish, TimePoint now) {
  auto rank = [&](size_t i) {
    return std::tuple(accounts_[i].priority, states_[i].in_flight, states_[i].last_used);
  };
  auto sticky = wish.sticky.empty() ? sticky_.end() : sticky_.find(wish.sticky);
  bool stuck = sticky != sticky_.end() && now - sticky->second.used < kStickyLife;
  if (stuck && !Hindrance(sticky->second.index, wish, now)) {
    return OccupyLocked(sticky->second.index, wish, now);
  }
  NoAccount none;
  std::optional<size_t> best;
  for (size_t i = 0; i < accounts_.size(); ++i) {
    if (std::optional<NoAccount::Why> why = Hindrance(i, wish, now)) {
      none.why = std::max(none.why, *why);
      bool ends = *why == NoAccount::Why::kResting || *why == NoAccount::Why::kLimited;
      if (ends && (none.until == TimePoint() || states_[i].until < none.until)) {
        none.until = states_[i].until;
      }
    } else if (!best || rank(i) < rank(*best)) {
      best = i;
    }
  }
  if (!best) return std::unexpected(none);
  return OccupyLocked(*best, wish, now);
}

AccountPool::Choice AccountPool::OccupyLocked(size_t index, const Wish& wish, TimePoint now) {
  ++states_[index].in_flight;
  states_[index].last_used = ++turn_;
  Choice choice{index, false};
  if (wish.sticky.empty()) return choice;
  auto sticky = sticky_.find(wish.sticky);
  choice.moved = sticky != sticky_.end() && now - sticky->second.used < kStickyLife &&
                 sticky->second.index != index;
  Remember(wish.sticky, index, now);
  return choice;
}

void AccountPool::Remember(const std::string& sticky, size_t index, TimePoint now) {
  if (sticky_.size() >= kStickyBound && !sticky_.contains(sticky)) {
    std::erase_if(sticky_,
                  [&](const auto& entry) { return now - entry.second.used > kStickyLife; });
    if (sticky_.size() >= kStickyBound) sticky_.erase(sticky_.begin());
  }
  sticky_[sticky] = Sticky{index, now};
}

AccountPool::Taken AccountPool::TryTake(const Wish& wish) {
  Choosing choice = std::unexpected(NoAccount());
  {
    std::lock_guard lock(mutex_);
    choice = ChooseLocked(wish, clock_.Now());
  }
  if (!choice) return std::unexpected(choice.error());
  return std::make_unique<AccountLease>(shared_from_this(), choice->index, choice->moved,
                                        wish.sticky);
}

// A waiter while it lives: in the queue until it is granted an account, which goes on to the next
// if the waiter dies before it took it.
class AccountPool::Ticket final : public WaitTicket {
 public:
  Ticket(AccountPool& pool, Loop& loop, Wish wish)
      : WaitTicket(loop), pool_(pool), wish_(std::move(wish)) {}
  ~Ticket() {
    std::lock_guard lock(pool_.mutex_);
    if (linked()) pool_.waiting_.Leave(*this);
    if (granted_) pool_.ReleaseLocked(granted_->index);
  }

  // What was granted or can be had now; nothing while it must wait, until `again` at the latest.
  std::optional<Taken> Try(bool may_wait, TimePoint& again) {
    Choosing choice = std::unexpected(NoAccount());
    {
      std::lock_guard lock(pool_.mutex_);
      if (granted_) {
        choice = *std::exchange(granted_, {});
      } else {
        choice = pool_.ChooseLocked(wish_, pool_.clock_.Now());
        bool busy = !choice && choice.error().why == NoAccount::Why::kBusy;
        if (busy && may_wait && EnterLocked()) {
          // An account that rests may be ready before a busy one is free.
          if (choice.error().until != TimePoint()) again = std::min(again, choice.error().until);
          return {};
        }
        if (linked()) pool_.waiting_.Leave(*this);
      }
    }
    if (!choice) return Taken(std::unexpected(choice.error()));
    return Taken(std::make_unique<AccountLease>(pool_.shared_from_this(), choice->index,
                                                choice->moved, wish_.sticky));
  }

  // Under the pool's mutex, as is the next.
  const Wish& wish() const { return wish_; }
  // Takes it out of the queue; `choice` is counted in flight already.
  void GrantLocked(const Choice& choice) {
    pool_.waiting_.Leave(*this);
    granted_ = choice;
    Wake();
  }

 private:
  bool EnterLocked() {
    if (linked()) return true;
    if (pool_.waiting_.size() >= kMostWaiting) return false;
    pool_.waiting_.Enter(*this);
    return true;
  }

  AccountPool& pool_;
  const Wish wish_;
  std::optional<Choice> granted_;
};

AccountPool::~AccountPool() = default;

Task<AccountPool::Taken> AccountPool::Take(Loop& loop, Wish wish, TimePoint deadline) {
  Ticket ticket(*this, loop, std::move(wish));
  while (true) {
    TimePoint again = deadline;
    std::optional<Taken> taken = ticket.Try(loop.Now() < deadline, again);
    if (taken) co_return std::move(*taken);
    co_await ticket.Wait(again);
  }
}

void AccountPool::Release(size_t index) {
  std::lock_guard lock(mutex_);
  ReleaseLocked(index);
}

void AccountPool::ReleaseLocked(size_t index) {
  --states_[index].in_flight;
  TimePoint now = clock_.Now();
  Ticket* next =
      waiting_.Find([&](const Ticket& ticket) { return !Hindrance(index, ticket.wish(), now); });
  if (next != nullptr) next->GrantLocked(OccupyLocked(index, next->wish(), now));
}

// Nobody else could serve what this account serves.
bool AccountPool::LastOfItsKind(size_t index, TimePoint now) const {
  for (size_t i = 0; i < accounts_.size(); ++i) {
    bool as_good = accounts_[i].kind == Account::Kind::kApiKey ||
                   accounts_[index].kind == Account::Kind::kSubscription;
    bool as_wide = accounts_[i].models.empty() || accounts_[i].models == accounts_[index].models;
    if (i != index && as_good && as_wide && !Rests(i, now)) return false;
  }
  return true;
}

bool AccountPool::Report(size_t index, const Judgement& judgement) {
  std::lock_guard lock(mutex_);
  TimePoint now = clock_.Now();
  State& state = states_[index];
  using Kind = Judgement::Kind;
  Duration rest{};
  switch (judgement.kind) {
    case Kind::kFine: {
      state.failures = 0;
      // A request that began before a limit and ends well within it says nothing of the limit.
      bool over = state.trouble != Health::kReady && now >= state.until;
      if (over) state.trouble = Health::kReady;
      return over;
    }
    case Kind::kRequest:
    case Kind::kUnsuited: return false;
    case Kind::kLimited: rest = kLimitedDefault; break;
    case Kind::kRefused: rest = kRefusedRest; break;
    case Kind::kOverloaded: rest = kShortRest; break;
    case Kind::kBroken:
      if (++state.failures < kBrokenInARow) return false;
      rest = kShortRest;
      break;
  }
  bool guess = judgement.kind == Kind::kOverloaded || judgement.kind == Kind::kBroken;
  if (guess && (LastOfItsKind(index, now) || Rests(index, now))) return false;
  TimePoint until = judgement.until == TimePoint() ? now + rest : judgement.until;
  state.trouble = HealthAfter(judgement.kind);
  state.cause = judgement.cause;
  state.until = std::clamp(until, now + kLeastRest, now + kMostRest);
  // Those who wait for this account look for another, or learn that there is none.
  waiting_.ForEach([](Ticket& ticket) { ticket.Wake(); });
  return true;
}

std::vector<AccountPool::View> AccountPool::Look() {
  std::lock_guard lock(mutex_);
  TimePoint now = clock_.Now();
  std::vector<View> views;
  for (size_t i = 0; i < accounts_.size(); ++i) {
    const State& state = states_[i];
    View view{.name = accounts_[i].name, .in_flight = state.in_flight};
    if (Rests(i, now)) {
      view.health = state.trouble;
      view.cause = state.cause;
      view.until = state.until;
    }
    views.push_back(std::move(view));
  }
  return views;
}

size_t AccountPool::waiting() {
  std::lock_guard lock(mutex_);
  return waiting_.size();
}

}  // namespace relay
