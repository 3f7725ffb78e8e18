// SPDX-License-Identifier: MIT
#include "upstreams/account_pool.h"

#include <algorithm>
#include <utility>

#include "core/store/keys.h"

namespace relay {
namespace {

constexpr Duration kStickyLife = std::chrono::hours(1);
constexpr size_t kStickyBound = 50'000;
// A limit without a reset time of its own, and bounds for those with one.
constexpr Duration kLimitedDefault = std::chrono::seconds(60);
constexpr Duration kLimitedMost = std::chrono::hours(24 * 8);
constexpr Duration kRefusedRest = std::chrono::minutes(10);
constexpr Duration kOverloadedRest = std::chrono::seconds(5);
constexpr Duration kBrokenRest = std::chrono::seconds(5);
constexpr int kBrokenInARow = 5;

}  // namespace

std::string AuthorityOf(const Url& endpoint) {
  bool literal6 = endpoint.host.find(':') != std::string::npos;
  std::string text = literal6 ? "[" + endpoint.host + "]" : endpoint.host;
  if (endpoint.port != (endpoint.tls ? 443 : 80)) text += ":" + std::to_string(endpoint.port);
  return text;
}

AccountLease::~AccountLease() {
  pool_->Release(index_);
}
const Account& AccountLease::details() const {
  return pool_->accounts_[index_];
}

AccountPool::AccountPool(std::vector<Account> accounts, const Clock& clock)
    : accounts_(std::move(accounts)), clock_(clock), states_(accounts_.size()) {}

bool AccountPool::Rests(const State& state, TimePoint now) const {
  return state.trouble != Judgement::Kind::kFine && now < state.until;
}

bool AccountPool::Suits(const Account& account, const Wish& wish, NoAccount& why) const {
  if (account.kind == Account::Kind::kSubscription && !wish.vendor_client) {
    if (why.why == NoAccount::Why::kEmpty) why.why = NoAccount::Why::kClient;
    return false;
  }
  bool model = account.models.empty() || wish.model.empty() ||
               std::any_of(account.models.begin(), account.models.end(),
                           [&](const std::string& glob) { return GlobMatch(glob, wish.model); });
  if (!model) why.why = NoAccount::Why::kModel;
  return model;
}

AccountPool::Taken AccountPool::TakeLocked(const Wish& wish, TimePoint now) {
  NoAccount none{accounts_.empty() ? NoAccount::Why::kEmpty : NoAccount::Why::kClient, {}};
  none.why = NoAccount::Why::kEmpty;
  auto better = [&](size_t a, size_t b) {
    auto rank = [&](size_t i) {
      return std::make_tuple(accounts_[i].priority, states_[i].in_flight, states_[i].last_used);
    };
    return rank(a) < rank(b);
  };
  auto sticky = wish.sticky.empty() ? sticky_.end() : sticky_.find(wish.sticky);
  bool had = sticky != sticky_.end() && now - sticky->second.used < kStickyLife;
  std::optional<size_t> best;
  bool busy = false;
  bool resting = false;
  for (size_t i = 0; i < accounts_.size(); ++i) {
    if (!Suits(accounts_[i], wish, none)) continue;
    if ((wish.skip >> i & 1) != 0) {
      none.why = NoAccount::Why::kTried;
      continue;
    }
    if (Rests(states_[i], now)) {
      if (!resting || states_[i].until < none.until) none.until = states_[i].until;
      none.why = states_[i].trouble == Judgement::Kind::kLimited ? NoAccount::Why::kLimited
                                                                 : NoAccount::Why::kResting;
      resting = true;
      continue;
    }
    if (accounts_[i].concurrency > 0 && states_[i].in_flight >= accounts_[i].concurrency) {
      busy = true;
      continue;
    }
    bool stuck = had && sticky->second.index == i;
    if (stuck || !best || better(i, *best)) best = i;
    if (stuck) break;
  }
  if (!best) {
    if (busy) none.why = NoAccount::Why::kBusy;
    return std::unexpected(none);
  }
  State& state = states_[*best];
  ++state.in_flight;
  state.last_used = ++turn_;
  bool moved = had && sticky->second.index != *best;
  if (!wish.sticky.empty()) Remember(wish.sticky, *best, now);
  return std::make_unique<AccountLease>(shared_from_this(), *best, moved);
}

void AccountPool::Remember(const std::string& sticky, size_t index, TimePoint now) {
  if (sticky_.size() >= kStickyBound) {
    std::erase_if(sticky_,
                  [&](const auto& entry) { return now - entry.second.used > kStickyLife; });
    if (sticky_.size() >= kStickyBound) sticky_.erase(sticky_.begin());
  }
  sticky_[sticky] = Sticky{index, now};
}

AccountPool::Taken AccountPool::TryTake(const Wish& wish) {
  std::lock_guard lock(mutex_);
  return TakeLocked(wish, clock_.Now());
}

// Stands in the queue while alive. When its frame dies after it was woken, the wake goes on to the
// next.
class AccountPool::Place {
 public:
  Place(AccountPool& pool, Loop& loop) : pool_(pool), ticket_(std::make_shared<Ticket>(loop)) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    ticket_->alive = false;
    std::lock_guard lock(pool_.mutex_);
    auto at = std::find(pool_.waiting_.begin(), pool_.waiting_.end(), ticket_);
    if (at != pool_.waiting_.end()) {
      pool_.waiting_.erase(at);
    } else if (queued_ && !served_) {
      pool_.WakeFirstLocked();
    }
  }
  // One try; on "busy" the place is (still) in the queue, at the front if it had been woken.
  Taken Try(const Wish& wish) {
    std::lock_guard lock(pool_.mutex_);
    bool first = queued_ || pool_.waiting_.empty();
    Taken taken = first ? pool_.TakeLocked(wish, pool_.clock_.Now())
                        : Taken(std::unexpected(NoAccount{NoAccount::Why::kBusy, {}}));
    served_ = taken.has_value();
    if (!taken && taken.error().why == NoAccount::Why::kBusy) {
      if (queued_) {
        pool_.waiting_.push_front(ticket_);
      } else {
        pool_.waiting_.push_back(ticket_);
      }
      queued_ = true;
    }
    return taken;
  }
  Event& event() { return ticket_->event; }

