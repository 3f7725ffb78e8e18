// SPDX-License-Identifier: MIT
#include "core/store/ledger.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "core/store/ledger_rows.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

const WallTime kNoon = WallTime(std::chrono::seconds(1'790'000'000));  // 2026-09-21T14:13:20Z

LedgerEntry Entry(const std::string& key, const std::string& model, int64_t input,
                  WallTime when = kNoon) {
  LedgerEntry entry{.id = "req_" + key + model, .when = when, .key = key, .model = model};
  entry.provider = "claude";
  entry.account = "claude/team";
  entry.usage.input = input;
  entry.nanodollars = input * 3000;
  entry.status = 200;
  return entry;
}

std::string Names(const std::vector<LedgerRow>& rows) {
  std::string names;
  for (const LedgerRow& row : rows) names += row.name + " ";
  return names;
}

TEST(Ledger, SumsByKeyModelAccountAndDay) {
  Ledger ledger;
  ledger.Close(Entry("alice", "claude-haiku-4-5", 100));
  ledger.Close(Entry("alice", "claude-opus-5-5", 10));
  ledger.Close(Entry("bob", "claude-haiku-4-5", 1, kNoon + 24h));

  auto keys = ledger.Sum(LedgerBy::kKey);
  ASSERT_EQ(Names(keys), "alice bob ");
  EXPECT_EQ(keys[0].totals.requests, 2);
  EXPECT_EQ(keys[0].totals.input, 110);
  EXPECT_EQ(keys[0].totals.nanodollars, 330'000);
  EXPECT_EQ(keys[1].totals.input, 1);
  auto models = ledger.Sum(LedgerBy::kModel);
  ASSERT_EQ(Names(models), "claude-haiku-4-5 claude-opus-5-5 ");
  EXPECT_EQ(models[0].totals.input, 101);
  auto accounts = ledger.Sum(LedgerBy::kAccount);
  ASSERT_EQ(Names(accounts), "claude/team ");
  EXPECT_EQ(accounts[0].totals.requests, 3);
  auto days = ledger.Sum(LedgerBy::kDay);
  ASSERT_EQ(Names(days), "2026-09-21 2026-09-22 ");
  EXPECT_EQ(days[0].totals.input, 110);
}

TEST(Ledger, CountsEveryKindOfUse) {
  LedgerEntry entry = Entry("a", "m", 1);
  entry.usage.output = 2;
  entry.usage.cache_read = 3;
  entry.usage.cache_write_5m = 4;
  entry.usage.cache_write_1h = 5;
  entry.usage.reasoning = 6;
  entry.usage.searches = 7;
  entry.usage.estimated = true;
  entry.guessed_price = true;
  entry.nanodollars = 8;
  Ledger ledger;
  ledger.Close(entry);
  ledger.Close(entry);
  LedgerTotals twice{.requests = 2,
                     .estimated = 2,
                     .input = 2,
                     .output = 4,
                     .cache_read = 6,
                     .cache_write_5m = 8,
                     .cache_write_1h = 10,
                     .reasoning = 12,
                     .searches = 14,
                     .nanodollars = 16,
                     .guessed_prices = 2};
  EXPECT_EQ(ledger.Sum(LedgerBy::kKey)[0].totals, twice);
}

TEST(Ledger, CountsDaysInItsZone) {
  std::optional<Zone> kiritimati = Zone::Load("Pacific/Kiritimati");  // UTC+14
  ASSERT_TRUE(kiritimati);
  Ledger ledger(*kiritimati);
  ledger.Close(Entry("a", "m", 1));
  EXPECT_EQ(Names(ledger.Sum(LedgerBy::kDay)), "2026-09-22 ");
}

TEST(Ledger, KeepsTheNewestExchanges) {
  Ledger ledger;
  EXPECT_TRUE(ledger.Recent(10).empty());
  for (size_t i = 0; i < Ledger::kRecent + 5; ++i) {
    ledger.Close(Entry("a", "m", static_cast<int64_t>(i)));
  }
  auto recent = ledger.Recent(3);
  ASSERT_EQ(recent.size(), 3U);
  EXPECT_EQ(recent[0].usage.input, Ledger::kRecent + 4);
  EXPECT_EQ(recent[2].usage.input, Ledger::kRecent + 2);
  auto all = ledger.Recent(SIZE_MAX);
  ASSERT_EQ(all.size(), Ledger::kRecent);
  EXPECT_EQ(all.back().usage.input, 5);
}

TEST(Ledger, KnowsWhatIsNotSettledYet) {
  Ledger ledger;
  LedgerEntry entry = Entry("a", "m", 1);
  ledger.Open(entry);
  ledger.Open(entry);
  EXPECT_EQ(ledger.unsettled(), 1U);
  EXPECT_TRUE(ledger.Sum(LedgerBy::kKey).empty());
  ledger.Close(entry);
  EXPECT_EQ(ledger.unsettled(), 0U);
  EXPECT_EQ(ledger.Sum(LedgerBy::kKey)[0].totals.requests, 1);
}

TEST(Ledger, ForgetsDaysAfterFourHundred) {
  Ledger ledger;
  for (int day = 0; day < 450; ++day) ledger.Close(Entry("a", "m", 1, kNoon + day * 24h));
  EXPECT_EQ(ledger.Sum(LedgerBy::kDay).size(), 400U);
  EXPECT_EQ(ledger.Sum(LedgerBy::kKey)[0].totals.requests, 400);
}

TEST(Ledger, AddsWhatEarlierRunsUsed) {
  Ledger before;
  before.Close(Entry("alice", "m", 100));
  before.Close(Entry("bob", "m", 10));
  Ledger ledger;
  int32_t day = ledger.PeriodOf(kNoon).day;
  ledger.Load({{day, "alice", "m", "claude/team", before.Sum(LedgerBy::kKey)[0].totals},
               {day, "bob", "m", "claude/team", before.Sum(LedgerBy::kKey)[1].totals}},
              {Entry("alice", "m", 100), Entry("bob", "m", 10)});
  ledger.Close(Entry("bob", "m", 1));
  auto keys = ledger.Sum(LedgerBy::kKey);
  ASSERT_EQ(Names(keys), "alice bob ");
  EXPECT_EQ(keys[0].totals.input, 100);
  EXPECT_EQ(keys[1].totals.input, 11);
  EXPECT_EQ(keys[1].totals.requests, 2);
  auto recent = ledger.Recent(10);
  ASSERT_EQ(recent.size(), 3U);
  EXPECT_EQ(recent[0].usage.input, 1);
  EXPECT_EQ(recent[2].usage.input, 100);
}

TEST(Ledger, LetsOldModelsTakeNoPlacesFromNewOnes) {
  std::vector<DayRow> rows;
  for (size_t i = 0; i < 2 * Ledger::kModels; ++i) {
    rows.push_back({1, "alice", "old-" + std::to_string(i), "claude/team", {.requests = 1}});
  }
  Ledger ledger;
  ledger.Load(rows, {});
  EXPECT_EQ(ledger.Sum(LedgerBy::kModel).size(), 2 * Ledger::kModels);
  EXPECT_EQ(ledger.CountedAs("new"), "new");
}

TEST(Ledger, BoundsTheModelsThatAnswersName) {
  Ledger ledger;
  for (int i = 0; i < 1000; ++i) ledger.Close(Entry("a", "model-" + std::to_string(i), 1));
  auto rows = ledger.Sum(LedgerBy::kModel);
  EXPECT_EQ(rows.size(), Ledger::kModels + 1);
  int64_t requests = 0;
  for (const LedgerRow& row : rows) requests += row.totals.requests;
  EXPECT_EQ(requests, 1000);
  EXPECT_EQ(ledger.CountedAs("model-7"), "model-7");
  EXPECT_EQ(ledger.CountedAs("model-999"), "other");
  EXPECT_EQ(ledger.CountedAs("never seen"), "other");
}

TEST(Ledger, LosesNothingUnderThreads) {
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  Ledger ledger;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&ledger, t] {
      for (int i = 0; i < kEach; ++i) {
        LedgerEntry entry =
            Entry("key" + std::to_string(t), "m" + std::to_string(i % 5), 1, kNoon + (i % 3) * 24h);
        entry.id = std::to_string(t) + "/" + std::to_string(i);
        ledger.Open(entry);
        if (i % 500 == 0) {
          ledger.Sum(LedgerBy::kModel);
          ledger.Recent(100);
        }
        ledger.Close(std::move(entry));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ledger.unsettled(), 0U);
  EXPECT_EQ(ledger.lost(), 0);
  for (LedgerBy by : {LedgerBy::kKey, LedgerBy::kModel, LedgerBy::kAccount, LedgerBy::kDay}) {
    LedgerTotals sum;
    for (const LedgerRow& row : ledger.Sum(by)) sum.Add(row.totals);
    EXPECT_EQ(sum.requests, kThreads * kEach);
    EXPECT_EQ(sum.input, kThreads * kEach);
  }
}

TEST(Ledger, PutsWhatEarlierRunsUsedBeforeWhatIsThere) {
  Ledger ledger;
  ledger.Close(Entry("bob", "m", 1));
  LedgerEntry newest = ledger.Recent(1)[0];
  newest.id = "of this run";
  ledger.Close(newest);
  std::vector<LedgerEntry> past(Ledger::kRecent);
  for (size_t i = 0; i < past.size(); ++i) past[i].id = std::to_string(i);
  past.push_back(newest);  // the store has been told of it
  ledger.Load({}, past);
  auto recent = ledger.Recent(Ledger::kRecent + 1);
  ASSERT_EQ(recent.size(), Ledger::kRecent);
  EXPECT_EQ(recent[0].id, "of this run");
  EXPECT_EQ(recent[1].key, "bob");
  EXPECT_EQ(recent[2].id, "999");
  EXPECT_EQ(recent.back().id, "2");
  EXPECT_EQ(ledger.Sum(LedgerBy::kKey)[0].totals.requests, 2) << "exchanges alone are no sums";
}

}  // namespace
}  // namespace relay
