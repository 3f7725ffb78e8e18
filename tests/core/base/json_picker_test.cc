// SPDX-License-Identifier: MIT
#include "core/base/json_picker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace relay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const JsonPaths& Paths() {
  static const JsonPaths kPaths{{"usage", 1000},         {"message.usage.n", 100},
                                {"list.[].reason", 100}, {"list.[].parts.[].text", 0},
                                {"[].usage", 1000},      {"model", 8}};
  return kPaths;
}

// "path:raw" or "path:size" of each value, the text fed in pieces that are gone afterwards.
std::vector<std::string> Pick(JsonPicker& picker, std::string_view text, size_t size) {
  std::vector<std::string> picked;
  for (size_t at = 0; at < text.size(); at += size) {
    std::string_view piece = text.substr(at, size);
    std::vector<char> exact(piece.begin(), piece.end());
    picker.Feed({exact.data(), exact.size()}, [&](const JsonPicker::Found& found) {
      std::string value = found.raw.empty() ? std::to_string(found.size) : std::string(found.raw);
      picked.push_back(std::to_string(found.path) + ":" + value);
    });
  }
  return picked;
}

std::vector<std::string> Pick(std::string_view text) {
  JsonPicker picker(Paths());
  return Pick(picker, text, text.size());
}

TEST(JsonPicker, PicksValuesOfEveryKindAtTheirPlaces) {
  EXPECT_THAT(
      Pick(R"({"usage":{"a":[1,"}"]},"x":{"usage":1},"message":{"usage":{"n":12},"n":1},)"
           R"("list":[{"reason":"STOP","parts":[{"text":"abc"},{"text":"\"]}"}]},)"
           R"({"reason":null}],"model":"m"})"),
      ElementsAre(R"(0:{"a":[1,"}"]})", "1:12", R"(2:"STOP")", "3:5", "3:6", "2:null", R"(5:"m")"));
}

TEST(JsonPicker, PicksFromTheElementsOfAnArray) {
  EXPECT_THAT(Pick("[{\"usage\":1},\n{\"usage\":true} , {\"usage\":[]}]"),
              ElementsAre("4:1", "4:true", "4:[]"));
}

TEST(JsonPicker, PassesOverWhatHoldsNothingWanted) {
  EXPECT_THAT(
      Pick(R"({"x":{"usage":1,"a}":"}]{[\\\"","b":[["}"],{"model":"m"}]},"usage":{"n":[2]},)"
           R"("message":{"x":[{"usage":3}],"usage":{"x":{},"n":4}}})"),
      ElementsAre(R"(0:{"n":[2]})", "1:4"));
}

TEST(JsonPicker, ComparesWholeNames) {
  EXPECT_THAT(Pick(R"({"usages":1,"usag":2,"us\"age":3,"usage\\":4,"USAGE":5, "usage" : 6 })"),
              ElementsAre("0:6"));
  EXPECT_THAT(Pick("{\"" + std::string(1000, 'u') + "\":1,\"usage\":2}"), ElementsAre("0:2"));
}

TEST(JsonPicker, LeavesOutTheTextOfValuesLongerThanIsWanted) {
  EXPECT_THAT(Pick(R"({"model":"123456"})"), ElementsAre(R"(5:"123456")"));
  EXPECT_THAT(Pick(R"({"model":"1234567"})"), ElementsAre("5:9"));
}

TEST(JsonPicker, KnowsWhenTheTextIsComplete) {
  JsonPicker picker(Paths());
  std::string_view text = R"({"usage":1,"x":[{}]} {"usage":2})";
  EXPECT_THAT(Pick(picker, text.substr(0, 19), 1), ElementsAre("0:1"));
  EXPECT_FALSE(picker.complete());
  EXPECT_THAT(Pick(picker, text.substr(19), 1), IsEmpty());
  EXPECT_TRUE(picker.complete());
  picker.Reset();
  EXPECT_FALSE(picker.complete());
  EXPECT_THAT(Pick(picker, R"({"usage":3})", 2), ElementsAre("0:3"));
}

TEST(JsonPicker, PicksTheSameHoweverTheTextIsCut) {
  std::string text =
      R"({"x":"\\","y\\":"\\\"","usage":{"a":"\\\"}","b":[ [1],{"c":{}}]} ,"model":"\u00e9",)"
      R"("list":[{"parts":[{"text":"\\\\\""},{"text":")" +
      std::string(500, '\\') + R"("}],"reason":"S\"P"}],"message":{"usage":{"n":-1.5e3}}})";
  std::vector<std::string> whole = Pick(text);
  ASSERT_EQ(whole.size(), 6U);
  for (size_t size = 1; size < text.size(); ++size) {
    JsonPicker picker(Paths());
    EXPECT_EQ(Pick(picker, text, size), whole) << size;
    EXPECT_TRUE(picker.complete());
  }
}

TEST(JsonPicker, EndsQuietlyOnWhatIsNotJson) {
  for (std::string_view text :
       {"[DONE]", "}", "<html>{\"usage\":1}", "{usage:1}", "{\"a\" \"usage\"", "", "null",
        "\"usage\"", "{]}[", ",,,", "{\"usage\"}"}) {
    JsonPicker picker(Paths());
    Pick(picker, text, 1);
  }
  EXPECT_THAT(Pick(std::string(1000, '[') + "{\"usage\":1}"), IsEmpty());
  std::mt19937 random(3);
  static constexpr std::string_view kSigns = "{}[]\",:\\ usage1";
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    for (int i = 0; i < 60; ++i) text += kSigns[random() % kSigns.size()];
    JsonPicker whole(Paths());
    JsonPicker cut(Paths());
    EXPECT_EQ(Pick(whole, text, text.size()), Pick(cut, text, 1 + random() % 5)) << text;
    EXPECT_EQ(whole.complete(), cut.complete());
  }
}

}  // namespace
}  // namespace relay
