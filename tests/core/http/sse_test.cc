// SPDX-License-Identifier: MIT
#include "core/http/sse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace relay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Seen {
  std::string name;
  std::string data;
  bool oversized = false;
  bool operator==(const Seen&) const = default;
};

void PrintTo(const Seen& seen, std::ostream* out) {
  *out << seen.name << "|" << seen.data.substr(0, 100) << (seen.oversized ? "|oversized" : "");
}

// Feeds copies of the very size of each piece, which are gone afterwards.
class Reader {
 public:
  void Feed(std::string_view piece) {
    std::vector<char> exact(piece.begin(), piece.end());
    splitter_.Feed({exact.data(), exact.size()}, [&](const SseEvent& event) {
      seen_.push_back({std::string(event.name), std::string(event.data), event.oversized});
    });
    EXPECT_EQ(splitter_.events(), seen_.size());
  }
  const std::vector<Seen>& seen() const { return seen_; }
  bool at_boundary() const { return splitter_.at_boundary(); }

 private:
  SseSplitter splitter_;
  std::vector<Seen> seen_;
};

std::vector<Seen> ReadAll(std::string_view text) {
  Reader reader;
  reader.Feed(text);
  return reader.seen();
}

TEST(SseSplitter, GivesNameAndDataOfEachEvent) {
  EXPECT_THAT(ReadAll("event: message_start\ndata: {\"a\":1}\n\nevent: ping\ndata: {}\n\n"),
              ElementsAre(Seen{"message_start", "{\"a\":1}"}, Seen{"ping", "{}"}));
}

TEST(SseSplitter, TakesEveryLineEnd) {
  for (std::string_view end : {"\n", "\r\n", "\r"}) {
    std::string text;
    for (std::string_view line : {"event: a", "data: 1", "data: 2", "", "data: 3", "", ""}) {
      text += line;
      text += end;
    }
    EXPECT_THAT(ReadAll(text), ElementsAre(Seen{"a", "1\n2"}, Seen{"", "3"})) << text;
  }
  EXPECT_THAT(ReadAll("data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\r"),
              ElementsAre(Seen{"", "a\nb\nc"}, Seen{"", "d"}));
}

TEST(SseSplitter, TakesOneSpaceBehindTheColonOrNone) {
  EXPECT_THAT(ReadAll("data:x\n\ndata: x\n\ndata:  x\n\nevent:n\ndata\n\n"),
              ElementsAre(Seen{"", "x"}, Seen{"", "x"}, Seen{"", " x"}, Seen{"n", ""}));
}

TEST(SseSplitter, SkipsCommentsAndUnknownFields) {
  EXPECT_THAT(ReadAll(": hello\n\n:\n\nid: 7\nretry: 10\nfoo: bar\nDATA: x\ndatax: y\ndata : z\n"
                      ": data: q\ndata: real\n\n"),
              ElementsAre(Seen{"", "real"}));
}

TEST(SseSplitter, TakesNoEventWithoutData) {
  EXPECT_THAT(ReadAll("event: lost\n\nid: 1\n\n\n\ndata: x\n\n"), ElementsAre(Seen{"", "x"}));
}

TEST(SseSplitter, TheLastNameCounts) {
  EXPECT_THAT(ReadAll("event: a\ndata: x\nevent: b\n\n"), ElementsAre(Seen{"b", "x"}));
}

TEST(SseSplitter, GivesNoEventThatTheEndCutsOff) {
  EXPECT_THAT(ReadAll("data: x\n"), IsEmpty());
  EXPECT_THAT(ReadAll("data: x"), IsEmpty());
}

TEST(SseSplitter, SkipsOneByteOrderMark) {
  EXPECT_THAT(ReadAll("\xef\xbb\xbf"
                      "data: x\n\n"),
              ElementsAre(Seen{"", "x"}));
  EXPECT_THAT(ReadAll("\xef\xbb\xbf\xef\xbb\xbf"
                      "data: x\n\ndata: y\n\n"),
              ElementsAre(Seen{"", "y"}));
  EXPECT_THAT(ReadAll("\xef\xbb"
                      "data: x\n\ndata: y\n\n"),
              ElementsAre(Seen{"", "y"}));
}

