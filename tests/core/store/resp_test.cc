// SPDX-License-Identifier: MIT
#include "core/store/resp.h"

#include <gtest/gtest.h>

#include <array>

namespace relay {
namespace {

using namespace std::string_literals;
using Kind = RespReply::Kind;

// All replies of `bytes`, or the error behind them as a kError of its own text.
std::vector<RespReply> ReadAll(std::string_view bytes, size_t piece = SIZE_MAX,
                               RespLimits limits = {}) {
  RespReader reader(limits);
  std::vector<RespReply> replies;
  while (!bytes.empty()) {
    reader.Feed(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    while (true) {
      auto next = reader.Next();
      if (!next) {
        replies.push_back({Kind::kError, 0, "broken: " + next.error().what, {}});
        return replies;
      }
      if (!*next) break;
      replies.push_back(std::move(**next));
    }
  }
  return replies;
}

RespReply TextOf(std::string text) {
  return {Kind::kText, 0, std::move(text), {}};
}

TEST(Resp, ReadsEveryKindOfReply) {
  std::string bytes =
      "+OK\r\n-ERR no\r\n:-42\r\n$5\r\na\r\n\0b\r\n$-1\r\n*2\r\n:1\r\n*1\r\n$0\r\n\r\n*-1\r\n"s;
  for (size_t piece : {SIZE_MAX, size_t{1}, size_t{3}}) {
    auto replies = ReadAll(bytes, piece);
    ASSERT_EQ(replies.size(), 7U);
    EXPECT_EQ(replies[0], (RespReply{Kind::kStatus, 0, "OK", {}}));
    EXPECT_EQ(replies[1], (RespReply{Kind::kError, 0, "ERR no", {}}));
    EXPECT_EQ(replies[2], (RespReply{Kind::kInteger, -42, "", {}}));
    EXPECT_EQ(replies[3], TextOf("a\r\n\0b"s));
    EXPECT_EQ(replies[4], RespReply());
    RespReply inner{Kind::kArray, 0, "", {TextOf("")}};
    EXPECT_EQ(replies[5], (RespReply{Kind::kArray, 0, "", {{Kind::kInteger, 1, "", {}}, inner}}));
    EXPECT_EQ(replies[6], RespReply());
  }
}

TEST(Resp, GivesNumbersAndTextsOfEitherSpelling) {
  EXPECT_EQ(TextOf("12").Int(), 12);
  EXPECT_EQ(TextOf("12a").Int(), std::nullopt);
  EXPECT_EQ(RespReply().Int(), std::nullopt);
  EXPECT_EQ((RespReply{Kind::kInteger, 7, "", {}}).Text(), "7");
  EXPECT_EQ((RespReply{Kind::kError, 0, "ERR", {}}).Text(), "");
}

TEST(Resp, R37_AnnouncedSizesTakeNoMemory) {
  EXPECT_EQ(ReadAll("*2147483647\r\n").back().text, "broken: sends a reply that is too large");
  EXPECT_TRUE(ReadAll("$2147483647\r\nab").empty()) << "waits for what does not come";
  RespLimits small{.bytes = 8, .items = 3};
  EXPECT_EQ(ReadAll("*2\r\n*2\r\n:1\r\n:2\r\n:3\r\n", SIZE_MAX, small).back().text,
            "broken: sends a reply that is too large");
  EXPECT_EQ(ReadAll("*2\r\n$5\r\nabcde\r\n$5\r\nabcde\r\n", SIZE_MAX, small).back().text,
            "broken: sends a reply that is too large");
  EXPECT_EQ(ReadAll("$1000\r\n" + std::string(200, 'x'), 50, small).back().text,
            "broken: sends a reply that is too large");
  auto twice = ReadAll("$8\r\nabcdefgh\r\n$8\r\nabcdefgh\r\n", SIZE_MAX, small);
  EXPECT_EQ(twice.size(), 2U) << "the bound is of one reply";
  EXPECT_EQ(twice.back(), TextOf("abcdefgh"));
}

TEST(Resp, R37_DepthIsBounded) {
  std::string deep;
  for (int i = 0; i < 7; ++i) deep += "*1\r\n";
  EXPECT_EQ(ReadAll(deep + ":1\r\n").back().kind, Kind::kArray);
  EXPECT_TRUE(ReadAll("*1\r\n*1\r\n" + deep + ":1\r\n").back().text.starts_with("broken: "));
}

TEST(Resp, SaysWhatCameInsteadOfResp) {
  EXPECT_EQ(ReadAll("HTTP/1.1 400 Bad Request\r\n\r\n").back().text,
            "broken: does not speak RESP, but begins with 'HTTP/1.1 400 Bad Request'");
  EXPECT_EQ(ReadAll("\x15\x03\x03\x02\x16").back().text,
            "broken: speaks TLS on this port: switch tls on");
  EXPECT_TRUE(ReadAll(":12a\r\n").back().text.starts_with("broken: "));
  auto after = ReadAll("+OK\r\n?\r\n+OK\r\n");
  ASSERT_EQ(after.size(), 2U) << "nothing is read behind a fault";
  EXPECT_EQ(after[0].text, "OK");
}

TEST(Resp, WritesArgumentsOfAnyBytes) {
  std::string out = "x";
  std::array<std::string_view, 3> arguments = {"SET", std::string_view("a\0\r\n", 4), ""};
  AppendCommand(out, arguments);
  EXPECT_EQ(out, "x*3\r\n$3\r\nSET\r\n$4\r\na\0\r\n\r\n$0\r\n\r\n"s);
  auto read = ReadAll(std::string_view(out).substr(1));
  ASSERT_EQ(read.size(), 1U);
  EXPECT_EQ(read[0].items[1].text, arguments[1]);
}

}  // namespace
}  // namespace relay
