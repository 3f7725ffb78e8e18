// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/cancel_everywhere.h"
#include "tests/support/exchange_fixture.h"

namespace relay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr std::string_view kMessages = "POST /api/v1/messages";

std::string Chain(const std::string& options, bool before_select = false) {
  const std::string select = "- account-select: {}\n";
  const std::string rewrite = "- rewrite: " + options + "\n";
  return "- auth: {service: claude}\n" + (before_select ? rewrite + select : select + rewrite);
}

struct RewriteTest : testing::Test {
  static std::unique_ptr<ExchangeWorld> MakeWorld(const std::string& chain,
                                                  ProviderKind kind = ProviderKind::kClaude) {
    std::string filters = chain;
    if (kind == ProviderKind::kGemini) filters.replace(filters.find("claude"), 6, "gemini");
    auto world = std::make_unique<ExchangeWorld>(filters, kind);
    world->AddKey("cr_alice_0123456789", {.name = "alice"});
    return world;
  }
  static void Ask(ExchangeWorld& world, std::string_view line, std::string_view body,
                  std::vector<std::string> fields = {}) {
    fields.push_back("x-api-key: cr_alice_0123456789");
    world.Ask(line, fields, body);
    EXPECT_EQ(world.status(), 200) << world.answer_body();
  }
  static std::vector<std::string> Complaints(const std::string& options) {
    Problems problems;
    auto config = ExchangeWorld::Load(Chain(options), "[{name: a, api-key: sk-a}]", problems);
    EXPECT_FALSE(problems.failed());
    CheckChains(*config, problems);
    return problems.ErrorLines();
  }
};

TEST_F(RewriteTest, SendsThePathAsItCameUnlessTold) {
  auto world = MakeWorld(Chain("{}"));
  Ask(*world, "POST /api/v1/messages?beta=true", "{}");
  EXPECT_THAT(world->upstream.sent_head(), StartsWith("POST /api/v1/messages?beta=true HTTP/1.1"));
}

TEST_F(RewriteTest, StripsThePrefix) {
  auto world = MakeWorld(Chain("{strip-prefix: true}"));
  Ask(*world, "POST /api/v1/messages?beta=true", "{}");
  EXPECT_THAT(world->upstream.sent_head(), StartsWith("POST /v1/messages?beta=true HTTP/1.1"));
}

TEST_F(RewriteTest, PutsAPrefixBeforeThePath) {
  auto world = MakeWorld(Chain("{strip-prefix: true, prefix: /anthropic/v2}"));
  Ask(*world, kMessages, "{}");
  EXPECT_THAT(world->upstream.sent_head(), StartsWith("POST /anthropic/v2/v1/messages HTTP/1.1"));
  auto kept = MakeWorld(Chain("{prefix: /x}"));
  Ask(*kept, kMessages, "{}");
  EXPECT_THAT(kept->upstream.sent_head(), StartsWith("POST /x/api/v1/messages HTTP/1.1"));
}

TEST_F(RewriteTest, SetsAndRemovesHeaders) {
  auto world = MakeWorld(
      Chain("{set-headers: {x-team: research, X-App: mine}, remove-headers: [X-Secret]}"));
  Ask(*world, kMessages, "{}",
      {"x-app: theirs", "x-secret: 1", "x-kept: a", "x-secret: 2", "x-kept: b"});
  std::string head = world->upstream.sent_head();
  EXPECT_THAT(head, HasSubstr("x-team: research"));
  EXPECT_THAT(head, HasSubstr("mine"));
  EXPECT_THAT(head, Not(HasSubstr("theirs")));
  EXPECT_THAT(head, Not(HasSubstr("x-secret")));
  EXPECT_THAT(head, HasSubstr("x-kept: a\r\nx-kept: b"));
}

TEST_F(RewriteTest, MapsTheModelInTheBodyAndLeavesTheRestAsItIs) {
  auto world = MakeWorld(Chain("{model-map: {fast: claude-haiku-4-5, 'old-*': claude-opus-5-5}}"));
  Ask(*world, kMessages,
      "{ \"max_tokens\" : 16,\"model\":  \"fast\", \"x\":1.50,\"messages\":[\"Gr\u00fc\u00dfe "
      "\\u00e9\"]}\n");
  EXPECT_EQ(world->upstream.sent_body(),
            "{ \"max_tokens\" : 16,\"model\":  \"claude-haiku-4-5\", \"x\":1.50,\"messages\":"
            "[\"Gr\u00fc\u00dfe \\u00e9\"]}\n");
  Ask(*world, kMessages, R"({"model":"old-2024"})");
  EXPECT_EQ(world->upstream.sent_body(), R"({"model":"claude-opus-5-5"})");
  Ask(*world, kMessages, R"({"model":"f\u0061st"})");
  EXPECT_EQ(world->upstream.sent_body(), R"({"model":"claude-haiku-4-5"})");
  Ask(*world, kMessages, R"({"model":"fast2"})");
  EXPECT_EQ(world->upstream.sent_body(), R"({"model":"fast2"})");
  Ask(*world, kMessages, R"({"messages":[{"model":"fast"}]})");
  EXPECT_EQ(world->upstream.sent_body(), R"({"messages":[{"model":"fast"}]})");
}

