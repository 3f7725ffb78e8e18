// SPDX-License-Identifier: MIT
#include "admin/rehearsal.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "admin/endpoints.h"
#include "admin/explain.h"
#include "core/store/shared_limits.h"
#include "tests/admin/fixture.h"

namespace relay {
namespace {

constexpr std::string_view kConfig = R"(listeners:
  - {address: "127.0.0.1:0", trusted-proxies: 10.0.0.0/8, limits: {body-bytes: 64KiB, header-bytes: 8KiB, wrong-keys: 2}}
  - {address: "127.0.0.1:0"}
keys:
  - {name: alice, key: "${ALICE_KEY}", limits: {requests-per-minute: 2, cost-per-day: 25}}
  - {name: bob, key: "${BOB_KEY}", services: gemini}
  - {name: dora, key: "${DORA_KEY}", expires-after-first-use: 1h}
  - {name: erin, key: "${ERIN_KEY}", allowed-addresses: 192.0.2.0/24}
clusters:
  gemini: {provider: gemini}
  claude:
    provider: claude
    accounts:
      - {name: first, api-key: "${ACCOUNT_KEY}", priority: 10, proxy: "http://u:p-secret@127.0.0.1:3128"}
      - {name: haiku, api-key: "${ACCOUNT_KEY}", models: [claude-haiku-*]}
      - {name: plan, oauth-token: "${ACCOUNT_KEY}"}
routes:
  - name: gemini
    match: {prefix: /gemini}
    filters: [{auth: {service: gemini}}, {account-select: {}}]
    cluster: gemini
  - name: claude
    match: {prefix: /api}
    filters:
      - auth: {service: claude}
      - rate-limit: {}
      - rewrite:
          strip-prefix: true
          set-headers: {x-gateway: gateway-secret}
          model-map: {claude-3-*: claude-haiku-4-5}
          set-fields: {temperature: 1}
      - account-select: {}
      - usage-record: {}
    cluster: claude
)";

constexpr std::string_view kBody =
    R"({"model":"claude-opus-5-5","max_tokens":500,"messages":[{"role":"user","content":"hi"}]})";

class World {
 public:
  World() {
    auto config = ConfigOf(kConfig, {{"ALICE_KEY", "cr_rehearsal-test-alice"},
                                     {"BOB_KEY", "cr_rehearsal-test-bob"},
                                     {"DORA_KEY", "cr_rehearsal-test-dora"},
                                     {"ERIN_KEY", "cr_rehearsal-test-erin"},
                                     {"ACCOUNT_KEY", "sk-ant-rehearsal-test"}});
    auto made = Services::Make(config, clock, uint64_t{1} << 30);
    EXPECT_TRUE(made);
    services = std::move(*made);
    endpoints = std::make_unique<ProcessEndpoints>(*services);
  }
  std::string Json(const RehearsedRequest& request) {
    Explanation explanation(request.key);
    Result<Unit> done = Rehearse(*services, *endpoints, request, explanation);
    EXPECT_TRUE(done) << done.error().what;
    return explanation.Json();
  }
  std::string Text(const RehearsedRequest& request) {
    Result<std::string> text = ExplanationText(Json(request));
    EXPECT_TRUE(text);
    return text.value_or("");
  }

