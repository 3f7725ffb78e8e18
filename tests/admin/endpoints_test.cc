// SPDX-License-Identifier: MIT
#include "admin/endpoints.h"

#include <gtest/gtest.h>

#include "tests/admin/fixture.h"

namespace relay {
namespace {

constexpr std::string_view kConfig = R"(
listeners: [{address: "127.0.0.1:0"}]
admin: {metrics-token: "${METRICS_TOKEN:=}"}
keys: [{name: alice, key: "${RELAY_KEY}"}]
clusters:
  claude:
    provider: claude
    accounts:
      - {name: alpha, api-key: "${ACCOUNT_KEY}"}
      - {name: beta, api-key: "${ACCOUNT_KEY}"}
  empty: {provider: gemini}
routes:
  - name: claude
    match: {prefix: /api}
    filters: [{auth: {service: claude}}, {account-select: {}}]
    cluster: claude
  - name: gemini
    match: {prefix: /gemini}
    filters: [{auth: {service: gemini}}, {account-select: {}}]
    cluster: empty
)";

struct EndpointsTest : testing::Test {
  explicit EndpointsTest(std::string token = "") {
    auto config = ConfigOf(kConfig, {{"RELAY_KEY", "cr_endpoints-test-key"},
                                     {"ACCOUNT_KEY", "sk-ant-endpoints-test"},
                                     {"METRICS_TOKEN", std::move(token)}});
    auto made = Services::Make(config, clock, uint64_t{400} << 20);
    EXPECT_TRUE(made);
    services = std::move(*made);
    endpoints = std::make_unique<ProcessEndpoints>(*services);
  }

  std::optional<Reply> Ask(std::string_view method, std::string_view path,
                           std::string_view authorization = "") const {
    Head head;
    head.method = method;
    head.target = path;
    if (!authorization.empty()) head.Add("authorization", authorization);
    return endpoints->Answer(head, path);
  }
  static std::string HeaderOf(const Reply& reply, std::string_view name) {
    for (const auto& [key, value] : reply.headers) {
      if (key == name) return value;
    }
    return "";
  }

  ManualClock clock;
  std::unique_ptr<Services> services;
  std::unique_ptr<ProcessEndpoints> endpoints;
};

struct GuardedMetrics : EndpointsTest {
  GuardedMetrics() : EndpointsTest("token-of-the-metrics") {}
};

TEST_F(EndpointsTest, HealthTellsStatusTimeUptimeAndVersion) {
  endpoints->SetPhase(ProcessEndpoints::Phase::kServing);
  clock.Advance(std::chrono::milliseconds(61'900));
  std::optional<Reply> reply = Ask("GET", "/health");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->content_type, "application/json");
  EXPECT_EQ(
      reply->body,
      R"({"status":"ok","timestamp":"2026-09-21T14:14:21.900Z","uptime":61,"version":")" RELAY_VERSION
      R"(","services":{"redis":"embedded"}})");
  EXPECT_EQ(HeaderOf(*reply, "cache-control"), "no-store");
}

TEST_F(EndpointsTest, HealthIsStill200WhileDraining) {
  endpoints->SetPhase(ProcessEndpoints::Phase::kDraining);
  std::optional<Reply> reply = Ask("GET", "/health");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  EXPECT_TRUE(reply->body.starts_with(R"({"status":"draining",)")) << reply->body;
}

TEST_F(EndpointsTest, ReadyIs200OnlyWhileServing) {
  EXPECT_EQ(Ask("GET", "/ready")->status, 503);
  EXPECT_TRUE(Ask("GET", "/ready")->body.starts_with(R"({"status":"starting",)"));
  endpoints->SetPhase(ProcessEndpoints::Phase::kServing);
  EXPECT_EQ(Ask("GET", "/ready")->status, 200);
  EXPECT_EQ(Ask("GET", "/ready")->body,
            R"({"status":"ready","accounts":{"claude":{"ready":2},"empty":{}},"store":"memory",)"
            R"("config":{"loaded":"2026-09-21T14:13:20.000Z"}})");
  endpoints->SetPhase(ProcessEndpoints::Phase::kDraining);
  EXPECT_EQ(Ask("GET", "/ready")->status, 503);
  EXPECT_TRUE(Ask("GET", "/ready")->body.starts_with(R"({"status":"draining",)"));
}

