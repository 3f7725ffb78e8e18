// SPDX-License-Identifier: MIT
// The life of a request from its head to the answer's: routes, the order of filters, and what is
// said in place of an answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/exchange/story_world.h"
#include "tests/upstreams/deflate.h"

namespace relay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kMessages = "POST /api/v1/messages";
const std::string kBody = R"({"model":"m"})";

TEST(Story, RunsFiltersInOrderAndTheirResponseHooksInReverse) {
  StoryWorld world("claude", {Act::kPass, Act::kReadBody, Act::kPass});
  world.upstream.reply = ScriptedUpstream::Json(200, "{}");
  world.Ask(kMessages, {}, kBody);
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.diary,
              ElementsAre("a request", "b request", "c request", "c head", "b head", "a head",
                          "c chunk 2", "b chunk 2", "a chunk 2", "c finish complete",
                          "b finish complete", "a finish complete"));
  EXPECT_THAT(world.answer_head(), HasSubstr("x-scribe: c\r\nx-scribe: b\r\nx-scribe: a"));
  world.ExpectNothingHeld();
}

TEST(Story, FinishesOnlyTheFiltersThatWereEntered) {
  StoryWorld world("claude", {Act::kPass, Act::kRefuse, Act::kPass});
  world.Ask(kMessages, {}, kBody);
  EXPECT_EQ(world.status(), 403);
  EXPECT_THAT(world.answer_body(), HasSubstr("b says no"));
  EXPECT_THAT(world.diary,
              ElementsAre("a request", "b request", "b finish refused", "a finish refused"));
  EXPECT_TRUE(world.upstream.calls.empty());
  world.ExpectNothingHeld();
}

TEST(Story, EndsOneExchangeAndNoneElseWhenAFilterThrows) {
  StoryWorld world("claude", {Act::kPass, Act::kThrow});
  world.Ask(kMessages, {}, kBody);
  EXPECT_EQ(world.status(), 500);
  EXPECT_THAT(world.answer_body(), HasSubstr(R"("type":"api_error")"));
  EXPECT_THAT(world.answer_body(), Not(HasSubstr("broken")));
  EXPECT_THAT(world.diary,
              ElementsAre("a request", "b request", "b finish failed", "a finish failed"));
  EXPECT_THAT(world.metrics.Text(true), HasSubstr("relay_internal_errors_total 1"));
  EXPECT_EQ(world.outcome().end, Outcome::End::kFailed);
  world.ExpectNothingHeld();
}

TEST(Story, AnswersProbesAtOnce) {
  // Below a route or beside it; whatever the filters would say.
  for (const char* line : {"HEAD /", "HEAD /api/api/hello", "GET /api/api/hello", "HEAD /api/hello",
                           "GET /elsewhere/api/hello"}) {
    SCOPED_TRACE(line);
    StoryWorld world("claude", {Act::kRefuse});
    world.Ask(line);
    EXPECT_EQ(world.status(), 200);
    EXPECT_EQ(world.answer_body(), "");
    EXPECT_THAT(world.answer_head(), HasSubstr("Content-Length: 0"));
    EXPECT_THAT(world.answer_head(), HasSubstr("x-relay-request-id: req_"));
    EXPECT_TRUE(world.diary.empty());
    // A body in the answer to a HEAD would be read as the next answer.
    world.client().Send(StoryWorld::Request("HEAD /"));
    world.Run();
    EXPECT_THAT(world.client().text.substr(world.answer_head().size()),
                StartsWith("\r\n\r\nHTTP/1.1 200 "));
  }
}

