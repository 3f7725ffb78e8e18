// SPDX-License-Identifier: MIT
// The request's body: read only once somebody may send it, bounded in size, time and memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/exchange/story_world.h"

namespace relay {
namespace {

using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kMessages = "POST /api/v1/messages";

TEST(RequestBody, R10IsAskedForOnlyWhenTheRequestIsWelcome) {
  const std::string kRequest =
      "POST /api/v1/messages HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 13\r\n"
      "\r\n";
  StoryWorld refused("claude", {Act::kRefuse, Act::kReadBody});
  refused.Begin(kRequest);
  refused.Run();
  EXPECT_THAT(refused.client().text, StartsWith("HTTP/1.1 403 "));
  StoryWorld welcome("claude", {Act::kWait, Act::kReadBody});
  welcome.Begin(kRequest);
  welcome.Run();
  EXPECT_EQ(welcome.client().text, "");
  welcome.Advance(kScribeWaits);
  EXPECT_THAT(welcome.client().text, StartsWith("HTTP/1.1 100 "));
  EXPECT_THAT(welcome.client().text, EndsWith("\r\n\r\n"));
  EXPECT_TRUE(welcome.upstream.calls.empty());
  welcome.client().text.clear();
  welcome.client().Send(R"({"model":"m"})");
  welcome.Run();
  EXPECT_THAT(welcome.client().text, StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(welcome.upstream.sent_body(), R"({"model":"m"})");
  EXPECT_THAT(welcome.upstream.sent_head(), Not(HasSubstr("xpect")));
}

TEST(RequestBody, R10RefusesOtherExpectations) {
  StoryWorld world;
  world.Ask(kMessages, {"Expect: a-miracle"}, "{}");
  EXPECT_EQ(world.status(), 417);
  EXPECT_TRUE(world.upstream.calls.empty());
}

// R26: what one request of a connection showed is nothing that the next can use.
TEST(RequestBody, R26EachRequestOfAConnectionIsFilteredByItself) {
  StoryWorld world("claude", {Act::kReadBody});
  world.Ask(kMessages, {}, R"({"model":"m"})");
  world.client().Send(StoryWorld::Request(kMessages, {}, R"({"model":"n"})"));
  world.Run();
  EXPECT_EQ(world.visits[0].entered, 2);
  EXPECT_EQ(world.visits[0].finished, 2);
}

TEST(RequestBody, R5IsRefusedAtOnceWhereItSaysThatItIsTooLarge) {
  StoryWorld world("claude", {Act::kPass, Act::kReadBody});
  world.server_limits.codec.body_bytes = 1000;
  world.Begin("POST /api/v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
  world.Run();
  EXPECT_EQ(world.status(), 413);
  EXPECT_THAT(world.answer_body(), HasSubstr(R"("type":"request_too_large")"));
  EXPECT_THAT(world.answer_head(), HasSubstr("x-should-retry: false"));
  EXPECT_TRUE(world.upstream.calls.empty());
  world.ExpectNothingHeld();
}

TEST(RequestBody, R5IsRefusedAtTheLimitWhereItComesInChunks) {
  for (const char* provider : {"claude", "gemini"}) {
    StoryWorld world(provider, {Act::kPass, Act::kReadBody});
    world.server_limits.codec.body_bytes = 1000;
    std::string path =
        provider == std::string("claude") ? "/v1/messages" : "/v1beta/models/m:generateContent";
    world.Begin("POST /api" + path + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
                ScriptedUpstream::Piece(std::string(900, 'x')));
    world.Run();
    EXPECT_EQ(world.client().text, "");
    EXPECT_GE(world.bodies.used(), 900U);
    world.client().Send(ScriptedUpstream::Piece(std::string(101, 'x')));
    world.Run();
    EXPECT_EQ(world.status(), 413);
    EXPECT_THAT(world.answer_body(),
                HasSubstr(provider == std::string("claude") ? R"("type":"request_too_large")"
                                                            : R"("code":413)"));
    EXPECT_EQ(world.outcome().end, Outcome::End::kRefused);
    world.ExpectNothingHeld();
  }
}

TEST(RequestBody, R30IsGivenItsTimeAndNoMore) {
  StoryWorld silent("claude", {Act::kReadBody});
  silent.Begin("POST /api/v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{");
  silent.Run();
  silent.Advance(seconds(29));
  EXPECT_EQ(silent.client().text, "");
  silent.Advance(seconds(2));
  EXPECT_EQ(silent.status(), 408);
  EXPECT_THAT(silent.answer_body(), HasSubstr("did not come in time"));
  // Byte by byte it is still too slow in all.
  StoryWorld slow("claude", {Act::kReadBody});
  slow.Begin("POST /api/v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{");
  slow.Run();
  for (int i = 0; i < 11; ++i) {
    slow.Advance(seconds(10));
    slow.client().Send(" ");
    slow.Run();
  }
  EXPECT_EQ(slow.client().text, "");
  slow.Advance(seconds(11));
  EXPECT_EQ(slow.status(), 408);
}

TEST(RequestBody, IsFreedAtTheCommit) {
  StoryWorld world("claude", {Act::kReadBody});
  world.BeginStream();
  EXPECT_GT(world.bodies.used(), 0U);
  world.Stream("event: message_start\ndata: {}\n\n");
  EXPECT_EQ(world.bodies.used(), 0U);
  ASSERT_NE(world.exchange(), nullptr);
}

TEST(RequestBody, IsFreedWhenTheClientLeavesInTheMiddle) {
  StoryWorld world("claude", {Act::kPass, Act::kReadBody});
  world.Begin("POST /api/v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{");
  world.Run();
  EXPECT_EQ(world.bodies.used(), 1U);
  world.HangUp();
  world.Run();
  EXPECT_EQ(world.outcome().end, Outcome::End::kClientGone);
  EXPECT_TRUE(world.upstream.calls.empty());
  world.ExpectNothingHeld();
}

TEST(RequestBody, IsReadEvenWhereNoFilterAskedForIt) {
  StoryWorld world("claude", {Act::kPass});
  world.Ask(kMessages, {}, R"({"model":"m"})");
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.upstream.sent_body(), R"({"model":"m"})");
}

}  // namespace
}  // namespace relay
