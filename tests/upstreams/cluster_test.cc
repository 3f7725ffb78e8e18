// SPDX-License-Identifier: MIT
// A cluster whose vendor behaves: what goes there and back.
#include "upstreams/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/upstreams/claude_answers.h"

namespace relay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Health = AccountPool::Health;

TEST(Cluster, PassesAnAnswerUnchanged) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.vendor.otherwise =
      Json(200, R"({"id":"msg","usage":{"input_tokens":1}})", {"request-id: req_9", "x-new: yes"});
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.body(), R"({"id":"msg","usage":{"input_tokens":1}})");
  EXPECT_EQ(world.Field("request-id"), "req_9");
  EXPECT_EQ(world.Field("x-new"), "yes");
  ASSERT_EQ(world.vendor.requests.size(), 1U);
  EXPECT_EQ(world.vendor.requests[0].body, ClusterWorld::kWhole);
}

TEST(Cluster, StreamsEventByEvent) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.vendor.otherwise = {"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + kStart,
                            Then::kStay};
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.body(), HasSubstr(kStart));
  world.vendor.Say(kStop);
  world.vendor.CloseAll();
  world.Settle();
  EXPECT_THAT(world.body(), HasSubstr("message_stop"));
  EXPECT_EQ(world.filter->last_end, Outcome::End::kComplete);
}

TEST(Cluster, HoldsAStreamUpToItsFirstWholeEvent) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  std::string half = kStart.substr(0, 40);
  world.vendor.otherwise = {"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + half,
                            Then::kStay};
  world.AskClaude(true);
  EXPECT_EQ(world.client->text, "");
  world.vendor.Say(kStart.substr(40));
  world.Settle();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.body(), HasSubstr(half));
  EXPECT_THAT(world.body(), HasSubstr(kStart.substr(40)));
}

TEST(Cluster, PassesTheRequestsOwnErrorsUnchanged) {
  for (int status : {400, 404, 413, 422}) {
    SCOPED_TRACE(status);
    ClusterWorld world(Three());
    std::string body = R"({"type":"error","error":{"type":"invalid_request_error","message":"m"}})";
    world.vendor.otherwise = Json(status, body, {"request-id: req_7", "x-should-retry: false"});
    world.AskClaude(true);
    EXPECT_EQ(world.status(), status);
    EXPECT_EQ(world.body(), body);
    EXPECT_EQ(world.Field("request-id"), "req_7");
    EXPECT_EQ(world.Field("x-should-retry"), "false");
    EXPECT_EQ(world.vendor.requests.size(), 1U);
    EXPECT_EQ(world.Look(0).health, Health::kReady);
  }
}

TEST(Cluster, PassesAnErrorEventThatBlamesTheRequest) {
  ClusterWorld world(Three());
  std::string event =
      "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
      "\"message\":\"m\"}}\n\n";
  world.vendor.otherwise = Events(event);
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.body(), HasSubstr(event));
  EXPECT_EQ(world.vendor.requests.size(), 1U);
}

TEST(Cluster, UsesAConnectionAgainButNeverAnotherAccounts) {
  std::vector<AccountConfig> accounts = {KeyAccount("a", "sk-a"), KeyAccount("b", "sk-b")};
  ClusterWorld world(std::move(accounts));
  for (int i = 0; i < 6; ++i) {
    world.AskClaude(false, {"x-claude-code-session-id: s" + std::to_string(i)});
  }
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b", "sk-a", "sk-b", "sk-a", "sk-b"));
  EXPECT_EQ(world.vendor.accepted, 2);
}

TEST(Cluster, TellsThatNoConnectionCanBeMade) {
  ClusterWorld world({KeyAccount("a", "sk-a")}, ProviderKind::kClaude, [](ClusterConfig& config) {
    config.endpoint.port = 1;  // nobody listens there
  });
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 502);
  EXPECT_THAT(world.body(), HasSubstr("cannot be reached"));
  EXPECT_THAT(world.body(), Not(HasSubstr("127.0.0.1")));
}

TEST(Cluster, TellsThatTheUpstreamBrokeOff) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.vendor.otherwise = Nothing();
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 502);
  EXPECT_THAT(world.body(), HasSubstr("broke off"));
}

TEST(Cluster, GivesASilentUpstreamItsTime) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.vendor.otherwise = Silence();
  world.AskClaude(false);
  world.Advance(std::chrono::seconds(599));
  EXPECT_EQ(world.client->text, "");
  world.Advance(std::chrono::seconds(2));
  EXPECT_EQ(world.status(), 504);
  EXPECT_EQ(world.vendor.abandoned, 1);
}

TEST(Cluster, SaysHowToAddAnAccount) {
  ClusterWorld world({});
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 503);
  EXPECT_THAT(world.body(), HasSubstr("clusters.main.accounts"));
  EXPECT_EQ(world.Field("x-should-retry"), "false");
}

TEST(Cluster, KeepsSubscriptionsForTheVendorsClient) {
  ClusterWorld world({LoginAccount("max", "sk-ant-oat01-x")});
  world.AskClaude(false, {"user-agent: Anthropic/JS 1.12.0"});
  EXPECT_EQ(world.status(), 403);
  EXPECT_EQ(world.Field("x-should-retry"), "false");
  EXPECT_EQ(world.vendor.requests.size(), 0U);
  world.AskClaude(false, {"user-agent: claude-cli/2.1.330 (external, cli)",
                          "anthropic-beta: context-management-2025-06-27"});
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.vendor.requests[0].Field("authorization"), "Bearer sk-ant-oat01-x");
  EXPECT_EQ(world.vendor.requests[0].Field("anthropic-beta"),
            "context-management-2025-06-27,oauth-2025-04-20");
  EXPECT_EQ(world.vendor.requests[0].Field("x-api-key"), "");
}

