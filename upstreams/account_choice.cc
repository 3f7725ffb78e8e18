// SPDX-License-Identifier: MIT
#include "upstreams/account_choice.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <tuple>

#include "core/config/texts.h"
#include "core/store/keys.h"

namespace relay {
namespace {

using Why = NoAccount::Why;

void Sooner(TimePoint& earliest, TimePoint when) {
  if (when == TimePoint()) return;
  if (earliest == TimePoint() || when < earliest) earliest = when;
}

// `guess`: how long the account rests by guesses.
void AddTrouble(const Trouble& trouble, TimePoint now, Bar& bar, TimePoint& guess) {
  bool rests = now < trouble.until;
  if (!rests && trouble.probe == 0) return;  // whoever comes next is the probe
  if (!rests || IsGuess(trouble.health)) {
    bar.guess = true;
    bar.rests = bar.rests || !trouble.noted;
    if (rests) guess = std::max(guess, trouble.until);
  } else {
    Why why = Why::kLimited;
    if (trouble.health == AccountHealth::kRefused) why = Why::kRefused;
    if (trouble.health == AccountHealth::kExpired) why = Why::kExpired;
    bar.why = bar.why ? std::min(*bar.why, why) : why;
    bar.until = std::max(bar.until, trouble.until);
  }
}

// By how much use and how much in flight accounts are told apart.
struct Measure {
  double half = 0;  // of what the request brings
  double step = 1;  // shares in flight
};

// What makes one account better than another that could serve as well: the smaller. With half of
// what the request brings each is as far over its share when it is taken as it falls below it
// before: else small accounts, for which that is much, would get more than theirs.
struct Rank {
  Rank(const AccountState& state, const Measure& measure)
      : priority(state.account->priority),
        load(std::floor(state.in_flight / state.capacity / measure.step + kRounding)),
        recent((state.use.value() + measure.half) / state.capacity),
        used(state.last_used) {}
  auto operator<=>(const Rank&) const = default;
  bool CarriesAsMuch(const Rank& other) const {
    return priority == other.priority && load == other.load;
  }

  int priority;
  double load;
  double recent;
  uint64_t used;

 private:
  // What is a whole number of shares stays one.
  static constexpr double kRounding = 1e-9;
};

// When what is left of its window is lost, though at this pace it would not be used up.
TimePoint LosesAt(const AccountState& state, TimePoint now) {
  using Seconds = std::chrono::duration<double>;
  const WindowUse& window = state.windows.five_hours;
  if (window.until <= now) return TimePoint::max();
  double left = Seconds(window.until - now) / Seconds(UsageWindows::kFiveHours);
  return window.used + left < 1 ? window.until : TimePoint::max();
}

double HalvesIn(Duration time) {
  using Seconds = std::chrono::duration<double>;
  return Seconds(time) / Seconds(UseOfLate::kHalf);
}

bool HasTag(const Account& account, std::string_view tag) {
  return std::ranges::find(account.tags, tag) != account.tags.end();
}

bool HasOneOf(const Account& account, const std::vector<std::string>& tags) {
  return std::ranges::any_of(tags, [&](const std::string& tag) { return HasTag(account, tag); });
}

class Chooser {
 public:
  Chooser(std::span<const AccountState> states, const std::optional<SessionAccount>& session,
          const Wish& wish, TimePoint now, double brings)
      : states_(states), session_(session), wish_(wish), now_(now), brings_(brings) {}

