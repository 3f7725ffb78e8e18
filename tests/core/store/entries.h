// SPDX-License-Identifier: MIT
// Ledger entries, whole and distinct, for the tests of everything that keeps them.
#pragma once

#include <string>

#include "core/store/ledger_rows.h"

namespace relay {

inline constexpr int32_t kTestDay = 20'717;                                // 2026-09-21
const WallTime kTestNoon = WallTime(std::chrono::seconds(1'790'000'000));  // of that day, 14:13

// Numbers follow from `n`, so that sums tell which entries are in them.
inline LedgerEntry TestEntry(const std::string& id, int64_t n, const std::string& key = "alice") {
  LedgerEntry entry{.id = id, .when = kTestNoon, .key = key, .model = "claude-haiku-4-5"};
  entry.provider = "claude";
  entry.account = "claude/team";
  entry.usage.model = entry.model;
  entry.usage.input = n;
  entry.usage.output = 2 * n;
  entry.usage.cache_read = 3 * n;
  entry.usage.cache_write_5m = 5 * n;
  entry.usage.cache_write_1h = 7 * n;
  entry.usage.reasoning = n / 2;
  entry.usage.searches = n % 3;
  entry.nanodollars = 11 * n;
  entry.guessed_price = n % 5 == 0;
  entry.status = 200;
  entry.total = std::chrono::milliseconds(n);
  return entry;
}

inline Period TestPeriod(const LedgerEntry& entry) {
  return {kTestDay, HourOf(entry.when)};
}

inline LedgerTotals SumOf(const RowSet& rows) {
  LedgerTotals sum;
  for (const DayRow& row : rows.days) sum.Add(row.totals);
  return sum;
}

inline LedgerTotals SumOfHours(const RowSet& rows) {
  LedgerTotals sum;
  for (const HourRow& row : rows.hours) sum.Add(row.totals);
  return sum;
}

}  // namespace relay