  ManualClock clock;
  std::unique_ptr<Services> services;
  std::unique_ptr<ProcessEndpoints> endpoints;
};

RehearsedRequest Message(std::string key, std::string_view body = kBody) {
  RehearsedRequest request;
  request.target = "/api/v1/messages";
  request.key = std::move(key);
  request.body = body;
  return request;
}

TEST(Rehearsal, TellsEachStepOfARequestThatIsServed) {
  World world;
  RehearsedRequest request = Message("alice");
  request.headers = {{"user-agent", "curl/8"}, {"x-my-token", "client-secret"}};
  EXPECT_EQ(world.Text(request),
            R"(served by claude/first (route claude, key alice, model claude-opus-5-5)
route           route 'claude': begins with /api
                not route 'gemini', which is for /gemini
auth            key 'alice' may use claude
rate-limit      key 'alice': requests-per-minute: 0 of 2 used, 2 left
                key 'alice': cost-per-day: $0.00 of $25.00 used, $25.00 left
                reserves 522 tokens and $0.010088 until it ends
rewrite         path /api/v1/messages becomes /v1/messages
                sets header x-gateway
                sets field temperature
account-select  first: chosen: the session begins on it
                haiku: does not serve model claude-opus-5-5
                plan: a subscription, which serves the vendor's own client alone
usage-record    $4.00 for a million tokens in, $20.00 out
upstream        POST https://api.anthropic.com/v1/messages by the proxy http://127.0.0.1:3128
failover        if first fails: no other can serve
  user-agent: curl/8
  x-my-token: ***
  content-type: application/json
  x-gateway: ***
  accept-encoding: identity
  x-api-key: ***
  and a body of 104 bytes
)");
  EXPECT_EQ(world.Json(request).find("secret"), std::string::npos) << world.Json(request);
}

TEST(Rehearsal, TellsWhoIsAskedWhenTheChosenAccountFails) {
  struct Case {
    std::string_view failover;
    std::string_view text;
    std::string_view then;
  };
  constexpr Case kCases[] = {
      {"", "if a fails: asks c, then b; then no other, by failover: of the cluster",
       "claude/c,claude/b"},
      {"failover: {attempts: 5}", "if a fails: asks c, then b; then waits for one that is full",
       "claude/c,claude/b"},
      {"failover: {attempts: 1}", "if a fails: no other, by failover: of the cluster", ""}};
  for (const Case& c : kCases) {
    ManualClock clock;
    auto config = ConfigOf(R"(listeners: [{address: "127.0.0.1:0"}]
keys: [{name: alice, key: cr_rehearsal-next-test}]
clusters:
  claude:
    provider: claude
    accounts:
      - {name: a, api-key: sk-ant-a, priority: 1}
      - {name: b, api-key: sk-ant-b, priority: 3}
      - {name: c, api-key: sk-ant-c, priority: 2}
      - {name: d, api-key: sk-ant-d, priority: 9, concurrency: 1}
    )" + std::string(c.failover) +
                           R"(
routes: [{name: r, match: {prefix: /}, cluster: claude, filters: [auth: {service: claude}, account-select: {}]}]
)");
    auto services = Services::Make(config, clock, uint64_t{1} << 30);
    ASSERT_TRUE(services);
    Wish full;
    full.bound = "d";
    auto held = (*services)->current()->clusters[0]->pool->TryTake(full);
    ASSERT_TRUE(held);
    ProcessEndpoints endpoints(**services);
    RehearsedRequest request = Message("alice");
    request.target = "/v1/messages";
    Explanation explanation("alice");
    ASSERT_TRUE(Rehearse(**services, endpoints, request, explanation));
    EXPECT_EQ(explanation.Get("account"), "claude/a");
    EXPECT_EQ(explanation.Get("then"), c.then);
    std::string text = ExplanationText(explanation.Json()).value_or("");
    EXPECT_NE(text.find(c.text), std::string::npos) << text;
  }
}

TEST(Rehearsal, TellsWhoRefusesAndWhy) {
  World world;
  EXPECT_EQ(world.Text(Message("bob")),
            R"(refused by auth with 403 permission_error (route claude, key bob):
  key 'bob' may not use claude
route           route 'claude': begins with /api
                not route 'gemini', which is for /gemini
)");
  std::string unknown = world.Text(Message("carol"));
  EXPECT_NE(unknown.find("refused by auth with 401 authentication_error"), std::string::npos);
  EXPECT_NE(unknown.find("there is no relay key 'carol'\n"), std::string::npos) << unknown;
  std::string near = world.Text(Message("alcie"));
  EXPECT_NE(near.find("there is no relay key 'alcie' (did you mean 'alice'?)"), std::string::npos)
      << near;
  EXPECT_NE(world.Text(Message("")).find("no credential came"), std::string::npos);
  RehearsedRequest nowhere;
  nowhere.target = "/v2/nothing";
  EXPECT_EQ(world.Text(nowhere), R"(refused by route with 404:
  no route for this path; see routes in relay.yaml
route           not route 'gemini', which is for /gemini
                not route 'claude', which is for /api
)");
}

TEST(Rehearsal, OfAnotherModelTellsWhatIsSent) {
  World world;
  std::string text = world.Text(Message("alice", R"({"model":"claude-3-x","messages":[]})"));
  EXPECT_NE(text.find("model claude-3-x becomes claude-haiku-4-5"), std::string::npos) << text;
  EXPECT_NE(text.find("haiku: can serve, but another comes before it"), std::string::npos) << text;
}

