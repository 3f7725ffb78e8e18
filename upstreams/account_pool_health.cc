// SPDX-License-Identifier: MIT
// What a pool learns of its accounts from the answers that they get.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <tuple>
#include <utility>

#include "upstreams/account_pool.h"

namespace relay {
namespace {

// How long an account rests where the vendor does not say, and bounds for what it says.
constexpr Duration kLimitedDefault = std::chrono::seconds(60);
constexpr Duration kRefusedRest = std::chrono::minutes(10);
constexpr Duration kShortRest = std::chrono::seconds(5);
constexpr Duration kLeastRest = std::chrono::seconds(1);
// Families of models with a limit of their own, an account.
constexpr size_t kMostFamilies = 32;

AccountHealth HealthAfter(Judgement::Kind kind) {
  switch (kind) {
    case Judgement::Kind::kLimited: return AccountHealth::kLimited;
    case Judgement::Kind::kOverloaded: return AccountHealth::kOverloaded;
    case Judgement::Kind::kExpired: return AccountHealth::kExpired;
    case Judgement::Kind::kRefused: return AccountHealth::kRefused;
    case Judgement::Kind::kBroken: return AccountHealth::kBroken;
    default: return AccountHealth::kReady;
  }
}

}  // namespace

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
    return ends && trouble.Concerns(wish);
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
    // Who serves though it fails may rest as soon as fewer others do.
    if (IsGuess(trouble.health) && same->noted && MayRestByGuess(state, now)) {
      same->noted = false;
      same->until = std::max(same->until, trouble.until);
      state.changed = true;
      WakeAllLocked();
      return true;
    }
    // What is known already is not moved by a guess, and not shortened.
    bool surer = IsGuess(same->health) && !IsGuess(trouble.health);
    if (IsGuess(trouble.health) || (!surer && trouble.until <= same->until)) return false;
  }
  trouble.noted = IsGuess(trouble.health) && !MayRestByGuess(state, now);
  *same = std::move(trouble);
  state.changed = true;
  // Those who wait for this account look for another, or learn that there is none.
  WakeAllLocked();
  return true;
}

bool AccountPool::CountFailure(State& state, TimePoint now) const {
  state.recent.Add(true, now);
  return ++state.failures >= outliers_.in_a_row ||
         state.recent.Reach(outliers_.failures, outliers_.requests, now);
}

Duration AccountPool::NextRest(const State& state, TimePoint now) const {
  // Who served well since, for as long as it had rested, begins anew.
  bool again = now - state.rest_over < state.last_rest;
  return std::min(again ? state.last_rest * 2 : outliers_.rest, outliers_.longest);
}

// Whether it takes nobody's load for now, at a limit, say.
static bool IsShut(const AccountState& state, TimePoint now) {
  return std::ranges::any_of(state.troubles, [now](const Trouble& trouble) {
    return trouble.family.empty() && now < trouble.until && !IsGuess(trouble.health);
  });
}

// So that not all of the load falls on the few that are left of those that a vendor's trouble hit.
bool AccountPool::MayRestByGuess(const State& state, TimePoint now) const {
  int accounts = 0;
  int resting = 0;
  for (const State& other : states_) {
    if (other.account == nullptr || other.account->paused) continue;
    if (&other != &state && IsShut(other, now)) continue;
    ++accounts;
    if (&other == &state) continue;
    bool rests = std::ranges::any_of(other.troubles, [now](const Trouble& trouble) {
      bool still = now < trouble.until || trouble.probe != 0;
      return still && IsGuess(trouble.health) && !trouble.noted;
    });
    if (rests) ++resting;
  }
  const int least = outliers_.at_most > 0 ? 1 : 0;
  return resting < std::min(std::max(accounts * outliers_.at_most / 100, least), accounts - 1);
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
    case Kind::kRequest:
      Learn(state, judgement.first_content);
      state.recent.Add(false, now);
      return Recover(state, wish, now);
    case Kind::kUnsuited: return false;
    case Kind::kBroken:
      state.changed = true;
      if (!CountFailure(state, now)) {
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
  if (judgement.kind != Kind::kBroken) return Park(state, std::move(trouble), now);
  Duration rest = judgement.until == TimePoint() ? NextRest(state, now) : trouble.until - now;
  trouble.until = now + rest;
  if (!Park(state, std::move(trouble), now)) return false;
  state.last_rest = rest;
  state.rest_over = now + rest;
  // The next failure is enough, and what led here says no more.
  state.failures = std::max(state.failures, outliers_.in_a_row);
  state.recent.Forget();
  return true;
}

void AccountPool::NoteWindows(size_t index, const UsageWindows& windows) {
  if (!windows.known()) return;
  static constexpr double kTold = 0.01;
  static constexpr Duration kSame = std::chrono::minutes(1);  // a reset is told in whole seconds
  auto differs = [](const WindowUse& now, const WindowUse& told) {
    Duration moved = now.until - told.until;
    return std::abs(now.used - told.used) >= kTold || moved > kSame || moved < -kSame;
  };
  {
    std::lock_guard lock(mutex_);
    State& state = states_[index];
    UsageWindows& own = state.windows;
    if (windows.five_hours.until != TimePoint()) own.five_hours = windows.five_hours;
    if (windows.week.until != TimePoint()) own.week = windows.week;
    bool changed =
        differs(own.five_hours, state.told.five_hours) || differs(own.week, state.told.week);
    if (!changed) return;
    state.changed = true;
  }
  Changed();
}

void AccountPool::NoteIncident(State& state, const Judgement& judgement) {
  state.incidents.push_front({clock_.Wall(), judgement.status, judgement.cause});
  if (state.incidents.size() > kMostIncidents) state.incidents.pop_back();
}

}  // namespace relay
