// SPDX-License-Identifier: MIT
#include "core/http/message.h"

#include <gtest/gtest.h>

#include <cctype>
#include <string>

namespace relay {
namespace {

TEST(EqualsIgnoreCase, TakesTheTwoCasesOfALetterForOneAndNothingElse) {
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      // Of ASCII: others have no case here, whatever the locale says.
      bool letters = a < 128 && b < 128 && std::isalpha(a) != 0 && std::isalpha(b) != 0;
      bool same = a == b || (letters && std::tolower(a) == std::tolower(b));
      std::string left = {'x', static_cast<char>(a), 'Y'};
      std::string right = {'X', static_cast<char>(b), 'y'};
      EXPECT_EQ(EqualsIgnoreCase(left, right), same) << a << " " << b;
    }
  }
  EXPECT_TRUE(EqualsIgnoreCase("", ""));
  EXPECT_FALSE(EqualsIgnoreCase("te", "t"));
}

TEST(NameSet, HasItsNamesInEitherCaseAndNoOthers) {
  constexpr NameSet kNames({"te", "host", "via", "x-relay-request-id"});
  for (std::string_view name : {"te", "TE", "Host", "VIA", "X-Relay-Request-Id"}) {
    EXPECT_TRUE(kNames.Has(name)) << name;
  }
  for (std::string_view name : {"", "t", "to", "hosT2", "hose", "x-relay-request-ie"}) {
    EXPECT_FALSE(kNames.Has(name)) << name;
  }
  // As long as a name of the set, counted modulo 64.
  EXPECT_FALSE(kNames.Has(std::string(66, 't')));
  EXPECT_FALSE(kNames.Has(std::string(64, 't')));
}

TEST(Head, BorrowsTheFieldsOfAnother) {
  Head from;
  from.Add("Accept", "a/b");
  Head head;
  head.Borrow(from.fields[0]);
  EXPECT_EQ(head.Get("accept"), "a/b");
  EXPECT_EQ(head.fields[0].value.data(), from.fields[0].value.data()) << "nothing is copied";
  head.Set("accept", "c");
  EXPECT_EQ(from.Get("accept"), "a/b");
}

}  // namespace
}  // namespace relay