TEST(Rehearsal, SaysWhatIsCachedAndWhatAMoveCosts) {
  World world;
  RehearsedRequest request = Message("alice", R"({"model":"claude-haiku-4-5","messages":[]})");
  request.headers = {{"x-claude-code-session-id", "s"}};
  const auto clusters = world.services->current()->clusters;
  const auto claude =
      std::ranges::find_if(clusters, [](const auto& one) { return one->config.name == "claude"; });
  AccountPool& pool = *(*claude)->pool;
  Wish wish;
  wish.sticky = "alice\ns";
  wish.bound = "first";
  Usage usage;
  usage.model = "claude-haiku-4-5";
  usage.cache_read = 20'000;
  usage.cache_write_5m = 10'000;
  (*pool.TryTake(wish))->NoteUsage(usage, world.clock.Now());
  world.clock.Advance(std::chrono::seconds(57));
  std::string text = world.Text(request);
  EXPECT_NE(text.find("first: chosen: the session is on it, where 30000 tokens of its prompt are "
                      "cached for another 4m 3s\n"),
            std::string::npos)
      << text;
  TimePoint end = world.clock.Now() + std::chrono::milliseconds(1500);
  pool.Report(0, {.kind = Judgement::Kind::kLimited, .until = end});
  text = world.Text(request);
  EXPECT_NE(text.find("waits 2s for first, which has its prompt cached\n"), std::string::npos)
      << text;
  EXPECT_EQ(text.find("leaves"), std::string::npos) << text;
  pool.Report(0, {.kind = Judgement::Kind::kLimited, .until = end + std::chrono::minutes(1)});
  text = world.Text(request);
  EXPECT_NE(text.find("haiku: chosen: the session moves to it from first\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find("leaves first, where 30000 tokens of its prompt are cached for another 4m "
                      "3s: to read them anew costs $0.027 more\n"),
            std::string::npos)
      << text;
  EXPECT_NE(
      world.Json(request).find(R"("cache-lost-tokens":30000,"cache-lost-nanodollars":27000000)"),
      std::string::npos);
}

TEST(Rehearsal, KnowsTheRelaysOwnPaths) {
  World world;
  RehearsedRequest request;
  request.method = "GET";
  request.target = "/health";
  EXPECT_EQ(world.Text(request),
            "answered by the relay itself with 200\n"
            "route           answered here with 200: nothing is sent\n");
}

TEST(Rehearsal, TakesAndCountsNothing) {
  World world;
  const std::string first = world.Json(Message("alice"));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(world.Json(Message("alice")), first);
  EXPECT_EQ(world.services->exchanges.active(), 0);
  EXPECT_EQ(world.services->bodies.used(), 0U);
  EXPECT_EQ(world.services->metrics.Text(true).find("relay_requests_total{"), std::string::npos);
  std::shared_ptr<const Snapshot> snapshot = world.services->current();
  for (const auto& cluster : snapshot->clusters) {
    EXPECT_EQ(cluster->pool->in_flight(), 0);
    EXPECT_TRUE(cluster->pool->TakeChangedSessions().empty());
  }
  // A first use that is only explained is none.
  EXPECT_NE(world.Text(Message("dora")).find("served by"), std::string::npos);
  world.clock.Advance(std::chrono::hours(2));
  EXPECT_NE(world.Text(Message("dora")).find("served by"), std::string::npos);
}

TEST(Rehearsal, GoesByTheLimitsOfTheFirstListener) {
  World world;
  const std::string fits = R"({"model":"claude-opus-5-5","max_tokens":5,"system":")";
  const std::string rest = R"("})";
  const size_t room = (size_t{64} << 10) - fits.size() - rest.size();
  std::string served = world.Text(Message("alice", fits + std::string(room, 'x') + rest));
  EXPECT_TRUE(served.starts_with("served by claude/first")) << served;
  std::string refused = world.Text(Message("alice", fits + std::string(room + 1, 'x') + rest));
  EXPECT_TRUE(refused.starts_with("refused by rate-limit with 413 ")) << refused;
  RehearsedRequest headed = Message("alice");
  headed.headers = {{"x-long", std::string(size_t{9} << 10, 'x')}};
  EXPECT_TRUE(world.Text(headed).starts_with("refused with 431:")) << world.Text(headed);
}