TEST_F(RewriteTest, TakesTheFirstRuleThatFits) {
  auto world = MakeWorld(Chain("{model-map: {claude-opus-5-5: a, 'claude-*': b, '*': c}}"));
  Ask(*world, kMessages, R"({"model":"claude-opus-5-5"})");
  EXPECT_EQ(world->upstream.sent_body(), R"({"model":"a"})");
  Ask(*world, kMessages, R"({"model":"claude-haiku"})");
  EXPECT_EQ(world->upstream.sent_body(), R"({"model":"b"})");
  Ask(*world, kMessages, R"({"model":"gpt"})");
  EXPECT_EQ(world->upstream.sent_body(), R"({"model":"c"})");
}

TEST_F(RewriteTest, MapsTheModelInThePath) {
  auto world = MakeWorld(Chain("{strip-prefix: true, model-map: {gemini-pro: gemini-2.5-pro}}"),
                         ProviderKind::kGemini);
  Ask(*world, "POST /api/v1beta/models/gemini-pro:generateContent?alt=sse", R"({"contents":[]})");
  EXPECT_THAT(world->upstream.sent_head(),
              StartsWith("POST /v1beta/models/gemini-2.5-pro:generateContent?alt=sse HTTP"));
  EXPECT_EQ(world->upstream.sent_body(), R"({"contents":[]})");
  // Not half a name.
  Ask(*world, "POST /api/v1beta/models/gemini-pro-vision:generateContent", "{}");
  EXPECT_THAT(world->upstream.sent_head(), HasSubstr("/models/gemini-pro-vision:generate"));
  Ask(*world, "POST /api/v1beta/models/gemini-pro:generateContent",
      R"({"model":"models/gemini-pro"})");
  EXPECT_EQ(world->upstream.sent_body(), R"({"model":"models/gemini-2.5-pro"})");
}

TEST_F(RewriteTest, LetsLaterFiltersSeeTheMappedModel) {
  for (bool before : {false, true}) {
    auto world = MakeWorld(Chain("{model-map: {fast: claude-haiku-4-5}}", before));
    world->upstream.reply = "";
    world->Ask(kMessages, {"x-api-key: cr_alice_0123456789"}, R"({"model":"fast"})");
    ASSERT_NE(world->exchange(), nullptr);
    EXPECT_EQ(world->exchange()->ask.model, "claude-haiku-4-5");
    EXPECT_EQ(world->upstream.sent_body(), R"({"model":"claude-haiku-4-5"})");
  }
}

TEST_F(RewriteTest, SetsAndRemovesTopLevelFields) {
  auto world = MakeWorld(
      Chain("{set-fields: {temperature: 0.5, metadata: {team: [a, 'b\"']}, service_tier: null},"
            " remove-fields: [top_k, absent]}"));
  Ask(*world, kMessages, R"({"top_k":5,"temperature":1,"model":"m","in":{"top_k":1}})");
  std::string sent = world->upstream.sent_body();
  Result<JsonIndex> json = JsonIndex::Parse(sent);
  ASSERT_TRUE(json) << sent;
  EXPECT_EQ(json->Find("temperature").raw, "0.5");
  EXPECT_EQ(json->Find("metadata").raw, R"({"team":["a","b\""]})");
  EXPECT_EQ(json->Find("service_tier").raw, "null");
  EXPECT_EQ(json->Find("in").raw, R"({"top_k":1})");
  EXPECT_FALSE(json->Find("top_k"));
  EXPECT_EQ(json->Find("model").raw, "\"m\"");
}

TEST_F(RewriteTest, SetsFieldsOnlyWhereTokensAreProduced) {
  auto world = MakeWorld(Chain("{set-fields: {temperature: 1}, remove-fields: top_k}"));
  Ask(*world, "POST /api/v1/messages/count_tokens", R"({"model":"m","top_k":1})");
  EXPECT_EQ(world->upstream.sent_body(), R"({"model":"m"})");
  Ask(*world, "GET /api/v1/models", "");
  EXPECT_EQ(world->upstream.sent_body(), "");
}

