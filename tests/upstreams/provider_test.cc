// SPDX-License-Identifier: MIT
#include "upstreams/provider.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

using std::chrono::seconds;

WallTime At(int64_t epoch) {
  return WallTime(seconds(epoch));
}

TEST(Provider, ReadsRetryAfter) {
  auto read = [](std::string_view value) {
    Head head;
    head.Add("Retry-After", value);
    return RetryAfter(head, At(784'111'700));
  };
  EXPECT_EQ(read("0"), seconds(0));
  EXPECT_EQ(read("120"), seconds(120));
  EXPECT_EQ(read("99999999999"), std::chrono::hours(24 * 365));
  EXPECT_EQ(read("Sun, 06 Nov 1994 08:49:37 GMT"), seconds(77));
  EXPECT_EQ(read("Sun, 06 Nov 1994 07:49:37 GMT"), seconds(0));
  for (const char* wrong : {"", "-1", "1.5", "soon", "12s", "Sun, 06 Foo 1994 08:49:37 GMT",
                            "Sun, 36 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"}) {
    EXPECT_FALSE(read(wrong).has_value()) << wrong;
  }
}

TEST(Provider, ReadsTimestamps) {
  EXPECT_EQ(ParseTimestamp("1994-11-06T08:49:37Z"), At(784'111'777));
  EXPECT_EQ(ParseTimestamp("1994-11-06T08:49:37.123456789Z"), At(784'111'777));
  EXPECT_EQ(ParseTimestamp("1994-11-06T10:49:37+02:00"), At(784'111'777));
  EXPECT_EQ(ParseTimestamp("1994-11-06T03:19:37-05:30"), At(784'111'777));
  for (const char* wrong :
       {"", "1994-11-06", "1994-11-06T08:49:37", "1994-13-06T08:49:37Z", "1994-02-30T08:49:37Z",
        "1994-11-06 08:49:37Z", "1994-11-06T25:49:37Z", "1994-11-06T08:49:37+0200", "x"}) {
    EXPECT_FALSE(ParseTimestamp(wrong).has_value()) << wrong;
  }
}

TEST(Provider, FindsValuesOfAQuery) {
  EXPECT_EQ(QueryValue("alt=sse", "alt"), "sse");
  EXPECT_EQ(QueryValue("a=1&alt=sse&b", "alt"), "sse");
  EXPECT_EQ(QueryValue("salt=x", "alt"), "");
  EXPECT_EQ(QueryValue("alt", "alt"), "");
  EXPECT_EQ(QueryValue("", "alt"), "");
}

TEST(Provider, NamesTheHostAsTheFieldHasIt) {
  EXPECT_EQ(AuthorityOf(*ParseUrl("https://api.test")), "api.test");
  EXPECT_EQ(AuthorityOf(*ParseUrl("https://api.test:8443")), "api.test:8443");
  EXPECT_EQ(AuthorityOf(*ParseUrl("http://api.test:443")), "api.test:443");
  EXPECT_EQ(AuthorityOf(*ParseUrl("http://[::1]:80")), "[::1]");
}

}  // namespace
}  // namespace relay