TEST(Rehearsal, AListenersOwnProxiesAreNotItsClients) {
  World world;
  RehearsedRequest request = Message("erin");
  struct Case {
    std::string_view forwarded;
    bool served;
  };
  constexpr Case kCases[] = {{"192.0.2.7", true},
                             {"192.0.2.7, 10.0.0.2", true},
                             {"192.0.2.7, 198.51.100.1", false},
                             {"192.0.2.7, 198.51.100.1, 10.0.0.2", false},
                             {"10.0.0.2", false}};
  for (const Case& c : kCases) {
    request.headers = {{"x-forwarded-for", std::string(c.forwarded)}};
    EXPECT_EQ(world.Text(request).starts_with("served"), c.served) << world.Text(request);
  }
}

class OtherRelays final : public SharedLimits {
 public:
  Task<Verdict> Reserve(Loop&, Limiter::Ask) override {
    ++asked;
    return Verdict();
  }
  void Settle(Settlement) override { ++asked; }
  Status status() const override { return {}; }
  int asked = 0;
};

TEST(Rehearsal, AsksNoOtherRelayAndSaysSo) {
  OtherRelays others;
  World world;
  world.services->limiter.ShareBy(&others);
  std::string text = world.Text(Message("alice"));
  EXPECT_NE(text.find("other relays share these limits"), std::string::npos) << text;
  EXPECT_EQ(others.asked, 0);
  EXPECT_EQ(world.Text(Message("dora")).find("other relays"), std::string::npos);
}

TEST(Rehearsal, LeavesNoHeaderOutInSilence) {
  World world;
  RehearsedRequest request = Message("alice");
  request.headers = {{"x y", "1"}};
  Explanation explanation;
  Result<Unit> done = Rehearse(*world.services, *world.endpoints, request, explanation);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().what, "'x y' is no header that HTTP can carry");
}

TEST(Rehearsal, ARequestGoesThroughJson) {
  RehearsedRequest request = Message("alice");
  request.headers = {{"a", "1"}, {"a", "\"2\""}};
  Result<RehearsedRequest> read = RehearsedRequest::Parse(request.Json());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->Json(), request.Json());
  for (std::string_view wrong : {"[]", R"({"method":"GET"})", R"({"target":"x"})"}) {
    EXPECT_FALSE(RehearsedRequest::Parse(wrong)) << wrong;
  }
}

std::string WhyNot(const std::string& json) {
  Result<RehearsedRequest> read = RehearsedRequest::Parse(json);
  if (read) return "nothing";
  EXPECT_EQ(read.error().party, Party::kClient);
  return read.error().what;
}

// An explanation of another request than was meant is worse than none.
TEST(Rehearsal, WhatIsNotUnderstoodOfARequestIsRefusedByItsName) {
  struct Case {
    std::string_view fields;
    std::string_view why;
  };
  constexpr Case kCases[] = {
      {R"("bdy":"")", "unknown field 'bdy'; there are method, target, headers, key and body"},
      {R"("body":{"model":"m"})", "'body' must be a text, in which JSON stands escaped"},
      {R"("body":null)", "'body' must be a text, in which JSON stands escaped"},
      {R"("method":1)", "'method' must be a text"},
      {R"("key":["alice"])", "'key' must be a text"},
      {R"("target":2)", "'target' must be a text"},
  };
  for (const Case& c : kCases) {
    bool target = c.fields.starts_with("\"target\"");
    std::string first = target ? "" : R"("target":"/",)";
    EXPECT_EQ(WhyNot("{" + first + std::string(c.fields) + "}"), c.why);
  }
  for (std::string_view headers : {R"({"a":"1"})", R"("a: 1")", R"(["a: 1"])", R"([["a"]])",
                                   R"([["a",1]])", R"([["a","1","2"]])"}) {
    EXPECT_EQ(WhyNot(R"({"target":"/","headers":)" + std::string(headers) + "}"),
              R"('headers' must be a list of pairs of texts: [["name","value"]])");
  }
}

// The codec would write none of these.
TEST(Rehearsal, AHeaderOfTheConnectionIsRefused) {
  for (std::string name : {"Host", "expect", "Content-Length", "Connection", "TE", "trailer",
                           "Transfer-Encoding", "upgrade", "keep-alive", "proxy-connection"}) {
    RehearsedRequest request = Message("alice");
    request.headers = {{name, "1"}};
    const std::string why = "the header '" + name +
                            "' is of the connection, which is the relay's own here; leave it out";
    EXPECT_EQ(WhyNot(request.Json()), why);
    World world;
    Explanation explanation;
    Result<Unit> done = Rehearse(*world.services, *world.endpoints, request, explanation);
    EXPECT_EQ(done ? "" : done.error().what, why);
  }
}

}  // namespace
}  // namespace relay