  std::expected<size_t, NoAccount> Choose() const {
    if (session_ && Suits(BarAt(session_->index))) return session_->index;
    if (WaitsForOwn()) {
      NoAccount busy{Why::kBusy, wish_.own_until};
      Sooner(busy.until, BarAt(session_->index).until);
      return std::unexpected(busy);
    }
    const Measure measure = MeasureNow();
    NoAccount none;
    std::optional<size_t> best;
    std::optional<size_t> spared;
    TimePoint spared_until{};
    std::optional<size_t> guess;  // the best of those that may fail
    TimePoint guess_until{};
    bool held = false;  // by one that is surer, as soon as it has room
    for (size_t i = 0; i < states_.size(); ++i) {
      Bar bar = BarAt(i);
      if (bar.why) {
        none.why = std::max(none.why, *bar.why);
        held = held || (*bar.why == Why::kBusy && !bar.guess);
        bool ends = *bar.why == Why::kLimited || *bar.why == Why::kExpired;
        if (ends) Sooner(none.until, bar.until);
      } else if (bar.rests || (wish_.sure && bar.guess)) {
        if (!guess || RankAt(i, measure) < RankAt(*guess, measure)) guess = i;
        Sooner(guess_until, bar.until);
      } else if (bar.spared) {
        if (!spared ||
            std::tuple(PriorityOf(i), bar.until) < std::tuple(PriorityOf(*spared), spared_until)) {
          spared = i;
          spared_until = bar.until;
        }
      } else if (!best || RankAt(i, measure) < RankAt(*best, measure)) {
        best = i;
      }
    }
    if (best) return AmongEquals(*best, measure);
    if (spared) return *spared;
    // A guess parks nobody where no other can serve; a place that gets free is better.
    if (guess && (!held || wish_.settles)) {
      if (!wish_.sure) return *guess;
      none.Add({Why::kUntried, {}});
    }
    Sooner(none.until, guess_until);
    return std::unexpected(none);
  }

  Decision Explain(const std::expected<size_t, NoAccount>& found) const {
    Decision decision;
    if (session_) decision.session_account = states_[session_->index].name;
    if (session_ && session_->cached != nullptr) decision.cached = *session_->cached;
    if (found) {
      decision.chosen = *found;
      decision.session = SessionOf(*found);
    } else {
      decision.none = found.error();
      decision.waits_for_own = WaitsForOwn();
    }
    bool own = decision.session == Decision::Session::kKept || decision.waits_for_own;
    const Measure measure = MeasureNow();
    for (size_t i = 0; i < states_.size(); ++i) {
      if (states_[i].account == nullptr) continue;
      Bar bar = BarAt(i);
      Decision::Candidate& candidate = decision.candidates.emplace_back();
      candidate.name = states_[i].name;
      candidate.index = i;
      candidate.guess = bar.guess;
      candidate.spared = bar.spared;
      candidate.until = bar.until;
      if (bar.why) {
        candidate.why = *bar.why;
      } else if (found && *found == i) {
        candidate.outcome = Decision::Outcome::kChosen;
      } else if (!Suits(bar) && (!found || Suits(BarAt(*found)))) {
        candidate.outcome = Decision::Outcome::kGuess;
      } else if (bar.spared && !own) {
        candidate.outcome = Decision::Outcome::kSpared;
      } else {
        candidate.outcome = own ? Decision::Outcome::kNotOwn : OutcomeOf(i, *found, measure);
      }
    }
    return decision;
  }

 private:
  bool Suits(const Bar& bar) const { return bar.none() && !(wish_.sure && bar.guess); }
  bool IsReady(const Bar& bar) const { return Suits(bar) && !bar.spared; }
  Bar BarAt(size_t i) const { return BarOf(states_[i], i, wish_, now_); }
  Rank RankAt(size_t i, const Measure& measure) const { return Rank(states_[i], measure); }
  int PriorityOf(size_t i) const { return states_[i].account->priority; }
  // One request lasts as long as it is in flight. What a session brings lasts much longer, and
  // whose requests happen to run just now says little of it, unless it is far too many.
  Measure MeasureNow() const {
    Measure measure{.half = brings_ / 2};
    if (wish_.sticky.empty() || !wish_.generates) return measure;
    constexpr double kChance = 4;
    constexpr double kFarOverMean = 1.5;
    double in_flight = 0;
    double capacity = 0;
    for (const AccountState& state : states_) {
      if (state.account == nullptr) continue;
      in_flight += state.in_flight;
      capacity += state.capacity;
    }
    measure.step = kChance + kFarOverMean * in_flight / capacity;
    return measure;
  }
  // Of those that carry as much as the best, and are used about as much, whose window loses what is
  // left of it first.
  size_t AmongEquals(size_t best, const Measure& measure) const {
    const Rank least = RankAt(best, measure);
    TimePoint soonest = LosesAt(states_[best], now_);
    for (size_t i = 0; i < states_.size(); ++i) {
      if (states_[i].account == nullptr) continue;
      const TimePoint loses = LosesAt(states_[i], now_);
      if (loses >= soonest) continue;
      const Rank rank = RankAt(i, measure);
      bool equal = rank.CarriesAsMuch(least) && rank.recent <= least.recent + measure.half;
      if (!equal || !IsReady(BarAt(i))) continue;
      soonest = loses;
      best = i;
    }
    return best;
  }
  Decision::Outcome OutcomeOf(size_t i, size_t chosen, const Measure& measure) const {
    const Rank rank = RankAt(i, measure);
    const Rank best = RankAt(chosen, measure);
    if (rank.priority != best.priority) return Decision::Outcome::kPriority;
    if (rank.load != best.load) return Decision::Outcome::kLoad;
    bool sooner = LosesAt(states_[chosen], now_) < LosesAt(states_[i], now_);
    // The chosen one itself may be used so much more than the least used.
    bool equal = rank.recent <= best.recent + measure.half;
    return sooner && equal ? Decision::Outcome::kWindow : Decision::Outcome::kRecent;
  }
  // Not for one that may well fail: it would not keep what is waited for. What generates nothing
  // moves no session.
  bool WaitsForOwn() const {
    if (now_ >= wish_.own_until || wish_.settles || !wish_.generates) return false;
    if (!session_ || session_->cached == nullptr) return false;
    if (session_->cached->tokens < CachedPrompt::kLeastTokens) return false;
    Bar own = BarAt(session_->index);
    bool in_time = own.why == Why::kBusy || own.why == Why::kLimited;
    return in_time && !own.guess && own.until <= wish_.own_until;
  }
  Decision::Session SessionOf(size_t chosen) const {
    if (wish_.sticky.empty()) return Decision::Session::kNone;
    if (session_ && session_->index == chosen) return Decision::Session::kKept;
    if (!wish_.generates) return Decision::Session::kNone;
    return session_ ? Decision::Session::kMoved : Decision::Session::kNew;
  }

