// SPDX-License-Identifier: MIT
#include "upstreams/account_pool.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/store/keys.h"

namespace relay {
namespace {

// How long an account rests where the vendor does not say, and bounds for what it says.
constexpr Duration kLimitedDefault = std::chrono::seconds(60);
constexpr Duration kRefusedRest = std::chrono::minutes(10);
constexpr Duration kShortRest = std::chrono::seconds(5);
constexpr Duration kLeastRest = std::chrono::seconds(1);
constexpr int kBrokenInARow = 5;
// Families of models with a limit of their own, an account.
constexpr size_t kMostFamilies = 32;

bool Serves(const Account& account, std::string_view model) {
  return account.models.empty() || model.empty() ||
         std::any_of(account.models.begin(), account.models.end(),
                     [&](const std::string& glob) { return GlobMatch(glob, model); });
}

// Whether a trouble of that family stands against a request.
bool Concerns(const std::string& family, AccountPool::Health health, const Wish& wish) {
  if (health == AccountPool::Health::kLimited && !wish.generates) return false;
  return family.empty() || family == wish.family;
}

AccountPool::Health HealthAfter(Judgement::Kind kind) {
  switch (kind) {
    case Judgement::Kind::kLimited: return AccountPool::Health::kLimited;
    case Judgement::Kind::kOverloaded: return AccountPool::Health::kOverloaded;
    case Judgement::Kind::kExpired: return AccountPool::Health::kExpired;
    case Judgement::Kind::kRefused: return AccountPool::Health::kRefused;
    case Judgement::Kind::kBroken: return AccountPool::Health::kBroken;
    default: return AccountPool::Health::kReady;
  }
}

void Sooner(TimePoint& earliest, TimePoint when) {
  if (when == TimePoint()) return;
  if (earliest == TimePoint() || when < earliest) earliest = when;
}

}  // namespace

void NoAccount::Add(const NoAccount& other) {
  if (other.why > why) {
    *this = other;
  } else if (other.why == why) {
    Sooner(until, other.until);
  }
}

AccountLease::~AccountLease() {
  pool_->Release(index_, probe_);
}

AccountPool::AccountPool(const Accounts& accounts, const Clock& clock) : clock_(clock) {
  free_slots_.reserve(kMostSessions + 1);
  Reconfigure(accounts);
}

void AccountPool::Reconfigure(const Accounts& accounts) {
  std::lock_guard lock(mutex_);
  for (State& state : states_) state.account.reset();
  for (const auto& account : accounts) {
    auto known = std::find_if(states_.begin(), states_.end(),
                              [&](const State& state) { return state.name == account->name; });
    if (known == states_.end()) {
      known = states_.emplace(states_.end());
      known->name = account->name;
    }
    known->account = account;
  }
  WakeAllLocked();
}

AccountPool::Bar AccountPool::BarOf(size_t index, const Wish& wish, TimePoint now) const {
  const State& state = states_[index];
  using Why = NoAccount::Why;
  Bar bar;
  if (state.account == nullptr) {
    bar.why = Why::kEmpty;
    return bar;
  }
  const Account& account = *state.account;
  if (!wish.bound.empty() && state.name != wish.bound) {
    bar.why = Why::kBound;
  } else if (account.paused) {
    bar.why = Why::kPaused;
  } else if (account.kind == Account::Kind::kSubscription && !wish.vendor_client) {
    bar.why = Why::kClient;
  } else if (wish.only && *wish.only != account.kind) {
    bar.why = Why::kCall;
  } else if (!Serves(account, wish.model)) {
    bar.why = Why::kModel;
  } else if (std::find(wish.tried.begin(), wish.tried.end(), index) != wish.tried.end()) {
    bar.why = Why::kTried;
  }
  if (bar.why) return bar;
  for (const Trouble& trouble : state.troubles) {
    if (Concerns(trouble.family, trouble.health, wish)) AddTrouble(trouble, now, bar);
  }
  bool full = account.concurrency > 0 && state.in_flight >= account.concurrency;
  if (full && !bar.why) bar.why = Why::kBusy;
  return bar;
}

void AccountPool::AddTrouble(const Trouble& trouble, TimePoint now, Bar& bar) {
  using Why = NoAccount::Why;
  bool rests = now < trouble.until;
  if (!rests && trouble.probe == 0) return;  // whoever comes next is the probe
  if (!rests || IsGuess(trouble.health)) {
    bar.guess = true;
  } else {
    Why why = Why::kLimited;
    if (trouble.health == Health::kRefused) why = Why::kRefused;
    if (trouble.health == Health::kExpired) why = Why::kExpired;
    bar.why = bar.why ? std::min(*bar.why, why) : why;
  }
  if (rests) bar.until = std::max(bar.until, trouble.until);
}

std::expected<size_t, NoAccount> AccountPool::FindLocked(const Wish& wish, TimePoint now) const {
  auto rank = [&](size_t i) {
    const State& state = states_[i];
    return std::tuple(state.account->priority, state.in_flight, state.last_used);
  };
  auto session = wish.sticky.empty() ? sessions_.end() : sessions_.find(wish.sticky);
  bool stuck = session != sessions_.end() && now - session->second.used < kStickyLife;
  if (stuck && BarOf(session->second.index, wish, now).none()) return session->second.index;
  NoAccount none;
  std::optional<size_t> best;
  std::optional<size_t> guess;  // the best of those that may fail
  TimePoint guess_until{};
  for (size_t i = 0; i < states_.size(); ++i) {
    Bar bar = BarOf(i, wish, now);
    if (bar.why) {
      none.why = std::max(none.why, *bar.why);
      bool ends = *bar.why == NoAccount::Why::kLimited || *bar.why == NoAccount::Why::kExpired;
      if (ends) Sooner(none.until, bar.until);
    } else if (bar.guess) {
      if (!guess || rank(i) < rank(*guess)) guess = i;
      Sooner(guess_until, bar.until);
    } else if (!best || rank(i) < rank(*best)) {
      best = i;
    }
  }
  if (best) return *best;
  // A guess parks nobody where no other can serve; a place that is sure to get free is better.
  if (guess && none.why != NoAccount::Why::kBusy) return *guess;
  Sooner(none.until, guess_until);
  return std::unexpected(none);
}

AccountPool::Choosing AccountPool::ChooseLocked(const Wish& wish, TimePoint now) {
  std::expected<size_t, NoAccount> found = FindLocked(wish, now);
  if (!found) return std::unexpected(found.error());
  return OccupyLocked(*found, wish, now);
}

AccountPool::Choice AccountPool::OccupyLocked(size_t index, const Wish& wish, TimePoint now) {
  State& state = states_[index];
  Choice choice{index, 0, BarOf(index, wish, now).guess, state.account};
  ++state.in_flight;
  state.last_used = ++turn_;
  for (Trouble& trouble : state.troubles) {
    bool over = now >= trouble.until && trouble.probe == 0;
    if (over && Concerns(trouble.family, trouble.health, wish)) {
      choice.probe = trouble.probe = turn_;
    }
  }
  if (!wish.sticky.empty()) Remember(wish.sticky, index, now);
  return choice;
}

AccountPool::Taken AccountPool::TryTake(const Wish& wish) {
  Choosing choice = std::unexpected(NoAccount());
  {
    std::lock_guard lock(mutex_);
    choice = ChooseLocked(wish, clock_.Now());
  }
  return LeaseOf(std::move(choice), wish.sticky);
}

AccountPool::Taken AccountPool::LeaseOf(Choosing choice, const std::string& sticky) {
  if (!choice) return std::unexpected(choice.error());
  Changed();
  return std::make_unique<AccountLease>(shared_from_this(), std::move(choice->account),
                                        choice->index, choice->probe, choice->guess, sticky);
}

std::expected<Unit, NoAccount> AccountPool::CanServe(const Wish& wish) {
  std::lock_guard lock(mutex_);
  std::expected<size_t, NoAccount> found = FindLocked(wish, clock_.Now());
  if (!found) return std::unexpected(found.error());
  return Unit{};
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
    if (granted_) pool_.ReleaseLocked(granted_->index, granted_->probe);
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
          // A rest may be over before a busy account is free.
          if (choice.error().until != TimePoint()) again = std::min(again, choice.error().until);
          return {};
        }
        if (linked()) pool_.waiting_.Leave(*this);
      }
    }
    return pool_.LeaseOf(std::move(choice), wish_.sticky);
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

