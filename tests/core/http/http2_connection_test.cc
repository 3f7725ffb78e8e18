// SPDX-License-Identifier: MIT
// Connections over HTTP/2: many streams at once, windows, and what ends one stream or all of them.
#include "tests/core/http/connection_test.h"
#include "tests/core/http/http2_peer.h"

namespace relay {
namespace {

using std::chrono::seconds;

struct Http2ConnectionTest : ConnectionTest {
  ClientConnection* client = nullptr;

  StoryServer& Connect(Story story) {
    line = std::make_unique<MemoryLine>(loop, "h2");
    StoryServer& server = Serve(story);
    client = &Dial();
    Settle();
    return server;
  }
  std::unique_ptr<Asked> Ask(const Head& head, std::string_view body = "", bool reads = true) {
    Buffer bytes;
    if (!body.empty()) bytes.Append(Chunk::Copy(body));
    Result<std::unique_ptr<Stream>> stream = client->Open(head, std::move(bytes));
    EXPECT_TRUE(stream) << stream.error().what;
    auto asked = std::make_unique<Asked>();
    asked->stream = *std::move(stream);
    asked->stream->Watch(asked.get());
    asked->reads = reads;
    asked->root = Asked::ReadAll(*asked);
    asked->root.Start([](void*) noexcept {}, nullptr);
    Settle();
    return asked;
  }
  // Goes on reading what Ask left unread after the head; the bytes that came.
  size_t ReadOn(Asked& asked) {
    size_t got = 0;
    for (int i = 0; i < 100'000 && !asked.stream->at_end(); ++i) {
      TimePoint now = loop.Now();
      Stream::ReadOp read = asked.stream->Read(now);
      if (!read.await_ready()) {
        Turn();
        continue;
      }
      Result<Chunk> chunk = read.await_resume();
      if (!chunk) return got;
      got += chunk->size();
      Turn();
    }
    return got;
  }
  void End(std::unique_ptr<Asked> asked) {
    loop.Bury(std::move(asked));
    loop.Turn();
  }
};

// What the path asks for: /hi, /wait, /much, /rest.
Task<Unit> Various(Call& call) {
  if (call.head.target == "/hi") call.Answer(200, "hi");
  if (call.head.target == "/wait") {
    co_await call.server.go.Wait();
    call.Answer(200, "hi");
  }
  if (call.head.target == "/much") {
    call.Begin();
    std::string piece(10'000, 'x');
    for (int i = 0; i < 1000; ++i) {
      Result<Unit> written = co_await call.stream->Write(Chunk::Copy(piece));
      if (!written) co_return Unit{};
      call.server.bytes += piece.size();
    }
    call.stream->Send(Chunk(), true);
  }
  // More than the window lets through, by a story that does not stay to see it go.
  if (call.head.target == "/rest") {
    call.Begin();
    call.stream->Send(Chunk::Copy(std::string(500'000, 'r')), true);
  }
  co_return Unit{};
}

TEST_F(Http2ConnectionTest, CarriesManyRequestsAtOnce) {
  StoryServer& server = Connect(Various);
  EXPECT_TRUE(client->multiplexed());
  std::vector<std::unique_ptr<Asked>> all;
  for (int i = 0; i < 100; ++i) all.push_back(Ask(Get("/wait")));
  EXPECT_EQ(server.alive, 100);
  EXPECT_FALSE(client->usable());
  server.go.NotifyAll();
  Settle();
  for (auto& asked : all) {
    EXPECT_TRUE(asked->whole);
    EXPECT_EQ(asked->body, "hi");
    End(std::move(asked));
  }
  EXPECT_EQ(server.alive, 0);
  EXPECT_TRUE(client->usable());
}

TEST_F(Http2ConnectionTest, R31BoundsWhatAStalledStreamHoldsAndLetsOthersPass) {
  StoryServer& server = Connect(Various);
  auto stalled = Ask(Get("/much"), "", /*reads=*/false);
  Settle();
  // One window at the client, one high-water mark here.
  EXPECT_LE(server.bytes, (size_t{320} << 10) + 20'000);
  auto other = Ask(Get("/hi"));
  EXPECT_TRUE(other->whole);
  EXPECT_EQ(ReadOn(*stalled), 10'000'000U);
  EXPECT_TRUE(stalled->stream->at_end());
  EXPECT_EQ(server.bytes, 10'000'000U);
  EXPECT_EQ(server.alive, 0);
}

TEST_F(Http2ConnectionTest, SendsTheRestOfAnAnswerWhoseStoryHasEnded) {
  StoryServer& server = Connect(Various);
  auto asked = Ask(Get("/rest"), "", /*reads=*/false);
  EXPECT_EQ(server.alive, 0);
  EXPECT_EQ(connections.front()->active_streams(), 1U);
  EXPECT_EQ(ReadOn(*asked), 500'000U);
  EXPECT_TRUE(asked->stream->at_end());
  EXPECT_FALSE(asked->stream->fault());
  Settle();
  EXPECT_EQ(connections.front()->active_streams(), 0U);
}

TEST_F(Http2ConnectionTest, R30GivesUpAStreamWhoseWindowStaysClosed) {
  StoryServer& server = Connect(Various);
  auto much = Ask(Get("/much"), "", /*reads=*/false);
  auto rest = Ask(Get("/rest"), "", /*reads=*/false);
  ASSERT_EQ(server.alive, 1);
  After(seconds(59));
  EXPECT_EQ(server.alive, 1);
  After(seconds(2));
  EXPECT_EQ(server.alive, 0);
  ASSERT_EQ(server.lost.size(), 1U);
  EXPECT_EQ(server.lost[0].fault, Fault::kTimeout);
  EXPECT_EQ(server.lost[0].party, Party::kClient);
  EXPECT_EQ(connections.front()->active_streams(), 0U);
  EXPECT_EQ(much->lost.size(), 1U);
  EXPECT_EQ(rest->lost.size(), 1U);
  auto other = Ask(Get("/hi"));
  EXPECT_TRUE(other->whole);
}

TEST_F(Http2ConnectionTest, KeepsAStreamWhoseClientIsSlowButReads) {
  StoryServer& server = Connect(Various);
  auto asked = Ask(Get("/much"), "", /*reads=*/false);
  for (int i = 0; i < 20; ++i) {
    for (int chunk = 0; chunk < 20; ++chunk) {
      Result<Chunk> read = asked->stream->Read(loop.Now()).await_resume();
      ASSERT_TRUE(read);
      Settle();
    }
    After(seconds(50));
  }
  EXPECT_TRUE(server.lost.empty());
  EXPECT_EQ(server.alive, 1);
}

TEST_F(Http2ConnectionTest, R32TellsTheStoryInTheSameTurnThatItsStreamWasReset) {
  StoryServer& server = Connect(Various);
  auto gone = Ask(Get("/wait"));
  auto stays = Ask(Get("/wait"));
  ASSERT_EQ(server.alive, 2);
  End(std::move(gone));
  Turn();
  EXPECT_EQ(server.alive, 1);
  ASSERT_EQ(server.lost.size(), 1U);
  EXPECT_EQ(server.lost[0].fault, Fault::kCancelled);
  server.go.NotifyAll();
  Settle();
  EXPECT_TRUE(stays->whole);
}

TEST_F(Http2ConnectionTest, R32TellsAllStoriesThatTheConnectionBroke) {
  StoryServer& server = Connect(Various);
  std::vector<std::unique_ptr<Asked>> all;
  for (int i = 0; i < 5; ++i) all.push_back(Ask(Get("/wait")));
  line->Break(MemoryLine::kServer);
  line->Break(MemoryLine::kClient);
  loop.Turn();
  EXPECT_EQ(server.alive, 0);
  EXPECT_EQ(server.lost.size(), 5U);
  for (auto& asked : all) {
    ASSERT_TRUE(asked->fault);
    EXPECT_EQ(asked->fault->party, Party::kUpstream);
    EXPECT_TRUE(asked->fault->retryable);
  }
  EXPECT_TRUE(connections.empty());
}

TEST_F(Http2ConnectionTest, AnswersEarlyAndLivesOn) {
  StoryServer& server = Connect([](Call& call) -> Task<Unit> {
    call.Answer(401, "who are you");
    co_return Unit{};
  });
  std::string body(1'000'000, 'b');
  for (int i = 0; i < 3; ++i) {
    auto asked = Ask(PostHead("/", body.size()), body);
    EXPECT_EQ(asked->status, 401);
    EXPECT_EQ(asked->body, "who are you");
    EXPECT_TRUE(asked->whole);
    EXPECT_TRUE(asked->lost.empty());
    End(std::move(asked));
    Settle();
    ASSERT_TRUE(client->usable());
  }
  EXPECT_EQ(server.seen.size(), 3U);
  EXPECT_EQ(server.alive, 0);
}

TEST_F(Http2ConnectionTest, TellsAStaleConnectionFromAStreamThatWasReset) {
  for (bool by_stream : {false, true}) {
    StoryServer& server = Connect([](Call& call) -> Task<Unit> {
      if (call.head.target == "/hi") call.Answer(200, "hi");
      if (call.head.target == "/reset") call.stream->Reset(Fault::kInternal);
      if (call.head.target == "/wait") co_await call.server.go.Wait();
      co_return Unit{};
    });
    auto first = Ask(Get("/hi"));
    EXPECT_TRUE(first->whole);
    auto asked = Ask(Get(by_stream ? "/reset" : "/wait"));
    if (!by_stream) line->Break(MemoryLine::kClient);
    Settle();
    ASSERT_TRUE(asked->fault);
    EXPECT_EQ(asked->fault->fault, Fault::kReset);
    EXPECT_EQ(asked->stream->stale(), !by_stream);
    EXPECT_EQ(server.seen.size(), 2U);
    connections.ForEach([](Connection& left) { left.CloseNow(); });
    loop.Turn();
  }
}

TEST_F(Http2ConnectionTest, R36SaysOfWhatTheUpstreamDidNothingThatItMayBeSentAgain) {
  const std::string kNothingDone[] = {h2::Rst(1, 7), h2::GoAway(0)};
  for (const std::string& said : kNothingDone) {
    line = std::make_unique<MemoryLine>(loop, "h2");
    RawPeer upstream = Raw(MemoryLine::kServer);
    client = &Dial();
    auto asked = Ask(PostHead("/", 2), "hi");
    EXPECT_FALSE(asked->stream->stale());
    upstream.Send(h2::Settings() + said);
    Settle();
    ASSERT_TRUE(asked->fault);
    EXPECT_EQ(asked->fault->fault, Fault::kUnprocessed);
    EXPECT_FALSE(asked->stream->reused());
    EXPECT_TRUE(asked->stream->stale());
    End(std::move(asked));
    connections.ForEach([](Connection& left) { left.CloseNow(); });
    loop.Turn();
  }
}

// Time ------------------------------------------------------------------------------------------

TEST_F(Http2ConnectionTest, R30ClosesWhatIsIdleForTooLong) {
  Connect(Various);
  auto asked = Ask(Get("/hi"));
  End(std::move(asked));
  After(seconds(61));
  After(seconds(2));
  EXPECT_TRUE(line->gone(MemoryLine::kServer));
  EXPECT_TRUE(connections.empty());
}

TEST_F(Http2ConnectionTest, R30GivesHalfAHeaderBlockItsTimeThoughOtherStreamsRun) {
  line = std::make_unique<MemoryLine>(loop, "h2");
  StoryServer& server = Serve(Various);
  RawPeer peer = Raw(MemoryLine::kClient);
  peer.Send(std::string(h2::kPreface) + h2::Settings() +
            h2::Headers(1, h2::Request("GET", "/wait")));
  Settle();
  ASSERT_EQ(server.alive, 1);
  After(std::chrono::hours(1));
  ASSERT_EQ(server.alive, 1);
  peer.Send(h2::Headers(3, h2::Request("GET", "/wait")).substr(0, 12));
  Settle();
  After(seconds(9));
  EXPECT_EQ(server.alive, 1);
  After(seconds(2));
  EXPECT_EQ(server.alive, 0);
  EXPECT_TRUE(peer.ended);
}

TEST_F(Http2ConnectionTest, KnowsAClientWithPriorKnowledgeByItsPrefaceCutAnywhere) {
  line->cut = [](size_t) { return size_t{1}; };
  StoryServer& server = Serve(Various);
  RawPeer peer = Raw(MemoryLine::kClient);
  peer.Send(std::string(h2::kPreface) + h2::Settings() + h2::Headers(1, h2::Request("GET", "/hi")));
  Settle();
  EXPECT_THAT(server.seen, testing::ElementsAre("GET /hi"));
  EXPECT_EQ(server.alive, 0);
  EXPECT_NE(peer.text.find("hi"), std::string::npos);
}

TEST_F(Http2ConnectionTest, AsksASilentUpstreamForASignOfLife) {
  Connect(Various);
  auto asked = Ask(Get("/wait"));
  for (int i = 0; i < 10; ++i) After(seconds(40));
  EXPECT_FALSE(asked->fault);
  line->asleep[MemoryLine::kServer] = true;
  After(seconds(31));
  EXPECT_FALSE(asked->fault);
  After(seconds(16));
  ASSERT_TRUE(asked->fault);
  EXPECT_EQ(asked->fault->fault, Fault::kTimeout);
  EXPECT_EQ(asked->fault->party, Party::kUpstream);
  EXPECT_FALSE(asked->stream->stale());
}

// Draining --------------------------------------------------------------------------------------

TEST_F(Http2ConnectionTest, R39ServesWhatIsUnderWayWhenItDrainsAndThenCloses) {
  StoryServer& server = Connect(Various);
  auto asked = Ask(Get("/wait"));
  connections.front()->GoAway();
  Settle();
  EXPECT_FALSE(client->usable());
  After(seconds(20));
  EXPECT_FALSE(asked->fault);
  server.go.NotifyAll();
  Settle();
  EXPECT_TRUE(asked->whole);
  EXPECT_TRUE(asked->lost.empty());
  End(std::move(asked));
  Settle();
  EXPECT_TRUE(connections.empty());
}

TEST_F(Http2ConnectionTest, R39ClosesSoonWhenItDrainsIdleThoughItsClientSaysNothing) {
  line = std::make_unique<MemoryLine>(loop, "h2");
  Serve(Various);
  RawPeer peer = Raw(MemoryLine::kClient);
  peer.Send(std::string(h2::kPreface) + h2::Settings());
  Settle();
  connections.front()->GoAway();
  Settle();
  EXPECT_FALSE(peer.ended);
  After(std::chrono::milliseconds(520));
  EXPECT_TRUE(peer.ended);
}

// Cancelling ------------------------------------------------------------------------------------

TEST_F(Http2ConnectionTest, LeaksNothingWhicheverStepIsTheLast) {
  int finished = 0;
  for (int steps = 0; steps < 60; ++steps) {
    for (int way = 0; way < 4; ++way) {
      line = std::make_unique<MemoryLine>(loop, "h2");
      line->cut = [](size_t) { return size_t{10'000}; };
      StoryServer& server = Serve([](Call& call) -> Task<Unit> {
        Result<std::string> body = co_await call.ReadBody();
        if (!body) co_return Unit{};
        call.Begin();
        for (int i = 0; i < 5; ++i) {
          Result<Unit> written = co_await call.stream->Write(Chunk::Copy(*body));
          if (!written) co_return Unit{};
        }
        call.stream->Send(Chunk(), true);
        co_return Unit{};
      });
      client = &Dial();
      Buffer body;
      body.Append(Chunk::Copy(std::string(40'000, 'b')));
      Result<std::unique_ptr<Stream>> stream = client->Open(PostHead("/", 40'000), std::move(body));
      ASSERT_TRUE(stream);
      auto asked = std::make_unique<Asked>();
      asked->stream = *std::move(stream);
      asked->root = Asked::ReadAll(*asked);
      asked->root.Start([](void*) noexcept {}, nullptr);
      for (int i = 0; i < steps; ++i) Turn();
      finished += asked->whole ? 1 : 0;
      if (way == 0) End(std::move(asked));
      if (way == 1) client->CloseNow();
      if (way == 2) connections.front()->CloseNow();
      if (way == 3) line->Break(MemoryLine::kServer);
      Settle();
      EXPECT_EQ(server.alive, 0) << steps << " " << way;
      if (asked != nullptr) {
        EXPECT_TRUE(asked->whole || asked->fault) << steps << " " << way;
        End(std::move(asked));
      }
      connections.ForEach([](Connection& left) { left.CloseNow(); });
      After(seconds(2));
      EXPECT_TRUE(connections.empty());
    }
  }
  EXPECT_GT(finished, 0) << "the answer never came to its end";
}

}  // namespace
}  // namespace relay