TEST(SseSplitter, R35GivesTheSameEventsHoweverTheStreamIsCut) {
  std::string text = "\xef\xbb\xbf: hi\r\n\r\nevent: a\r\ndata: \u4f60\u597d\r\ndata:\r\n\r\n";
  text += "data: lone\n\nevent: \U0001f600\rdata: x\r\r:c\rdata: y\n\n\nid: 1\n\n";
  text += "event: big\ndata: " + std::string(3000, 'z') + "\n\ndataless\n\ndata: end\n\n";
  std::vector<Seen> whole = ReadAll(text);
  ASSERT_EQ(whole.size(), 6U);
  for (size_t size = 1; size < 40; ++size) {
    Reader reader;
    for (size_t at = 0; at < text.size(); at += size) reader.Feed(text.substr(at, size));
    EXPECT_EQ(reader.seen(), whole) << size;
    EXPECT_TRUE(reader.at_boundary());
  }
  std::mt19937 random(11);
  for (int round = 0; round < 500; ++round) {
    Reader reader;
    for (size_t at = 0; at < text.size();) {
      size_t size = random() % 4 == 0 ? random() % 2000 : random() % 20;
      reader.Feed(text.substr(at, size));
      at += size;
    }
    EXPECT_EQ(reader.seen(), whole);
  }
}

TEST(SseSplitter, TellsWhetherItIsBetweenEvents) {
  Reader reader;
  EXPECT_TRUE(reader.at_boundary());
  for (const auto& [piece, between] :
       std::vector<std::pair<std::string, bool>>{{"\xef\xbb", false},
                                                 {"\xbf", true},
                                                 {"d", false},
                                                 {"ata: x", false},
                                                 {"\r", false},
                                                 {"\n", false},
                                                 {"\r", true},
                                                 {"\n", true},
                                                 {": comment\n", false},
                                                 {"\n", true},
                                                 {"event: a\ndata: b\n\nd", false},
                                                 {"ata: c\n\n", true},
                                                 {"id: 1\n\n", true}}) {
    reader.Feed(piece);
    EXPECT_EQ(reader.at_boundary(), between) << piece;
  }
}

TEST(SseSplitter, CopiesNothingOfAnEventThatLiesInOnePiece) {
  std::string text = "event: name\ndata: value\n\n";
  SseSplitter splitter;
  std::string_view piece = text;
  std::optional<SseEvent> event = splitter.Next(piece);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->name.data(), text.data() + 7);
  EXPECT_EQ(event->data.data(), text.data() + 18);
  EXPECT_TRUE(piece.empty());
}

TEST(SseSplitter, R35GivesUpOnEventsOverOneMebibyteAndGoesOn) {
  const size_t most = SseSplitter::kMostKept;
  std::string text = "event: e\ndata: " + std::string(most - 1, 'x') + "\n\n";  // just fits
  text += "event: e\ndata: " + std::string(most, 'x') + "\n\n";                 // with its name not
  text += "data:" + std::string(8 * most, 'x') + "\n\n";                        // one line
  text += "data: a\ndata: " + std::string(most, 'x') + "\ndata: b\nevent: e\n\n";  // several
  text += "event: " + std::string(most + 1, 'x') + "\ndata: b\n\n";                // the name
  text += ": " + std::string(2 * most, 'x') + "\nother: " + std::string(2 * most, 'x') +
          "\ndata: small\n\n";  // nothing of this is kept anyway
  text += "data: small\n\n";
  std::vector<Seen> expected = {{"e", std::string(most - 1, 'x')},
                                {"", "", true},
                                {"", "", true},
                                {"", "", true},
                                {"", "", true},
                                {"", "small"},
                                {"", "small"}};
  EXPECT_EQ(ReadAll(text), expected);
  for (size_t size : {size_t{1} << 14, size_t{65'537}, most + 1}) {
    Reader reader;
    for (size_t at = 0; at < text.size(); at += size) reader.Feed(text.substr(at, size));
    EXPECT_EQ(reader.seen(), expected) << size;
  }
}

TEST(FirstEvent, WaitsForACompleteEventThatIsNoComment) {
  FirstEvent first;
  EXPECT_FALSE(first.Feed(": connected\n\n"));
  EXPECT_FALSE(first.Feed("event: error\nda"));
  EXPECT_FALSE(first.Feed("ta: {\"type\":\"error\"}\n"));
  EXPECT_FALSE(first.seen());
  EXPECT_TRUE(first.Feed("\nevent: other\ndata: x\n\n"));
  EXPECT_TRUE(first.seen());
  EXPECT_EQ(first.name(), "error");
  EXPECT_EQ(first.data(), "{\"type\":\"error\"}");
  EXPECT_TRUE(first.Feed("event: third\ndata: y\n\n"));
  EXPECT_EQ(first.name(), "error");
}

TEST(FirstEvent, ComesEvenWhenItIsOversized) {
  FirstEvent first;
  EXPECT_FALSE(first.Feed("data: " + std::string(SseSplitter::kMostKept + 1, 'x')));
  EXPECT_TRUE(first.Feed("\n\n"));
  EXPECT_EQ(first.data(), "");
}

}  // namespace
}  // namespace relay
