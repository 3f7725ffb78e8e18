// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/cancel_everywhere.h"
#include "tests/support/exchange_fixture.h"

namespace relay {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kAlice = "cr_alice_0123456789";
constexpr std::string_view kBob = "cr_bob_0123456789";
const std::string kClaudeChain = "- auth: {service: claude}\n- account-select: {}\n";
const std::string kGeminiChain = "- auth: {service: gemini}\n- account-select: {}\n";
constexpr std::string_view kMessages = "POST /api/v1/messages";
constexpr std::string_view kBody = R"({"model":"claude-haiku-4-5"})";

struct AuthTest : testing::Test {
  std::unique_ptr<ExchangeWorld> MakeWorld(ProviderKind kind = ProviderKind::kClaude) {
    auto world = std::make_unique<ExchangeWorld>(
        kind == ProviderKind::kClaude ? kClaudeChain : kGeminiChain, kind);
    world->AddKey(kAlice, {.name = "alice"});
    world->AddKey(kBob, {.name = "bob"});
    return world;
  }
  // Nothing of any key went to the vendor.
  static void ExpectStripped(const ExchangeWorld& world) {
    std::string sent = world.upstream.sent_head();
    EXPECT_THAT(sent, Not(HasSubstr("cr_")));
    EXPECT_THAT(sent, Not(HasSubstr("hf_")));
    EXPECT_THAT(sent, Not(HasSubstr("uthorization")));
    EXPECT_THAT(sent, Not(HasSubstr("pi-key")));
  }
};

std::string Field(std::string_view name, std::string_view value) {
  return std::string(name) + ": " + std::string(value);
}

TEST_F(AuthTest, FindsTheKeyInEveryPlaceAndStripsIt) {
  auto world = MakeWorld();
  for (const std::string& field :
       {Field("x-api-key", kAlice), Field("X-Goog-Api-Key", kAlice), Field("API-Key", kAlice),
        Field("Authorization", "Bearer " + std::string(kAlice)),
        Field("authorization", "bearer   " + std::string(kAlice))}) {
    world->Ask(kMessages, {field, "x-kept: yes"}, kBody);
    EXPECT_EQ(world->status(), 200) << field;
    EXPECT_THAT(world->upstream.sent_head(), HasSubstr("x-kept: yes"));
    ExpectStripped(*world);
  }
}

TEST_F(AuthTest, TakesTheSameKeyTwiceForOne) {
  auto world = MakeWorld();
  world->Ask(kMessages,
             {Field("x-api-key", kAlice), Field("Authorization", "Bearer " + std::string(kAlice))},
             kBody);
  EXPECT_EQ(world->status(), 200);
  ExpectStripped(*world);
}

TEST_F(AuthTest, RefusesTwoDifferentRelayKeys) {
  auto world = MakeWorld();
  world->Ask(kMessages,
             {Field("x-api-key", kAlice), Field("Authorization", "Bearer " + std::string(kBob))},
             kBody);
  EXPECT_EQ(world->status(), 400);
  EXPECT_THAT(world->answer_head(), HasSubstr("x-should-retry: false"));
  EXPECT_THAT(world->answer_body(), HasSubstr("two different relay keys"));
  EXPECT_TRUE(world->upstream.calls.empty());
}

TEST_F(AuthTest, StripsOtherCredentialsBesideAValidKey) {
  auto world = MakeWorld();
  world->Ask(kMessages,
             {Field("x-api-key", kAlice), "Authorization: Bearer sk-ant-clients-own",
              "Authorization: Basic dXNlcjpwYXNz", "api-key: other"},
             kBody);
  EXPECT_EQ(world->status(), 200);
  ExpectStripped(*world);
  EXPECT_THAT(world->upstream.sent_head(), Not(HasSubstr("sk-ant-clients-own")));
  EXPECT_THAT(world->upstream.sent_head(), Not(HasSubstr("dXNlcjpwYXNz")));
}

TEST_F(AuthTest, SkipsThePlatformsBearer) {
  auto world = MakeWorld();
  world->AddKey("hf_not_a_relay_key", {.name = "mallory"});
  world->Ask(kMessages, {"Authorization: Bearer hf_not_a_relay_key", Field("x-api-key", kAlice)},
             kBody);
  EXPECT_EQ(world->status(), 200);
  ExpectStripped(*world);
  world->Ask(kMessages, {"Authorization: Bearer hf_not_a_relay_key"}, kBody);
  EXPECT_EQ(world->status(), 401);
}

TEST_F(AuthTest, GivesOneAnswerToNoKeyAndToWrongOnes) {
  auto world = MakeWorld();
  std::string first;
  for (const std::vector<std::string>& fields :
       {std::vector<std::string>{},
        {"x-api-key: cr_wrong_0123456789"},
        {"x-api-key:"},
        {"Authorization: Bearer"},
        {"Authorization: Basic cr_alice_0123456789"},
        {"Authorization: cr_alice_0123456789"},
        {"x-api-key: CR_ALICE_0123456789"},
        {"x-api-key: cr_alice_0123456789, cr_bob_0123456789"}}) {
    world->Ask(kMessages, fields, kBody);
    EXPECT_EQ(world->status(), 401);
    EXPECT_THAT(world->answer_head(), HasSubstr("x-should-retry: false"));
    // All but the request's own id is the same.
    std::string body = world->answer_body();
    body.erase(body.find("request_id"));
    if (first.empty()) first = body;
    EXPECT_EQ(body, first);
  }
  EXPECT_THAT(first, HasSubstr("authentication_error"));
  EXPECT_TRUE(world->upstream.calls.empty());
}

TEST_F(AuthTest, R6NeverReadsTheBodyOfAStranger) {
  auto world = MakeWorld();
  world->Begin(
      "POST /api/v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{\"mod");
  world->Run();
  EXPECT_EQ(world->status(), 401);
  EXPECT_EQ(world->bodies.used(), 0U);
}

TEST_F(AuthTest, TakesAQueryKeyOnGeminiRoutes) {
  auto world = MakeWorld(ProviderKind::kGemini);
  const std::string line = "POST /api/v1beta/models/gemini-2.5-pro:generateContent";
  struct Case {
    std::string query;
    std::string sent;
  };
  for (const Case& c : {Case{"?key=cr_alice_0123456789", "generateContent HTTP/1.1"},
                        Case{"?alt=sse&key=cr_alice_0123456789", "?alt=sse HTTP"},
                        Case{"?key=cr_alice_0123456789&alt=sse", "?alt=sse HTTP"},
                        Case{"?a=1&key=cr_alice_0123456789&b=%20&&c", "?a=1&b=%20&&c HTTP"},
                        Case{"?key=cr%5Falice_0123456789&x", "?x HTTP"},
                        Case{"?k%65y=cr_alice_0123456789&x", "?x HTTP"},
                        Case{"?key=other&key=cr_alice_0123456789", "generateContent HTTP/1.1"}}) {
    world->Ask(line + c.query, {}, R"({"contents":[]})");
    EXPECT_EQ(world->status(), 200) << c.query;
    EXPECT_THAT(world->upstream.sent_head(), HasSubstr(c.sent));
    ExpectStripped(*world);
  }
}

TEST_F(AuthTest, LeavesAQueryWithoutAKeyAsItIs) {
  auto world = MakeWorld(ProviderKind::kGemini);
  world->Ask("POST /api/v1beta/models/m:generateContent?&a=%7e&&monkey=1&Key=2",
             {Field("x-goog-api-key", kAlice)}, "{}");
  EXPECT_EQ(world->status(), 200);
  EXPECT_THAT(world->upstream.sent_head(), HasSubstr("?&a=%7e&&monkey=1&Key=2 HTTP"));
}

TEST_F(AuthTest, TakesNoQueryKeyOnClaudeRoutesButStripsIt) {
  auto world = MakeWorld();
  world->Ask("POST /api/v1/messages?beta=true&key=cr_alice_0123456789", {}, kBody);
  EXPECT_EQ(world->status(), 401);
  world->Ask("POST /api/v1/messages?beta=true&key=cr_alice_0123456789",
             {Field("x-api-key", kAlice)}, kBody);
  EXPECT_EQ(world->status(), 200);
  EXPECT_THAT(world->upstream.sent_head(), HasSubstr("/v1/messages?beta=true HTTP"));
  ExpectStripped(*world);
}

TEST_F(AuthTest, SaysThatAKeyIsDisabled) {
  auto world = MakeWorld();
  world->AddKey("cr_carol_0123456789", {.name = "carol", .disabled = true});
  world->Ask(kMessages, {"x-api-key: cr_carol_0123456789"}, kBody);
  EXPECT_EQ(world->status(), 403);
  EXPECT_THAT(world->answer_body(), HasSubstr("key 'carol' is disabled"));
  EXPECT_THAT(world->answer_head(), HasSubstr("x-should-retry: false"));
}

TEST_F(AuthTest, ForbidsAServiceThatTheKeyMayNotUse) {
  auto world = MakeWorld();
  world->AddKey("cr_carol_0123456789", {.name = "carol", .services = {"gemini"}});
  world->Ask(kMessages, {"x-api-key: cr_carol_0123456789"}, kBody);
  EXPECT_EQ(world->status(), 403);
  EXPECT_THAT(world->answer_body(), HasSubstr("key 'carol' may not use claude"));
}

TEST_F(AuthTest, ForbidsModelsNamedInTheBody) {
  auto world = MakeWorld();
  world->AddKey("cr_carol_0123456789",
                {.name = "carol", .models_allow = {"claude-*"}, .models_deny = {"*opus*"}});
  const std::vector<std::string> key = {"x-api-key: cr_carol_0123456789"};
  world->Ask(kMessages, key, kBody);
  EXPECT_EQ(world->status(), 200);
  EXPECT_EQ(world->upstream.sent_body(), kBody);
  world->Ask(kMessages, key, R"({"model":"claude-opus-5-5"})");
  EXPECT_EQ(world->status(), 403);
  EXPECT_THAT(world->answer_body(), HasSubstr("may not use model 'claude-opus-5-5'"));
  EXPECT_THAT(world->answer_body(), HasSubstr("permission_error"));
  world->Ask(kMessages, key, R"({"model":"cl\u0061ude-opus-5-5"})");
  EXPECT_EQ(world->status(), 403);
  world->Ask(kMessages, key, "{\"model\":");
  EXPECT_EQ(world->status(), 400);
  world->Ask("GET /api/v1/models", key);
  EXPECT_EQ(world->status(), 200);
  EXPECT_EQ(world->bodies.used(), 0U);
}

TEST_F(AuthTest, ForbidsModelsNamedInThePathWithoutReadingTheBody) {
  auto world = MakeWorld(ProviderKind::kGemini);
  world->AddKey("cr_carol_0123456789", {.name = "carol", .models_allow = {"*flash*"}});
  world->Begin(
      "POST /api/v1beta/models/gemini-2.5-pro:generateContent HTTP/1.1\r\nHost: a\r\n"
      "x-goog-api-key: cr_carol_0123456789\r\nContent-Length: 1000\r\n\r\n");
  world->Run();
  EXPECT_EQ(world->status(), 403);
  world->Ask("POST /api/v1beta/models/gemini-2.5-flash:generateContent",
             {"x-goog-api-key: cr_carol_0123456789"}, "{}");
  EXPECT_EQ(world->status(), 200);
}

TEST_F(AuthTest, ForbidsPassthroughToKeysOfSomeModels) {
  auto world = MakeWorld();
  world->AddKey("cr_carol_0123456789", {.name = "carol", .models_deny = {"*opus*"}});
  world->Ask("GET /api/v1/files", {"x-api-key: cr_carol_0123456789"});
  EXPECT_EQ(world->status(), 403);
  world->Ask("GET /api/v1/files", {Field("x-api-key", kAlice)});
  EXPECT_EQ(world->status(), 200);
}

TEST_F(AuthTest, LeaksNothingWhereverItIsCut) {
  for (Cut cut : {Cut::kClientGone, Cut::kAborted}) {
    CancelSceneOf<ExchangeWorld> scene;
    scene.begin = [] {
      auto world = std::make_unique<ExchangeWorld>(kClaudeChain);
      world->AddKey(kAlice, {.name = "alice", .models_allow = {"claude-*"}});
      world->Begin(ExchangeWorld::Request(kMessages, {Field("x-api-key", kAlice)}, kBody));
      world->line().cut = [](size_t waiting) { return std::min<size_t>(waiting, 11); };
      return world;
    };
    EXPECT_GT(CancelEverywhere(scene, cut), 20);
  }
}

TEST_F(AuthTest, HoldsAKeyToItsRules) {
  auto world = std::make_unique<ExchangeWorld>(kClaudeChain, ProviderKind::kClaude);
  WallTime now = world->clock.Wall();
  world->AddKey("cr_disabled_0123", {.name = "disabled", .disabled = true});
  world->AddKey("cr_expired_0123", {.name = "expired", .expires = now});
  world->AddKey("cr_brief_0123",
                {.name = "brief", .expires_after_first_use = std::chrono::hours(1)});
  world->AddKey("cr_placed_0123",
                {.name = "placed", .allowed_addresses = {*Network::Parse("198.51.100.0/24")}});
  world->AddKey("cr_cli_0123", {.name = "cli", .clients = {"claude-cli/*"}});
  auto ask = [&](const std::string& key, const std::string& agent = "curl/8") {
    world->Ask(kMessages, {Field("x-api-key", key), Field("user-agent", agent)}, kBody);
    return world->status();
  };
  auto says = [&](std::string_view what) {
    EXPECT_THAT(world->answer_body(), HasSubstr("permission_error"));
    EXPECT_THAT(world->answer_body(), HasSubstr(what));
    EXPECT_THAT(world->answer_head(), HasSubstr("x-should-retry: false"));
  };
  EXPECT_EQ(ask("cr_disabled_0123"), 403);
  says("key 'disabled' is disabled");
  EXPECT_EQ(ask("cr_expired_0123"), 403);
  says("key 'expired' has expired");
  EXPECT_EQ(ask("cr_brief_0123"), 200);
  world->clock.Advance(std::chrono::hours(1));
  EXPECT_EQ(ask("cr_brief_0123"), 403);
  says("key 'brief' has expired");
  EXPECT_EQ(ask("cr_placed_0123"), 403);
  says("key 'placed' may not be used from");
  EXPECT_EQ(ask("cr_cli_0123"), 403);
  says("key 'cli' may be used with these clients only: 'claude-cli/*'");
  EXPECT_EQ(ask("cr_cli_0123", "claude-cli/2.0.1 (external, cli)"), 200);
}

}  // namespace
}  // namespace relay
