// SPDX-License-Identifier: MIT
#include "admin/usage_report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "admin/options.h"
#include "admin/table.h"
#include "core/base/json.h"

namespace relay {
namespace {

constexpr int64_t kNanodollars = 1'000'000'000;

// What stands in a row, in the order of JSON and table.
struct Column {
  std::string_view name;   // in JSON
  std::string_view title;  // in the table; "": not shown there
  int64_t LedgerTotals::* count;
};
constexpr Column kColumns[] = {
    {"requests", "requests", &LedgerTotals::requests},
    {"input_tokens", "input", &LedgerTotals::input},
    {"output_tokens", "output", &LedgerTotals::output},
    {"cache_read_tokens", "cache read", &LedgerTotals::cache_read},
    {"cache_write_5m_tokens", "write 5m", &LedgerTotals::cache_write_5m},
    {"cache_write_1h_tokens", "write 1h", &LedgerTotals::cache_write_1h},
    {"reasoning_tokens", "", &LedgerTotals::reasoning},
    {"searches", "", &LedgerTotals::searches},
    {"estimated", "estimated", &LedgerTotals::estimated},
    {"guessed_prices", "", &LedgerTotals::guessed_prices},
};

// Exact: no binary fraction stands between.
std::string Dollars(int64_t nanodollars) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%lld.%09lld",
                static_cast<long long>(nanodollars / kNanodollars),
                static_cast<long long>(nanodollars % kNanodollars));
  return text.data();
}

void WriteTotals(JsonText& out, const LedgerTotals& totals) {
  for (const Column& column : kColumns) out.Field(column.name, totals.*column.count);
  out.Key("cost_usd").Raw(Dollars(totals.nanodollars));
}

// "1,234,567"
std::string Grouped(int64_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3 + (number < 0 ? 1U : 0U);) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

// "$1.2346" of "1.234567890": what is less than a hundredth of a cent counts in sums only.
std::string Cost(std::string_view number) {
  int64_t whole = 0;
  int64_t parts = 0;
  size_t dot = number.find('.');
  for (char c : number.substr(0, dot)) whole = whole * 10 + (c - '0');
  std::string fraction(dot == std::string_view::npos ? "" : number.substr(dot + 1));
  fraction.resize(5, '0');
  for (char c : fraction) parts = parts * 10 + (c - '0');
  parts = (parts + 5) / 10;
  whole += parts / 10'000;
  std::array<char, 8> tail{};
  std::snprintf(tail.data(), tail.size(), ".%04d", static_cast<int>(parts % 10'000));
  return "$" + Grouped(whole) + tail.data();
}

TableLine LineOf(std::string name, const JsonIndex& row) {
  TableLine line{Printable(std::move(name))};
  for (const Column& column : kColumns) {
    if (column.title.empty()) continue;
    line.push_back(Grouped(row.Find(column.name).Int().value_or(0)));
  }
  line.push_back(Cost(row.Find("cost_usd").Number().value_or("0")));
  return line;
}

}  // namespace

std::string UsageJson(const Ledger& ledger, LedgerBy by) {
  JsonText out;
  LedgerTotals total;
  out.BeginObject().Field("by", NameOf(by)).Key("rows").BeginArray();
  for (const LedgerRow& row : ledger.Sum(by)) {
    total.Add(row.totals);
    out.BeginObject().Field("name", row.name);
    WriteTotals(out, row.totals);
    out.EndObject();
  }
  out.EndArray().Key("total").BeginObject();
  WriteTotals(out, total);
  return out.EndObject().EndObject().Take();
}

Result<std::string> UsageTable(std::string_view json) {
  Result<JsonIndex> answer = JsonIndex::Parse(json);
  if (!answer) return std::unexpected(answer.error());
  Result<JsonIndex> total = JsonIndex::Object(answer->Find("total"));
  if (!total) return std::unexpected(total.error());
  TableLine title{answer->Find("by").String().value_or("")};
  for (const Column& column : kColumns) {
    if (!column.title.empty()) title.emplace_back(column.title);
  }
  title.emplace_back("cost");
  std::vector<TableLine> lines{std::move(title)};
  for (JsonArray rows(answer->Find("rows")); JsonValue item = rows.Next();) {
    Result<JsonIndex> row = JsonIndex::Object(item);
    if (!row) return std::unexpected(row.error());
    lines.push_back(LineOf(row->Find("name").String().value_or(""), *row));
  }
  if (lines.size() == 1) return std::string("nothing was used yet\n");
  lines.push_back(LineOf("total", *total));
  std::string text = TextTable(lines, 1);
  if (int64_t guesses = total->Find("guessed_prices").Int().value_or(0); guesses > 0) {
    text += "\n" + Grouped(guesses) +
            " of the requests name a model that the price table does not have; their cost is a "
            "guess on the high side.\n";
  }
  return text;
}

}  // namespace relay
