// SPDX-License-Identifier: MIT
#include "filters/limits.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "upstreams/prices.h"

namespace relay {
namespace {

using What = Limiter::Denied::What;

int64_t Nanodollars(double dollars) {
  return std::llround(dollars * 1e9);
}

std::string_view PeriodOf(CostWindow window) {
  switch (window) {
    case CostWindow::kDay: return " a day";
    case CostWindow::kWeek: return " a week";
    case CostWindow::kMonth: return " a month";
    case CostWindow::kTotal: break;
  }
  return " in all";
}

}  // namespace

RateLimits LimitsOf(const LimitsConfig& config) {
  return {.requests_per_minute = config.requests_per_minute,
          .tokens_per_minute = config.tokens_per_minute,
          .concurrency = config.concurrency,
          .cost = {Nanodollars(config.cost_per_day), Nanodollars(config.cost_per_week),
                   Nanodollars(config.cost_per_month), Nanodollars(config.cost_total)},
          .cost_per_5h = Nanodollars(config.cost_per_5h)};
}

std::string_view NameOf(What what, CostWindow window) {
  switch (what) {
    case What::kRequests: return "requests-per-minute";
    case What::kTokens: return "tokens-per-minute";
    case What::kConcurrency: return "concurrency";
    case What::kFiveHours: return "cost-per-5h";
    case What::kAway: return "store";
    case What::kCost: break;
  }
  switch (window) {
    case CostWindow::kDay: return "cost-per-day";
    case CostWindow::kWeek: return "cost-per-week";
    case CostWindow::kMonth: return "cost-per-month";
    case CostWindow::kTotal: break;
  }
  return "cost-total";
}

std::string Describe(const Limiter::Use& use) {
  bool money = use.what == What::kFiveHours || use.what == What::kCost;
  auto amount = [money](int64_t n) { return money ? DollarsText(n) : std::to_string(n); };
  std::string text(NameOf(use.what, use.window));
  text += ": " + amount(use.used) + " of " + amount(use.limit) + " used";
  if (use.reserved > 0) text += ", " + amount(use.reserved) + " reserved";
  return text + ", " + amount(std::max<int64_t>(use.left(), 0)) + " left";
}

std::string Explain(std::string_view who, const Limiter::Denied& denied) {
  std::string text(who);
  std::string limit = std::to_string(denied.limit);
  switch (denied.what) {
    case What::kRequests: return text + " is at its limit of " + limit + " requests a minute";
    case What::kTokens: return text + " is at its limit of " + limit + " tokens a minute";
    case What::kConcurrency: return text + " is at its limit of " + limit + " requests at once";
    case What::kAway:
      return "the relay cannot ask its store what other relays have used of the limits of " + text +
             ", and is set to serve nothing without it; try again";
    case What::kFiveHours:
    case What::kCost: break;
  }
  bool five = denied.what == What::kFiveHours;
  std::string budget =
      DollarsText(denied.limit) + std::string(five ? " in 5 hours" : PeriodOf(denied.window));
  if (denied.spent) return text + " has spent its budget of " + budget;
  return text + " has a budget of " + budget +
         ", and what is left of it is reserved for requests that are running";
}

}  // namespace relay
