// SPDX-License-Identifier: MIT
// How the limits of a scope stand, for people.
#include "core/store/limiter.h"

namespace relay {

std::vector<Limiter::Use> Limiter::Look(const Claim& claim, TimePoint now) {
  std::vector<Use> uses;
  if (claim.scope == nullptr) return uses;
  const RateLimits& limits = claim.limits;
  LimitScope& scope = *claim.scope;
  const WallTime wall = clock_.Wall();
  const int32_t today = zone_.DayOf(wall);
  auto add = [&](Use use) {
    if (use.limit > 0) uses.push_back(use);
  };
  using What = Denied::What;
  std::lock_guard lock(scope.mutex_);
  const Charge& reserved = scope.reserved_;
  add({What::kRequests, {}, limits.requests_per_minute, scope.starts_.Count(now), 0});
  add({What::kTokens, {}, limits.tokens_per_minute, scope.tokens_.Count(now), reserved.tokens});
  add({What::kConcurrency, {}, limits.concurrency, scope.in_flight_, 0});
  add({What::kFiveHours,
       {},
       limits.cost_per_5h,
       scope.five_hours_.SpentAt(wall),
       reserved.nanodollars});
  const CostAmounts& spent = scope.spending_.SpentOn(today);
  for (CostWindow window : kAllCostWindows) {
    auto index = static_cast<size_t>(window);
    add({What::kCost, window, limits.cost[index], spent[index], reserved.nanodollars});
  }
  return uses;
}

}  // namespace relay
