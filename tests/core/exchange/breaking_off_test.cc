// SPDX-License-Identifier: MIT
// Answers that end too early, by the upstream's doing or ours: the client is told in its dialect
// where that can be done, and never takes the piece for the whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/http/connection.h"
#include "tests/core/exchange/events.h"
#include "tests/core/exchange/story_world.h"
#include "tests/core/http/connection_test.h"

namespace relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

TEST(BreakingOff, BreaksOffWhenAPingWasFollowedByARefusal) {
  StoryWorld world;
  world.BeginStream();
  world.Advance(milliseconds(15'100));
  world.Say(ScriptedUpstream::Json(529, R"({"type":"error"})"));
  EXPECT_THAT(world.Unchunked(), AllOf(StartsWith(kPing + "event: error\ndata: "),
                                       HasSubstr("the upstream answered 529"), EndsWith("\n\n")));
  EXPECT_TRUE(world.EndedWell());
  EXPECT_EQ(world.outcome().end, Outcome::End::kFailed);
  EXPECT_EQ(world.outcome().status, 200);
}

TEST(BreakingOff, BreaksOffWhenAPingWasFollowedByNothing) {
  StoryWorld world;
  world.BeginStream();
  world.Advance(milliseconds(15'100));
  world.Cut();
  EXPECT_THAT(world.Unchunked(), StartsWith(kPing + "event: error\ndata: {\"type\":\"error\""));
  EXPECT_TRUE(world.EndedWell());
}

// What the client sees when the upstream breaks off between events.
struct Break {
  const char* provider;
  std::string event;
  std::string error;  // how the error event begins
  bool clean;         // whether the connection's framing may end as promised
};

std::vector<Break> Breaks() {
  return {
      {"claude", kStart, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"", true},
      {"gemini", kGoogle, "data: {\"error\":{\"code\":502,", false},
      {"openai", kOpenai, "data: {\"error\":{\"message\":", false}};
}

TEST(BreakingOff, TellsACutBetweenEventsInTheDialect) {
  for (const Break& each : Breaks()) {
    SCOPED_TRACE(each.provider);
    StoryWorld world(each.provider);
    world.BeginStream();
    world.Stream(each.event);
    world.Cut();
    EXPECT_THAT(world.Unchunked(), AllOf(StartsWith(each.event + each.error), EndsWith("\n\n")));
    EXPECT_EQ(world.EndedWell(), each.clean);
    EXPECT_TRUE(each.clean || world.client().ended);
    EXPECT_EQ(world.outcome().end, Outcome::End::kUpstreamCut);
    EXPECT_TRUE(world.outcome().committed);
    world.ExpectNothingHeld();
  }
}

TEST(BreakingOff, R35BreaksTheConnectionWhenCutInsideAnEvent) {
  for (const Break& each : Breaks()) {
    SCOPED_TRACE(each.provider);
    StoryWorld world(each.provider);
    world.BeginStream();
    std::string half = each.event + each.event.substr(0, each.event.size() - 3);
    world.Stream(half);
    world.Cut();
    EXPECT_EQ(world.Unchunked(), half);
    EXPECT_FALSE(world.EndedWell());
    EXPECT_TRUE(world.client().ended);
    EXPECT_EQ(world.outcome().end, Outcome::End::kUpstreamCut);
  }
}

TEST(BreakingOff, R35TellsAStreamThatEndsWithoutItsLastEvent) {
  for (const Break& each : Breaks()) {
    SCOPED_TRACE(each.provider);
    StoryWorld world(each.provider);
    world.BeginStream();
    world.Stream(each.event);
    world.EndStream();  // a clean end, of the framing
    EXPECT_THAT(world.Unchunked(), AllOf(StartsWith(each.event + each.error),
                                         HasSubstr("before its last event"), EndsWith("\n\n")));
    EXPECT_EQ(world.EndedWell(), each.clean);
    EXPECT_EQ(world.outcome().end, Outcome::End::kUpstreamCut);
  }
}

TEST(BreakingOff, TakesTheDialectsEndForTheEndThoughTheConnectionBreaks) {
  StoryWorld claude;
  claude.BeginStream();
  claude.Stream(kStart + kStop);
  claude.Cut();
  EXPECT_EQ(claude.Unchunked(), kStart + kStop);
  EXPECT_TRUE(claude.EndedWell());
  EXPECT_EQ(claude.outcome().end, Outcome::End::kComplete);
  StoryWorld gemini("gemini");
  gemini.BeginStream();
  gemini.Stream(kGoogle + kGoogleEnd);
  gemini.Cut();
  EXPECT_TRUE(gemini.EndedWell());
  EXPECT_EQ(gemini.outcome().end, Outcome::End::kComplete);
}

TEST(BreakingOff, PassesTheUpstreamsOwnErrorEventAndAddsNone) {
  StoryWorld world;
  world.BeginStream();
  const std::string error =
      "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
      "\"message\":\"Overloaded\"}}\n\n";
  world.Stream(kStart + error);
  world.EndStream();
  EXPECT_EQ(world.Unchunked(), kStart + error);
  EXPECT_TRUE(world.EndedWell());
}

TEST(BreakingOff, RecordsACutStreamFromWhatWasSeen) {
  StoryWorld world;
  world.BeginStream();
  world.Stream(kStart + kDelta);
  world.Cut();
  EXPECT_EQ(world.scribes[0]->usage.input, 7);
  EXPECT_GE(world.scribes[0]->usage.output, 5);  // "Hello from the model"
  EXPECT_TRUE(world.scribes[0]->usage.estimated);
}

TEST(BreakingOff, CutsAnAnswerWithALengthShort) {
  StoryWorld world;
  world.upstream.reply =
      "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"a\":";
  world.Ask("POST /api/v1/messages", {}, R"({"model":"m"})");
  world.Cut();
  EXPECT_EQ(world.answer_body(), "{\"a\":");
  EXPECT_TRUE(world.client().ended);
  EXPECT_EQ(world.outcome().end, Outcome::End::kUpstreamCut);
}

TEST(BreakingOff, GivesUpAnAnswerThatIsSilentForTooLong) {
  StoryWorld world("gemini");
  world.BeginStream();
  world.Stream(kGoogle);
  world.Advance(world.upstream.idle_timeout() - seconds(1));
  EXPECT_EQ(world.Unchunked(), kGoogle);
  world.Advance(seconds(2));
  EXPECT_THAT(world.Unchunked(), StartsWith(kGoogle + "data: {\"error\":{\"code\":504,"));
  EXPECT_TRUE(world.upstream.calls.back()->vendor->ended);
}

TEST(BreakingOff, EndsAtADrainWithTheDialectsErrorEvent) {
  const Refusal kStops{.fault = Fault::kOverloaded, .message = "the relay is stopping"};
  for (const Break& each : Breaks()) {
    SCOPED_TRACE(each.provider);
    StoryWorld world(each.provider);
    world.BeginStream();
    world.Stream(each.event);
    world.exchange()->Abort(Outcome::End::kDrained, kStops);
    world.Run();
    EXPECT_THAT(world.Unchunked(), AllOf(StartsWith(each.event), HasSubstr("is stopping")));
    EXPECT_EQ(world.EndedWell(), each.clean);
    EXPECT_EQ(world.outcome().end, Outcome::End::kDrained);
    EXPECT_TRUE(world.upstream.calls.back()->vendor->ended);
    world.ExpectNothingHeld();
  }
}

TEST(BreakingOff, RefusesAtADrainWhatHasNoAnswerYet) {
  StoryWorld world;
  world.BeginStream();
  world.exchange()->Abort(Outcome::End::kDrained,
                          Refusal{.fault = Fault::kOverloaded, .message = "the relay is stopping"});
  world.Run();
  EXPECT_EQ(world.status(), 503);
  EXPECT_THAT(world.answer_body(), HasSubstr(R"("type":"overloaded_error")"));
  EXPECT_THAT(world.answer_head(), HasSubstr("x-relay-request-id: req_"));
  EXPECT_EQ(world.outcome().end, Outcome::End::kDrained);
  EXPECT_TRUE(world.upstream.calls.back()->vendor->ended);
}

TEST(BreakingOff, BreaksOffAtADrainInsideAnEventAndInJson) {
  const Refusal kStops{.fault = Fault::kOverloaded, .message = "the relay is stopping"};
  StoryWorld world;
  world.BeginStream();
  world.Stream(kStart.substr(0, 50));
  world.exchange()->Abort(Outcome::End::kDrained, kStops);
  world.Run();
  EXPECT_EQ(world.Unchunked(), kStart.substr(0, 50));
  EXPECT_FALSE(world.EndedWell());
  EXPECT_TRUE(world.client().ended);
  StoryWorld json;
  json.upstream.reply = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a";
  json.Ask("POST /api/v1/messages", {}, R"({"model":"m"})");
  json.exchange()->Abort(Outcome::End::kDrained, kStops);
  json.Run();
  EXPECT_EQ(json.answer_body(), "{\"a");
  EXPECT_TRUE(json.client().ended);
}

// A client that speaks HTTP/2, to the same worker.
class Http2Client {
 public:
  explicit Http2Client(StoryWorld& world) : world_(world), line_(world.loop, "h2") {
    ServerConnection::Start(world.loop, line_.Take(MemoryLine::kServer), world.server_limits,
                            world.worker);
    connection_ = ClientConnection::Start(world.loop, line_.Take(MemoryLine::kClient), seconds(60));
  }
  ~Http2Client() {
    asked.stream.reset();
    connection_->CloseNow();
    Run();
  }
  void Run() {
    for (int still = 0; still < 3;) {
      bool moved = line_.Step();
      moved = world_.upstream.Step() || moved;
      world_.loop.Turn();
      still = moved ? 0 : still + 1;
    }
  }
  void BeginStream() {
    world_.upstream.reply = "";
    Buffer body;
    body.AppendCopy(R"({"model":"m","stream":true})");
    Head head = PostHead("/api/v1/messages", body.size());
    auto stream = connection_->Open(head, std::move(body));
    ASSERT_TRUE(stream.has_value());
    asked.stream = std::move(*stream);
    asked.root = Asked::ReadAll(asked);
    asked.root.Start([](void*) noexcept {}, nullptr);
    Run();
  }
  void Stream(std::string_view piece) {
    bool begun = std::exchange(begun_, true);
    world_.upstream.calls.back()->vendor->Send((begun ? "" : ScriptedUpstream::EventStream()) +
                                               ScriptedUpstream::Piece(piece));
    Run();
  }
  void Cut() {
    world_.upstream.calls.back()->vendor->Close();
    Run();
  }
  Asked asked;

 private:
  StoryWorld& world_;
  MemoryLine line_;
  ClientConnection* connection_;
  bool begun_ = false;
};

TEST(BreakingOff, TellsACutToAClientOfHttp2) {
  StoryWorld world;
  Http2Client client(world);
  client.BeginStream();
  client.Stream(kStart);
  client.Cut();
  EXPECT_THAT(client.asked.body, StartsWith(kStart + "event: error\n"));
  EXPECT_TRUE(client.asked.whole);
}

TEST(BreakingOff, R35ResetsAStreamOfHttp2ThatWasCutInsideAnEvent) {
  StoryWorld world;
  Http2Client client(world);
  client.BeginStream();
  client.Stream(kStart + "event: cont");
  client.Cut();
  EXPECT_EQ(client.asked.body, kStart + "event: cont");
  EXPECT_FALSE(client.asked.whole);
  ASSERT_TRUE(client.asked.fault.has_value());
  EXPECT_EQ(client.asked.fault->fault, Fault::kReset);
}

TEST(BreakingOff, R32FreesTheUpstreamWhenAStreamOfHttp2IsReset) {
  StoryWorld world;
  Http2Client client(world);
  client.BeginStream();
  client.Stream(kStart);
  client.asked.root = Task<Unit>();
  client.asked.stream.reset();
  client.Run();
  EXPECT_TRUE(world.upstream.calls.back()->vendor->ended);
  EXPECT_EQ(world.outcome().end, Outcome::End::kClientGone);
  world.ExpectNothingHeld();
}

}  // namespace
}  // namespace relay
