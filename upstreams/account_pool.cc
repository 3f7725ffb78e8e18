// SPDX-License-Identifier: MIT
#include "upstreams/account_pool.h"

#include <algorithm>
#include <utility>

namespace relay {

AccountLease::~AccountLease() {
  pool_->Release(index_, probe_);
}

void AccountLease::NoteUsage(const Usage& usage, TimePoint since) {
  if (sticky_.empty()) return;
  CachedPrompt cached = CachedPrompt::Of(usage, since);
  cached.family = family_;
  pool_->NoteCached(*this, std::move(cached));
}

AccountPool::AccountPool(const Accounts& accounts, const Clock& clock,
                         const OutlierConfig& outliers)
    : clock_(clock), use_since_(clock.Now()) {
  free_slots_.reserve(kMostSessions + 1);
  Reconfigure(accounts, outliers);
}

void AccountPool::Reconfigure(const Accounts& accounts, const OutlierConfig& outliers) {
  std::lock_guard lock(mutex_);
  outliers_ = outliers;
  for (State& state : states_) {
    if (state.account != nullptr) state.before.emplace(*std::exchange(state.account, nullptr));
  }
  for (const auto& account : accounts) {
    auto known = std::find_if(states_.begin(), states_.end(),
                              [&](const State& state) { return state.name == account->name; });
    if (known == states_.end()) {
      known = states_.emplace(states_.end());
      known->name = account->name;
    }
    known->account = account;
    if (!known->before) continue;
    const AccessMark now(*account);
    if (!now.SameLogin(*known->before)) {
      // They are those of another subscription.
      known->changed = known->changed || known->windows.known();
      known->windows = known->told = {};
    }
    if (!now.SameLogin(*known->before) || !now.SameWay(*known->before)) {
      size_t over = std::erase_if(known->troubles, [](const Trouble& trouble) {
        return trouble.health == Health::kRefused || trouble.health == Health::kExpired;
      });
      known->changed = known->changed || over > 0;
    }
  }
  ShareLocked();
  WakeAllLocked();
}

// Weights and places are not the same measure: places count where there is nothing else.
void AccountPool::ShareLocked() {
  bool by_places = std::ranges::all_of(states_, [](const State& state) {
    return state.account == nullptr ||
           (state.account->weight == 0 && state.account->concurrency > 0);
  });
  double least = 0;
  for (State& state : states_) {
    if (state.account == nullptr) continue;
    int share = by_places ? state.account->concurrency : state.account->weight;
    state.capacity = std::max(share, 1);
    least = least == 0 ? state.capacity : std::min(least, state.capacity);
  }
  for (State& state : states_) {
    if (state.account != nullptr) state.capacity /= least;
  }
}

// Of a session that begins as much more is expected as those of the last hour have brought, each.
double AccountPool::BringsLocked(const Wish& wish, TimePoint now) const {
  const double one = UseOfLate::One(use_since_, now);
  if (wish.sticky.empty() || !wish.generates || sessions_.empty()) return one;
  return one + use_by_sessions_.value() / static_cast<double>(sessions_.size());
}

void AccountPool::CountUseLocked(State& state, const Wish& wish, bool begins, TimePoint now) {
  // Long before a double has no room for what doubles every UseOfLate::kHalf.
  constexpr Duration kAge = UseOfLate::kHalf * 256;
  if (now - use_since_ > kAge) {
    for (State& each : states_) each.use.Age(now - use_since_);
    use_by_sessions_.Age(now - use_since_);
    use_since_ = now;
  }
  const double one = UseOfLate::One(use_since_, now);
  // All that it brings at once, or all that begin would go where nothing of the others is seen yet.
  state.use.Add(begins ? BringsLocked(wish, now) : one);
  if (!wish.sticky.empty()) use_by_sessions_.Add(one);
}

std::optional<SessionAccount> AccountPool::AccountOfSessionLocked(const Wish& wish, TimePoint now) {
  const Session* session = SessionForLocked(wish, now);
  if (session == nullptr) return {};
  const State& state = states_[session->index];
  if (state.account != nullptr && !HasModel(*state.account, wish.model)) return {};
  // What it has cached of others, which stay, is neither waited for nor lost.
  bool others = session->cached.family != wish.family && ServesOthers(state, wish, now);
  bool cached = session->cached.LivesAt(now) && !others;
  return SessionAccount{session->index, cached ? &session->cached : nullptr};
}

std::expected<size_t, NoAccount> AccountPool::FindLocked(const Wish& wish, TimePoint now,
                                                         Decision* decision) {
  return ChooseAccount(states_, AccountOfSessionLocked(wish, now), wish, now,
                       BringsLocked(wish, now), decision);
}

AccountPool::Choosing AccountPool::ChooseLocked(const Wish& wish, TimePoint now,
                                                Decision* decision) {
  std::expected<size_t, NoAccount> found = FindLocked(wish, now, decision);
  if (!found) return std::unexpected(found.error());
  return OccupyLocked(*found, wish, now);
}

AccountPool::Choice AccountPool::OccupyLocked(size_t index, const Wish& wish, TimePoint now) {
  State& state = states_[index];
  Choice choice{.index = index, .account = state.account, .lost = {}};
  choice.guess = BarOf(state, index, wish, now).guess;
  ++state.in_flight;
  state.last_used = ++turn_;
  for (Trouble& trouble : state.troubles) {
    bool over = now >= trouble.until && trouble.probe == 0;
    if (over && trouble.Concerns(wish)) {
      choice.probe = trouble.probe = turn_;
    }
  }
  auto is_its_own = [&] {
    std::optional<SessionAccount> own = AccountOfSessionLocked(wish, now);
    return own && own->index == index;
  };
  // What does not generate leaves no cache behind for which a session should come here.
  bool begins = false;
  if (!wish.sticky.empty() && (wish.generates || is_its_own())) {
    begins = RememberLocked(wish, choice, now);
  }
  if (wish.generates) CountUseLocked(state, wish, begins, now);
  return choice;
}

AccountPool::Taken AccountPool::TryTake(const Wish& wish, Decision* decision) {
  Choosing choice = std::unexpected(NoAccount());
  {
    std::lock_guard lock(mutex_);
    choice = ChooseLocked(wish, clock_.Now(), decision);
  }
  return LeaseOf(std::move(choice), wish);
}

AccountPool::Taken AccountPool::LeaseOf(Choosing choice, const Wish& wish) {
  if (!choice) return std::unexpected(choice.error());
  Changed();
  return std::make_unique<AccountLease>(shared_from_this(), std::move(choice->account),
                                        choice->index, choice->probe, choice->guess,
                                        choice->may_have_moved, std::move(choice->lost), wish);
}

std::expected<Unit, NoAccount> AccountPool::CanServe(const Wish& wish) {
  std::lock_guard lock(mutex_);
  std::expected<size_t, NoAccount> found = FindLocked(wish, clock_.Now());
  if (!found) return std::unexpected(found.error());
  return Unit{};
}

Decision AccountPool::Explain(const Wish& wish, TimePoint now) {
  Decision decision;
  std::lock_guard lock(mutex_);
  std::expected<size_t, NoAccount> found = FindLocked(wish, now, &decision);
  const Session* session = SessionForLocked(wish, now);
  bool leaves = found && session != nullptr && session->index != *found && wish.generates;
  if (leaves && session->key->family.empty() && ServesOthers(states_[session->index], wish, now)) {
    decision.others_on = states_[session->index].name;
  }
  return decision;
}

// A waiter while it lives: in the queue until it is granted an account, which goes on to the next
// if the waiter dies before it took it.
class AccountPool::Ticket final : public WaitTicket {
 public:
  Ticket(AccountPool& pool, Loop& loop, Wish wish, Decision* decision)
      : WaitTicket(loop), pool_(pool), wish_(std::move(wish)), decision_(decision) {}
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
        wish_.settles = !may_wait;
        choice = pool_.ChooseLocked(wish_, pool_.clock_.Now(), decision_);
        bool busy = !choice && choice.error().why == NoAccount::Why::kBusy;
        if (busy && may_wait && EnterLocked()) {
          // A rest may be over before a busy account is free.
          if (choice.error().until != TimePoint()) again = std::min(again, choice.error().until);
          return {};
        }
        // There is no room to wait.
        if (busy && !std::exchange(wish_.settles, true)) {
          choice = pool_.ChooseLocked(wish_, pool_.clock_.Now(), decision_);
        }
        if (linked()) pool_.waiting_.Leave(*this);
      }
    }
    return pool_.LeaseOf(std::move(choice), wish_);
  }

  // Under the pool's mutex, as are the next two.
  const Wish& wish() const { return wish_; }
  Decision* decision() const { return decision_; }
  // Takes it out of the queue; `choice` is counted in flight already.
  void GrantLocked(Choice choice) {
    pool_.waiting_.Leave(*this);
    granted_ = std::move(choice);
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
  Wish wish_;
  Decision* const decision_;  // null: nobody asks
  std::optional<Choice> granted_;
};

