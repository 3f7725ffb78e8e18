// SPDX-License-Identifier: MIT
#include "upstreams/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/upstreams/cluster_world.h"

namespace relay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Health = AccountPool::Health;

const std::string kStart =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{"
    "\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
const std::string kStop =
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":8}}\n\n"
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const std::string kOverloadedEvent =
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
    "\"message\":\"Overloaded\"}}\n\n";
const std::string kAuthError =
    R"({"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}})";
const std::string kLimitError =
    R"({"type":"error","error":{"type":"rate_limit_error","message":"over"}})";
const std::string kOverloaded =
    R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})";

std::vector<AccountConfig> Three() {
  std::vector<AccountConfig> accounts = {KeyAccount("a", "sk-a"), KeyAccount("b", "sk-b"),
                                         KeyAccount("c", "sk-c")};
  for (size_t i = 0; i < 3; ++i) accounts[i].priority = static_cast<int>(10 * (i + 1));
  return accounts;
}

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

TEST(Cluster, R36MovesToTheNextAccountOnEachFault) {
  const std::vector<std::pair<std::string, Scripted>> kFaults = {
      {"401", Json(401, kAuthError)},
      {"403", Json(403, R"({"type":"error","error":{"type":"permission_error","message":"no"}})")},
      {"429", Json(429, kLimitError, {"retry-after: 3600"})},
      {"500", Json(500, R"({"type":"error","error":{"type":"api_error","message":"x"}})")},
      {"503", Json(503, "<html>busy</html>")},
      {"529", Json(529, kOverloaded)},
      {"credit", Json(400, R"({"type":"error","error":{"type":"invalid_request_error","message":)"
                           R"("Your credit balance is too low to access the API."}})")},
      {"reset", Nothing()},
      {"half a head", {"HTTP/1.1 200 O", Then::kClose}},
      {"garbage", {"no http at all\r\n\r\n", Then::kStay}},
      {"two lengths",
       {"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", Then::kStay}},
      {"error event", Events(kOverloadedEvent)},
      {"no event", Events("")},
      {"half an event", Events("event: message_start\ndata: {")},
  };
  for (const auto& [name, fault] : kFaults) {
    SCOPED_TRACE(name);
    ClusterWorld world(Three());
    world.vendor.Answer("sk-a", fault);
    world.vendor.Answer("sk-b", fault);
    world.vendor.Answer("sk-c", Events(kStart + kStop));
    world.AskClaude(true);
    EXPECT_EQ(world.status(), 200);
    EXPECT_THAT(world.body(), HasSubstr("message_stop"));
    EXPECT_THAT(world.body(), Not(HasSubstr("error")));
    EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b", "sk-c"));
    EXPECT_EQ(world.filter->last_attempts, 3);
    for (const SeenRequest& seen : world.vendor.requests) {
      EXPECT_EQ(seen.body, ClusterWorld::kStreamed);
    }
  }
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

TEST(Cluster, PassesTheVendorsLastWordWhenNobodyElseCanServe) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.vendor.otherwise = Json(529, kOverloaded, {"x-from: vendor"});
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 529);
  EXPECT_EQ(world.body(), kOverloaded);
  EXPECT_EQ(world.Field("x-from"), "vendor");
  // The last account is not parked by a guess.
  EXPECT_EQ(world.Look(0).health, Health::kReady);
}

TEST(Cluster, PassesAnOverloadedStreamWhenNobodyElseCanServe) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.vendor.otherwise = Events(kOverloadedEvent);
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.body(), HasSubstr(kOverloadedEvent));
}

TEST(Cluster, TellsTheEarliestResetWhenAllAreLimited) {
  ClusterWorld world(Three());
  world.vendor.Answer("sk-a", Json(429, kLimitError, {"retry-after: 3600"}));
  world.vendor.Answer("sk-b", Json(429, kLimitError, {"retry-after: 90"}));
  world.vendor.Answer("sk-c", Json(429, kLimitError, {"retry-after: 700"}));
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 429);
  EXPECT_EQ(world.Field("retry-after"), "90");
  EXPECT_EQ(world.Look(0).health, Health::kLimited);
  // Known by then: no request goes out, and the time that is left is told.
  world.Advance(std::chrono::seconds(30));
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 429);
  EXPECT_EQ(world.Field("retry-after"), "60");
  EXPECT_EQ(world.vendor.requests.size(), 3U);
  // What counts no tokens is not bound by a limit of tokens.
  world.Ask("GET /v1/models");
  EXPECT_EQ(world.status(), 200);
  world.Advance(std::chrono::seconds(61));
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.vendor.requests.back().credential(), "sk-b");
}