void AccountPool::WakeAllLocked() {
  waiting_.ForEach([](Ticket& ticket) { ticket.Wake(); });
}

void AccountPool::Release(size_t index, uint64_t probe) {
  std::lock_guard lock(mutex_);
  ReleaseLocked(index, probe);
}

void AccountPool::ReleaseLocked(size_t index, uint64_t probe) {
  State& state = states_[index];
  --state.in_flight;
  // A probe that ended without a word has shown nothing: the next request is one.
  for (Trouble& trouble : state.troubles) {
    if (probe != 0 && trouble.probe == probe) trouble.probe = 0;
  }
  TimePoint now = clock_.Now();
  Choosing choice = std::unexpected(NoAccount());
  Ticket* next = waiting_.Find([&](const Ticket& ticket) {
    if (!BarOf(index, ticket.wish(), now).why) choice = ChooseLocked(ticket.wish(), now);
    return choice.has_value();
  });
  if (next != nullptr) next->GrantLocked(*choice);
}

void AccountPool::Learn(State& state, Duration first_content) {
  if (first_content <= Duration::zero()) return;
  constexpr int kWeight = 16;  // the last few dozen streams make the mean
  Duration& mean = state.first_content;
  mean = mean == Duration::zero() ? first_content : mean + (first_content - mean) / kWeight;
}

