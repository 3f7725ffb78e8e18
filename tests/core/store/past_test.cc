// SPDX-License-Identifier: MIT
#include "core/store/past.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/zone.h"
#include "core/store/memory_store.h"
#include "tests/core/store/entries.h"
#include "tests/core/store/temp_folder.h"

namespace relay {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

LedgerFlush FlushOf(const std::string& epoch, int64_t n) {
  LedgerRows rows;
  LedgerEntry entry = TestEntry(epoch, n);
  rows.Add(entry, TestPeriod(entry));
  return {epoch, 1, rows.All(), {entry}};
}

TEST(Past, HasAllThatTheStoreHasButWhatIsOurOwn) {
  TempFolder temp;
  MemoryStore store;
  ASSERT_TRUE(Await<Flushed>([&](auto done) {
    store.Flush({FlushOf("old-0", 1), FlushOf("new-0", 2), FlushOf("newer-0", 4)}, std::move(done));
  }));
  StateBlob health{"health", "claude/a", "x"};
  StateBlob sticky{"sticky", "claude/1", "y"};
  ASSERT_TRUE(Await<Unit>(
      [&](auto done) { store.PutStates({health, sticky, {"other", "z", "z"}}, std::move(done)); }));
  auto stored = Await<StoredPast>(
      [&](auto done) { LoadStored(store, {"health", "sticky"}, std::move(done)); });
  ASSERT_TRUE(stored);
  auto past = PastOf(std::move(*stored), temp.File("journal"), "new");
  ASSERT_TRUE(past);
  ASSERT_EQ(past->days.size(), 1U);
  EXPECT_EQ(past->days[0].totals.input, 1 + 4);
  ASSERT_EQ(past->dead.size(), 2U);
  EXPECT_EQ(past->dead[0].last.epoch, "newer-0");
  EXPECT_EQ(past->dead[1].last.epoch, "old-0");
  EXPECT_THAT(past->states, UnorderedElementsAre(health, sticky));
}

TEST(SpendingByKey, CountsInTheWindowsThatHoldToday) {
  int32_t today = Zone().DayOf(WallTime(std::chrono::seconds(1'795'694'400)));  // a Thursday
  auto row = [&](const char* key, int days_ago, int64_t nanodollars) {
    std::string model = "m" + std::to_string(days_ago);
    return DayRow{today - days_ago, key, model, "", {.nanodollars = nanodollars}};
  };
  auto spent = SpendingByKey({row("alice", 0, 1), row("alice", 1, 10), row("alice", 5, 100),
                              row("alice", 30, 1000), row("bob", 30, 7)},
                             today);
  ASSERT_EQ(spent.size(), 2U);
  EXPECT_THAT(spent["alice"].SpentOn(today), ElementsAre(1, 11, 111, 1111));
  EXPECT_THAT(spent["bob"].SpentOn(today), ElementsAre(0, 0, 0, 7));
}

}  // namespace
}  // namespace relay
