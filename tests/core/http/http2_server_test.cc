// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/core/http/http2_peer.h"

namespace relay::h2 {
namespace {

using ::testing::HasSubstr;

TEST(Http2Server, AnnouncesItsBoundsAndWindows) {
  CodecLimits limits;
  limits.streams = 7;
  limits.header_bytes = 4096;
  ManualClock clock;
  std::unique_ptr<Codec> codec = MakeHttp2Server(limits, clock);
  Reader reader;
  // 6: MAX_HEADER_LIST_SIZE, 3: MAX_CONCURRENT_STREAMS; the stream's window is the default 65535.
  EXPECT_EQ(reader.Take(*codec), "SETTINGS 6=4096 3=7 | WINDOW 0 983041");
}

TEST(Http2Server, TellsAHeadAsItWasWritten) {
  Server server;
  EXPECT_TRUE(server.Feed(
      Headers(
          1,
          Request(
              "POST", "/v1/messages?beta=true",
              {{"x-api-key", "cr_1"}, {"empty", ""}, {"utf", "\xc3\xa4"}, {"content-length", "2"}}),
          0) +
      Data(1, "{}", kEnd)));
  EXPECT_EQ(server.Told(), "1 POST /v1/messages?beta=true +{} end");
  const Head& head = server.head();
  EXPECT_EQ(head.authority, "a");
  EXPECT_EQ(head.path(), "/v1/messages");
  EXPECT_EQ(head.content_length, 2U);
  EXPECT_EQ(head.version, Version::kHttp2);
  EXPECT_EQ(FieldsOf(head), "x-api-key=cr_1;empty=;utf=\xc3\xa4;content-length=2;");
}

TEST(Http2Server, AnswersWithHeadAndBody) {
  Server server;
  server.Feed(Headers(1, Request()));
  server.SendHead(1, 200, false,
                  {{"Content-Type", "text/event-stream"}, {"connection", "close"}, {"x", "1"}});
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=200 content-type=text/event-stream x=1");
  EXPECT_EQ(server.Send(1, "hello", false), 0U);
  EXPECT_EQ(server.Out(), "DATA 1 5");
  EXPECT_EQ(server.Send(1, "", true), 0U);
  EXPECT_EQ(server.Out(), "DATA 1 0 end");
  EXPECT_EQ(server.reader.bodies[1], "hello");
  EXPECT_EQ(server.Told(), "1 GET /a end");
}

TEST(Http2Server, EndsWithTheLastBytes) {
  Server server;
  server.Feed(Headers(1, Request()));
  server.SendHead(1, 200, false, {}, 5);
  server.Send(1, "hello", true);
  EXPECT_EQ(server.Out(), "HEADERS 1 :status=200 content-length=5 | DATA 1 5 end");
}

TEST(Http2Server, MovesChunksWithoutCopies) {
  Server server;
  server.Feed(Headers(1, Request()));
  server.SendHead(1, 200, false);
  server.Out();
  Chunk big = Chunk::Copy(std::string(20000, 'x'));
  Buffer body;
  body.Append(big);
  EXPECT_EQ(server.codec->SendData(1, body, true), 20000U);
  Buffer out;
  server.codec->TakeOutput(out);
  out.Consume(9);
  EXPECT_EQ(out.Pop().data(), big.data());
  out.Consume(9);
  EXPECT_EQ(out.Pop().data(), big.data() + 16384);
}

}  // namespace
}  // namespace relay::h2
