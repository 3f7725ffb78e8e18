// SPDX-License-Identifier: MIT
#include "upstreams/usage_windows.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "core/config/units.h"
#include "upstreams/provider.h"

namespace relay {
namespace {

// anthropic-ratelimit-unified-5h-utilization: 0.12, …-5h-reset: 1795380801 (Unix time), and 7d-…
// alike, as captured with a subscription's bearer.
WindowUse WindowIn(const Head& answer, std::string_view name, Duration length, TimePoint now,
                   WallTime wall) {
  std::string prefix = "anthropic-ratelimit-unified-" + std::string(name);
  Parsed<double> used = ParseNumber(answer.Get(prefix + "-utilization"));
  Parsed<int64_t> reset = ParseInteger(answer.Get(prefix + "-reset"));
  if (!used || !reset || *used < 0 || *reset <= 0 || *reset >= int64_t{1} << 33) return {};
  TimePoint until = OnClock(WallTime(std::chrono::seconds(*reset)), now, wall);
  // A clock that is wrong makes no window longer than it can be.
  if (until <= now) return {};
  return {std::min(*used, 1.0), std::min(until, now + length)};
}

}  // namespace

UsageWindows ClaudeWindows(const Head& answer, TimePoint now, WallTime wall) {
  if (answer.Get("anthropic-ratelimit-unified-status").empty()) return {};
  return {WindowIn(answer, "5h", std::chrono::hours(5), now, wall),
          WindowIn(answer, "7d", std::chrono::hours(24 * 7), now, wall)};
}

}  // namespace relay
