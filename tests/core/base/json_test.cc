// SPDX-License-Identifier: MIT
#include "core/base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "core/base/json_scan.h"

namespace relay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string WhyNot(std::string_view text) {
  Result<JsonIndex> index = JsonIndex::Parse(text);
  return index ? "" : index.error().what;
}

std::string Nested(int arrays) {
  std::string text = "{\"a\":";
  text.append(static_cast<size_t>(arrays), '[');
  text.append(static_cast<size_t>(arrays), ']');
  return text + "}";
}

TEST(JsonIndex, FindsTopLevelFieldsOfEveryKind) {
  std::string text = R"( { "model" : "m" , "n":-12.5e+3, "t":true,"f":false,"z":null,
    "list":[1,[2],{"model":"inner"}], "o":{"model":"inner"}, "":0 } )";
  Result<JsonIndex> index = JsonIndex::Parse(text);
  ASSERT_TRUE(index) << index.error().what;
  EXPECT_EQ(index->fields().size(), 8U);
  EXPECT_EQ(index->Find("model").String(), "m");
  EXPECT_EQ(index->Find("n").Number(), "-12.5e+3");
  EXPECT_EQ(index->Find("t").Bool(), true);
  EXPECT_EQ(index->Find("f").Bool(), false);
  EXPECT_TRUE(index->Find("z").Is(JsonKind::kNull));
  EXPECT_EQ(index->Find("list").raw, R"([1,[2],{"model":"inner"}])");
  EXPECT_EQ(index->Find("o").raw, R"({"model":"inner"})");
  EXPECT_EQ(index->Find("").Int(), 0);
  EXPECT_FALSE(index->Find("absent"));
  EXPECT_EQ(text.substr(index->Find("t").offset, 4), "true");
  EXPECT_EQ(text[index->begin()], '{');
  EXPECT_EQ(text[index->end() - 1], '}');
}

TEST(JsonIndex, TakesAnEmptyObject) {
  Result<JsonIndex> index = JsonIndex::Parse("{ }");
  ASSERT_TRUE(index);
  EXPECT_TRUE(index->empty());
}

TEST(JsonIndex, TakesWhatTheGrammarAllows) {
  for (std::string_view value : {"0",
                                 "-0",
                                 "1",
                                 "10",
                                 "1.0",
                                 "0.5",
                                 "-0.5e1",
                                 "1E400",
                                 "1e-7",
                                 "123456789012345678901234567890",
                                 "\"\"",
                                 "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u12aF\"",
                                 "\"\\ud800\"",
                                 "\"\x7f\"",
                                 "\"\u00e9\u4e2d\U0001f600\"",
                                 "[]",
                                 "[ ]",
                                 "{}",
                                 "[ 1 , 2 ]",
                                 "[[],{}]",
                                 "{\"a\":1,\"a\":2}",
                                 "\" \\\\\""}) {
    EXPECT_EQ(WhyNot("{\"v\":" + std::string(value) + "}"), "") << value;
  }
}

TEST(JsonIndex, RefusesWhatTheGrammarForbids) {
  for (std::string_view value :
       {"",           "00",      "01",      "-",           "+1",        ".5",
        "1.",         "1.e1",    "1e",      "1e+",         "0x1",       "1_0",
        "Infinity",   "NaN",     "True",    "tru",         "truee",     "nul",
        "'a'",        "\"a",     "\"\\x\"", "\"\\u12g4\"", "\"\\u12\"", "\"\\U1234\"",
        "\"\n\"",     "\"\t\"",  "[",       "[1",          "[1,",       "[1,]",
        "[,1]",       "[1 2]",   "[1}",     "{]",          "{\"a\"}",   "{\"a\":}",
        "{\"a\":1,}", "{a:1}",   "{1:1}",   "{\"a\" 1}",   "{,}",       "1,",
        "1]",         "\\u0022", "/*c*/1",  "\"\\",        "\"\\u"}) {
    EXPECT_NE(WhyNot("{\"v\":" + std::string(value) + "}"), "") << value;
  }
  for (std::string_view text :
       {"", " ", "[]", "1", "\"a\"", "null", "{", "}", "{}{}", "{} x", "{},", "\xef\xbb\xbf{}"}) {
    EXPECT_NE(WhyNot(text), "") << text;
  }
  EXPECT_NE(WhyNot(std::string_view("{\"a\":1\0}", 8)), "");
  EXPECT_NE(WhyNot(std::string_view("{}\0", 3)), "");
  EXPECT_NE(WhyNot(std::string_view("{\"a\":\"\0\"}", 9)), "");
}

