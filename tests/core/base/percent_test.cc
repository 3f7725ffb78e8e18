// SPDX-License-Identifier: MIT
#include "core/base/percent.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

using namespace std::string_view_literals;

TEST(Percent, DecodesEachEscapeOnce) {
  EXPECT_EQ(PercentDecode("a%20b%2fC%2Fd"), "a b/C/d");
  EXPECT_EQ(PercentDecode("%2541"), "%41");
  EXPECT_EQ(PercentDecode("%00"), "\0"sv);
  EXPECT_EQ(PercentDecode("%C3%bc+"), "ü+");
}

TEST(Percent, WhatIsNoEscapeStaysOrIsRefused) {
  for (const char* text : {"%", "%4", "%4g", "%g4", "a%", "100% sure", "%%41"}) {
    EXPECT_EQ(PercentDecodeStrictly(text), std::nullopt) << text;
  }
  EXPECT_EQ(PercentDecode("%4g%"), "%4g%");
  EXPECT_EQ(PercentDecode("%%41"), "%A");
  EXPECT_EQ(PercentDecodeStrictly("%41%42c"), "ABc");
  EXPECT_EQ(PercentDecodeStrictly(""), "");
}

TEST(Percent, FindsAnEscapeOnlyWhereOneStands) {
  EXPECT_EQ(EscapeAt("a%41", 1), 'A');
  EXPECT_EQ(EscapeAt("a%41", 0), std::nullopt);
  EXPECT_EQ(EscapeAt("a%41", 2), std::nullopt);
  EXPECT_EQ(EscapeAt("a%4", 1), std::nullopt);
  EXPECT_EQ(EscapeAt("%41"sv.substr(0, 2), 0), std::nullopt);
  EXPECT_EQ(EscapeAt("", 0), std::nullopt);
}

TEST(Percent, EncodesAllButTheUnreserved) {
  EXPECT_EQ(PercentEncode("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(PercentEncode("a b/ü@%"), "a%20b%2F%C3%BC%40%25");
  EXPECT_EQ(PercentEncode("m@1/x", "@"), "m@1%2Fx");
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  EXPECT_EQ(PercentDecodeStrictly(PercentEncode(all)), all);
}

}  // namespace
}  // namespace relay
