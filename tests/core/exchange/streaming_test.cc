// SPDX-License-Identifier: MIT
// Answers that come in pieces: nothing is held, silence is bridged, a slow client is waited for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/exchange/events.h"
#include "tests/core/exchange/story_world.h"

namespace relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

TEST(Streaming, R33SendsEachPieceOnInTheTurnInWhichItCame) {
  StoryWorld world;
  world.BeginStream();
  world.Stream(kStart);
  size_t before = world.client().text.size();
  // The end of an event is nothing that anybody waits for.
  world.upstream.calls.back()->vendor->Send(ScriptedUpstream::Piece("event: content_bl"));
  world.upstream.Step();
  world.loop.Turn();
  world.line().Step();
  EXPECT_GT(world.client().text.size(), before);
  EXPECT_THAT(world.Unchunked(), EndsWith("event: content_bl"));
}

TEST(Streaming, KeepsTheClientWaitingWithThePingOfItsDialect) {
  StoryWorld world;
  world.BeginStream();
  world.Advance(milliseconds(14'900));
  EXPECT_EQ(world.client().text, "");
  world.Advance(milliseconds(200));
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.answer_head(), HasSubstr("content-type: text/event-stream"));
  EXPECT_THAT(world.answer_head(), HasSubstr("x-relay-request-id: req_"));
  EXPECT_EQ(world.Unchunked(), kPing);
  world.Advance(milliseconds(15'100));
  EXPECT_EQ(world.Unchunked(), kPing + kPing);
  // The answer follows as if nothing had been said.
  world.Stream(kStart + kStop);
  world.EndStream();
  EXPECT_EQ(world.Unchunked(), kPing + kPing + kStart + kStop);
  EXPECT_TRUE(world.EndedWell());
  EXPECT_EQ(world.outcome().end, Outcome::End::kComplete);
}

TEST(Streaming, KeepsASilentStreamAliveInTheMiddle) {
  StoryWorld world;
  world.BeginStream();
  world.Stream(kStart);
  for (int i = 0; i < 3; ++i) {
    // Each piece of the answer is a sign of life of its own.
    world.Advance(seconds(10));
    world.Stream(kDelta);
  }
  EXPECT_THAT(world.Unchunked(), Not(HasSubstr("ping")));
  world.Advance(milliseconds(15'100));
  EXPECT_THAT(world.Unchunked(), EndsWith(kDelta + kPing));
}

TEST(Streaming, SaysNothingInsideAnEvent) {
  StoryWorld world;
  world.BeginStream();
  world.Stream(kStart + kDelta.substr(0, 30));
  world.Advance(seconds(40));
  EXPECT_EQ(world.Unchunked(), kStart + kDelta.substr(0, 30));
  world.Stream(kDelta.substr(30));
  world.Advance(milliseconds(15'100));
  EXPECT_EQ(world.Unchunked(), kStart + kDelta + kPing);
}

TEST(Streaming, KeepsAnOpenaiClientWaitingWithAComment) {
  StoryWorld world("openai");
  world.BeginStream();
  world.Advance(milliseconds(15'100));
  EXPECT_EQ(world.Unchunked(), ": keep-alive\n\n");
}

TEST(Streaming, SaysNothingToASilentGeminiStream) {
  StoryWorld world("gemini");
  world.BeginStream();
  world.Advance(seconds(100));
  EXPECT_EQ(world.client().text, "");
  world.Stream(kGoogle);
  world.Advance(seconds(100));
  EXPECT_EQ(world.Unchunked(), kGoogle);
}

TEST(Streaming, SaysNothingToWhoeverWaitsForNoStream) {
  StoryWorld world;
  world.upstream.reply = "";
  world.Ask("POST /api/v1/messages", {}, R"({"model":"m"})");
  world.Advance(seconds(100));
  EXPECT_EQ(world.client().text, "");
  world.Say(ScriptedUpstream::Json(200, "{}"));
  EXPECT_EQ(world.status(), 200);
}

// Whoever promised a length could neither ping nor tell of a cut.
TEST(Streaming, PromisesNoLengthForAStreamOfEvents) {
  StoryWorld world;
  world.BeginStream();
  world.Say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: " +
            std::to_string(kStart.size() + kStop.size()) + "\r\n\r\n" + kStart);
  world.Advance(milliseconds(15'100));
  world.Say(kStop);
  EXPECT_EQ(world.Unchunked(), kStart + kPing + kStop);
  EXPECT_TRUE(world.EndedWell());
}

TEST(Streaming, R32FreesTheUpstreamInTheTurnInWhichTheClientLeaves) {
  for (bool answering : {false, true}) {
    SCOPED_TRACE(answering);
    StoryWorld world;
    world.BeginStream();
    if (answering) world.Stream(kStart);
    MemoryLine& to_vendor = world.upstream.calls.back()->line;
    world.HangUp();
    world.line().Step();  // the poll phase of this turn learns of it
    EXPECT_FALSE(to_vendor.gone(MemoryLine::kClient));
    world.loop.Turn();
    EXPECT_TRUE(to_vendor.gone(MemoryLine::kClient));
    EXPECT_EQ(world.outcome().end, Outcome::End::kClientGone);
    EXPECT_EQ(world.outcome().committed, answering);
    world.ExpectNothingHeld();
  }
}

TEST(Streaming, R32NoticesAClientThatLeavesWhileItReadsNothing) {
  StoryWorld world;
  world.BeginStream();
  world.line().asleep[MemoryLine::kClient] = true;
  world.Stream(kStart);
  for (int i = 0; i < 100; ++i) world.Stream(std::string(16'000, 'x'));
  world.line().Break(MemoryLine::kServer);
  world.Run();
  EXPECT_EQ(world.outcome().end, Outcome::End::kClientGone);
  EXPECT_TRUE(world.upstream.calls.back()->vendor->ended);
  world.ExpectNothingHeld();
}

TEST(Streaming, R31ReadsFromTheUpstreamNoFasterThanTheClientTakes) {
  StoryWorld world;
  world.scribes[0]->writes_chunks = world.scribes[1]->writes_chunks = false;
  world.BeginStream();
  world.line().asleep[MemoryLine::kClient] = true;
  world.Stream(kStart);
  constexpr size_t kSize = size_t{8} << 20;
  world.Say(ScriptedUpstream::Piece(std::string(kSize, 'x')));
  MemoryLine& to_vendor = world.upstream.calls.back()->line;
  uint64_t taken = to_vendor.arrived(MemoryLine::kClient);
  // The line to the client holds as much as a kernel would; what is beyond is the relay's.
  uint64_t sent = world.line().in_flight(MemoryLine::kClient);
  EXPECT_GT(taken, size_t{64} << 10);
  EXPECT_LE(taken - sent, size_t{256} << 10);
  world.line().asleep[MemoryLine::kClient] = false;
  world.Run();
  world.Stream("\n\n" + kStop);
  world.EndStream();
  EXPECT_EQ(world.Unchunked().size(), kStart.size() + kSize + 2 + kStop.size());
  EXPECT_TRUE(world.EndedWell());
  EXPECT_EQ(world.outcome().end, Outcome::End::kComplete);
}

TEST(Streaming, CountsWhatWentOut) {
  StoryWorld world;
  world.BeginStream();
  world.clock.Advance(seconds(2));
  world.Stream(kStart + kStop);
  world.EndStream();
  EXPECT_EQ(world.outcome().bytes_out, kStart.size() + kStop.size());
  EXPECT_EQ(world.outcome().first_byte, seconds(2));
  EXPECT_EQ(world.outcome().attempts, 1);
}

}  // namespace
}  // namespace relay
