// SPDX-License-Identifier: MIT
// How much of its subscription's windows an account has used, as the vendor says with its answers.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "core/base/clock.h"
#include "core/http/message.h"

namespace relay {

struct WindowUse {
  double used = 0;    // 1: all of it
  TimePoint until{};  // when it begins anew; epoch: nothing is known

  double UsedAt(TimePoint now) const { return now < until ? used : 0; }
  bool operator==(const WindowUse&) const = default;
};

struct UsageWindows {
  static constexpr Duration kFiveHours = std::chrono::hours(5);

  WindowUse five_hours;
  WindowUse week;

  bool known() const { return five_hours.until != TimePoint() || week.until != TimePoint(); }
  bool operator==(const UsageWindows&) const = default;
};

// From the head of an answer of Claude; what it does not say is not known.
UsageWindows ClaudeWindows(const Head& answer, TimePoint now, WallTime wall);

}  // namespace relay