TEST(Story, RefusesAPathWithoutARoute) {
  StoryWorld world;
  for (const char* line : {"POST /v1/messages", "GET /", "GET /apiv1/messages", "POST /hello"}) {
    SCOPED_TRACE(line);
    world.Ask(line, {}, kBody);
    EXPECT_EQ(world.status(), 404);
    EXPECT_THAT(world.answer_body(), StartsWith(R"({"error":")"));
    EXPECT_THAT(world.answer_body(), HasSubstr("routes in relay.yaml"));
    EXPECT_THAT(world.answer_head(), HasSubstr("x-should-retry: false"));
  }
  EXPECT_TRUE(world.diary.empty());
}

TEST(Story, RefusesACallThatTheRouteDoesNotServe) {
  StoryWorld world;
  for (const char* line : {"GET /api/v1/organizations", "POST /api/v1/filesystem", "GET /api"}) {
    SCOPED_TRACE(line);
    world.Ask(line);
    EXPECT_EQ(world.status(), 404);
    EXPECT_THAT(world.answer_body(), HasSubstr(R"("type":"not_found_error")"));
    EXPECT_THAT(world.answer_body(), HasSubstr("passthrough"));
    EXPECT_THAT(world.answer_head(), HasSubstr("x-should-retry: false"));
  }
  EXPECT_TRUE(world.diary.empty());
}

TEST(Story, SendsWhatTheRoutePassesThrough) {
  StoryWorld world;
  for (const char* line :
       {"POST /api/v1/files", "DELETE /api/v1/files/file_1", "GET /api//v1/files?limit=2"}) {
    SCOPED_TRACE(line);
    world.Ask(line);
    EXPECT_EQ(world.status(), 200);
  }
  EXPECT_EQ(world.upstream.calls.size(), 3U);
  EXPECT_THAT(world.upstream.sent_head(), StartsWith("GET /api/v1/files?limit=2 HTTP/1.1"));
}

TEST(Story, RefusesPathsThatAreNoneBeforeRouting) {
  StoryWorld world;
  for (const char* line : {"POST /api/v1/../v1/messages", "POST /api/v1/%2e%2e/messages",
                           "POST /api%2fv1/messages", "POST /api/v1/messages%00"}) {
    SCOPED_TRACE(line);
    world.Ask(line, {}, kBody);
    EXPECT_EQ(world.status(), 400);
  }
  EXPECT_TRUE(world.diary.empty());
}

TEST(Story, LetsTheProcessAnswerForItself) {
  struct Health final : Endpoints {
    std::optional<Reply> Answer(const Head& request, std::string_view path) override {
      if (path != "/health") return {};
      return Reply{.body = "up, says " + std::string(request.method)};
    }
  };
  StoryWorld world("claude", {Act::kRefuse});
  Health health;
  Worker with_health(world.loop, health, world.bodies, world.exchange_metrics, ExchangeLimits{});
  with_health.table = world.worker.table;
  MemoryLine line(world.loop);
  ServerConnection::Start(world.loop, line.Take(MemoryLine::kServer), world.server_limits,
                          with_health);
  auto client = std::make_unique<TextPeer>(line.Take(MemoryLine::kClient));
  client->Send(StoryWorld::Request("GET //health"));
  for (int i = 0; i < 8; ++i) {
    line.Step();
    world.loop.Turn();
  }
  EXPECT_THAT(client->text, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(client->text, HasSubstr("x-relay-request-id: req_"));
  EXPECT_THAT(client->text, HasSubstr("up, says GET"));
  client.reset();
  for (int i = 0; i < 4; ++i) {
    line.Step();
    world.loop.Turn();
  }
  with_health.table.reset();
}

TEST(Story, SaysWhoAnsweredWhat) {
  StoryWorld world;
  world.upstream.reply =
      "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 2\r\n"
      "request-id: req_vendor\r\nset-cookie: a=b\r\nanthropic-organization-id: org\r\n"
      "alt-svc: h3\r\nstrict-transport-security: max-age=1\r\nx-relay-request-id: forged\r\n"
      "connection: keep-alive, x-hop\r\nkeep-alive: timeout=5\r\nx-hop: 1\r\nx-new: yes\r\n"
      "date: Mon, 21 Sep 2026 14:13:20 GMT\r\n\r\n{}";
  world.Ask(kMessages, {}, kBody);
  EXPECT_EQ(world.status(), 201);
  for (const char* stays : {"set-cookie", "anthropic-organization-id", "alt-svc",
                            "strict-transport", "forged", "x-hop", "timeout=5"}) {
    EXPECT_THAT(world.answer_head(), Not(HasSubstr(stays)));
  }
  EXPECT_THAT(world.answer_head(), HasSubstr("request-id: req_vendor"));
  EXPECT_THAT(world.answer_head(), HasSubstr("x-new: yes"));
  EXPECT_THAT(world.answer_head(), HasSubstr("date: Mon, 21 Sep 2026 14:13:20 GMT"));
  EXPECT_THAT(world.answer_head(), HasSubstr("x-relay-request-id: req_"));
}

TEST(Story, PassesAnswersWithoutABody) {
  StoryWorld world;
  for (const char* head : {"204 No Content\r\n", "304 Not Modified\r\netag: x\r\n",
                           "200 OK\r\ncontent-length: 0\r\n"}) {
    SCOPED_TRACE(head);
    world.upstream.reply = "HTTP/1.1 " + std::string(head) + "\r\n";
    world.Ask("GET /api/v1/models");
    EXPECT_EQ(world.status(), std::stoi(head));
    EXPECT_EQ(world.answer_body(), "");
    EXPECT_THAT(world.answer_head(), Not(HasSubstr("transfer-encoding")));
    EXPECT_EQ(world.outcome().end, Outcome::End::kComplete);
    // The connection is good for the next request.
    world.upstream.reply = ScriptedUpstream::Json(200, "[]");
    world.client().Send(StoryWorld::Request("GET /api/v1/models"));
    world.Run();
    EXPECT_THAT(world.client().text, testing::EndsWith("\r\n\r\n[]"));
  }
}

TEST(Story, AnswersHeadWithTheLengthAndNoBody) {
  StoryWorld world;
  world.upstream.reply = "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n";
  world.Ask("HEAD /api/v1/files/file_1");
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.answer_head(), HasSubstr("Content-Length: 1234"));
  EXPECT_EQ(world.answer_body(), "");
  EXPECT_EQ(world.outcome().end, Outcome::End::kComplete);
  // A refusal of a HEAD has no body either.
  world.Ask("HEAD /api/v1/organizations");
  EXPECT_EQ(world.status(), 404);
  EXPECT_EQ(world.answer_body(), "");
  EXPECT_THAT(world.answer_head(), HasSubstr("Content-Length: "));
}

TEST(Story, PassesACompressedAnswerUntouchedAndReadsItsUsage) {
  StoryWorld world;
  const std::string kStream =
      "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\","
      "\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n"
      "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":5}}\n\n"
      "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
  std::string packed = Deflate(kStream, Packing::kGzip);
  world.upstream.reply =
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n"
      "content-length: " +
      std::to_string(packed.size()) + "\r\n\r\n" + packed;
  world.Ask(kMessages, {}, R"({"model":"m","stream":true})");
  EXPECT_EQ(world.answer_body(), packed);
  EXPECT_THAT(world.answer_head(), HasSubstr("content-encoding: gzip"));
  EXPECT_EQ(world.outcome().end, Outcome::End::kComplete);
  EXPECT_EQ(world.scribes[0]->usage.input, 7);
  EXPECT_EQ(world.scribes[0]->usage.output, 5);
  EXPECT_FALSE(world.scribes[0]->usage.estimated);
}

