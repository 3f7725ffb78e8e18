// SPDX-License-Identifier: MIT
#include "core/config/units.h"

#include <gtest/gtest.h>

#include <limits>

namespace relay {
namespace {

using namespace std::chrono_literals;

TEST(ParseInteger, TakesOneSpellingOnly) {
  EXPECT_EQ(ParseInteger("0"), 0);
  EXPECT_EQ(ParseInteger("10"), 10);
  EXPECT_EQ(ParseInteger("-7"), -7);
  EXPECT_EQ(ParseInteger("9223372036854775807"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(ParseInteger("-9223372036854775808"), std::numeric_limits<int64_t>::min());
  for (const char* text : {"", "-", "+1", "010", "0x10", "1_000", "1,000", "1e3", "1.0", " 1", "1 ",
                           "-0", "00", "١"}) {
    auto parsed = ParseInteger(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error(), Unfit::kSyntax) << text;
  }
  EXPECT_EQ(ParseInteger("9223372036854775808").error(), Unfit::kTooLarge);
  EXPECT_EQ(ParseInteger("-9223372036854775809").error(), Unfit::kTooLarge);
}

TEST(ParseNumber, TakesPlainDecimals) {
  EXPECT_EQ(ParseNumber("25.00"), 25.0);
  EXPECT_EQ(ParseNumber("0.5"), 0.5);
  EXPECT_EQ(ParseNumber("-3"), -3.0);
  for (const char* text :
       {"", ".5", "5.", "1e3", "inf", "nan", "0x1p3", "01.5", "1.5.2", "--1", "1,5"}) {
    EXPECT_FALSE(ParseNumber(text)) << text;
  }
  EXPECT_EQ(ParseNumber("1" + std::string(400, '0')).error(), Unfit::kTooLarge);
}

TEST(ParseBool, TakesTrueAndFalseOnly) {
  EXPECT_EQ(ParseBool("true"), true);
  EXPECT_EQ(ParseBool("false"), false);
  for (const char* text : {"", "yes", "no", "on", "off", "True", "TRUE", "1", "0"}) {
    EXPECT_FALSE(ParseBool(text)) << text;
  }
}

TEST(ParseDuration, NeedsAWholeNumberAndAUnit) {
  EXPECT_EQ(ParseDuration("250ms"), Duration(250ms));
  EXPECT_EQ(ParseDuration("10s"), Duration(10s));
  EXPECT_EQ(ParseDuration("5m"), Duration(5min));
  EXPECT_EQ(ParseDuration("1h"), Duration(1h));
  EXPECT_EQ(ParseDuration("2d"), Duration(48h));
  EXPECT_EQ(ParseDuration("0s"), Duration(0));
  for (const char* text :
       {"", "10", "0", "s", "-1s", "1.5s", "10 s", "10S", "10sec", "01s", "1w"}) {
    EXPECT_FALSE(ParseDuration(text)) << text;
  }
  EXPECT_EQ(ParseDuration("999999999999d").error(), Unfit::kTooLarge);
  EXPECT_EQ(ParseDuration("99999999999999999999s").error(), Unfit::kTooLarge);
}

TEST(ParseBytes, KnowsPowersOfTwoAndOfTen) {
  EXPECT_EQ(ParseBytes("1B"), Bytes{1});
  EXPECT_EQ(ParseBytes("32KiB"), Bytes{32768});
  EXPECT_EQ(ParseBytes("30MiB"), Bytes{31457280});
  EXPECT_EQ(ParseBytes("1GiB"), Bytes{1073741824});
  EXPECT_EQ(ParseBytes("1GB"), Bytes{1000000000});
  EXPECT_EQ(ParseBytes("2kB"), Bytes{2000});
  EXPECT_EQ(ParseBytes("2KB"), Bytes{2000});
  for (const char* text : {"", "1", "KiB", "1K", "1k", "1kib", "-1B", "1.5MiB", "1 MiB", "25%"}) {
    EXPECT_FALSE(ParseBytes(text)) << text;
  }
  EXPECT_EQ(ParseBytes("99999999999GiB").error(), Unfit::kTooLarge);
}

TEST(ParseBytesOrShare, TakesASharePerCent) {
  auto share = ParseBytesOrShare("25%");
  ASSERT_TRUE(share);
  EXPECT_EQ(share->percent, 25);
  EXPECT_EQ(share->Of(1001), 250U);
  EXPECT_EQ(share->Of(std::numeric_limits<uint64_t>::max()),
            std::numeric_limits<uint64_t>::max() / 4);
  auto bytes = ParseBytesOrShare("256MiB");
  ASSERT_TRUE(bytes);
  EXPECT_EQ(bytes->Of(1), 268435456U);
  for (const char* text : {"0%", "101%", "%", "1.5%", "-5%", "25 %", "25"}) {
    EXPECT_FALSE(ParseBytesOrShare(text)) << text;
  }
}

TEST(ParseHostPort, TakesNamesAndBothKindsOfAddress) {
  EXPECT_EQ(ParseHostPort("0.0.0.0:3000"), (HostPort{"0.0.0.0", 3000}));
  EXPECT_EQ(ParseHostPort("127.0.0.1:0"), (HostPort{"127.0.0.1", 0}));
  EXPECT_EQ(ParseHostPort("[::1]:3000"), (HostPort{"::1", 3000}));
  EXPECT_EQ(ParseHostPort("[::]:65535"), (HostPort{"::", 65535}));
  EXPECT_EQ(ParseHostPort("Redis.Example.COM:6379"), (HostPort{"redis.example.com", 6379}));
  EXPECT_EQ(ParseHostPort("my_redis:6379"), (HostPort{"my_redis", 6379}));
}

TEST(ParseHostPort, RefusesWhatCouldMeanTwoThings) {
  for (const char* text : {"",
                           ":3000",
                           "localhost",
                           "localhost:",
                           "localhost:65536",
                           "localhost:080",
                           "localhost:-1",
                           "localhost:http",
                           "::1:3000",
                           "[::1]",
                           "[::1]3000",
                           "[::1",
                           "[127.0.0.1]:80",
                           "[fe80::1%eth0]:80",
                           "256.0.0.1:80",
                           "127.1:80",
                           "0x7f.0.0.1:80",
                           "2130706433:80",
                           "010.0.0.1:80",
                           "1.2.3.4.5:80",
                           "-a:80",
                           "a-:80",
                           "a..b:80",
                           "a b:80",
                           "user@host:80",
                           "0x7f000001:80",
                           "*:80"}) {
    EXPECT_FALSE(ParseHostPort(text)) << text;
  }
}

TEST(ParseUrl, SplitsWhatAnUpstreamNeeds) {
  EXPECT_EQ(ParseUrl("https://api.anthropic.com"), (Url{true, "api.anthropic.com", 443, ""}));
  EXPECT_EQ(ParseUrl("https://api.anthropic.com/"), (Url{true, "api.anthropic.com", 443, ""}));
  EXPECT_EQ(ParseUrl("http://127.0.0.1:8080/v1/proxy/"),
            (Url{false, "127.0.0.1", 8080, "/v1/proxy"}));
  EXPECT_EQ(ParseUrl("HTTP://[::1]/x"), (Url{false, "::1", 80, "/x"}));
}

TEST(ParseUrl, RefusesEverythingElse) {
  for (const char* text : {"",
                           "api.anthropic.com",
                           "ftp://a",
                           "https://",
                           "https:///x",
                           "https://user@a",
                           "https://u:p@a",
                           "https://a?x=1",
                           "https://a#x",
                           "https://a/../b",
                           "https://a/./b",
                           "https://a//b",
                           "https://a/%2e",
                           "https://a\\b",
                           "https://a:0",
                           "https://a:99999",
                           "https://a b",
                           "https://127.1",
                           "//a",
                           "https://a/b//"}) {
    EXPECT_FALSE(ParseUrl(text)) << text;
  }
}

TEST(Format, WritesWhatParsingReadsBack) {
  for (const char* text : {"0ms", "250ms", "90s", "10m", "1h", "3d"}) {
    EXPECT_EQ(FormatDuration(ParseDuration(text).value()), text);
  }
  EXPECT_EQ(FormatDuration(60s), "1m");
  for (const char* text : {"0B", "1B", "32KiB", "30MiB", "1GB", "1500B", "2kB"}) {
    EXPECT_EQ(FormatBytes(ParseBytes(text).value()), text);
  }
  EXPECT_EQ(FormatBytesOrShare({{}, 25}), "25%");
  EXPECT_EQ(FormatHostPort({"::1", 80}), "[::1]:80");
  EXPECT_EQ(FormatUrl({true, "a.example", 443, "/x"}), "https://a.example/x");
  EXPECT_EQ(FormatUrl({false, "::1", 8080, ""}), "http://[::1]:8080");
  EXPECT_EQ(FormatNumber(2.5), "2.5");
}

}  // namespace
}  // namespace relay
