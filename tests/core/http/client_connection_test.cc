// SPDX-License-Identifier: MIT
// A connection to an upstream, from requests to answers and back into the pool, over HTTP/1.
#include "tests/core/http/connection_test.h"

namespace relay {
namespace {

using std::chrono::seconds;

struct ClientConnectionTest : ConnectionTest {
  std::unique_ptr<RawPeer> upstream;
  ClientConnection* client = nullptr;

  void Connect() {
    connections.ForEach([](Connection& connection) { connection.CloseNow(); });
    loop.Turn();
    upstream.reset();
    line = std::make_unique<MemoryLine>(loop);
    client = &Dial();
    upstream = std::make_unique<RawPeer>(line->Take(MemoryLine::kServer));
  }
  std::unique_ptr<Asked> Ask(const Head& head, std::string_view body = "", bool reads = true,
                             TimePoint deadline = TimePoint::max()) {
    Buffer bytes;
    bytes.AppendCopy(body);
    Result<std::unique_ptr<Stream>> stream = client->Open(head, std::move(bytes));
    EXPECT_TRUE(stream) << stream.error().what;
    auto asked = std::make_unique<Asked>();
    asked->stream = *std::move(stream);
    asked->stream->Watch(asked.get());
    asked->reads = reads;
    asked->deadline = deadline;
    asked->root = Asked::ReadAll(*asked);
    asked->root.Start([](void*) noexcept {}, nullptr);
    Settle();
    return asked;
  }
  void End(std::unique_ptr<Asked> asked) {
    loop.Bury(std::move(asked));
    loop.Turn();
  }
  // One request and its answer, so that the connection was used before.
  void UseOnce() {
    auto asked = Ask(Get("/first"));
    upstream->Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    Settle();
    EXPECT_TRUE(asked->whole);
    EXPECT_FALSE(asked->stream->reused());
    EXPECT_FALSE(client->usable());
    End(std::move(asked));
    upstream->TakeText();
  }
};

TEST_F(ClientConnectionTest, SendsRequestsAndReadsTheirAnswersOneAfterAnother) {
  Connect();
  EXPECT_TRUE(client->usable());
  EXPECT_FALSE(client->multiplexed());
  auto asked = Ask(PostHead("/v1/messages", 4), "body");
  EXPECT_EQ(upstream->TakeText(),
            "POST /v1/messages HTTP/1.1\r\nHost: up\r\nContent-Length: 4\r\n\r\nbody");
  upstream->Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  Settle();
  EXPECT_EQ(asked->status, 200);
  EXPECT_EQ(asked->body, "abc");
  EXPECT_FALSE(asked->whole);
  upstream->Send("3\r\ndef\r\n0\r\n\r\n");
  Settle();
  EXPECT_EQ(asked->body, "abcdef");
  EXPECT_TRUE(asked->whole);
  End(std::move(asked));
  ASSERT_TRUE(client->usable());
  asked = Ask(Get("/again"));
  EXPECT_TRUE(asked->stream->reused());
  EXPECT_EQ(upstream->TakeText(), "GET /again HTTP/1.1\r\nHost: up\r\n\r\n");
  upstream->Send("HTTP/1.1 204 No Content\r\n\r\n");
  Settle();
  EXPECT_EQ(asked->status, 204);
  EXPECT_TRUE(asked->whole);
}

TEST_F(ClientConnectionTest, SendsHeadAndBodyInOneWrite) {
  Connect();
  auto asked = Ask(PostHead("/", 4), "body");
  EXPECT_EQ(line->writes(MemoryLine::kClient), 1);
}

TEST_F(ClientConnectionTest, RefusesASecondRequestAtOnce) {
  Connect();
  auto asked = Ask(Get("/"));
  EXPECT_FALSE(client->usable());
  EXPECT_FALSE(client->Open(Get("/second"), Buffer()));
}

TEST_F(ClientConnectionTest, EndsAtOnceWhenTheUpstreamClosesItIdle) {
  for (bool used : {false, true}) {
    Connect();
    if (used) UseOnce();
    upstream->Finish();
    line->Step();
    EXPECT_FALSE(client->usable());
    loop.Turn();
    EXPECT_TRUE(connections.empty());
    EXPECT_TRUE(line->gone(MemoryLine::kClient));
  }
}

TEST_F(ClientConnectionTest, R12EndsAtOnceWhenTheUpstreamSendsWhatNobodyAskedFor) {
  Connect();
  UseOnce();
  upstream->Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  line->Step();
  EXPECT_FALSE(client->usable());
  loop.Turn();
  EXPECT_TRUE(line->gone(MemoryLine::kClient));
}

TEST_F(ClientConnectionTest, R12NeverReusesWhatSentMoreThanItsAnswer) {
  Connect();
  auto asked = Ask(Get("/"));
  upstream->Send(
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  Settle();
  EXPECT_TRUE(asked->whole);
  EXPECT_EQ(asked->body, "hi");
  EXPECT_TRUE(asked->lost.empty());
  EXPECT_TRUE(connections.empty());
}

TEST_F(ClientConnectionTest, R36TellsAStaleConnectionFromABrokenAnswer) {
  struct Case {
    bool used;
    std::string_view sent;
    bool by_reset;
    bool stale;
    Fault fault;
  };
  constexpr std::string_view kHalfHead = "HTTP/1.1 200 O";
  constexpr std::string_view kHead = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
  for (const Case& one : {
           Case{true, "", false, true, Fault::kReset},
           Case{true, "", true, true, Fault::kReset},
           Case{false, "", false, false, Fault::kReset},
           Case{false, "", true, false, Fault::kReset},
           Case{true, kHalfHead, false, false, Fault::kTruncated},
           Case{true, kHalfHead, true, false, Fault::kReset},
           Case{true, kHead, false, false, Fault::kTruncated},
           Case{true, kHead, true, false, Fault::kReset},
       }) {
    SCOPED_TRACE(std::string(one.sent) + (one.by_reset ? " reset" : " end"));
    Connect();
    if (one.used) UseOnce();
    auto asked = Ask(Get("/"));
    if (!one.sent.empty()) upstream->Send(one.sent);
    Settle();
    if (one.by_reset) {
      line->Break(MemoryLine::kClient);
    } else {
      upstream->Finish();
    }
    Settle();
    ASSERT_TRUE(asked->fault);
    EXPECT_EQ(asked->stream->stale(), one.stale);
    EXPECT_EQ(asked->stream->reused(), one.used);
    EXPECT_EQ(asked->fault->fault, one.fault);
    EXPECT_EQ(asked->fault->party, Party::kUpstream);
    EXPECT_EQ(asked->lost.size(), 1U);
    EXPECT_TRUE(connections.empty());
    if (one.sent != kHead) {
      EXPECT_TRUE(asked->fault->retryable);
    }
    End(std::move(asked));
  }
}

TEST_F(ClientConnectionTest, CompletesAnAnswerThatOnlyTheEndDelimits) {
  Connect();
  auto asked = Ask(Get("/"));
  upstream->Send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
  Settle();
  EXPECT_FALSE(asked->whole);
  upstream->Finish();
  Settle();
  EXPECT_EQ(asked->body, "until the end");
  EXPECT_TRUE(asked->whole);
  EXPECT_TRUE(asked->lost.empty());
  EXPECT_TRUE(connections.empty());
}

TEST_F(ClientConnectionTest, GivesWhatCameBeforeAnAnswerWasCut) {
  Connect();
  auto asked = Ask(Get("/"), "", /*reads=*/false);
  upstream->Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
  Settle();
  upstream->Finish();
  Settle();
  asked->reads = true;
  asked->root = Asked::ReadAll(*asked);  // its head was taken before
  Result<Chunk> chunk = asked->stream->Read(TimePoint::max()).await_resume();
  ASSERT_TRUE(chunk);
  EXPECT_EQ(chunk->view(), "half");
  chunk = asked->stream->Read(TimePoint::max()).await_resume();
  ASSERT_FALSE(chunk);
  EXPECT_EQ(chunk.error().fault, Fault::kTruncated);
}

TEST_F(ClientConnectionTest, R12CallsNonsenseTheUpstreamsFault) {
  for (std::string_view nonsense :
       {"SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n"}) {
    Connect();
    auto asked = Ask(Get("/"));
    upstream->Send(nonsense);
    Settle();
    ASSERT_TRUE(asked->fault) << nonsense;
    EXPECT_EQ(asked->fault->party, Party::kUpstream);
    EXPECT_EQ(asked->fault->fault, Fault::kMalformed);
    EXPECT_FALSE(asked->stream->stale());
    EXPECT_TRUE(line->gone(MemoryLine::kClient));
    End(std::move(asked));
  }
}

TEST_F(ClientConnectionTest, IsUsedNoMoreAfterConnectionClose) {
  Connect();
  auto asked = Ask(Get("/"));
  upstream->Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
  Settle();
  EXPECT_TRUE(asked->whole);
  EXPECT_FALSE(client->usable());
  End(std::move(asked));
  EXPECT_TRUE(line->gone(MemoryLine::kClient));
}

TEST_F(ClientConnectionTest, TakesAnAnswerThatCameBeforeTheBodyWasSent) {
  Connect();
  line->asleep[MemoryLine::kServer] = true;
  std::string body(1'000'000, 'b');
  auto asked = Ask(PostHead("/", body.size()), body);
  upstream->Send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
  Settle();
  EXPECT_EQ(asked->status, 413);
  EXPECT_EQ(asked->body, "no");
  EXPECT_TRUE(asked->whole);
}

TEST_F(ClientConnectionTest, R32ResetsTheUpstreamInTheSameTurnWhenTheStoryEnds) {
  Connect();
  auto asked = Ask(Get("/"));
  upstream->Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
  Settle();
  End(std::move(asked));
  EXPECT_TRUE(line->gone(MemoryLine::kClient));
  EXPECT_TRUE(connections.empty());
}

TEST_F(ClientConnectionTest, EndsWaitsAtTheirDeadlines) {
  Connect();
  auto asked = Ask(Get("/"), "", true, loop.Now() + seconds(5));
  After(seconds(4));
  EXPECT_FALSE(asked->fault);
  After(seconds(2));
  ASSERT_TRUE(asked->fault);
  EXPECT_EQ(asked->fault->fault, Fault::kTimeout);
  EXPECT_EQ(asked->fault->party, Party::kUpstream);
  EXPECT_TRUE(asked->lost.empty());
  End(std::move(asked));

  Connect();
  asked = Ask(Get("/"), "", true, loop.Now() + seconds(5));
  upstream->Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
  Settle();
  After(seconds(6));
  ASSERT_TRUE(asked->fault);
  EXPECT_EQ(asked->body, "half");
  EXPECT_EQ(asked->fault->fault, Fault::kTimeout);
}

TEST_F(ClientConnectionTest, ClosesWhenItStaysIdle) {
  Connect();
  After(seconds(50));
  UseOnce();
  After(seconds(50));
  EXPECT_TRUE(client->usable());
  After(seconds(11));
  EXPECT_TRUE(connections.empty());
  EXPECT_TRUE(upstream->ended);
}

TEST_F(ClientConnectionTest, R31ReadsNoMoreThanTheStoryTakes) {
  Connect();
  auto asked = Ask(Get("/"), "", /*reads=*/false);
  std::string body(3'000'000, 'b');
  upstream->Send("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + body);
  Settle();
  EXPECT_EQ(asked->status, 200);
  EXPECT_LE(line->arrived(MemoryLine::kClient), size_t{192} << 10);
  size_t got = 0;
  while (!asked->stream->at_end()) {
    Result<Chunk> chunk = asked->stream->Read(TimePoint::max()).await_resume();
    if (!chunk) {
      Turn();
      continue;
    }
    got += chunk->size();
    Turn();
  }
  EXPECT_EQ(got, body.size());
}

TEST_F(ClientConnectionTest, GoesAwayAtOnceWhenIdleAndAfterItsAnswerWhenNot) {
  Connect();
  UseOnce();
  client->GoAway();
  loop.Turn();
  EXPECT_TRUE(connections.empty());

  Connect();
  auto asked = Ask(Get("/"));
  client->GoAway();
  EXPECT_FALSE(client->usable());
  upstream->Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
  Settle();
  EXPECT_TRUE(asked->whole);
  End(std::move(asked));
  EXPECT_TRUE(connections.empty());
}

TEST_F(ClientConnectionTest, LeaksNothingWhicheverStepIsTheLast) {
  constexpr int kSteps = 80;
  int finished = 0;
  for (int steps = 0; steps < kSteps; ++steps) {
    for (int way = 0; way < 3; ++way) {
      Connect();
      line->cut = [](size_t) { return size_t{7}; };
      Buffer body;
      body.AppendCopy("request");
      Result<std::unique_ptr<Stream>> stream = client->Open(PostHead("/", 7), std::move(body));
      ASSERT_TRUE(stream);
      auto asked = std::make_unique<Asked>();
      asked->stream = *std::move(stream);
      asked->root = Asked::ReadAll(*asked);
      asked->root.Start([](void*) noexcept {}, nullptr);
      upstream->Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
      upstream->Send("100\r\n" + std::string(256, 'x') + "\r\n0\r\n\r\n");
      for (int i = 0; i < steps; ++i) Turn();
      finished += asked->whole ? 1 : 0;
      if (way == 0) line->Break(MemoryLine::kClient);
      if (way == 1) client->CloseNow();
      if (way < 2) loop.Turn();
      bool whole = asked->whole;
      EXPECT_EQ(whole, !asked->fault.has_value() && way < 2 ? true : whole);
      End(std::move(asked));
      Settle();
      if (!whole || way < 2) {
        EXPECT_TRUE(line->gone(MemoryLine::kClient)) << steps << " " << way;
      }
    }
  }
  EXPECT_GT(finished, 0) << "the answer never came to its end";
}

}  // namespace
}  // namespace relay