TEST_F(EndpointsTest, ReadyTellsWhereAFileIsWrongUntilAGoodOneIsInForce) {
  endpoints->SetPhase(ProcessEndpoints::Phase::kServing);
  clock.Advance(std::chrono::seconds(10));
  ReloadOutcome outcome;
  outcome.problems = {"/etc/relay/relay.yaml:4:7: unknown key 'mine' in key 'alice'", "another"};
  endpoints->SetReload(outcome);
  std::optional<Reply> reply = Ask("GET", "/ready");
  EXPECT_EQ(reply->status, 200) << "what is in force serves";
  EXPECT_TRUE(reply->body.ends_with(
      R"("config":{"loaded":"2026-09-21T14:13:20.000Z","refused":"relay.yaml:4:7"}})"))
      << reply->body;
  endpoints->SetReload(ReloadOutcome());
  EXPECT_TRUE(
      Ask("GET", "/ready")->body.ends_with(R"("config":{"loaded":"2026-09-21T14:13:30.000Z"}})"));
}

TEST_F(EndpointsTest, ReadyCountsAccountsByStateAndNamesNone) {
  endpoints->SetPhase(ProcessEndpoints::Phase::kServing);
  Judgement limited;
  limited.kind = Judgement::Kind::kLimited;
  limited.status = 429;
  limited.until = clock.Now() + std::chrono::hours(1);
  services->current()->clusters[0]->pool->Report(1, limited);
  EXPECT_EQ(Ask("GET", "/ready")->body,
            R"({"status":"ready","accounts":{"claude":{"limited":1,"ready":1},"empty":{}},)"
            R"("store":"memory","config":{"loaded":"2026-09-21T14:13:20.000Z"}})");
}

TEST_F(EndpointsTest, OtherPathsAreNotItsOwn) {
  for (std::string_view path : {"/", "/healthy", "/health/", "/api/health", "/metrics/x", ""}) {
    EXPECT_FALSE(Ask("GET", path)) << path;
  }
}

TEST_F(EndpointsTest, OtherMethodsAreToldWhichAreAllowed) {
  for (std::string_view path : {"/health", "/ready", "/metrics"}) {
    for (std::string_view method : {"POST", "PUT", "DELETE", "OPTIONS"}) {
      std::optional<Reply> reply = Ask(method, path);
      ASSERT_TRUE(reply);
      EXPECT_EQ(reply->status, 405) << method << path;
      EXPECT_EQ(HeaderOf(*reply, "allow"), "GET, HEAD");
    }
    EXPECT_EQ(Ask("HEAD", path)->status, Ask("GET", path)->status);
  }
}

TEST_F(EndpointsTest, MetricsAreOpenAndNameNobodyWithoutAToken) {
  std::optional<Reply> reply = Ask("GET", "/metrics");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_NE(reply->body.find("relay_build_info{version=\"" RELAY_VERSION "\"} 1\n"),
            std::string::npos);
  EXPECT_NE(reply->body.find("\nrelay_buffered_body_limit_bytes 104857600\n"), std::string::npos);
  EXPECT_EQ(reply->body.find("account="), std::string::npos);
  EXPECT_EQ(reply->body.find("alice"), std::string::npos);
  EXPECT_EQ(reply->body.find("alpha"), std::string::npos);
}

TEST_F(EndpointsTest, MetricsShowWhatTheProcessTakes) {
  EXPECT_TRUE(services->bodies.TryTake(nullptr, 12'345));
  std::string text = Ask("GET", "/metrics")->body;
  EXPECT_NE(text.find("\nrelay_buffered_body_bytes 12345\n"), std::string::npos);
  EXPECT_EQ(text.find("\nprocess_open_fds 0\n"), std::string::npos);
  EXPECT_EQ(text.find("\nprocess_resident_memory_bytes 0\n"), std::string::npos);
}

TEST_F(GuardedMetrics, NeedTheTokenAndThenNameAccounts) {
  for (std::string_view wrong :
       {"", "Bearer token-of-the-metricsX", "Bearer token-of-the-metric", "Bearer ", "Bearer",
        "Basic token-of-the-metrics", "token-of-the-metrics"}) {
    std::optional<Reply> reply = Ask("GET", "/metrics", wrong);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, 401) << wrong;
    EXPECT_EQ(HeaderOf(*reply, "www-authenticate"), "Bearer realm=\"metrics\"");
    EXPECT_EQ(reply->body.find("relay_"), std::string::npos);
  }
  for (std::string_view right : {"Bearer token-of-the-metrics", "bearer  token-of-the-metrics"}) {
    std::optional<Reply> reply = Ask("GET", "/metrics", right);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, 200);
    EXPECT_NE(reply->body.find("account=\""), std::string::npos);
    EXPECT_EQ(reply->body.find("token-of-the-metrics"), std::string::npos);
  }
}

TEST_F(GuardedMetrics, HealthStaysOpen) {
  EXPECT_EQ(Ask("GET", "/health")->status, 200);
}

}  // namespace
}  // namespace relay
