// SPDX-License-Identifier: MIT
#include "core/store/redis_budget.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace relay {
namespace {

using std::chrono::year_month;

year_month MonthAt(WallTime when) {
  std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(when));
  return day.year() / day.month();
}

double SecondsBetween(WallTime from, WallTime to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

std::string RedisBudget::MonthOf(WallTime when) {
  year_month month = MonthAt(when);
  std::string name(16, '\0');
  int size = std::snprintf(name.data(), name.size(), "%04d-%02u", int(month.year()),
                           unsigned(month.month()));
  name.resize(static_cast<size_t>(size));
  return name;
}

RedisBudget::View RedisBudget::Look(WallTime now, int64_t used) const {
  year_month month = MonthAt(now);
  WallTime begin = std::chrono::sys_days(month / 1);
  WallTime end = std::chrono::sys_days((month + std::chrono::months(1)) / 1);
  double whole = SecondsBetween(begin, end);
  double share = SecondsBetween(begin, now) / whole;
  View view{per_month_, used, used, interval_, false};
  // The first hours tell nothing of a month.
  constexpr double kLeastShare = 1.0 / 60;
  view.forecast = static_cast<int64_t>(static_cast<double>(used) / std::max(share, kLeastShare));
  if (per_month_ == 0) return view;

  auto budget = static_cast<double>(per_month_);
  // What may be used ahead shrinks to nothing, so that the month is not overdrawn at its end.
  double burst = std::max(budget / kBurstShare * (1 - share), 2.0);
  double ahead = (budget * share + burst - static_cast<double>(used)) / (burst / 2);
  if (ahead >= 1) return view;
  double left = std::max(budget - static_cast<double>(used), 1.0);
  double even = SecondsBetween(now, end) / left;  // the pace that lasts to the month's end
  double seconds = even * (2 - ahead);
  double most = std::chrono::duration<double>(kMaxInterval).count();
  auto longer =
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::min(seconds, most)));
  view.interval = std::max(interval_, longer);
  view.stretched = view.interval > interval_;
  return view;
}

}  // namespace relay