bool AccountPool::Recover(State& state, const Wish& wish, TimePoint now) {
  state.changed = state.changed || state.failures > 0;
  state.failures = 0;
  // A good answer refutes a guess. Of a limit it says nothing as long as that lasts: the request
  // may have begun before.
  size_t over = std::erase_if(state.troubles, [&](const Trouble& trouble) {
    bool ends = now >= trouble.until || IsGuess(trouble.health);
    return ends && Concerns(trouble.family, trouble.health, wish);
  });
  state.changed = state.changed || over > 0;
  if (over > 0) WakeAllLocked();
  return over > 0;
}

bool AccountPool::Park(State& state, Trouble trouble, TimePoint now) {
  auto same = std::find_if(state.troubles.begin(), state.troubles.end(),
                           [&](const Trouble& other) { return other.family == trouble.family; });
  if (same == state.troubles.end()) {
    if (state.troubles.size() > kMostFamilies) {
      same = std::min_element(
          state.troubles.begin(), state.troubles.end(), [](const Trouble& a, const Trouble& b) {
            return std::tuple(a.family.empty(), a.until) < std::tuple(b.family.empty(), b.until);
          });
    } else {
      same = state.troubles.emplace(state.troubles.end());
    }
  } else if (now < same->until) {
    // What is known already is not moved by a guess, and not shortened.
    bool surer = IsGuess(same->health) && !IsGuess(trouble.health);
    if (IsGuess(trouble.health) || (!surer && trouble.until <= same->until)) return false;
  }
  *same = std::move(trouble);
  state.changed = true;
  // Those who wait for this account look for another, or learn that there is none.
  WakeAllLocked();
  return true;
}

TimePoint AccountPool::RestUntil(const Judgement& judgement, TimePoint now) {
  using Kind = Judgement::Kind;
  Duration rest = kShortRest;
  if (judgement.kind == Kind::kLimited) rest = kLimitedDefault;
  if (judgement.kind == Kind::kRefused) rest = kRefusedRest;
  TimePoint until = judgement.until == TimePoint() ? now + rest : judgement.until;
  return std::clamp(until, now + kLeastRest, now + kMostRest);
}