AccountPool::~AccountPool() = default;

Task<AccountPool::Taken> AccountPool::Take(Loop& loop, Wish wish, TimePoint deadline,
                                           Decision* decision) {
  Ticket ticket(*this, loop, std::move(wish), decision);
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
    bool may = !BarOf(states_[index], index, ticket.wish(), now).why;
    if (may) choice = ChooseLocked(ticket.wish(), now, ticket.decision());
    return choice.has_value();
  });
  if (next != nullptr) next->GrantLocked(*std::move(choice));
}

std::vector<AccountPool::View> AccountPool::Look() {
  std::lock_guard lock(mutex_);
  TimePoint now = clock_.Now();
  std::vector<View> views;
  for (const State& state : states_) {
    if (state.account == nullptr) continue;
    View view{.name = state.name, .in_flight = state.in_flight};
    view.first_content = state.first_content;
    if (now < state.windows.five_hours.until) view.windows.five_hours = state.windows.five_hours;
    if (now < state.windows.week.until) view.windows.week = state.windows.week;
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
      view.rested_for = rests ? Health::kReady : trouble.health;
      view.cause = trouble.cause;
      view.family = trouble.family;
      view.until = rests ? trouble.until : TimePoint();
    }
    TimePoint spared = SparedUntil(state, now);
    if (view.health == Health::kReady && spared != TimePoint()) {
      view.health = Health::kSpared;
      view.cause = "pause-at is reached";
      view.until = spared;
    }
    views.push_back(std::move(view));
  }
  return views;
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
  state->recent.Forget();
  state->last_rest = {};
  state->rest_over = {};
  state->windows = state->told = {};
  state->changed = true;
  WakeAllLocked();
  Changed();
  return true;
}

std::vector<Incident> AccountPool::Incidents(std::string_view account) {
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