TEST(JsonIndex, RefusesEveryBeginningOfAText) {
  std::string text = R"({"model":"a\u00e9\n","n":[1.5e3,true,null,{"x":false}]})";
  ASSERT_EQ(WhyNot(text), "");
  for (size_t size = 0; size < text.size(); ++size) {
    // A copy of the very size, so that a sanitizer sees a read behind it.
    std::vector<char> cut(text.begin(), text.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_FALSE(JsonIndex::Parse({cut.data(), cut.size()})) << size;
  }
}

TEST(JsonIndex, R41RefusesTextsDeeperThan64) {
  EXPECT_EQ(WhyNot(Nested(63)), "");
  EXPECT_THAT(WhyNot(Nested(64)), HasSubstr("nested too deeply"));
  EXPECT_THAT(WhyNot(Nested(5'000'000)), HasSubstr("nested too deeply"));
}

TEST(JsonIndex, R41RefusesAFieldGivenTwice) {
  EXPECT_EQ(WhyNot(R"({"model":1,"model":2})"), "not valid JSON at byte 11: a field given twice");
  EXPECT_THAT(WhyNot(R"({"model":1,"mod\u0065l":2})"), HasSubstr("given twice"));
  EXPECT_EQ(WhyNot(R"({"a":{"model":1},"model":2})"), "");
  std::string many = "{";
  for (int i = 0; i < 100; ++i) many += "\"f" + std::to_string(i) + "\":0,";
  EXPECT_EQ(WhyNot(many + "\"last\":0}"), "");
  EXPECT_THAT(WhyNot(many + "\"f42\":0}"), HasSubstr("given twice"));
}

TEST(JsonIndex, RefusesMoreFieldsThanItReads) {
  std::string text = "{";
  for (size_t i = 0; i < JsonIndex::kMaxFields; ++i) text += "\"" + std::to_string(i) + "\":0,";
  EXPECT_EQ(WhyNot(text.substr(0, text.size() - 1) + "}"), "");
  EXPECT_THAT(WhyNot(text + "\"x\":0}"), HasSubstr("too many fields"));
}

TEST(JsonIndex, R41RefusesWhatIsNotUtf8) {
  for (std::string_view bytes : {"\x80", "\xc0\xaf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80",
                                 "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xff"}) {
    EXPECT_THAT(WhyNot("{\"v\":\"" + std::string(bytes) + "\"}"), HasSubstr("UTF-8"));
  }
}

TEST(JsonIndex, ErrorsNameTheOffsetAndBlameTheClient) {
  Result<JsonIndex> index = JsonIndex::Parse(R"({"a":1 "b":2})");
  ASSERT_FALSE(index);
  EXPECT_EQ(index.error().what, "not valid JSON at byte 7: expected ',' or '}'");
  EXPECT_EQ(index.error().party, Party::kClient);
  EXPECT_EQ(index.error().fault, Fault::kMalformed);
}

// Says of a string's inner text, without the opening quote, where it ends; -1: nowhere or wrong.
ptrdiff_t PlainEnd(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') return static_cast<ptrdiff_t>(i);
    if (static_cast<unsigned char>(text[i]) < 0x20) return -1;
    if (text[i] != '\\') continue;
    ++i;
    if (i == text.size()) return -1;
    if (text[i] == 'u') {
      for (int digit = 0; digit < 4; ++digit) {
        ++i;
        if (i >= text.size() ||
            std::string_view("0123456789abcdefABCDEF").find(text[i]) == std::string_view::npos) {
          return -1;
        }
      }
    } else if (std::string_view("\"\\/bfnrt").find(text[i]) == std::string_view::npos) {
      return -1;
    }
  }
  return -1;
}

TEST(JsonScan, FindsTheEndOfStringsAsAPlainLoopDoes) {
  std::mt19937 random(7);
  static constexpr std::string_view kSigns[] = {
      "a", "\\\\", "\\\"", "\\n", "\\u00e9", "\\", "\"", "\n", "\\u12", "xyzxyzxyzxyzxyzxyzxyz"};
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    size_t most = random() % 150;
    while (text.size() < most) {
      // The later kinds end a string or break it, and are rare.
      size_t kind = random() % 60;
      text += kind < 50 ? kSigns[kind % 5 + (kind % 5 == 4 ? 5 : 0)] : kSigns[kind % 10];
      if (random() % 3 == 0) text.append(random() % 70, '\\');
    }
    if (random() % 4 != 0) text += '"';
    // A copy of the very size, so that a sanitizer sees a read behind it.
    std::vector<char> exact{'"'};
    exact.insert(exact.end(), text.begin(), text.end());
    const char* begin = exact.data() + 1;
    StringEnd end = FindStringEnd(begin, begin + text.size());
    ptrdiff_t found = end.error == nullptr ? end.at - begin : -1;
    ASSERT_EQ(found, PlainEnd(text)) << text;
    if (found >= 0) {
      ASSERT_EQ(end.escaped, text.substr(0, static_cast<size_t>(found)).find('\\') != text.npos);
    }
  }
}