TEST(Cluster, RefusesItselfWhenAllCredentialsAreRefused) {
  ClusterWorld world(Three());
  world.vendor.otherwise = Json(401, kAuthError);
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 503);
  EXPECT_THAT(world.body(), Not(HasSubstr("x-api-key")));
  EXPECT_THAT(world.body(), HasSubstr("renew"));
  EXPECT_EQ(world.Field("x-should-retry"), "false");
  EXPECT_EQ(world.Look(2).health, Health::kRefused);
}

TEST(Cluster, StopsAtItsAttempts) {
  ClusterWorld world(Three(), ProviderKind::kClaude,
                     [](ClusterConfig& config) { config.failover.attempts = 2; });
  world.vendor.otherwise = Json(500, "{}");
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 500);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b"));
}

TEST(Cluster, MovesOnlyForWhatFailoverNames) {
  ClusterWorld world(Three(), ProviderKind::kClaude,
                     [](ClusterConfig& config) { config.failover.on = {"429"}; });
  world.vendor.otherwise = Json(500, "{}");
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 500);
  EXPECT_EQ(world.vendor.requests.size(), 1U);
}

TEST(Cluster, NeverShowsARefusedCredentialEvenWithoutFailover) {
  ClusterWorld world(Three(), ProviderKind::kClaude,
                     [](ClusterConfig& config) { config.failover.on = {"429"}; });
  world.vendor.otherwise = Json(401, kAuthError);
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 503);
  EXPECT_EQ(world.vendor.requests.size(), 1U);
}

TEST(Cluster, R36SendsAgainAtOnceOnAStaleConnection) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
  // The second request meets a connection that ends as it arrives.
  world.vendor.Answer("sk-a", Nothing());
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.vendor.accepted, 2);
  EXPECT_EQ(world.vendor.requests.size(), 3U);
  EXPECT_EQ(world.filter->last_attempts, 1);
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

TEST(Cluster, MovesASessionAndKeepsItThere) {
  ClusterWorld world(Three());
  const std::vector<std::string> kSession = {"x-claude-code-session-id: s1"};
  world.AskClaude(false, kSession);
  world.vendor.Answer("sk-a", Json(429, kLimitError, {"retry-after: 30"}));
  world.AskClaude(false, kSession);
  world.Advance(std::chrono::seconds(31));
  world.AskClaude(false, kSession);
  world.AskClaude(false);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-a", "sk-b", "sk-b", "sk-a"));
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
  world.Advance(std::chrono::seconds(6));
  EXPECT_EQ(world.status(), 503);
  EXPECT_EQ(world.Field("retry-after"), "1");
  EXPECT_EQ(world.shared->pool->waiting(), 0U);
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
  world.clock.Advance(std::chrono::seconds(31));
  world.shared->metrics->Show(*world.shared->pool);
  EXPECT_THAT(world.metrics.Text(true),
              HasSubstr(R"(relay_account_state{account="main/a",state="ready"} 1)"));
}

// The client leaves after each turn of the loop: nothing is held any more, whatever was under way.
TEST(Cluster, LeavesNothingBehindWhenCancelledAnywhere) {
  const std::vector<Scripted> kFirst = {Json(529, kOverloaded), Events(kOverloadedEvent), Nothing(),
                                        Events(kStart + kStop), Silence()};
  for (size_t fault = 0; fault < kFirst.size(); ++fault) {
    for (int turns = 0; turns < 40; ++turns) {
      SCOPED_TRACE(std::to_string(fault) + " after " + std::to_string(turns));
      ClusterWorld world(Three());
      world.vendor.Answer("sk-a", kFirst[fault]);
      world.vendor.otherwise = Events(kStart + kStop);
      world.Begin("POST /v1/messages", ClusterWorld::kStreamed);
      for (int i = 0; i < turns; ++i) {
        world.client->Move();
        world.loop.Turn();
      }
      world.client->Close();
      world.Settle();
      EXPECT_TRUE(world.worker.exchanges.empty());
      EXPECT_LE(world.filter->finished, 1);
      // ~ClusterWorld looks at leases and bodies.
    }
  }
}

}  // namespace
}  // namespace relay
