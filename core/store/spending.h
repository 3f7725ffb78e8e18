// SPDX-License-Identifier: MIT
// What was spent of a budget in the calendar's windows: the day, the ISO week, the month, and in
// all. Days are numbers on the calendar of the configured zone (Zone::DayOf).
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "core/base/clock.h"

namespace relay {

enum class CostWindow : uint8_t { kDay, kWeek, kMonth, kTotal };
inline constexpr size_t kCostWindows = 4;
inline constexpr std::array<CostWindow, kCostWindows> kAllCostWindows = {
    CostWindow::kDay, CostWindow::kWeek, CostWindow::kMonth, CostWindow::kTotal};

// Nanodollars by window.
using CostAmounts = std::array<int64_t, kCostWindows>;

// Sums of amounts that are not negative; what would not fit stays at the greatest.
int64_t PlusClamped(int64_t a, int64_t b);

// The first day after the window in which `day` lies; nothing for kTotal, which never ends.
std::optional<int32_t> EndOf(CostWindow window, int32_t day);

// What was spent in five hours that begin with the first use after the last ones, as the vendors
// count their own limits.
class FiveHours {
 public:
  static constexpr Duration kLength = std::chrono::hours(5);

  FiveHours() = default;
  FiveHours(WallTime began, int64_t spent) : began_(began), spent_(spent) {}

  void Add(WallTime now, int64_t nanodollars);
  int64_t SpentAt(WallTime now) const { return RunAt(now) ? spent_ : 0; }
  // Until they are over; zero where none run.
  Duration LeftAt(WallTime now) const;
  // Adds what another knows, if that still runs.
  void AddPast(const FiveHours& past, WallTime now);

  // Those in which others count, and what all spent in them: ours that began before them are over.
  void Follow(const FiveHours& shared, WallTime now);

  WallTime began() const { return began_; }
  int64_t spent() const { return spent_; }

 private:
  // Not before their beginning either: a clock that was put back ends them.
  bool RunAt(WallTime now) const {
    return spent_ > 0 && now >= began_ - kClockStep && now - began_ < kLength;
  }
  static constexpr Duration kClockStep = std::chrono::minutes(1);

  WallTime began_{};
  int64_t spent_ = 0;
};

class Spending {
 public:
  Spending() = default;
  explicit Spending(int32_t today) : day_(today) {}

  void Add(int32_t today, int64_t nanodollars);
  // What was spent earlier, for a budget that is built from the ledger's rows, in any order. Counts
  // in the windows that hold both `day` and the day of the last Add or of the constructor.
  void AddPast(int32_t day, int64_t nanodollars);
  // All that another one knows of, as of `today`.
  void AddPast(Spending past, int32_t today);
  // At least so much was spent in the window that holds `today`, as somebody else knows.
  void Raise(CostWindow window, int32_t today, int64_t nanodollars);
  // In the windows that hold `today`.
  const CostAmounts& SpentOn(int32_t today);

  // For a copy that outlives the process.
  int32_t day() const { return day_; }
  const CostAmounts& spent() const { return spent_; }  // in the windows of that day
  Spending(int32_t day, const CostAmounts& spent) : day_(day), spent_(spent) {}

 private:
  void Advance(int32_t today);
  int32_t day_ = 0;
  CostAmounts spent_{};
};

// What was spent of all budgets of a scope before somebody began to count.
struct PastSpending {
  Spending calendar = {};
  FiveHours five_hours = {};

  // "day spent spent spent spent began spent": the day and what was spent in its windows, and the
  // moment (ms since 1970) at which five hours began.
  std::string Text() const;
};

}  // namespace relay
