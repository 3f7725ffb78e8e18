// SPDX-License-Identifier: MIT
#include "core/store/spending.h"

#include <algorithm>
#include <chrono>
#include <limits>

namespace relay {
namespace {

size_t IndexOf(CostWindow window) {
  return static_cast<size_t>(window);
}

// Day 0 was a Thursday; weeks begin on Mondays (ISO 8601).
int32_t WeekOf(int32_t day) {
  int32_t since_monday = day + 3;
  return since_monday >= 0 ? since_monday / 7 : (since_monday - 6) / 7;
}

std::chrono::year_month MonthOf(int32_t day) {
  std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(day))};
  return date.year() / date.month();
}

bool InOneWindow(CostWindow window, int32_t a, int32_t b) {
  switch (window) {
    case CostWindow::kDay: return a == b;
    case CostWindow::kWeek: return WeekOf(a) == WeekOf(b);
    case CostWindow::kMonth: return MonthOf(a) == MonthOf(b);
    case CostWindow::kTotal: break;
  }
  return true;
}

}  // namespace

int64_t PlusClamped(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::numeric_limits<int64_t>::max();
  return sum;
}

std::optional<int32_t> EndOf(CostWindow window, int32_t day) {
  switch (window) {
    case CostWindow::kDay: return day + 1;
    case CostWindow::kWeek: return WeekOf(day) * 7 + 4;
    case CostWindow::kMonth: {
      std::chrono::sys_days next = (MonthOf(day) + std::chrono::months(1)) / std::chrono::day(1);
      return static_cast<int32_t>(next.time_since_epoch().count());
    }
    case CostWindow::kTotal: break;
  }
  return std::nullopt;
}

void FiveHours::Add(WallTime now, int64_t nanodollars) {
  if (!RunAt(now)) *this = FiveHours(now, 0);
  spent_ = PlusClamped(spent_, nanodollars);
}

Duration FiveHours::LeftAt(WallTime now) const {
  return RunAt(now) ? began_ + kLength - now : Duration::zero();
}

void FiveHours::AddPast(const FiveHours& past, WallTime now) {
  if (!past.RunAt(now)) return;
  bool ours = RunAt(now);
  began_ = ours ? std::min(began_, past.began_) : past.began_;
  spent_ = ours ? PlusClamped(spent_, past.spent_) : past.spent_;
}

void FiveHours::Follow(const FiveHours& shared, WallTime now) {
  if (!shared.RunAt(now)) return;
  bool same = RunAt(now) && shared.began_ <= began_ + kClockStep;
  began_ = shared.began_;
  // What we have not told yet is not in theirs.
  spent_ = same ? std::max(spent_, shared.spent_) : shared.spent_;
}

void Spending::Advance(int32_t today) {
  // Two threads may read the clock around midnight and come in the other order; a clock that was
  // wrong by more, and was put right, is believed.
  if (today == day_ || today == day_ - 1) return;
  for (CostWindow window : kAllCostWindows) {
    if (!InOneWindow(window, today, day_)) spent_[IndexOf(window)] = 0;
  }
  day_ = today;
}

void Spending::Add(int32_t today, int64_t nanodollars) {
  Advance(today);
  for (int64_t& spent : spent_) spent = PlusClamped(spent, nanodollars);
}

void Spending::Raise(CostWindow window, int32_t today, int64_t nanodollars) {
  Advance(today);
  int64_t& spent = spent_[IndexOf(window)];
  spent = std::max(spent, nanodollars);
}

void Spending::AddPast(int32_t day, int64_t nanodollars) {
  for (CostWindow window : kAllCostWindows) {
    int64_t& spent = spent_[IndexOf(window)];
    if (InOneWindow(window, day, day_)) spent = PlusClamped(spent, nanodollars);
  }
}

void Spending::AddPast(Spending past, int32_t today) {
  Advance(today);
  const CostAmounts& amounts = past.SpentOn(today);
  for (size_t i = 0; i < kCostWindows; ++i) spent_[i] = PlusClamped(spent_[i], amounts[i]);
}

const CostAmounts& Spending::SpentOn(int32_t today) {
  Advance(today);
  return spent_;
}

std::string PastSpending::Text() const {
  std::string text = std::to_string(calendar.day());
  for (int64_t spent : calendar.spent()) text += " " + std::to_string(spent);
  auto began = five_hours.began().time_since_epoch();
  text += " " +
          std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(began).count()) +
          " " + std::to_string(five_hours.spent());
  return text;
}

}  // namespace relay
