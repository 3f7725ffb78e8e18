// SPDX-License-Identifier: MIT
#include "core/store/redis_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/store/entries.h"

namespace relay {
namespace {

using ::testing::ElementsAre;

TEST(RedisRows, NamesComeBackWhateverStandsInThem) {
  EXPECT_EQ(JoinRedisName({"a|b", "c\\", ""}), R"(a\|b|c\\|)");
  EXPECT_THAT(SplitRedisName(R"(a\|b|c\\|)"), ElementsAre("a|b", "c\\", ""));
  EXPECT_THAT(SplitRedisName("\\"), ElementsAre("\\"));
}

TEST(RedisRows, RowsComeBackWithAllTheirCounts) {
  LedgerRows rows;
  LedgerEntry entry = TestEntry("1", 30);
  entry.model = "odd|model\\ of 7";
  rows.Add(entry, TestPeriod(entry));
  RedisFields fields = FieldsOf(rows.All());
  ASSERT_EQ(fields.size(), 2U);
  EXPECT_EQ(fields[0].first, R"(d|20717|alice|odd\|model\\ of 7|claude/team)");
  RowSet read;
  for (const auto& [field, value] : fields) EXPECT_TRUE(AddRow(field, value, read));
  EXPECT_EQ(read.days, rows.All().days);
  EXPECT_EQ(read.hours, rows.All().hours);
}

TEST(RedisRows, TakesWhatANewerRelayCountsBesides) {
  RowSet read;
  EXPECT_TRUE(AddRow("h|7|alice", "1 2 3 4 5 6 7 8 9 10 11 12", read));
  EXPECT_EQ(read.hours.at(0).totals.guessed_prices, 11);
}

TEST(RedisRows, SkipsWhatIsNoRow) {
  RowSet read;
  EXPECT_FALSE(AddRow("d|x|a|b|c", "1 2 3 4 5 6 7 8 9 10 11", read));
  EXPECT_FALSE(AddRow("d|1|a|b", "1 2 3 4 5 6 7 8 9 10 11", read));
  EXPECT_FALSE(AddRow("h|1|a", "1 2 3", read));
  EXPECT_FALSE(AddRow("", "", read));
  EXPECT_TRUE(read.empty());
}

}  // namespace
}  // namespace relay
