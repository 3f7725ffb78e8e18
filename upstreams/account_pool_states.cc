// SPDX-License-Identifier: MIT
// What a pool remembers beyond a request, and beyond the process: which session sticks to which
// account, and what troubles accounts have.
#include <algorithm>
#include <utility>

#include "upstreams/account_pool.h"

namespace relay {

// Of an account that is not there, too: it may come later, out of the store.
size_t AccountPool::IndexOfLocked(std::string_view account) {
  auto known = std::ranges::find(states_, account, &State::name);
  if (known == states_.end()) {
    known = states_.emplace(states_.end());
    known->name = account;
  }
  return static_cast<size_t>(known - states_.begin());
}

// --- Sessions ----------------------------------------------------------------------------------

AccountPool::Session* AccountPool::FindSessionLocked(std::string_view sticky,
                                                     std::string_view family) {
  auto found = sessions_.find(SessionName(sticky, family));
  return found == sessions_.end() ? nullptr : &found->second;
}

AccountPool::Session* AccountPool::SessionForLocked(const Wish& wish, TimePoint now) {
  if (wish.sticky.empty()) return nullptr;
  auto lives = [now](const Session* session) {
    return session != nullptr && now - session->used < kStickyLife;
  };
  Session* whole = FindSessionLocked(wish.sticky, {});
  if (whole != nullptr && whole->split && !wish.family.empty()) {
    Session* own = FindSessionLocked(wish.sticky, wish.family);
    // Two models of one family may have an account each.
    auto has_model = [&](const Session* session) {
      const std::shared_ptr<const Account>& account = states_[session->index].account;
      return account != nullptr && HasModel(*account, wish.model);
    };
    if (lives(own) && (has_model(own) || !lives(whole) || !has_model(whole))) return own;
  }
  return lives(whole) ? whole : nullptr;
}

AccountPool::Session* AccountPool::SessionOfLocked(const AccountLease& lease) {
  for (std::string_view family : {std::string_view(lease.family()), std::string_view()}) {
    Session* session = FindSessionLocked(lease.sticky(), family);
    if (session != nullptr && session->index == lease.index()) return session;
  }
  return nullptr;
}

AccountPool::Session& AccountPool::EnterSessionLocked(const Wish& wish, std::string_view family) {
  if (Session* known = FindSessionLocked(wish.sticky, family)) return *known;
  if (sessions_.size() >= kMostSessions) ForgetOldest();
  auto at = sessions_.try_emplace({wish.sticky, std::string(family)}).first;
  at->second.key = &at->first;
  at->second.slot = TakeSlotLocked();
  return at->second;
}

void AccountPool::TouchSessionLocked(Session& session, bool changed, TimePoint now) {
  session.used = now;
  by_use_.PushBack(session);
  if (changed || now - session.told >= kTellUse) changed_sessions_.PushBack(session);
}

bool AccountPool::RememberLocked(const Wish& wish, Choice& choice, TimePoint now) {
  while (!by_use_.empty() && now - by_use_.front()->used >= kStickyLife) ForgetOldest();
  Session* known = SessionForLocked(wish, now);
  bool is_whole = known != nullptr && known->key->family.empty();
  Session& whole = is_whole ? *known : EnterSessionLocked(wish, {});
  // What its account serves of it stays there.
  bool splits = known == &whole && whole.index != choice.index &&
                ServesOthers(states_[whole.index], wish, now);
  bool own = splits || (known != nullptr && known != &whole);
  by_use_.PushBack(whole);  // not to be forgotten for what it has
  Session& session = own ? EnterSessionLocked(wish, wish.family) : whole;
  const bool moves = known == &session && session.index != choice.index;
  const bool begins = known == nullptr || splits || moves;
  // Of models that an account lacks nothing is cached there, whatever else of their family is.
  const bool loses = known != nullptr && (states_[known->index].account == nullptr ||
                                          HasModel(*states_[known->index].account, wish.model));
  if (splits) {
    // The other's part of the history may come here, and this one's go there.
    session.moved = whole.moved = whole.split = true;
    if (loses && whole.cached.family == wish.family && whole.cached.LivesAt(now)) {
      std::swap(choice.lost, whole.cached);
      whole.cached.tokens = 0;
    }
  }
  if (moves) {
    session.moved = true;
    if (loses && session.cached.LivesAt(now)) std::swap(choice.lost, session.cached);
    session.cached.tokens = 0;
  }
  choice.may_have_moved = session.moved || !session.answered;
  session.index = choice.index;
  TouchSessionLocked(session, begins, now);
  // It is found by the whole, which is not forgotten before it.
  if (own) TouchSessionLocked(whole, splits, now);
  return begins;
}

void AccountPool::NoteAnswered(const AccountLease& lease, bool moved) {
  std::unique_lock lock(mutex_);
  Session* session = SessionOfLocked(lease);
  if (session == nullptr) return;
  session->answered = true;
  if (!moved || session->moved) return;
  session->moved = true;
  changed_sessions_.PushBack(*session);
  lock.unlock();
  Changed();
}

void AccountPool::NoteCached(const AccountLease& lease, CachedPrompt cached) {
  std::lock_guard lock(mutex_);
  Session* session = SessionOfLocked(lease);
  if (session != nullptr) session->cached.Renew(cached, clock_.Now());
}

void AccountPool::ForgetOldest() {
  const Session& oldest = *by_use_.front();
  free_slots_.push_back(oldest.slot);
  sessions_.erase(sessions_.find(*oldest.key));
}

size_t AccountPool::TakeSlotLocked() {
  if (free_slots_.empty()) return slots_++;
  size_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

std::vector<AccountPool::KeptSession> AccountPool::TakeChangedSessions() {
  // Room is made before the mutex is taken.
  constexpr size_t kAtOnce = 64;
  constexpr size_t kUsualName = 200;
  std::vector<KeptSession> all;
  for (bool more = true; more;) {
    size_t count = all.size();
    all.resize(count + kAtOnce);
    for (size_t i = count; i < all.size(); ++i) {
      all[i].sticky.reserve(kUsualName);
      all[i].family.reserve(kUsualName);
      all[i].account.reserve(kUsualName);
    }
    std::lock_guard lock(mutex_);
    const Instant at(clock_);
    while (count < all.size() && !changed_sessions_.empty()) {
      Session& session = *changed_sessions_.PopFront();
      session.told = session.used;
      KeptSession& kept = all[count++];
      kept.slot = session.slot;
      kept.sticky = session.key->sticky;
      kept.family = session.key->family;
      kept.account = states_[session.index].name;
      kept.moved = session.moved;
      kept.used = at.WallOf(session.used);
    }
    more = !changed_sessions_.empty();
    all.resize(count);
  }
  return all;
}

// Null: it is of no use.
AccountPool::Session* AccountPool::RestoreSessionLocked(const KeptSession& kept, TimePoint now,
                                                        WallTime wall) {
  Duration age = std::max<Duration>(wall - kept.used, Duration::zero());
  if (age >= kStickyLife || kept.sticky.empty() || kept.account.empty()) return nullptr;
  auto [at, fresh] = sessions_.try_emplace({kept.sticky, kept.family});
  if (!fresh) return nullptr;
  Session& session = at->second;
  session.key = &at->first;
  session.index = IndexOfLocked(kept.account);
  session.moved = kept.moved;
  session.used = session.told = now - age;
  return &session;
}

// `restored`: with the slots that they had. Who finds his taken, gets another.
void AccountPool::GiveSlotsLocked(const std::vector<std::pair<Session*, size_t>>& restored) {
  std::vector<bool> used(kMostSessions);
  by_use_.ForEach([&](const Session& session) { used[session.slot] = true; });
  std::vector<Session*> homeless;
  for (const auto& [session, slot] : restored) {
    bool free = slot < kMostSessions && !used[slot];
    if (free) {
      used[slot] = true;
      session->slot = slot;
    } else {
      homeless.push_back(session);
    }
  }
  slots_ = kMostSessions;
  while (slots_ > 0 && !used[slots_ - 1]) --slots_;
  free_slots_.clear();
  for (size_t slot = slots_; slot-- > 0;) {
    if (!used[slot]) free_slots_.push_back(slot);
  }
  for (Session* session : homeless) {
    session->slot = TakeSlotLocked();
    changed_sessions_.PushBack(*session);
  }
}

std::vector<size_t> AccountPool::RestoreSessions(std::vector<KeptSession> kept) {
  std::ranges::sort(kept, {}, &KeptSession::used);
  std::vector<size_t> gone;
  std::lock_guard lock(mutex_);
  TimePoint now = clock_.Now();
  WallTime wall = clock_.Wall();
  std::vector<std::pair<Session*, size_t>> restored;
  for (const KeptSession& one : kept) {
    if (Session* session = RestoreSessionLocked(one, now, wall)) {
      restored.emplace_back(session, one.slot);
    } else {
      gone.push_back(one.slot);
    }
  }
  for (const auto& [session, slot] : restored) {
    if (session->key->family.empty()) continue;
    Session* whole = FindSessionLocked(session->key->sticky, {});
    if (whole != nullptr) whole->split = true;
  }
  GiveSlotsLocked(restored);
  // Those of this run were used later.
  List<Session, SessionTag> ours;
  ours.Splice(by_use_);
  for (const auto& [session, slot] : restored) by_use_.PushBack(*session);
  by_use_.Splice(ours);
  while (sessions_.size() > kMostSessions) ForgetOldest();
  return gone;
}

// --- Health ------------------------------------------------------------------------------------

std::vector<AccountPool::KeptHealth> AccountPool::TakeChangedHealth() {
  std::vector<KeptHealth> all;
  std::lock_guard lock(mutex_);
  const Instant at(clock_);
  for (size_t i = 0; i < states_.size(); ++i) {
    State& state = states_[i];
    if (!std::exchange(state.changed, false)) continue;
    KeptHealth kept{.account = state.name, .failures = state.failures, .troubles = {}};
    auto kept_of = [&](const WindowUse& window) -> KeptWindow {
      if (at.now >= window.until) return {};
      return {window.used, at.WallOf(window.until)};
    };
    kept.five_hours = kept_of(state.windows.five_hours);
    kept.week = kept_of(state.windows.week);
    state.told = state.windows;
    for (const Trouble& trouble : state.troubles) {
      kept.troubles.push_back(
          {trouble.family, trouble.health, trouble.cause, at.WallOf(trouble.until)});
    }
    all.push_back(std::move(kept));
  }
  return all;
}

bool AccountPool::RestoreHealth(const KeptHealth& kept) {
  std::lock_guard lock(mutex_);
  TimePoint now = clock_.Now();
  WallTime wall = clock_.Wall();
  bool rests = std::ranges::any_of(
      kept.troubles, [wall](const KeptTrouble& trouble) { return wall < trouble.until; });
  bool there = std::ranges::any_of(states_, [&](const State& state) {
    return state.account != nullptr && state.name == kept.account;
  });
  bool windows = wall < kept.five_hours.until || wall < kept.week.until;
  bool empty = kept.failures <= 0 && kept.troubles.empty() && !windows;
  if (kept.account.empty() || empty || (!there && !rests && !windows)) return false;
  State& state = states_[IndexOfLocked(kept.account)];
  auto restore = [&](const KeptWindow& from, WindowUse& to) {
    if (wall >= from.until || to.until != TimePoint()) return;
    Duration left = std::min<Duration>(from.until - wall, kMostRest);
    to = {std::clamp(from.used, 0.0, 1.0), now + left};
  };
  restore(kept.five_hours, state.windows.five_hours);
  restore(kept.week, state.windows.week);
  state.told = state.windows;
  // What came of the requests of this run is newer than any guess.
  bool in_use = state.last_used > 0;
  if (!in_use) state.failures = kept.failures;
  for (const KeptTrouble& trouble : kept.troubles) {
    // Whether it waits for a new token shows when it is asked.
    if (trouble.health == Health::kExpired) continue;
    bool known = std::ranges::any_of(
        state.troubles, [&](const Trouble& own) { return own.family == trouble.family; });
    if (known || (in_use && IsGuess(trouble.health))) continue;
    Duration left = std::clamp<Duration>(trouble.until - wall, Duration::zero(), kMostRest);
    // The credential, or the way, may have been mended for this run: its first request shows it.
    if (trouble.health == Health::kRefused) left = {};
    Park(state, {trouble.family, trouble.health, trouble.cause, now + left, 0}, now);
  }
  return true;
}

}  // namespace relay