bool AccountPool::Report(size_t index, const Judgement& judgement, const Wish& wish) {
  bool changed = false;
  {
    std::lock_guard lock(mutex_);
    changed = ReportLocked(index, judgement, wish);
  }
  Changed();
  return changed;
}

bool AccountPool::ReportLocked(size_t index, const Judgement& judgement, const Wish& wish) {
  TimePoint now = clock_.Now();
  State& state = states_[index];
  using Kind = Judgement::Kind;
  switch (judgement.kind) {
    // The vendor answered what was asked, if only that it was asked badly.
    case Kind::kFine:
    case Kind::kRequest: Learn(state, judgement.first_content); return Recover(state, wish, now);
    case Kind::kUnsuited: return false;
    case Kind::kBroken:
      state.changed = true;
      if (++state.failures < kBrokenInARow) {
        NoteIncident(state, judgement);
        return false;
      }
      break;
    default: break;
  }
  NoteIncident(state, judgement);
  Trouble trouble;
  trouble.health = HealthAfter(judgement.kind);
  trouble.cause = judgement.cause;
  trouble.until = RestUntil(judgement, now);
  bool family = judgement.kind == Kind::kLimited && judgement.scope == Judgement::Scope::kFamily;
  if (family) trouble.family = wish.family;
  return Park(state, std::move(trouble), now);
}

std::vector<AccountPool::View> AccountPool::Look() {
  std::lock_guard lock(mutex_);
  TimePoint now = clock_.Now();
  std::vector<View> views;
  for (const State& state : states_) {
    if (state.account == nullptr) continue;
    View view{.name = state.name, .in_flight = state.in_flight};
    view.first_content = state.first_content;
    if (state.account->paused) {
      view.health = Health::kPaused;
      view.cause = "by a person";
      views.push_back(std::move(view));
      continue;
    }
    for (const Trouble& trouble : state.troubles) {
      bool rests = now < trouble.until;
      bool whole = trouble.family.empty();
      // A family whose rest is over leaves the account ready; the whole account's is told first.
      if (!rests && !whole) continue;
      if (view.health != Health::kReady && !whole) continue;
      view.health = rests ? trouble.health : Health::kProbing;
      view.cause = trouble.cause;
      view.family = trouble.family;
      view.until = rests ? trouble.until : TimePoint();
    }
    views.push_back(std::move(view));
  }
  return views;
}

void AccountPool::NoteIncident(State& state, const Judgement& judgement) {
  state.incidents.push_front({clock_.Wall(), judgement.status, judgement.cause});
  if (state.incidents.size() > kMostIncidents) state.incidents.pop_back();
}

AccountPool::State* AccountPool::StateOfLocked(std::string_view account) {
  auto known = std::find_if(states_.begin(), states_.end(), [&](const State& state) {
    return state.account != nullptr && state.name == account;
  });
  return known == states_.end() ? nullptr : &*known;
}

bool AccountPool::Reset(std::string_view account) {
  std::lock_guard lock(mutex_);
  State* state = StateOfLocked(account);
  if (state == nullptr) return false;
  state->troubles.clear();
  state->failures = 0;
  state->changed = true;
  WakeAllLocked();
  Changed();
  return true;
}

std::vector<AccountPool::Incident> AccountPool::Incidents(std::string_view account) {
  std::lock_guard lock(mutex_);
  State* state = StateOfLocked(account);
  if (state == nullptr) return {};
  return {state->incidents.begin(), state->incidents.end()};
}

int AccountPool::in_flight() {
  std::lock_guard lock(mutex_);
  int sum = 0;
  for (const State& state : states_) sum += state.in_flight;
  return sum;
}

size_t AccountPool::waiting() {
  std::lock_guard lock(mutex_);
  return waiting_.size();
}

}  // namespace relay