TEST_F(RewriteTest, SetsAFieldOfAnEmptyObject) {
  auto world = MakeWorld(Chain("{set-fields: {temperature: 1}}"));
  Ask(*world, kMessages, "{}");
  EXPECT_EQ(world->upstream.sent_body(), R"({"temperature":1})");
}

TEST_F(RewriteTest, RefusesHeadersThatAreTheRelaysOwn) {
  for (const char* name :
       {"Authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "host",
        "content-length", "connection", "transfer-encoding", "te", "upgrade", "accept-encoding",
        "x-forwarded-for", "proxy-authorization"}) {
    EXPECT_THAT(Complaints("{set-headers: {" + std::string(name) + ": x}}"),
                ElementsAre("relay.yaml:14:33: '" + std::string(name) +
                            "' cannot be set: the relay makes it or takes it away"));
    EXPECT_THAT(Complaints("{remove-headers: [" + std::string(name) + "]}"),
                ElementsAre(HasSubstr("need not be removed")));
  }
  EXPECT_THAT(Complaints("{set-headers: {User-Agent: claude-cli/2}}"),
              ElementsAre(HasSubstr("no client is disguised as another")));
  EXPECT_THAT(Complaints("{remove-headers: [user-agent]}"), IsEmpty());
}

TEST_F(RewriteTest, RefusesWhatCouldBreakAHead) {
  EXPECT_THAT(Complaints("{set-headers: {'x y': 1}}"),
              ElementsAre(HasSubstr("'x y' is no name of a header")));
  EXPECT_THAT(Complaints("{set-headers: {x-a: \"1\\r\\nx-b: 2\"}}"),
              ElementsAre(HasSubstr("must not hold control bytes")));
  EXPECT_THAT(Complaints("{remove-headers: ['a:b']}"),
              ElementsAre(HasSubstr("must be the name of a header")));
  EXPECT_THAT(Complaints("{prefix: /x/}"), ElementsAre(HasSubstr("'prefix'")));
  EXPECT_THAT(Complaints("{model-map: {a: 'b c'}}"),
              ElementsAre(HasSubstr("must be the name of a model")));
}

TEST_F(RewriteTest, RefusesFieldsThatItMustNotChange) {
  EXPECT_THAT(Complaints("{set-fields: {model: m}}"),
              ElementsAre(HasSubstr("'model' is changed by 'model-map'")));
  EXPECT_THAT(Complaints("{remove-fields: [stream]}"),
              ElementsAre(HasSubstr("'stream' cannot be changed")));
}

TEST_F(RewriteTest, WarnsWhereTheAccountIsChosenByTheModelBeforeTheMap) {
  auto warnings = [](const std::string& chain, const std::string& accounts) {
    Problems problems;
    CheckChains(*ExchangeWorld::Load(chain, accounts, problems), problems);
    EXPECT_FALSE(problems.failed());
    size_t count = 0;
    for (const std::string& line : problems.WarningLines()) {
      if (line.find("put 'rewrite' before it") == std::string::npos) continue;
      EXPECT_THAT(line, StartsWith("relay.yaml:13:9: "));
      ++count;
    }
    return count;
  };
  const std::string map = "{model-map: {fast: claude-haiku-4-5}}";
  const std::string choosy = "[{name: a, api-key: sk-a, models: [claude-*]}]";
  EXPECT_EQ(warnings(Chain(map), choosy), 1U);
  EXPECT_EQ(warnings(Chain(map, true), choosy), 0U);
  EXPECT_EQ(warnings(Chain(map), "[{name: a, api-key: sk-a}]"), 0U);
  EXPECT_EQ(warnings(Chain("{strip-prefix: true}"), choosy), 0U);
}

TEST_F(RewriteTest, LeaksNothingWhereverItIsCut) {
  for (Cut cut : {Cut::kClientGone, Cut::kAborted}) {
    CancelSceneOf<ExchangeWorld> scene;
    scene.begin = [] {
      auto world = MakeWorld(Chain("{strip-prefix: true, model-map: {fast: m}}", true));
      world->Begin(ExchangeWorld::Request(kMessages, {"x-api-key: cr_alice_0123456789"},
                                          R"({"model":"fast","session":"s"})"));
      world->line().cut = [](size_t waiting) { return std::min<size_t>(waiting, 9); };
      return world;
    };
    EXPECT_GT(CancelEverywhere(scene, cut), 20);
  }
}

}  // namespace
}  // namespace relay
