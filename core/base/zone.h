// SPDX-License-Identifier: MIT
// Calendar days in a time zone, for the ledger and for budgets. The only file that sees cctz.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/clock.h"

namespace relay {

class Zone {
 public:
  Zone();  // UTC
  // An IANA name. Nothing when the system's zone files do not have it; UTC is always there.
  static std::optional<Zone> Load(const std::string& name);
  // Days since 1970-01-01 on the zone's own calendar.
  int32_t DayOf(WallTime when) const;
  // The first moment of that day.
  WallTime StartOf(int32_t day) const;

 private:
  struct Rules;
  explicit Zone(std::shared_ptr<const Rules> rules) : rules_(std::move(rules)) {}
  std::shared_ptr<const Rules> rules_;
};

// "2026-11-24"
std::string DayText(int32_t day);
// The same back, of years from 1970 on; nothing for what is no day.
std::optional<int32_t> ParseDay(std::string_view text);

}  // namespace relay
