// SPDX-License-Identifier: MIT
#include "admin/usage_report.h"

#include <gtest/gtest.h>

#include <string>

#include "core/base/json.h"

namespace relay {
namespace {

LedgerEntry Entry(std::string id, std::string key, int64_t input, int64_t output,
                  int64_t nanodollars) {
  LedgerEntry entry;
  entry.id = std::move(id);
  entry.when = WallTime(std::chrono::seconds(1'790'000'000));
  entry.key = std::move(key);
  entry.model = "claude-sonnet-4-5";
  entry.provider = "claude";
  entry.account = "claude/team";
  entry.usage.input = input;
  entry.usage.output = output;
  entry.nanodollars = nanodollars;
  entry.status = 200;
  return entry;
}

TEST(UsageReport, JsonHasExactSumsAndCosts) {
  Ledger ledger;
  ledger.Close(Entry("a", "alice", 1000, 200, 6'000'000));
  ledger.Close(Entry("b", "alice", 1, 2, 33'001));
  ledger.Close(Entry("c", "bob", 5, 6, 1));
  std::string json = UsageJson(ledger, LedgerBy::kKey);
  Result<JsonIndex> index = JsonIndex::Parse(json);
  ASSERT_TRUE(index) << json;
  EXPECT_TRUE(index->Find("by").Equals("key"));
  JsonArray rows(index->Find("rows"));
  Result<JsonIndex> alice = JsonIndex::Object(rows.Next());
  ASSERT_TRUE(alice);
  EXPECT_TRUE(alice->Find("name").Equals("alice"));
  EXPECT_EQ(alice->Find("requests").Int(), 2);
  EXPECT_EQ(alice->Find("input_tokens").Int(), 1001);
  EXPECT_EQ(alice->Find("output_tokens").Int(), 202);
  EXPECT_EQ(alice->Find("cost_usd").Number(), "0.006033001");
  Result<JsonIndex> bob = JsonIndex::Object(rows.Next());
  ASSERT_TRUE(bob);
  EXPECT_EQ(bob->Find("cost_usd").Number(), "0.000000001");
  EXPECT_FALSE(rows.Next());
  Result<JsonIndex> total = JsonIndex::Object(index->Find("total"));
  ASSERT_TRUE(total);
  EXPECT_EQ(total->Find("requests").Int(), 3);
  EXPECT_EQ(total->Find("cost_usd").Number(), "0.006033002");
}

TEST(UsageReport, TheTableIsAlignedAndHasATotal) {
  Ledger ledger;
  ledger.Close(Entry("a", "alice", 1'234'567, 200, 6'006'649'999));
  ledger.Close(Entry("b", "b", 5, 6, 1'000));
  Result<std::string> table = UsageTable(UsageJson(ledger, LedgerBy::kKey));
  ASSERT_TRUE(table) << table.error().what;
  EXPECT_EQ(
      *table,
      "key    requests      input  output  cache read  write 5m  write 1h  estimated     cost\n"
      "alice         1  1,234,567     200           0         0         0          0  $6.0066\n"
      "b             1          5       6           0         0         0          0  $0.0000\n"
      "total         2  1,234,572     206           0         0         0          0  $6.0067\n");
}

TEST(UsageReport, AnEmptyLedgerSaysSo) {
  Ledger ledger;
  Result<std::string> table = UsageTable(UsageJson(ledger, LedgerBy::kDay));
  ASSERT_TRUE(table);
  EXPECT_EQ(*table, "nothing was used yet\n");
}

TEST(UsageReport, GuessedPricesAreSaid) {
  Ledger ledger;
  LedgerEntry entry = Entry("a", "alice", 1, 1, 1);
  entry.guessed_price = true;
  ledger.Close(entry);
  Result<std::string> table = UsageTable(UsageJson(ledger, LedgerBy::kModel));
  ASSERT_TRUE(table);
  EXPECT_NE(table->find("1 of the requests name a model that the price table does not have"),
            std::string::npos);
}

TEST(UsageReport, NamesFromOutsideCannotCommandTheTerminal) {
  Ledger ledger;
  LedgerEntry entry = Entry("a", "alice", 1, 1, 1);
  entry.usage.model = entry.model = "claude\x1b[2J\n";
  ledger.Close(entry);
  Result<std::string> table = UsageTable(UsageJson(ledger, LedgerBy::kModel));
  ASSERT_TRUE(table);
  EXPECT_NE(table->find("claude?[2J? "), std::string::npos) << *table;
}

TEST(UsageReport, CostsRoundUpToTheNextDollar) {
  Ledger ledger;
  ledger.Close(Entry("a", "alice", 1, 1, 1'234'999'960'000));
  Result<std::string> table = UsageTable(UsageJson(ledger, LedgerBy::kKey));
  ASSERT_TRUE(table);
  EXPECT_NE(table->find("$1,235.0000"), std::string::npos) << *table;
}

TEST(UsageReport, WhatIsNoReportIsRefused) {
  EXPECT_FALSE(UsageTable("<html>"));
  EXPECT_FALSE(UsageTable("{}"));
  EXPECT_FALSE(UsageTable(R"({"by":"key","rows":[1],"total":{}})"));
}

}  // namespace
}  // namespace relay