struct Shape {
  const char* provider;
  const char* path;
  std::vector<std::string> body;  // parts of it
};

TEST(Story, RefusesInTheShapeOfEachDialect) {
  const std::vector<Shape> kShapes = {
      {"claude",
       "/v1/messages",
       {R"({"type":"error","error":{"type":"permission_error","message":"a says no"})",
        R"("request_id":"req_)"}},
      {"gemini",
       "/v1beta/models/m:generateContent",
       {R"({"error":{"code":403,"message":"a says no","status":"PERMISSION_DENIED"}})"}},
      {"gemini",
       "/v1internal:generateContent",
       {R"({"error":{"code":403,"message":"a says no","status":"PERMISSION_DENIED"}})"}},
      {"openai",
       "/v1/chat/completions",
       {R"({"error":{"message":"a says no","type":"permission_error","param":null,"code":null}})"}},
  };
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape.path);
    StoryWorld world(shape.provider, {Act::kRefuse});
    world.Ask("POST /api" + std::string(shape.path), {}, kBody);
    EXPECT_EQ(world.status(), 403);
    for (const std::string& part : shape.body) EXPECT_THAT(world.answer_body(), HasSubstr(part));
    EXPECT_THAT(world.answer_head(), HasSubstr("x-relay-request-id: req_"));
    EXPECT_THAT(world.answer_head(), HasSubstr("x-should-retry: false"));
    EXPECT_THAT(world.answer_head(), HasSubstr("content-type: application/json"));
    EXPECT_EQ(world.outcome().end, Outcome::End::kRefused);
    EXPECT_EQ(world.outcome().status, 403);
  }
}

TEST(Story, TellsTheClientsIdAsTheLogHasIt) {
  StoryWorld world("claude", {Act::kWait, Act::kRefuse});
  world.Ask(kMessages, {}, kBody);
  ASSERT_NE(world.exchange(), nullptr);
  std::string id = world.exchange()->id;
  world.Advance(kScribeWaits);
  EXPECT_THAT(world.answer_head(), HasSubstr("x-relay-request-id: " + id));
  EXPECT_THAT(world.answer_body(), HasSubstr(id));
}

TEST(Story, RefusesWhatBreaksTheRulesBeforeAnyFilter) {
  StoryWorld world;
  world.Begin("GET /api/v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
  world.Run();
  EXPECT_EQ(world.status(), 400);
  EXPECT_THAT(world.answer_head(), HasSubstr("x-relay-request-id: req_"));
  EXPECT_THAT(world.answer_head(), HasSubstr("x-should-retry: false"));
  EXPECT_TRUE(world.diary.empty());
  world.ExpectNothingHeld();
}

}  // namespace
}  // namespace relay
