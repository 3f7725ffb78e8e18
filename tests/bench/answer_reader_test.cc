// SPDX-License-Identifier: MIT
// The benchmark is only worth something if it notices wrong answers: what AnswerReader takes, and
// what it refuses.
#include "tests/bench/answer_reader.h"

#include <gtest/gtest.h>

#include "tests/bench/wire.h"

namespace relay::bench {
namespace {

using Result = AnswerReader::Result;

std::string Message(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

std::string Stream(uint32_t from, uint32_t to, bool whole) {
  std::string text =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + AsChunk(StreamHead());
  for (uint32_t i = from; i < to; ++i) text += AsChunk(DeltaEvent(i, 1000));
  if (whole) text += AsChunk(StreamTail());
  return text + "0\r\n\r\n";
}

// What the last of the pieces of `answer` comes to, cut into pieces of `step` bytes.
Result Feed(AnswerReader& reader, std::string_view answer, size_t step, EventLog& log) {
  Result result = Result::kMore;
  for (size_t at = 0; at < answer.size() && result == Result::kMore; at += step) {
    result = reader.Take(answer.substr(at, step), 5000, log);
  }
  return result;
}

Result Read(std::string_view answer, uint32_t events) {
  AnswerReader reader;
  EventLog log;
  reader.Expect(events);
  return Feed(reader, answer, answer.size(), log);
}

TEST(AnswerReader, TakesTheMessageHoweverItIsCut) {
  for (size_t step = 1; step <= 1200; step += 7) {
    AnswerReader reader;
    EventLog log;
    reader.Expect(0);
    EXPECT_EQ(Feed(reader, Message(MessageBody()), step, log), Result::kDone) << step;
  }
}

TEST(AnswerReader, CountsAndTimesTheDeltasHoweverTheStreamIsCut) {
  const std::string stream = Stream(0, 3, true);
  for (size_t step = 1; step <= stream.size(); ++step) {
    AnswerReader reader;
    EventLog log;
    reader.Expect(3);
    EXPECT_EQ(Feed(reader, stream, step, log), Result::kDone) << step;
    EXPECT_EQ(log.events, 3U);
    EXPECT_EQ(log.delays_ns, (std::vector<uint32_t>{4000, 4000, 4000}));
  }
}

TEST(AnswerReader, RefusesAChangedOrShortenedMessage) {
  std::string changed = MessageBody();
  changed[500] ^= 1;
  EXPECT_EQ(Read(Message(changed), 0), Result::kBad);
  EXPECT_EQ(Read(Message(MessageBody().substr(0, 1000)), 0), Result::kBad);
  EXPECT_EQ(Read(Message(""), 0), Result::kBad);
}

TEST(AnswerReader, RefusesAnotherStatusAndSaysWhatCame) {
  AnswerReader reader;
  EventLog log;
  reader.Expect(0);
  const std::string answer = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 4\r\n\r\noops";
  EXPECT_EQ(Feed(reader, answer, answer.size(), log), Result::kBad);
  EXPECT_EQ(reader.problem(), "status 502: oops");
}

TEST(AnswerReader, RefusesAStreamWithALostDeltaOrWithoutItsEnd) {
  EXPECT_EQ(Read(Stream(1, 3, true), 2), Result::kBad);
  EXPECT_EQ(Read(Stream(0, 2, true), 3), Result::kBad);
  EXPECT_EQ(Read(Stream(0, 3, false), 3), Result::kBad);
}

TEST(AnswerReader, RefusesBytesAfterTheEnd) {
  EXPECT_EQ(Read(Message(MessageBody()) + "x", 0), Result::kBad);
}

TEST(RequestBody, HasTheSizeAskedForAndTheFlagOnlyForStreams) {
  for (size_t size : {600U, 1024U, 4700U, 5000U, 200000U}) {
    EXPECT_EQ(RequestBody(size, true).size(), size);
    EXPECT_EQ(RequestBody(size, false).size(), size);
    EXPECT_NE(RequestBody(size, true).find("\"stream\":true"), std::string::npos);
    EXPECT_EQ(RequestBody(size, false).find("\"stream\":true"), std::string::npos);
  }
}

}  // namespace
}  // namespace relay::bench