  std::span<const AccountState> states_;
  const std::optional<SessionAccount>& session_;
  const Wish& wish_;
  const TimePoint now_;
  const double brings_;
};

}  // namespace

std::string_view NameOf(AccountHealth health) {
  switch (health) {
    case AccountHealth::kReady: return "ready";
    case AccountHealth::kLimited: return "limited";
    case AccountHealth::kOverloaded: return "overloaded";
    case AccountHealth::kRefused: return "refused";
    case AccountHealth::kBroken: return "broken";
    case AccountHealth::kProbing: return "probing";
    case AccountHealth::kExpired: return "expired";
    case AccountHealth::kPaused: return "paused";
    case AccountHealth::kSpared: return "spared";
  }
  return "ready";
}

std::optional<AccountHealth> ParseTrouble(std::string_view name) {
  using Health = AccountHealth;
  for (Health health : {Health::kLimited, Health::kOverloaded, Health::kRefused, Health::kBroken,
                        Health::kExpired}) {
    if (NameOf(health) == name) return health;
  }
  return std::nullopt;
}

std::string_view NameOf(NoAccount::Why why) {
  switch (why) {
    case Why::kEmpty: return "empty";
    case Why::kBound: return "bound";
    case Why::kTag: return "tag";
    case Why::kClient: return "client";
    case Why::kCall: return "call";
    case Why::kModel: return "model";
    case Why::kTried: return "tried";
    case Why::kUnsuited: return "unsuited";
    case Why::kPaused: return "paused";
    case Why::kRefused: return "refused";
    case Why::kExpired: return "expired";
    case Why::kLimited: return "limited";
    case Why::kBusy: return "busy";
    case Why::kUntried: return "untried";
  }
  return "empty";
}

std::string_view NameOf(Decision::Outcome outcome) {
  switch (outcome) {
    case Decision::Outcome::kChosen: return "chosen";
    case Decision::Outcome::kBarred: return "barred";
    case Decision::Outcome::kGuess: return "guess";
    case Decision::Outcome::kSpared: return "spared";
    case Decision::Outcome::kNotOwn: return "session";
    case Decision::Outcome::kPriority: return "priority";
    case Decision::Outcome::kLoad: return "load";
    case Decision::Outcome::kRecent: return "recent";
    case Decision::Outcome::kWindow: return "window";
  }
  return "barred";
}

std::string_view NameOf(Decision::Session session) {
  switch (session) {
    case Decision::Session::kNone: return "none";
    case Decision::Session::kNew: return "new";
    case Decision::Session::kKept: return "kept";
    case Decision::Session::kMoved: return "moved";
  }
  return "none";
}

void NoAccount::Add(const NoAccount& other) {
  if (other.why > why) {
    *this = other;
  } else if (other.why == why) {
    Sooner(until, other.until);
  }
}

double UseOfLate::One(TimePoint since, TimePoint now) {
  return std::exp2(HalvesIn(now - since));
}

void UseOfLate::Age(Duration by) {
  value_ *= std::exp2(-HalvesIn(by));
}

bool Trouble::Concerns(const Wish& wish) const {
  if (health == AccountHealth::kLimited && !wish.generates) return false;
  return family.empty() || family == wish.family;
}

const Decision::Candidate* Decision::Find(std::string_view account) const {
  auto found = std::ranges::find(candidates, account, &Candidate::name);
  return found == candidates.end() ? nullptr : &*found;
}

const CachedPrompt* Decision::lost() const {
  return session == Session::kMoved && cached.tokens > 0 ? &cached : nullptr;
}

TimePoint SparedUntil(const AccountState& state, TimePoint now) {
  const PauseAt& at = state.account->pause_at;
  TimePoint until{};
  auto look = [&](const WindowUse& window, int percent) {
    bool reached = percent > 0 && now < window.until && window.used * 100 >= percent;
    if (reached) until = std::max(until, window.until);
  };
  look(state.windows.five_hours, at.five_hours);
  look(state.windows.week, at.week);
  return until;
}

bool IsBoundTo(const Account& account, std::string_view bound) {
  std::string_view tag = TagOf(bound);
  return tag.empty() ? account.name == bound : HasTag(account, tag);
}

Bar BarOf(const AccountState& state, size_t index, const Wish& wish, TimePoint now) {
  Bar bar;
  if (state.account == nullptr) {
    bar.why = Why::kEmpty;
    return bar;
  }
  const Account& account = *state.account;
  if (!wish.bound.empty() && !IsBoundTo(account, wish.bound)) {
    bar.why = Why::kBound;
  } else if (wish.tags != nullptr && !wish.tags->empty() && !HasOneOf(account, *wish.tags)) {
    bar.why = Why::kTag;
  } else if (account.paused) {
    bar.why = Why::kPaused;
  } else if (account.kind == Account::Kind::kSubscription && !wish.vendor_client) {
    bar.why = Why::kClient;
  } else if (wish.only && *wish.only != account.kind) {
    bar.why = Why::kCall;
  } else if (!HasModel(account, wish.model)) {
    bar.why = Why::kModel;
  } else if (std::find(wish.tried.begin(), wish.tried.end(), index) != wish.tried.end()) {
    bar.why = Why::kTried;
  }
  if (bar.why) return bar;
  TimePoint guess{};
  for (const Trouble& trouble : state.troubles) {
    if (trouble.Concerns(wish)) AddTrouble(trouble, now, bar, guess);
  }
  bool full = account.concurrency > 0 && state.in_flight >= account.concurrency;
  if (full && !bar.why) bar.why = Why::kBusy;
  if (!bar.why) bar.until = guess;
  // Of what produces no tokens nothing is used.
  TimePoint spared = bar.none() && wish.generates ? SparedUntil(state, now) : TimePoint();
  if (spared == TimePoint()) return bar;
  bar.spared = true;
  bar.until = spared;
  return bar;
}

bool HasModel(const Account& account, std::string_view model) {
  return account.models.empty() || model.empty() ||
         std::any_of(account.models.begin(), account.models.end(),
                     [&](const std::string& glob) { return GlobMatch(glob, model); });
}

bool ServesOthers(const AccountState& state, const Wish& wish, TimePoint now) {
  if (state.account == nullptr || wish.family.empty()) return false;
  if (!HasModel(*state.account, wish.model)) return true;
  return std::ranges::any_of(state.troubles, [&](const Trouble& trouble) {
    // What is over is found out by one request, and the others wait for that.
    bool stands = now < trouble.until || trouble.probe != 0;
    return trouble.health == AccountHealth::kLimited && stands && trouble.family == wish.family;
  });
}

std::expected<size_t, NoAccount> ChooseAccount(std::span<const AccountState> states,
                                               const std::optional<SessionAccount>& session,
                                               const Wish& wish, TimePoint now, double brings,
                                               Decision* decision) {
  const Chooser chooser(states, session, wish, now, brings);
  std::expected<size_t, NoAccount> found = chooser.Choose();
  if (decision != nullptr) *decision = chooser.Explain(found);
  return found;
}

}  // namespace relay
