// SPDX-License-Identifier: MIT
#include "core/store/redis_rows.h"

#include <array>
#include <charconv>
#include <optional>

namespace relay {
namespace {

// In the order in which they are written; a newer relay adds behind them.
constexpr std::array kCounts = {
    &LedgerTotals::requests,       &LedgerTotals::estimated,      &LedgerTotals::input,
    &LedgerTotals::output,         &LedgerTotals::cache_read,     &LedgerTotals::cache_write_5m,
    &LedgerTotals::cache_write_1h, &LedgerTotals::reasoning,      &LedgerTotals::searches,
    &LedgerTotals::nanodollars,    &LedgerTotals::guessed_prices,
};

std::string CountsOf(const LedgerTotals& totals) {
  std::string text;
  for (auto count : kCounts) {
    if (!text.empty()) text += ' ';
    text += std::to_string(totals.*count);
  }
  return text;
}

// Takes a whole number and the space behind it from the front.
template <class T>
std::optional<T> TakeNumber(std::string_view& text) {
  T value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (text.starts_with(' ')) text.remove_prefix(1);
  return value;
}

std::optional<LedgerTotals> ReadCounts(std::string_view text) {
  LedgerTotals totals;
  for (auto count : kCounts) {
    auto value = TakeNumber<int64_t>(text);
    if (!value) return std::nullopt;
    totals.*count = *value;
  }
  return totals;
}

}  // namespace

std::string JoinRedisName(std::initializer_list<std::string_view> parts) {
  std::string name;
  for (const std::string_view& part : parts) {
    if (&part != parts.begin()) name += '|';
    for (char c : part) {
      if (c == '|' || c == '\\') name += '\\';
      name += c;
    }
  }
  return name;
}

std::vector<std::string> SplitRedisName(std::string_view name) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '|') {
      parts.emplace_back();
      continue;
    }
    if (name[i] == '\\' && i + 1 < name.size()) ++i;
    parts.back() += name[i];
  }
  return parts;
}

RedisFields FieldsOf(const RowSet& rows) {
  RedisFields fields;
  fields.reserve(rows.days.size() + rows.hours.size());
  for (const DayRow& row : rows.days) {
    fields.emplace_back(
        JoinRedisName({"d", std::to_string(row.day), row.key, row.model, row.account}),
        CountsOf(row.totals));
  }
  for (const HourRow& row : rows.hours) {
    fields.emplace_back(JoinRedisName({"h", std::to_string(row.hour), row.key}),
                        CountsOf(row.totals));
  }
  return fields;
}

bool AddRow(std::string_view field, std::string_view value, RowSet& to) {
  std::vector<std::string> parts = SplitRedisName(field);
  std::optional<LedgerTotals> totals = ReadCounts(value);
  if (!totals || parts.size() < 3) return false;
  std::string_view number = parts[1];
  if (parts[0] == "d" && parts.size() == 5) {
    auto day = TakeNumber<int32_t>(number);
    if (!day) return false;
    to.days.push_back(
        {*day, std::move(parts[2]), std::move(parts[3]), std::move(parts[4]), *totals});
    return true;
  }
  auto hour = TakeNumber<int64_t>(number);
  if (parts[0] != "h" || parts.size() != 3 || !hour) return false;
  to.hours.push_back({*hour, std::move(parts[2]), *totals});
  return true;
}

}  // namespace relay
