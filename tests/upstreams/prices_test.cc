// SPDX-License-Identifier: MIT
#include "upstreams/prices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/json.h"

namespace relay {
namespace {

using ::testing::HasSubstr;

constexpr WallTime Day(int year, unsigned month, unsigned day) {
  return std::chrono::sys_days(std::chrono::year(year) / std::chrono::month(month) /
                               std::chrono::day(day));
}
constexpr WallTime kToday = Day(2026, 11, 24);

// Cents for a million tokens of each kind.
struct Each {
  double input = 0, output = 0, cache_read = 0, write_5m = 0, write_1h = 0;
  bool operator==(const Each&) const = default;
};
void PrintTo(const Each& e, std::ostream* out) {
  *out << e.input << " " << e.output << " " << e.cache_read << " " << e.write_5m << " "
       << e.write_1h;
}

class PricesTest : public ::testing::Test {
 protected:
  // In dollars; sets guessed_.
  double Dollars(const Usage& usage, std::string_view vendor, WallTime when = kToday) {
    Cost cost = Prices::Builtin().Of(usage, vendor, when);
    guessed_ = cost.guessed;
    return static_cast<double>(cost.nanodollars) / 1e9;
  }
  // Dollars a million, for prompts of 1,000 tokens of one kind.
  Each PriceOf(std::string_view vendor, std::string_view model, WallTime when = kToday,
               int64_t tokens = 1000) {
    auto price = [&](int64_t Usage::* kind) {
      Usage usage;
      usage.model = model;
      usage.*kind = tokens;
      return Dollars(usage, vendor, when) * 1e6 / static_cast<double>(tokens);
    };
    return {price(&Usage::input), price(&Usage::output), price(&Usage::cache_read),
            price(&Usage::cache_write_5m), price(&Usage::cache_write_1h)};
  }
  bool guessed_ = false;
};

TEST_F(PricesTest, TheBuiltInTableReads) {
  Result<Prices> prices = Prices::Parse(kPricesText);
  ASSERT_TRUE(prices) << prices.error().what;
  EXPECT_EQ(prices->as_of(), "2026-11-24");
}

TEST_F(PricesTest, EveryRowOfTheTableIsPlausible) {
  JsonIndex table = *JsonIndex::Parse(kPricesText);
  JsonIndex vendors = *JsonIndex::Object(table.Find("vendors"));
  int rows = 0;
  for (std::string vendor : {"claude", "gemini"}) {
    JsonIndex one = *JsonIndex::Object(vendors.Find(vendor));
    EXPECT_TRUE(JsonArray(one.Find("sources")).Next());
    for (JsonArray list(one.Find("models")); JsonValue item = list.Next();) {
      JsonValue model = JsonIndex::Object(item)->Find("model");
      if (!model) continue;
      ++rows;
      Each each = PriceOf(vendor, *model.String(), Day(2028, 1, 1));
      EXPECT_FALSE(guessed_) << item.raw;
      EXPECT_GE(each.output, each.input) << item.raw;
      EXPECT_LE(each.cache_read, each.input) << item.raw;
      EXPECT_GT(each.cache_read, 0) << item.raw;
      EXPECT_GT(each.write_5m, each.input) << item.raw;
      EXPECT_GT(each.write_1h, each.write_5m) << item.raw;
    }
  }
  EXPECT_GT(rows, 50);
}

TEST_F(PricesTest, KnowsClaudeModelsByWhateverNameTheyCome) {
  EXPECT_EQ(PriceOf("claude", "claude-opus-5-5"), (Each{4, 20, 0.2, 5, 8}));
  EXPECT_EQ(PriceOf("claude", "claude-opus-5-20260724"), (Each{5, 25, 0.5, 6.25, 10}));
  EXPECT_EQ(PriceOf("claude", "claude-opus-4-20250514"), (Each{15, 75, 1.5, 18.75, 30}));
  EXPECT_EQ(PriceOf("claude", "claude-opus-4-1-20250805"), (Each{15, 75, 1.5, 18.75, 30}));
  EXPECT_EQ(PriceOf("claude", "claude-sonnet-4-5-20250929"), (Each{3, 15, 0.3, 3.75, 6}));
  EXPECT_EQ(PriceOf("claude", "claude-haiku-4-5-20251001"), (Each{1, 5, 0.1, 1.25, 2}));
  EXPECT_EQ(PriceOf("claude", "claude-3-5-haiku-latest"), (Each{0.8, 4, 0.08, 1, 1.6}));
  EXPECT_EQ(PriceOf("claude", "claude-opus-5-5[1m]").input, 4);
  EXPECT_EQ(PriceOf("claude", "anthropic/claude-opus-4.5").input, 5);
  EXPECT_EQ(PriceOf("claude", "us.anthropic.claude-haiku-4-5-20251001-v1:0").input, 1);
  EXPECT_EQ(PriceOf("claude", "Claude-Opus-4-6@20260205").input, 5);
  EXPECT_FALSE(guessed_);
}

TEST_F(PricesTest, KnowsGeminiModelsByWhateverNameTheyCome) {
  EXPECT_EQ(PriceOf("gemini", "gemini-2.5-pro").input, 1.25);
  EXPECT_EQ(PriceOf("gemini", "models/gemini-2.5-pro").output, 10);
  EXPECT_EQ(PriceOf("gemini", "gemini-2.5-pro-preview-06-05").cache_read, 0.125);
  EXPECT_EQ(PriceOf("gemini", "gemini-2.5-flash").output, 2.5);
  EXPECT_EQ(PriceOf("gemini", "gemini-2.5-flash-lite").output, 0.4);
  EXPECT_EQ(PriceOf("gemini", "gemini-2.5-flash-image").output, 30);
  EXPECT_EQ(PriceOf("gemini", "gemini-2.0-flash-001").input, 0.1);
  EXPECT_EQ(PriceOf("gemini", "gemini-3-flash-preview").cache_read, 0.05);
  EXPECT_EQ(PriceOf("gemini", "gemini-3.1-flash-lite").input, 0.25);
  EXPECT_EQ(PriceOf("gemini", "gemini-3.8-flash").input, 0.75);
  EXPECT_FALSE(guessed_);
}

TEST_F(PricesTest, PricesThatChangeHaveTheirDay) {
  EXPECT_EQ(PriceOf("gemini", "gemini-3.8-flash", Day(2026, 12, 31)).output, 3.75);
  EXPECT_EQ(PriceOf("gemini", "gemini-3.8-flash", Day(2027, 1, 1)).output, 7.5);
  EXPECT_EQ(PriceOf("claude", "claude-sonnet-5-5", Day(2026, 10, 6)).cache_read, 0.2);
  EXPECT_EQ(PriceOf("claude", "claude-sonnet-5-5", Day(2026, 10, 7)).cache_read, 0.1);
}

TEST_F(PricesTest, LongPromptsHaveTheirOwnPrice) {
  Usage usage;
  usage.model = "gemini-2.5-pro";
  usage.input = 150'000;
  usage.cache_read = 50'000;
  usage.output = 1000;
  EXPECT_DOUBLE_EQ(Dollars(usage, "gemini"), 0.15 * 1.25 + 0.05 * 0.125 + 0.001 * 10);
  usage.cache_read = 50'001;
  EXPECT_NEAR(Dollars(usage, "gemini"), 0.15 * 2.5 + 0.050001 * 0.25 + 0.001 * 15, 1e-9);
  EXPECT_EQ(PriceOf("claude", "claude-haiku-5-5", kToday, 100'000).input, 0.1);
  EXPECT_NEAR(PriceOf("claude", "claude-haiku-5-5", kToday, 200'000).input, 0.5, 1e-9);
  EXPECT_EQ(PriceOf("claude", "claude-haiku-5-5", kToday, 200'000).output, 0.5);
  EXPECT_EQ(PriceOf("claude", "claude-opus-5-5", kToday, 900'000).input, 4);
}

TEST_F(PricesTest, AddsUpAllKindsOfTokens) {
  Usage usage;
  usage.model = "claude-opus-4-5";
  usage.input = 29;
  usage.cache_write_5m = 50;
  usage.cache_write_1h = 9;
  usage.cache_read = 12;
  usage.output = 8;
  usage.reasoning = 4;  // part of output: not added
  Cost cost = Prices::Builtin().Of(usage, "claude", kToday);
  EXPECT_EQ(cost.nanodollars, 29 * 5000 + 50 * 6250 + 9 * 10'000 + 12 * 500 + 8 * 25'000);
  EXPECT_EQ(cost.microdollars(), 754);  // 753.5
  EXPECT_FALSE(cost.guessed);
}

TEST_F(PricesTest, FastModeRegionAndSearchesCostMore) {
  Usage usage;
  usage.model = "claude-opus-5-5";
  usage.output = 1000;
  EXPECT_DOUBLE_EQ(Dollars(usage, "claude"), 0.02);
  usage.fast = true;
  EXPECT_DOUBLE_EQ(Dollars(usage, "claude"), 0.04);
  usage.us_only = true;
  EXPECT_DOUBLE_EQ(Dollars(usage, "claude"), 0.044);
  usage.searches = 3;
  EXPECT_DOUBLE_EQ(Dollars(usage, "claude"), 0.074);
}

TEST_F(PricesTest, ANewVersionIsGuessedFromItsFamilyAndSaidSo) {
  for (auto [vendor, model, input] : {std::tuple{"claude", "claude-opus-5-9", 5.0},
                                      {"claude", "claude-opus-6", 5.0},
                                      {"claude", "claude-sonnet-4-9-20270101", 3.0},
                                      {"claude", "claude-haiku-7", 1.0},
                                      {"gemini", "gemini-4-pro", 2.0},
                                      {"gemini", "gemini-4.2-flash-lite-preview", 0.3},
                                      {"gemini", "gemini-flash-latest", 1.5}}) {
    EXPECT_EQ(PriceOf(vendor, model).input, input) << model;
    EXPECT_TRUE(guessed_) << model;
  }
}

TEST_F(PricesTest, AnUnknownModelIsPricedHighAndSaidSo) {
  for (auto [vendor, model] : {std::pair{"claude", "something-new"},
                               {"claude", ""},
                               {"claude", "claude-2.1"},
                               {"gemini", "nano"},
                               {"other", "claude-opus-5"}}) {
    Each each = PriceOf(vendor, model);
    EXPECT_TRUE(guessed_) << model;
    EXPECT_GE(each.input, 4) << model;
    EXPECT_GE(each.output, 18) << model;
  }
}

TEST_F(PricesTest, NothingUsedCostsNothing) {
  EXPECT_EQ(Dollars(Usage{}, "claude"), 0);
}

TEST_F(PricesTest, SumsThatDoNotFitStayAtTheGreatest) {
  Usage usage;
  usage.model = "claude-opus-5";
  usage.input = usage.output = INT64_MAX / 4;
  usage.fast = usage.us_only = true;
  EXPECT_GT(Dollars(usage, "claude"), 1e6);
}

TEST_F(PricesTest, WrongTablesAreRefused) {
  auto why = [](std::string_view json) {
    Result<Prices> prices = Prices::Parse(json);
    return prices ? "" : prices.error().what;
  };
  EXPECT_THAT(why("["), HasSubstr("not valid JSON"));
  EXPECT_THAT(why(R"({"vendors":{}})"), HasSubstr("as-of"));
  EXPECT_THAT(why(R"({"as-of":"x"})"), HasSubstr("vendors"));
  EXPECT_THAT(why(R"({"as-of":"x","vendors":{"v":{"unknown":{"input":1,"output":1}}}})"),
              HasSubstr("no models"));
  EXPECT_THAT(why(R"({"as-of":"x","vendors":{"v":{"unknown":{"input":1,"output":-1}}}})"),
              HasSubstr("output"));
  EXPECT_THAT(
      why(R"({"as-of":"x","vendors":{"v":{"unknown":{"input":1,"output":1},"models":[{}]}}})"),
      HasSubstr("without model"));
  EXPECT_THAT(
      why(R"({"as-of":"x","vendors":{"v":{"unknown":{"input":1,"output":1},"models":[1]}}})"),
      HasSubstr("object"));
  EXPECT_THAT(why(R"({"as-of":"x","vendors":{"v":{"unknown":{"input":1,"output":1},)"
                  R"("models":[{"model":"m","input":1,"output":1,"long-above":5}]}}})"),
              HasSubstr("long"));
  EXPECT_THAT(why(R"({"as-of":"x","vendors":{"v":{"unknown":{"input":1,"output":1},)"
                  R"("models":[{"model":"m","from":"soon","input":1,"output":1}]}}})"),
              HasSubstr("from must be a day"));
}

}  // namespace
}  // namespace relay
