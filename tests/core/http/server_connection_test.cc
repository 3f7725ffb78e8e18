// SPDX-License-Identifier: MIT
// A client's connection, from bytes to stories and back, over HTTP/1. What both protocols share is
// tried with HTTP/2 in byte_exact_test.cc and http2_connection_test.cc.
#include "tests/core/http/connection_test.h"

namespace relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Test;

struct ServerConnectionTest : ConnectionTest {};

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::string_view kHi = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

std::string Post(std::string_view path, std::string_view body) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

Task<Unit> SayHi(Call& call) {
  call.Answer(200, "hi");
  co_return Unit{};
}
// Answers with what it was sent, or notes why it could not read it.
Task<Unit> Echo(Call& call) {
  Result<std::string> body = co_await call.ReadBody();
  if (!body) {
    call.server.notes.push_back(body.error().what);
    co_return Unit{};
  }
  call.Answer(200, *body);
  co_return Unit{};
}
Task<Unit> SayHiWhenTold(Call& call) {
  co_await call.server.go.Wait();
  call.Answer(200, "hi");
  co_return Unit{};
}
// 1,000 pieces of 10,000 bytes, each written when there is room.
Task<Unit> SendMuch(Call& call) {
  call.Begin();
  std::string piece(10'000, 'x');
  for (int i = 0; i < 1000; ++i) {
    Result<Unit> written = co_await call.stream->Write(Chunk::Copy(piece));
    if (!written) co_return Unit{};
    call.server.bytes += piece.size();
  }
  call.stream->Send(Chunk(), true);
  co_return Unit{};
}
Task<Unit> ReadNothing(Call& call) {
  co_await call.server.go.Wait();
  Result<std::string> body = co_await call.ReadBody();
  if (body) call.Answer(200, std::to_string(body->size()));
  co_return Unit{};
}

TEST_F(ServerConnectionTest, AnswersOneRequestAfterAnotherOnOneConnection) {
  StoryServer& server = Serve(Echo);
  RawPeer client = Raw(MemoryLine::kClient);
  for (std::string_view body : {"one", "two", ""}) {
    client.Send(Post("/p", body));
    Settle();
    EXPECT_EQ(client.TakeText(), "HTTP/1.1 200 OK\r\nContent-Length: " +
                                     std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
  }
  client.Send("HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n");
  Settle();
  EXPECT_EQ(client.TakeText(), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  client.Send(kGet);
  Settle();
  EXPECT_EQ(server.seen.back(), "GET /a");
  EXPECT_EQ(server.alive, 0);
  EXPECT_FALSE(client.ended);
}

TEST_F(ServerConnectionTest, R8AnswersPipelinedRequestsOneAtATimeAndInOrder) {
  StoryServer& server = Serve(SayHiWhenTold);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(std::string(kGet) + "GET /b HTTP/1.1\r\nHost: h\r\n\r\n" + Post("/c", "body"));
  Settle();
  EXPECT_THAT(server.seen, testing::ElementsAre("GET /a"));
  server.go.NotifyAll();
  Settle();
  EXPECT_THAT(server.seen, testing::ElementsAre("GET /a", "GET /b"));
  EXPECT_EQ(client.TakeText(), kHi);
  server.go.NotifyAll();
  Settle();
  EXPECT_THAT(server.seen, testing::ElementsAre("GET /a", "GET /b", "POST /c"));
  server.go.NotifyAll();
  Settle();
  EXPECT_EQ(client.TakeText(), std::string(kHi) + std::string(kHi));
}

TEST_F(ServerConnectionTest, AnswersManyPipelinedRequestsCutAnywhere) {
  StoryServer& server = Serve(Echo);
  RawPeer client = Raw(MemoryLine::kClient);
  size_t next = 1;
  line->cut = [&](size_t) { return next = next % 37 + 1; };
  std::string expected;
  for (int i = 0; i < 500; ++i) {
    std::string body = "b" + std::to_string(i);
    client.Send(Post("/", body));
    expected +=
        "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  Settle();
  EXPECT_EQ(client.text, expected);
  EXPECT_EQ(server.seen.size(), 500U);
}

TEST_F(ServerConnectionTest, R8HoldsAtMostSoMuchOfLaterRequests) {
  StoryServer& server = Serve(SayHiWhenTold);
  RawPeer client = Raw(MemoryLine::kClient);
  line->cut = [](size_t) { return size_t{1000}; };
  std::string many;
  for (int i = 0; i < 2000; ++i) many += kGet;
  client.Send(many);
  Settle();
  EXPECT_LE(line->arrived(MemoryLine::kServer), size_t{17} << 10);
  for (int i = 0; i < 2000; ++i) {
    server.go.NotifyAll();
    Settle();
  }
  EXPECT_EQ(server.seen.size(), 2000U);
}

TEST_F(ServerConnectionTest, ChunksWhatHasNoLengthForHttp11) {
  Serve([](Call& call) -> Task<Unit> {
    call.Begin();
    call.stream->Send(Chunk::Static("hello"), false);
    call.stream->Send(Chunk::Static(" you"), true);
    co_return Unit{};
  });
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(kGet);
  Settle();
  EXPECT_EQ(client.text,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            "5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n");
  EXPECT_FALSE(client.ended);
}

TEST_F(ServerConnectionTest, EndsByClosingWhatHasNoLengthForHttp10) {
  Serve([](Call& call) -> Task<Unit> {
    call.Begin();
    call.stream->Send(Chunk::Static("hello"), true);
    co_return Unit{};
  });
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send("GET / HTTP/1.0\r\n\r\n");
  Settle();
  EXPECT_EQ(client.text, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
  EXPECT_TRUE(client.ended);
}

TEST_F(ServerConnectionTest, WritesOnceATurn) {
  Serve([](Call& call) -> Task<Unit> {
    call.Begin();
    for (int i = 0; i < 10; ++i) call.stream->Send(Chunk::Static("data: x\n\n"), false);
    call.stream->Send(Chunk(), true);
    co_return Unit{};
  });
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(kGet);
  Settle();
  EXPECT_EQ(line->writes(MemoryLine::kServer), 1);
}

TEST_F(ServerConnectionTest, R33LetsEachPieceLeaveInTheTurnInWhichItCame) {
  StoryServer& server = Serve([](Call& call) -> Task<Unit> {
    call.Begin();
    while (true) {
      co_await call.server.go.Wait();
      Result<Unit> written = co_await call.stream->Write(Chunk::Static("x"));
      if (!written) co_return Unit{};
    }
  });
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(kGet);
  Settle();
  for (int i = 0; i < 5; ++i) {
    int before = line->writes(MemoryLine::kServer);
    server.go.NotifyAll();
    loop.Turn();
    EXPECT_EQ(line->writes(MemoryLine::kServer), before + 1);
  }
}

TEST_F(ServerConnectionTest, R32TellsTheStoryInTheSameTurnThatItsClientLeft) {
  for (int way = 0; way < 3; ++way) {
    line = std::make_unique<MemoryLine>(loop);
    StoryServer& server = Serve(SayHiWhenTold);
    RawPeer client = Raw(MemoryLine::kClient);
    client.Send(kGet);
    Settle();
    ASSERT_EQ(server.alive, 1);
    if (way == 0) client.Finish();
    if (way == 1) client.Close();
    if (way == 2) line->Break(MemoryLine::kServer);
    Turn();
    EXPECT_EQ(server.alive, 0);
    ASSERT_EQ(server.lost.size(), 1U);
    EXPECT_EQ(server.lost[0].party, Party::kClient);
    Settle();
    After(seconds(2));
    EXPECT_TRUE(line->gone(MemoryLine::kServer));
    EXPECT_TRUE(connections.empty());
  }
}

TEST_F(ServerConnectionTest, R32NoticesThatItsClientLeftThoughLaterBytesAreHeld) {
  StoryServer& server = Serve(SayHiWhenTold);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(std::string(kGet) + std::string(kGet));
  Settle();
  client.Finish();
  Turn();
  EXPECT_EQ(server.alive, 0);
  EXPECT_EQ(server.seen.size(), 1U);
}

TEST_F(ServerConnectionTest, R32NoticesThatItsClientLeftThoughNobodyReadsItsBody) {
  StoryServer& server = Serve(ReadNothing);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(Post("/", std::string(100'000, 'b')));
  Settle();
  ASSERT_EQ(server.alive, 1);
  client.Finish();
  Turn();
  EXPECT_EQ(server.alive, 0);
}

TEST_F(ServerConnectionTest, TellsTheStoryThatTheBodyWasCut) {
  StoryServer& server = Serve(Echo);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf");
  Settle();
  client.Finish();
  Turn();
  ASSERT_EQ(server.lost.size(), 1U);
  EXPECT_EQ(server.lost[0].fault, Fault::kTruncated);
  EXPECT_EQ(server.alive, 0);
  EXPECT_EQ(client.text, "");
}

TEST_F(ServerConnectionTest, R6AnswersWhatIsRefusedThenClosesWithoutReadingOn) {
  StoryServer& server = Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send("GET / HTTP/1.1\r\nHost: h\r\nBad Name: x\r\n\r\n" + std::string(kGet));
  Settle();
  EXPECT_EQ(client.text,
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
  EXPECT_TRUE(client.ended);
  EXPECT_TRUE(server.seen.empty());
  ASSERT_EQ(server.refused.size(), 1U);
  EXPECT_EQ(server.refused[0].party, Party::kClient);
  EXPECT_EQ(server.alive, 0);
  client.Close();
  After(seconds(2));
  EXPECT_TRUE(line->gone(MemoryLine::kServer));
}

TEST_F(ServerConnectionTest, LetsTheStoryAnswerABodyThatIsTooLarge) {
  limits.codec.body_bytes = 10;
  StoryServer& server = Serve([](Call& call) -> Task<Unit> {
    Result<std::string> body = co_await call.ReadBody();
    if (!body && body.error().fault == Fault::kBodyTooLarge) call.Answer(413, "large");
    co_return Unit{};
  });
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n");
  Settle();
  client.Send("6\r\nabcdef\r\n0\r\n\r\n");
  Settle();
  EXPECT_TRUE(client.text.starts_with("HTTP/1.1 413 ")) << client.text;
  EXPECT_TRUE(client.text.find("Connection: close") != std::string::npos);
  EXPECT_TRUE(client.ended);
  EXPECT_TRUE(server.lost.empty());
}

TEST_F(ServerConnectionTest, R6ReadsALittleOfABodyThatWasAnsweredEarly) {
  StoryServer& server = Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  std::string body(50'000, 'b');
  std::string request = Post("/early", body);
  client.Send(request.substr(0, 1000));
  Settle();
  EXPECT_EQ(client.TakeText(), kHi);
  client.Send(request.substr(1000));
  client.Send(kGet);
  Settle();
  EXPECT_EQ(client.TakeText(), kHi);
  EXPECT_THAT(server.seen, testing::ElementsAre("POST /early", "GET /a"));
  EXPECT_FALSE(client.ended);
}

TEST_F(ServerConnectionTest, R6NeverTakesAnUnreadBodyForARequest) {
  StoryServer& server = Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  std::string hidden;
  while (hidden.size() < 200'000) hidden += kGet;
  client.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(hidden.size()) +
              "\r\n\r\n");
  Settle();
  EXPECT_TRUE(client.text.find("Connection: close") != std::string::npos) << client.text;
  client.Send(hidden);
  Settle();
  EXPECT_EQ(server.seen.size(), 1U);
  EXPECT_TRUE(client.ended);  // with a FIN, so that the answer is not destroyed by a reset
  EXPECT_FALSE(client.broken);
}

TEST_F(ServerConnectionTest, EndsWithoutALastChunkWhatWasGivenUp) {
  Serve([](Call& call) -> Task<Unit> {
    call.Begin();
    call.stream->Send(Chunk::Static("half"), false);
    call.stream->Reset(Fault::kReset);
    co_return Unit{};
  });
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(kGet);
  Settle();
  EXPECT_EQ(client.text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
  EXPECT_TRUE(client.ended);
}

TEST_F(ServerConnectionTest, ClosesWhenAStoryEndsWithoutAnAnswer) {
  StoryServer& server = Serve([](Call&) -> Task<Unit> { co_return Unit{}; });
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(std::string(kGet) + std::string(kGet));
  Settle();
  EXPECT_EQ(client.text, "");
  EXPECT_TRUE(client.ended);
  EXPECT_EQ(server.seen.size(), 1U);
}

TEST_F(ServerConnectionTest, R10SaysContinueOnlyWhenTheStoryDoes) {
  StoryServer& server = Serve([](Call& call) -> Task<Unit> {
    co_await call.server.go.Wait();
    Head go_on;
    go_on.status = 100;
    call.stream->SendHead(go_on, false);
    EXPECT_FALSE(call.stream->head_sent());
    Result<std::string> body = co_await call.ReadBody();
    if (body) call.Answer(200, *body);
    co_return Unit{};
  });
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  Settle();
  EXPECT_EQ(client.TakeText(), "");
  server.go.NotifyAll();
  Settle();
  EXPECT_EQ(client.TakeText(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("hi");
  Settle();
  EXPECT_EQ(client.TakeText(), kHi);
}

// Back-pressure ---------------------------------------------------------------------------------

TEST_F(ServerConnectionTest, StopsTheStoryWhenTheClientReadsNoMore) {
  StoryServer& server = Serve(SendMuch);
  RawPeer client = Raw(MemoryLine::kClient);
  client.keep = false;
  line->asleep[MemoryLine::kClient] = true;
  client.Send(kGet);
  Settle();
  EXPECT_LE(server.bytes, line->capacity + Transport::kHighWater + 20'000);
  EXPECT_EQ(server.alive, 1);
  line->asleep[MemoryLine::kClient] = false;
  Settle();
  EXPECT_EQ(server.bytes, 10'000'000U);
  EXPECT_EQ(server.alive, 0);
  EXPECT_GT(client.size, 10'000'000U);
}

TEST_F(ServerConnectionTest, R32NoticesThatAClientLeftWhoReadNoMore) {
  StoryServer& server = Serve(SendMuch);
  RawPeer client = Raw(MemoryLine::kClient);
  line->asleep[MemoryLine::kClient] = true;
  client.Send(kGet);
  Settle();
  ASSERT_EQ(server.alive, 1);
  client.Close();
  Turn();
  EXPECT_EQ(server.alive, 0);
}

TEST_F(ServerConnectionTest, R31ReadsNoMoreThanTheStoryTakes) {
  StoryServer& server = Serve(ReadNothing);
  RawPeer client = Raw(MemoryLine::kClient);
  std::string body(3'000'000, 'b');
  client.Send(Post("/", body));
  Settle();
  EXPECT_LE(line->arrived(MemoryLine::kServer), size_t{192} << 10);
  server.go.NotifyAll();
  Settle();
  EXPECT_EQ(client.text, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n3000000");
}

TEST_F(ServerConnectionTest, R31KeepsNoReadBlockForAFewBytesThatWait) {
  StoryServer& server = Serve([](Call& call) -> Task<Unit> {
    co_await call.server.go.Wait();
    Result<Chunk> chunk = co_await call.stream->Read(TimePoint::max());
    if (chunk) call.server.bytes = chunk->pinned();
    co_return Unit{};
  });
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(Post("/", "a few bytes"));
  Settle();
  server.go.NotifyAll();
  Settle();
  EXPECT_GT(server.bytes, 0U);
  EXPECT_LE(server.bytes, size_t{4} << 10);
}

// Time ------------------------------------------------------------------------------------------

TEST_F(ServerConnectionTest, R30GivesAHeadItsTimeInTotal) {
  StoryServer& server = Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  for (std::string_view head = kGet; !client.ended && !head.empty(); head.remove_prefix(1)) {
    client.Send(head.substr(0, 1));
    After(seconds(1));
  }
  EXPECT_TRUE(client.ended);
  EXPECT_TRUE(server.seen.empty());
  ASSERT_EQ(server.refused.size(), 1U);
  EXPECT_EQ(server.refused[0].fault, Fault::kTimeout);
  EXPECT_EQ(server.refused[0].party, Party::kClient);
  EXPECT_THAT(client.text, testing::HasSubstr("Connection: close\r\n"));
}

TEST_F(ServerConnectionTest, R30SaysNothingToWhoSentOnlyEmptyLines) {
  StoryServer& server = Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send("\r\n\r\n");
  After(seconds(61));
  EXPECT_TRUE(client.ended);
  EXPECT_EQ(client.text, "");
  EXPECT_TRUE(server.refused.empty());
}

TEST_F(ServerConnectionTest, R30GivesEachHeadItsOwnTime) {
  StoryServer& server = Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  for (int i = 0; i < 4; ++i) {
    client.Send(kGet.substr(0, 5));
    After(seconds(8));
    client.Send(kGet.substr(5));
    Settle();
  }
  EXPECT_EQ(server.seen.size(), 4U);
  EXPECT_FALSE(client.ended);
}

TEST_F(ServerConnectionTest, R30ClosesWhatIsIdleForTooLong) {
  Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(kGet);
  Settle();
  After(seconds(59));
  EXPECT_EQ(client.TakeText(), kHi);
  EXPECT_FALSE(client.ended);
  After(seconds(2));
  EXPECT_TRUE(client.ended);
  After(seconds(2));
  EXPECT_TRUE(line->gone(MemoryLine::kServer));
}

TEST_F(ServerConnectionTest, R30ClosesWhatNeverSaysAWord) {
  Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  After(seconds(61));
  EXPECT_TRUE(client.ended);
}

TEST_F(ServerConnectionTest, R30ClosesWhatBeginsLikeHttp2AndGoesNoFurther) {
  Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send("PRI * HT");
  After(seconds(11));
  EXPECT_TRUE(client.ended);
}

TEST_F(ServerConnectionTest, LeavesTimeToWhoeverAnswers) {
  StoryServer& server = Serve(SayHiWhenTold);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(kGet);
  After(std::chrono::hours(1));
  EXPECT_FALSE(client.ended);
  server.go.NotifyAll();
  Settle();
  EXPECT_EQ(client.text, kHi);
}

TEST_F(ServerConnectionTest, R30GivesTheRestOfABodyThatWasAnsweredEarlyItsTime) {
  Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(Post("/early", std::string(1000, 'b')).substr(0, 500));
  Settle();
  EXPECT_EQ(client.TakeText(), kHi);
  After(seconds(11));
  EXPECT_TRUE(client.ended);
}

TEST_F(ServerConnectionTest, TellsThePostOfAMethodThatBeginsLikeHttp2FromIt) {
  StoryServer& server = Serve(Echo);
  RawPeer client = Raw(MemoryLine::kClient);
  line->cut = [](size_t) { return size_t{1}; };
  client.Send(Post("/p", "one byte at a time"));
  Settle();
  EXPECT_THAT(server.seen, testing::ElementsAre("POST /p"));
  EXPECT_TRUE(client.text.ends_with("one byte at a time"));
}

// Draining --------------------------------------------------------------------------------------

TEST_F(ServerConnectionTest, R39ClosesAtOnceWhenItDrainsIdle) {
  Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(kGet);
  Settle();
  connection()->GoAway();
  Settle();
  EXPECT_TRUE(client.ended);
  After(seconds(1) + milliseconds(20));
  EXPECT_TRUE(line->gone(MemoryLine::kServer));
}

TEST_F(ServerConnectionTest, R39ClosesAtOnceWhenItDrainsUnused) {
  Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  Settle();
  connection()->GoAway();
  Settle();
  EXPECT_TRUE(client.ended);
}

TEST_F(ServerConnectionTest, R39AnswersWhatIsUnderWayWhenItDrainsAndThenCloses) {
  StoryServer& server = Serve(SayHiWhenTold);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(std::string(kGet) + std::string(kGet));
  Settle();
  connection()->GoAway();
  After(seconds(5));
  EXPECT_FALSE(client.ended);
  server.go.NotifyAll();
  Settle();
  EXPECT_EQ(client.text, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
  EXPECT_TRUE(client.ended);
  EXPECT_EQ(server.seen.size(), 1U);
}

TEST_F(ServerConnectionTest, R39AnswersARequestThatCrossesTheDrainAsTheLastOne) {
  StoryServer& server = Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(kGet.substr(0, 9));
  Settle();
  connection()->Drain();
  Settle();
  EXPECT_FALSE(client.ended);
  client.Send(std::string(kGet.substr(9)) + std::string(kGet));
  Settle();
  EXPECT_EQ(client.text, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
  EXPECT_TRUE(client.ended);
  EXPECT_EQ(server.seen.size(), 1U);
}

TEST_F(ServerConnectionTest, R39EndsAnIdleDrainWhenNoRequestCame) {
  Serve(SayHi);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(kGet);
  Settle();
  connection()->Drain();
  Settle();
  EXPECT_FALSE(client.ended);
  connection()->GoAway();
  Settle();
  EXPECT_TRUE(client.ended);
  EXPECT_EQ(client.text, kHi);
}

TEST_F(ServerConnectionTest, CutsWhatIsUnderWayWhenItIsToldToCloseNow) {
  StoryServer& server = Serve(SayHiWhenTold);
  RawPeer client = Raw(MemoryLine::kClient);
  client.Send(kGet);
  Settle();
  connection()->CloseNow();
  loop.Turn();
  EXPECT_EQ(server.alive, 0);
  EXPECT_TRUE(line->gone(MemoryLine::kServer));
  EXPECT_TRUE(connections.empty());
}

// Cancelling ------------------------------------------------------------------------------------

// A story with all kinds of waits; the test destroys it after each number of turns.
Task<Unit> WaitForEverything(Call& call) {
  Result<Chunk> first = co_await call.stream->Read(TimePoint::max());
  if (!first) co_return Unit{};
  co_await Sleep(call.server.loop, milliseconds(20));
  Result<std::string> body = co_await call.ReadBody();
  if (!body) co_return Unit{};
  call.Begin();
  std::string piece(30'000, 'x');
  for (int i = 0; i < 20; ++i) {
    Result<Unit> written = co_await call.stream->Write(Chunk::Copy(piece));
    if (!written) co_return Unit{};
  }
  call.stream->Send(Chunk(), true);
  co_return Unit{};
}

TEST_F(ServerConnectionTest, LeaksNothingWhicheverStepIsTheLast) {
  constexpr int kSteps = 60;
  int finished = 0;
  for (int steps = 0; steps < kSteps; ++steps) {
    for (bool by_client : {false, true}) {
      line = std::make_unique<MemoryLine>(loop);
      line->cut = [](size_t) { return size_t{20'000}; };
      StoryServer& server = Serve(WaitForEverything);
      RawPeer client = Raw(MemoryLine::kClient);
      client.Send(Post("/", std::string(100'000, 'b')));
      for (int i = 0; i < steps; ++i) {
        Turn();
        clock.Advance(milliseconds(5));
      }
      finished += server.seen.size() == 1 && server.alive == 0 ? 1 : 0;
      if (by_client) {
        client.Close();
      } else if (!connections.empty()) {
        connection()->CloseNow();
      }
      Settle();
      EXPECT_EQ(server.alive, 0) << steps;
      After(seconds(2));
      EXPECT_TRUE(line->gone(MemoryLine::kServer)) << steps;
      EXPECT_TRUE(connections.empty());
    }
  }
  EXPECT_GT(finished, 0) << "the story never came to its end";
}

}  // namespace
}  // namespace relay
