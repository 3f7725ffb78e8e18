// SPDX-License-Identifier: MIT
#include "core/base/zone.h"

#include <cctz/civil_time.h>
#include <cctz/time_zone.h>

#include <algorithm>
#include <atomic>
#include <chrono>

namespace relay {

namespace {

uint64_t NextNumber() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

}  // namespace

struct Zone::Rules {
  cctz::time_zone zone = cctz::utc_time_zone();
  uint64_t number = NextNumber();  // another for each zone that was ever loaded
};

Zone::Zone() : rules_(std::make_shared<const Rules>()) {}

std::optional<Zone> Zone::Load(const std::string& name) {
  cctz::time_zone zone;
  if (!cctz::load_time_zone(name, &zone)) return std::nullopt;
  return Zone(std::make_shared<const Rules>(Rules{zone}));
}

int32_t Zone::DayOf(WallTime when) const {
  // Each request asks for its day, and thousands of them ask within one second.
  struct Answer {
    uint64_t zone = 0;
    cctz::time_point<cctz::seconds> second;
    int32_t day = 0;
  };
  thread_local Answer last;
  auto second = std::chrono::floor<std::chrono::seconds>(when);
  if (last.zone != rules_->number || last.second != second) {
    cctz::civil_day day(rules_->zone.lookup(second).cs);
    last = {rules_->number, second, static_cast<int32_t>(day - cctz::civil_day(1970, 1, 1))};
  }
  return last.day;
}

WallTime Zone::StartOf(int32_t day) const {
  // Where the clock jumps over midnight, the moment of the jump.
  return cctz::convert(cctz::civil_second(cctz::civil_day(1970, 1, 1) + day), rules_->zone);
}

std::optional<int32_t> ParseDay(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  auto number = [&](size_t from, size_t to) {
    int value = 0;
    for (size_t i = from; i < to; ++i) {
      if (text[i] < '0' || text[i] > '9') return -1;
      value = value * 10 + (text[i] - '0');
    }
    return value;
  };
  int year = number(0, 4);
  int month = number(5, 7);
  int day = number(8, 10);
  if (year < 1970 || month < 0 || day < 0) return std::nullopt;
  std::chrono::year_month_day date{std::chrono::year(year),
                                   std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return static_cast<int32_t>(std::chrono::sys_days(date).time_since_epoch().count());
}

std::string DayText(int32_t day) {
  std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(day))};
  std::string text = "0000-00-00";
  auto put = [&](size_t end, unsigned number) {
    for (; number > 0; number /= 10) text[--end] = static_cast<char>('0' + number % 10);
  };
  put(4, static_cast<unsigned>(std::clamp(static_cast<int>(date.year()), 0, 9999)));
  put(7, static_cast<unsigned>(date.month()));
  put(10, static_cast<unsigned>(date.day()));
  return text;
}

}  // namespace relay
