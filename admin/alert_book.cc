// SPDX-License-Identifier: MIT
#include "admin/alert_book.h"

#include <algorithm>
#include <utility>

#include "core/base/text.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

// The highest share of a budget that is told and has been reached; 0 for none.
int ReachedOf(const AlertConfig& config, const AlertCondition& condition) {
  if (condition.event != AlertEvent::kBudget) return 0;
  int64_t reached = 0;
  for (int64_t percent : config.budget_percent) {
    if (condition.percent >= percent) reached = std::max(reached, percent);
  }
  return static_cast<int>(reached);
}

bool Wanted(const AlertConfig& config, const AlertCondition& condition) {
  if (std::ranges::find(config.on, condition.event) == config.on.end()) return false;
  return condition.event != AlertEvent::kBudget || ReachedOf(config, condition) > 0;
}

Alert::Severity SeverityOf(const AlertCondition& condition) {
  switch (condition.event) {
    case AlertEvent::kRefused:
    case AlertEvent::kUnserved:
    case AlertEvent::kStore:
    case AlertEvent::kConfig: return Alert::Severity::kCritical;
    case AlertEvent::kBudget:
      return condition.percent >= 100 ? Alert::Severity::kCritical : Alert::Severity::kWarning;
    default: return Alert::Severity::kWarning;
  }
}

std::string_view EndOf(AlertEvent event) {
  switch (event) {
    case AlertEvent::kRefused: return "is no longer refused";
    case AlertEvent::kLimited: return "is no longer at its limit";
    case AlertEvent::kExpired: return "no longer lacks a token";
    case AlertEvent::kBroken: return "no longer fails";
    case AlertEvent::kOverloaded: return "is no longer short of capacity";
    case AlertEvent::kUnserved: return "can serve again";
    case AlertEvent::kStore: return "works again";
    case AlertEvent::kConfig: return "is good again";
    case AlertEvent::kBudget: return "";
  }
  return "";
}

Alert Began(const AlertCondition& condition, WallTime wall) {
  return {.id = RandomHex(8),
          .event = condition.event,
          .phase = Alert::Phase::kBegan,
          .severity = SeverityOf(condition),
          .when = wall,
          .subject = condition.subject,
          .what = condition.what,
          .details = condition.details,
          .until = condition.until};
}

Alert Ended(const AlertCondition& condition, WallTime wall) {
  return {.id = RandomHex(8),
          .event = condition.event,
          .phase = Alert::Phase::kEnded,
          .severity = Alert::Severity::kInfo,
          .when = wall,
          .subject = condition.subject,
          .what = std::string(EndOf(condition.event))};
}

}  // namespace

Duration AlertBook::GapOf(AlertEvent event) {
  return event == AlertEvent::kConfig ? 0s : 30s;
}

Duration AlertBook::HoldOf(AlertEvent event) {
  switch (event) {
    case AlertEvent::kBroken: return 30s;
    case AlertEvent::kExpired:
    case AlertEvent::kOverloaded: return 60s;
    case AlertEvent::kUnserved: return 5s;
    case AlertEvent::kStore: return 10s;
    default: return 0s;
  }
}

bool AlertBook::Due(const Entry& entry, int percent, const AlertConfig& config, TimePoint now) {
  // More of a budget is spent than was told.
  if (entry.told) return percent > entry.told_percent;
  if (now - entry.began < HoldOf(entry.condition.event)) return false;
  return !entry.told_at || now - *entry.told_at >= config.quiet;
}

std::vector<Alert> AlertBook::Update(const AlertConfig& config, const AlertLook& look,
                                     TimePoint now, WallTime wall) {
  std::vector<Alert> alerts;
  for (const AlertCondition& condition : look.conditions) {
    if (!Wanted(config, condition)) continue;
    auto [at, fresh] = entries_.try_emplace(condition.id);
    Entry& entry = at->second;
    if (fresh || entry.over) entry.began = now;
    entry.over = false;
    entry.seen = now;
    entry.condition = condition;
    int percent = ReachedOf(config, condition);
    if (Due(entry, percent, config, now)) {
      alerts.push_back(Began(condition, wall));
      entry.told = true;
      entry.told_at = now;
      changed_.insert(condition.id);
    } else if (percent > entry.told_percent) {
      continue;
    }
    if (percent != entry.told_percent && entry.told_at) changed_.insert(condition.id);
    entry.told_percent = percent;
  }
  EndLost(config, look, now, wall, alerts);
  return alerts;
}

// What has been away for long enough is over. That is told where the thing is well: not where it is
// gone or paused, or is no longer wanted to be known of; nor of a budget.
void AlertBook::EndLost(const AlertConfig& config, const AlertLook& look, TimePoint now,
                        WallTime wall, std::vector<Alert>& alerts) {
  for (auto at = entries_.begin(); at != entries_.end();) {
    Entry& entry = at->second;
    const AlertCondition& condition = entry.condition;
    entry.over = entry.seen != now && now - entry.seen >= GapOf(condition.event);
    bool well = look.things.contains(condition.thing) && Wanted(config, condition);
    if (entry.over && entry.told && well && condition.event != AlertEvent::kBudget) {
      alerts.push_back(Ended(condition, wall));
    }
    // What was told is kept in mind for as long as it must not be told again.
    bool known = entry.told_at && now - *entry.told_at < config.quiet;
    if (entry.over && entry.told_at && (entry.told || !known)) changed_.insert(at->first);
    if (entry.over) entry.told = false;
    at = entry.over && !known ? entries_.erase(at) : std::next(at);
  }
}

// --- Over restarts -----------------------------------------------------------------------------

std::vector<AlertBook::Change> AlertBook::TakeChanged(const Instant& at) {
  std::vector<Change> changes;
  for (const std::string& id : std::exchange(changed_, {})) {
    Change& change = changes.emplace_back(id, std::nullopt);
    auto found = entries_.find(id);
    // It may have gone since, and be there anew, not told of yet.
    if (found == entries_.end() || !found->second.told_at) continue;
    const Entry& entry = found->second;
    const AlertCondition& condition = entry.condition;
    change.kept = Kept{.id = id,
                       .event = condition.event,
                       .thing = condition.thing,
                       .subject = condition.subject,
                       .told_at = at.WallOf(*entry.told_at),
                       .told = entry.told,
                       .percent = entry.told_percent};
  }
  return changes;
}

std::vector<AlertBook::Change> AlertBook::Clear() {
  std::vector<Change> changes;
  for (const auto& [id, entry] : std::exchange(entries_, {})) {
    if (entry.told_at || changed_.contains(id)) changes.emplace_back(id, std::nullopt);
  }
  changed_.clear();
  return changes;
}

void AlertBook::Restore(const Kept& kept, const Instant& at) {
  auto [found, fresh] = entries_.try_emplace(kept.id);
  Entry& entry = found->second;
  if (!fresh && entry.told_at) return;
  // A clock that was put back makes nothing told in the future.
  entry.told_at = at.now - std::max<Duration>(at.wall - kept.told_at, Duration::zero());
  entry.told = kept.told;
  entry.told_percent = kept.percent;
  if (!fresh) return;
  entry.condition = {
      .id = kept.id, .event = kept.event, .thing = kept.thing, .subject = kept.subject, .what = {}};
  entry.began = entry.seen = at.now;
  entry.over = !kept.told;
}

}  // namespace relay
