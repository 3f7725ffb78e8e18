// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "core/base/json.h"

namespace relay {
namespace {

TEST(JsonString, EscapesWhatMustBeAndKeepsUtf8) {
  EXPECT_EQ(JsonString("a\"b\\c\n\r\t\b\f\x01\x7f/\u00e9\U0001f600"),
            "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u007f/\u00e9\U0001f600\"");
  EXPECT_EQ(JsonString(std::string_view("\0", 1)), "\"\\u0000\"");
}

TEST(JsonString, ReplacesBytesThatAreNotUtf8) {
  EXPECT_EQ(JsonString("a\xff\u00e9\xc3"), "\"a\ufffd\u00e9\ufffd\"");
  EXPECT_EQ(
      JsonString("\xed\xa0\x80\xe0\x9f\xbf\xf4\x90\x80\x80\xf0\x8f\xbf\xbf\xc1\xbf"), "\"" + [] {
        std::string signs;
        for (int i = 0; i < 16; ++i) signs += "\ufffd";
        return signs;
      }() + "\"");
}

TEST(JsonText, WritesNestedTextsWithTheRightCommas) {
  std::string text = JsonText()
                         .BeginObject()
                         .Field("type", "error")
                         .Key("error")
                         .BeginObject()
                         .Field("n", 3)
                         .Field("d", 0.1)
                         .Field("on", true)
                         .EndObject()
                         .Key("list")
                         .BeginArray()
                         .Int(1)
                         .BeginObject()
                         .EndObject()
                         .Null()
                         .Double(1.0 / 0.0)
                         .Raw("[2]")
                         .EndArray()
                         .Key("none")
                         .BeginArray()
                         .EndArray()
                         .EndObject()
                         .Take();
  EXPECT_EQ(
      text,
      R"({"type":"error","error":{"n":3,"d":0.1,"on":true},"list":[1,{},null,null,[2]],"none":[]})");
  EXPECT_TRUE(JsonIndex::Parse(text)) << text;
}

}  // namespace
}  // namespace relay