TEST(JsonValue, ResolvesEscapes) {
  std::string text =
      R"({"a\n":"\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00","lone":"\ud83dx\ude00","cut":"\ud83d\u0041"})";
  Result<JsonIndex> index = JsonIndex::Parse(text);
  ASSERT_TRUE(index);
  EXPECT_EQ(index->Find("a\n").String(), "\"\\/\b\f\n\r\tA\u00e9\u20ac\U0001f600");
  EXPECT_EQ(index->Find("lone").String(), "\ufffdx\ufffd");
  EXPECT_EQ(index->Find("cut").String(), "\ufffdA");
  EXPECT_TRUE(index->Find("cut").Equals("\ufffdA"));
  EXPECT_FALSE(index->Find("cut").Equals("A"));
}

TEST(JsonValue, KeepsNumbersAsText) {
  std::string text =
      R"({"big":9223372036854775807,"over":9223372036854775808,"point":1.0,"e":1e3})";
  Result<JsonIndex> index = JsonIndex::Parse(text);
  ASSERT_TRUE(index);
  EXPECT_EQ(index->Find("big").Int(), INT64_MAX);
  EXPECT_EQ(index->Find("over").Int(), std::nullopt);
  EXPECT_EQ(index->Find("over").Number(), "9223372036854775808");
  EXPECT_EQ(index->Find("point").Int(), std::nullopt);
  EXPECT_EQ(index->Find("e").Int(), std::nullopt);
}

TEST(JsonValue, GivesNothingOfAnotherKind) {
  Result<JsonIndex> index = JsonIndex::Parse(R"({"s":"1","n":1})");
  ASSERT_TRUE(index);
  EXPECT_EQ(index->Find("s").Int(), std::nullopt);
  EXPECT_EQ(index->Find("s").Bool(), std::nullopt);
  EXPECT_EQ(index->Find("n").String(), std::nullopt);
  EXPECT_FALSE(index->Find("n").Equals("1"));
  EXPECT_EQ(JsonValue().String(), std::nullopt);
}

TEST(JsonIndex, WalksDownObjects) {
  std::string text =
      R"({"project":"p","request":{"generationConfig":{"maxOutputTokens":77},"session_id":"s"}})";
  Result<JsonIndex> index = JsonIndex::Parse(text);
  ASSERT_TRUE(index);
  Result<JsonValue> most = index->Path({"request", "generationConfig", "maxOutputTokens"});
  ASSERT_TRUE(most);
  EXPECT_EQ(most->Int(), 77);
  EXPECT_EQ(text.substr(most->offset, 2), "77");
  EXPECT_FALSE(*index->Path({"request", "absent", "maxOutputTokens"}));
  EXPECT_FALSE(*index->Path({"project", "x"}));
  EXPECT_FALSE(*index->Path({"absent"}));
}

TEST(JsonIndex, R41RefusesInnerObjectsWithAFieldGivenTwiceWhenTheyAreRead) {
  Result<JsonIndex> index = JsonIndex::Parse(R"({"metadata":{"user_id":"a","user_id":"b"}})");
  ASSERT_TRUE(index);
  Result<JsonValue> user = index->Path({"metadata", "user_id"});
  ASSERT_FALSE(user);
  EXPECT_EQ(user.error().what, "not valid JSON at byte 27: a field given twice");
}

TEST(JsonIndex, ReadsATextWithinAText) {
  std::string text =
      R"({"metadata":{"user_id":"{\"device_id\":\"d\",\"account_uuid\":\"\",\"session_id\":\"e2ff\"}"}})";
  Result<JsonIndex> index = JsonIndex::Parse(text);
  ASSERT_TRUE(index);
  std::string inner = *index->Path({"metadata", "user_id"})->String();
  Result<JsonIndex> user = JsonIndex::Parse(inner);
  ASSERT_TRUE(user);
  EXPECT_EQ(user->Find("session_id").String(), "e2ff");
}

TEST(JsonArray, WalksElementsOfEveryKind) {
  std::string text = R"({"list":[ 1 , "a,]" ,[2,3],{"x":[4]},null],"none":[ ],"word":"[1]"})";
  Result<JsonIndex> index = JsonIndex::Parse(text);
  ASSERT_TRUE(index);
  std::vector<std::string> seen;
  JsonArray list(index->Find("list"));
  while (JsonValue item = list.Next()) {
    seen.emplace_back(item.raw);
    EXPECT_EQ(text.substr(item.offset, item.raw.size()), item.raw);
    if (item.Is(JsonKind::kObject)) {
      EXPECT_TRUE(JsonIndex::Object(item)->Find("x").Is(JsonKind::kArray));
    }
  }
  EXPECT_THAT(seen, ElementsAre("1", "\"a,]\"", "[2,3]", R"({"x":[4]})", "null"));
  EXPECT_FALSE(list.Next());
  EXPECT_FALSE(JsonArray(index->Find("none")).Next());
  EXPECT_FALSE(JsonArray(index->Find("word")).Next());
  EXPECT_FALSE(JsonArray(index->Find("absent")).Next());
}

}  // namespace
}  // namespace relay