TEST(Cluster, DoesNotParkASubscriptionForOneRequestsScope) {
  ClusterWorld world({LoginAccount("max", "sk-ant-oat01-x")});
  world.vendor.otherwise =
      Json(400, R"({"type":"error","error":{"type":"invalid_request_error","message":)"
                R"("This credential is only authorized for use with Claude Code and cannot"}})");
  world.AskClaude(false, {"user-agent: claude-cli/2.1.330 (external, cli)"});
  EXPECT_EQ(world.status(), 403);
  EXPECT_THAT(world.body(), Not(HasSubstr("Claude Code")));
  EXPECT_EQ(world.Look(0).health, Health::kReady);
}

TEST(Cluster, WaitsForABusyAccount) {
  std::vector<AccountConfig> accounts = {KeyAccount("a", "sk-a")};
  accounts[0].concurrency = 1;
  ClusterWorld world(std::move(accounts));
  world.filter->wait = std::chrono::seconds(5);
  world.vendor.Answer("sk-a", Silence());
  world.Begin("POST /v1/messages", ClusterWorld::kWhole);
  world.Settle();
  std::unique_ptr<ClientSocket> first = std::move(world.client);
  world.AskClaude(false);
  EXPECT_EQ(world.client->text, "");
  EXPECT_EQ(world.vendor.requests.size(), 1U);
  first->Close();
  world.Settle();
  EXPECT_EQ(world.status(), 200);
}

TEST(Cluster, SaysThatAllAreBusyWhenTheWaitIsOver) {
  std::vector<AccountConfig> accounts = {KeyAccount("a", "sk-a")};
  accounts[0].concurrency = 1;
  ClusterWorld world(std::move(accounts));
  world.filter->wait = std::chrono::seconds(5);
  world.vendor.Answer("sk-a", Silence());
  world.Begin("POST /v1/messages", ClusterWorld::kWhole);
  world.Settle();
  std::unique_ptr<ClientSocket> first = std::move(world.client);
  world.AskClaude(false);
  world.shared->metrics->Show(*world.shared->pool, world.clock.Now());
  EXPECT_THAT(world.metrics.Text(false), HasSubstr("relay_queue_depth{cluster=\"main\"} 1\n"));
  world.Advance(std::chrono::seconds(6));
  EXPECT_EQ(world.status(), 503);
  EXPECT_EQ(world.Field("retry-after"), "1");
  EXPECT_EQ(world.shared->pool->waiting(), 0U);
  EXPECT_THAT(world.metrics.Text(false),
              HasSubstr("relay_queue_wait_seconds_count{cluster=\"main\"} 1\n"));
}

TEST(Cluster, PassesOnWhatIsTooLongToBeJudgedWhole) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  std::string body(200'000, 'x');
  world.vendor.otherwise = Json(400, body);
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 400);
  EXPECT_EQ(world.body(), body);
}

TEST(Cluster, PassesACompressedStreamUntouched) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  std::string bytes("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10);
  world.vendor.otherwise = {
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n"
      "content-length: 10\r\n\r\n" +
          bytes,
      Then::kStay};
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.Field("content-encoding"), "gzip");
  EXPECT_EQ(world.body(), bytes);
}

TEST(Cluster, SendsAPassthroughPathAsItIs) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.Ask("POST /v1/files?purpose=x&key=cr_secret", "not json", {"content-type: text/plain"});
  EXPECT_EQ(world.status(), 200);
  ASSERT_EQ(world.vendor.requests.size(), 1U);
  EXPECT_EQ(world.vendor.requests[0].line(), "POST /v1/files?purpose=x HTTP/1.1");
  EXPECT_EQ(world.vendor.requests[0].body, "not json");
}

TEST(Cluster, RefusesBodiesThatAreNoJson) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  for (const char* body : {"{", "[]", "{\"model\":\"a\",\"model\":\"b\"}", "{}x", "\"text\""}) {
    SCOPED_TRACE(body);
    world.Ask("POST /v1/messages", body);
    EXPECT_EQ(world.status(), 400);
    EXPECT_THAT(world.body(), HasSubstr("invalid_request_error"));
  }
  EXPECT_EQ(world.vendor.requests.size(), 0U);
}

TEST(Cluster, TellsMetricsWhatBecameOfAttempts) {
  ClusterWorld world(Three());
  world.vendor.Answer("sk-a", Json(429, kLimitError, {"retry-after: 30"}));
  world.AskClaude(false);
  std::string text = world.metrics.Text(true);
  EXPECT_THAT(text,
              HasSubstr(R"(relay_upstream_attempts_total{account="main/a",reason="limited"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(relay_upstream_attempts_total{account="main/b",reason="ok"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(relay_account_state{account="main/a",state="limited"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(relay_account_state{account="main/a",state="ready"} 0)"));
  EXPECT_THAT(text, HasSubstr(R"(relay_account_cooldown_seconds{account="main/a"} 30)"));
  world.clock.Advance(std::chrono::seconds(31));
  world.shared->metrics->Show(*world.shared->pool, world.clock.Now());
  EXPECT_THAT(world.metrics.Text(true),
              HasSubstr(R"(relay_account_state{account="main/a",state="ready"} 1)"));
  EXPECT_THAT(world.metrics.Text(true),
              HasSubstr(R"(relay_account_cooldown_seconds{account="main/a"} 0)"));
}

}  // namespace
}  // namespace relay
