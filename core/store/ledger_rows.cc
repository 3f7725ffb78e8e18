// SPDX-License-Identifier: MIT
#include "core/store/ledger_rows.h"

#include <algorithm>
#include <chrono>

namespace relay {

int64_t HourOf(WallTime when) {
  return std::chrono::floor<std::chrono::hours>(when).time_since_epoch().count();
}

// Marked as changed: every caller is about to.
LedgerRows::Row& LedgerRows::DayAt(const DayView& id) {
  auto at = days_.find(id);
  if (at == days_.end()) {
    DayId made{id.day, std::string(id.key), std::string(id.model), std::string(id.account)};
    at = days_.emplace(std::move(made), Row()).first;
  }
  if (!at->second.changed) {
    changed_days_.push_back(&*at);
    at->second.changed = true;
  }
  return at->second;
}

LedgerRows::Row& LedgerRows::HourAt(const HourView& id) {
  auto at = hours_.find(id);
  if (at == hours_.end()) {
    at = hours_.emplace(HourId{id.hour, std::string(id.key)}, Row()).first;
  }
  if (!at->second.changed) {
    changed_hours_.push_back(&*at);
    at->second.changed = true;
  }
  return at->second;
}

void LedgerRows::Add(const LedgerEntry& entry, Period period) {
  // Both rows are there before either counts: no memory leaves them in step.
  Row& of_day = DayAt({period.day, entry.key, entry.model, entry.account});
  Row& of_hour = HourAt({period.hour, entry.key});
  of_day.totals.Add(entry);
  of_hour.totals.Add(entry);
}

void LedgerRows::Set(const RowSet& rows) {
  for (const DayRow& row : rows.days) {
    DayAt({row.day, row.key, row.model, row.account}).totals = row.totals;
  }
  for (const HourRow& row : rows.hours) HourAt({row.hour, row.key}).totals = row.totals;
}

void LedgerRows::Raise(const RowSet& rows) {
  for (const DayRow& row : rows.days) {
    auto at = days_.find(DayView{row.day, row.key, row.model, row.account});
    if (at != days_.end()) at->second.totals.RaiseTo(row.totals);
  }
  for (const HourRow& row : rows.hours) {
    auto at = hours_.find(HourView{row.hour, row.key});
    if (at != hours_.end()) at->second.totals.RaiseTo(row.totals);
  }
}

void LedgerRows::AddAll(const RowSet& rows) {
  for (const DayRow& row : rows.days) {
    DayAt({row.day, row.key, row.model, row.account}).totals.Add(row.totals);
  }
  for (const HourRow& row : rows.hours) HourAt({row.hour, row.key}).totals.Add(row.totals);
}

RowSet LedgerRows::All() const {
  RowSet all;
  all.days.reserve(days_.size());
  all.hours.reserve(hours_.size());
  for (const auto& [id, row] : days_) {
    all.days.push_back({id.day, id.key, id.model, id.account, row.totals});
  }
  for (const auto& [id, row] : hours_) all.hours.push_back({id.hour, id.key, row.totals});
  return all;
}

RowSet LedgerRows::TakeChanged() {
  RowSet taken;
  taken.days.reserve(changed_days_.size());
  taken.hours.reserve(changed_hours_.size());
  for (const Days::value_type* at : changed_days_) {
    const DayId& id = at->first;
    taken.days.push_back({id.day, id.key, id.model, id.account, at->second.totals});
  }
  for (const Hours::value_type* at : changed_hours_) {
    taken.hours.push_back({at->first.hour, at->first.key, at->second.totals});
  }
  for (Days::value_type* at : changed_days_) at->second.changed = false;
  for (Hours::value_type* at : changed_hours_) at->second.changed = false;
  changed_days_.clear();
  changed_hours_.clear();
  return taken;
}

void LedgerRows::Forget(Period before) {
  std::erase_if(days_, [&](const Days::value_type& at) {
    return !at.second.changed && at.first.day < before.day;
  });
  std::erase_if(hours_, [&](const Hours::value_type& at) {
    return !at.second.changed && at.first.hour < before.hour;
  });
  held_from_ = {std::max(held_from_.day, before.day), std::max(held_from_.hour, before.hour)};
}

void LedgerRows::DropBefore(Period period) {
  std::erase_if(changed_days_, [&](const auto* at) { return at->first.day < period.day; });
  std::erase_if(changed_hours_, [&](const auto* at) { return at->first.hour < period.hour; });
  std::erase_if(days_, [&](const auto& at) { return at.first.day < period.day; });
  std::erase_if(hours_, [&](const auto& at) { return at.first.hour < period.hour; });
}

void LedgerRows::DropUnknown(const LedgerRows& others) {
  auto unknown_day = [&](const auto& at) { return !others.days_.contains(at.first); };
  auto unknown_hour = [&](const auto& at) { return !others.hours_.contains(at.first); };
  std::erase_if(changed_days_, [&](const auto* at) { return unknown_day(*at); });
  std::erase_if(changed_hours_, [&](const auto* at) { return unknown_hour(*at); });
  std::erase_if(days_, unknown_day);
  std::erase_if(hours_, unknown_hour);
}

LedgerRows LedgerRows::Since(const LedgerRows& base) const {
  LedgerRows since;
  for (const auto& [id, row] : days_) {
    LedgerTotals rest = row.totals;
    auto at = base.days_.find(id);
    if (at != base.days_.end()) rest.Subtract(at->second.totals);
    if (rest == LedgerTotals()) continue;
    since.DayAt({id.day, id.key, id.model, id.account}).totals = rest;
  }
  for (const auto& [id, row] : hours_) {
    LedgerTotals rest = row.totals;
    auto at = base.hours_.find(id);
    if (at != base.hours_.end()) rest.Subtract(at->second.totals);
    if (rest != LedgerTotals()) since.HourAt({id.hour, id.key}).totals = rest;
  }
  return since;
}

Period LedgerRows::Held(Period period) const {
  return {std::max(held_from_.day, period.day), std::max(held_from_.hour, period.hour)};
}

}  // namespace relay