 private:
  AccountPool& pool_;
  std::shared_ptr<Ticket> ticket_;
  bool queued_ = false;
  bool served_ = false;
};

Task<AccountPool::Taken> AccountPool::Take(Loop& loop, Wish wish, TimePoint deadline) {
  auto place = std::make_unique<Place>(*this, loop);
  while (true) {
    Taken taken = place->Try(wish);
    bool busy = !taken && taken.error().why == NoAccount::Why::kBusy;
    if (!busy || loop.Now() >= deadline) co_return taken;
    bool woken = co_await place->event().Wait(deadline);
    if (!woken) co_return Taken(std::unexpected(NoAccount{NoAccount::Why::kBusy, {}}));
  }
}

void AccountPool::WakeFirstLocked() {
  if (waiting_.empty()) return;
  std::shared_ptr<Ticket> ticket = std::move(waiting_.front());
  waiting_.pop_front();
  Loop* loop = ticket->loop;
  loop->Post([ticket = std::move(ticket), self = shared_from_this()] {
    if (ticket->alive) {
      ticket->event.NotifyOne();
    }
  });
}

void AccountPool::Release(size_t index) {
  std::lock_guard lock(mutex_);
  --states_[index].in_flight;
  WakeFirstLocked();
}

void AccountPool::Report(size_t index, const Judgement& judgement) {
  std::lock_guard lock(mutex_);
  TimePoint now = clock_.Now();
  State& state = states_[index];
  using Kind = Judgement::Kind;
  Duration rest{};
  switch (judgement.kind) {
    case Kind::kFine:
      state.failures = 0;
      if (now >= state.until) state.trouble = Kind::kFine;
      return;
    case Kind::kRequest: return;
    case Kind::kLimited: rest = kLimitedDefault; break;
    case Kind::kRefused: rest = kRefusedRest; break;
    case Kind::kOverloaded: rest = kOverloadedRest; break;
    case Kind::kBroken:
      if (++state.failures < kBrokenInARow) return;
      rest = kBrokenRest;
      break;
  }
  // The last account that could serve is never parked by a guess.
  bool guess = judgement.kind == Kind::kOverloaded || judgement.kind == Kind::kBroken;
  size_t others = 0;
  for (size_t i = 0; i < states_.size(); ++i) {
    if (i != index && !Rests(states_[i], now)) ++others;
  }
  if (guess && others == 0) return;
  state.trouble = judgement.kind;
  state.cause = judgement.cause;
  state.until =
      judgement.until == TimePoint() ? now + rest : std::min(judgement.until, now + kLimitedMost);
}

std::vector<AccountPool::View> AccountPool::Look() {
  std::lock_guard lock(mutex_);
  TimePoint now = clock_.Now();
  std::vector<View> views;
  for (size_t i = 0; i < accounts_.size(); ++i) {
    const State& state = states_[i];
    std::string name = "ready";
    if (Rests(state, now)) {
      switch (state.trouble) {
        case Judgement::Kind::kLimited: name = "limited"; break;
        case Judgement::Kind::kOverloaded: name = "overloaded"; break;
        case Judgement::Kind::kRefused: name = "refused"; break;
        default: name = "broken";
      }
    }
    views.push_back({accounts_[i].name, name, state.cause, state.in_flight, state.until});
  }
  return views;
}

}  // namespace relay
