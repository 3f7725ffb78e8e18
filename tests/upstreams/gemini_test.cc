// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/upstreams/cluster_world.h"
#include "upstreams/provider.h"

namespace relay {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::vector<std::string> kCli = {"user-agent: GeminiCLI-tui/0.61.0/gemini-2.5-pro (linux)"};
constexpr auto kGemini = ProviderKind::kGemini;
constexpr std::string_view kContents = R"("contents":[{"role":"user","parts":[{"text":"hé"}]}])";

std::string PublicBody() {
  return "{" + std::string(kContents) + "}";
}
std::string CliBody(std::string_view project = "p-client") {
  return R"({"model":"gemini-2.5-pro","project":")" + std::string(project) +
         R"(","user_prompt_id":"u","request":{)" + std::string(kContents) +
         R"(,"session_id":"s-1"}})";
}

TEST(Gemini, RecognisesItsCalls) {
  auto gemini = MakeGemini();
  struct Row {
    const char* method;
    const char* path;
    Operation operation;
    const char* model;
  };
  for (const Row& row : {
           Row{"POST", "/v1beta/models/m:generateContent", Operation::kGenerate, "m"},
           Row{"POST", "/v1beta/models/m-1.5:streamGenerateContent", Operation::kGenerate, "m-1.5"},
           Row{"POST", "/v1/models/m:countTokens", Operation::kCount, "m"},
           Row{"POST", "/v1beta/models/a%20b:embedContent", Operation::kGenerate, "a b"},
           Row{"POST", "/v1beta/models/m:batchEmbedContents", Operation::kGenerate, "m"},
           Row{"POST", "/v1beta/tunedModels/t:generateContent", Operation::kGenerate, "t"},
           Row{"GET", "/v1beta/models", Operation::kModels, ""},
           Row{"GET", "/v1beta/models/m", Operation::kModels, "m"},
           Row{"GET", "/v1/models", Operation::kModels, ""},
           Row{"POST", "/v1internal:loadCodeAssist", Operation::kStartup, ""},
           Row{"POST", "/v1internal:onboardUser", Operation::kStartup, ""},
           Row{"POST", "/v1internal:retrieveUserQuota", Operation::kStartup, ""},
           Row{"POST", "/v1internal:listExperiments", Operation::kStartup, ""},
           Row{"POST", "/v1internal:recordCodeAssistMetrics", Operation::kStartup, ""},
           Row{"POST", "/v1internal:fetchAdminControls", Operation::kStartup, ""},
           Row{"GET", "/v1internal:getCodeAssistGlobalUserSetting", Operation::kStartup, ""},
           Row{"POST", "/v1internal:setCodeAssistGlobalUserSetting", Operation::kStartup, ""},
           Row{"GET", "/v1internal/operations/abc", Operation::kStartup, ""},
           Row{"POST", "/v1internal:generateContent", Operation::kGenerate, ""},
           Row{"POST", "/v1internal:streamGenerateContent", Operation::kGenerate, ""},
           Row{"POST", "/v1internal:countTokens", Operation::kCount, ""},
       }) {
    SCOPED_TRACE(row.path);
    std::optional<Ask> ask = gemini->Recognise(row.method, row.path);
    ASSERT_TRUE(ask.has_value());
    EXPECT_EQ(ask->operation, row.operation);
    EXPECT_EQ(ask->model, row.model);
    EXPECT_TRUE(ask->metered);
  }
  for (const auto& [method, path] : std::vector<std::pair<std::string, std::string>>{
           {"GET", "/v1beta/models/m:generateContent"},
           {"POST", "/v1beta/models"},
           {"POST", "/v1beta/models/m"},
           {"POST", "/v1beta/models/:generateContent"},
           {"POST", "/v1beta/models/m:predict"},
           {"POST", "/v1beta/models/a/b:generateContent"},
           {"POST", "/v2/models/m:generateContent"},
           {"POST", "/v1beta/files"},
           {"GET", "/v1beta"},
           {"GET", "/v1internal:loadCodeAssist"},
           {"POST", "/v1internal:unknown"},
           {"POST", "/v1internal"},
           {"POST", "/v1internalx:generateContent"},
           {"POST", "/v1internal/operations/x"}}) {
    SCOPED_TRACE(path);
    EXPECT_FALSE(gemini->Recognise(method, path).has_value());
  }
  EXPECT_EQ(gemini->DialectOf("/v1internal:generateContent"), Dialect::kCodeAssist);
  EXPECT_EQ(gemini->DialectOf("/v1beta/models"), Dialect::kGemini);
}

TEST(Gemini, ReadsModelStreamAndSession) {
  ClusterWorld world({KeyAccount("a", "AIza-a")}, kGemini);
  Ask seen;
  world.filter->on_read = [&](Exchange& x) { seen = x.ask; };
  world.Ask("POST /v1internal:streamGenerateContent?alt=sse",
            R"({"model":"models/gemini-2.5-pro","request":{"contents":[],"session_id":"s-1",)"
            R"("generationConfig":{"maxOutputTokens":99}}})");
  EXPECT_EQ(seen.model, "gemini-2.5-pro");
  EXPECT_EQ(seen.session, "s-1");
  EXPECT_EQ(seen.max_tokens, 99);
  EXPECT_TRUE(seen.streams);
  world.Ask("POST /v1internal:countTokens",
            R"({"request":{"model":"models/x","contents":[],"sessionId":"s-2"}})");
  EXPECT_EQ(seen.model, "x");
  EXPECT_EQ(seen.session, "s-2");
  EXPECT_FALSE(seen.streams);
  world.Ask("POST /v1beta/models/m:streamGenerateContent?key=1&alt=json", PublicBody());
  EXPECT_EQ(seen.model, "m");
  EXPECT_FALSE(seen.streams);
  EXPECT_THAT(seen.session, testing::StartsWith("prefix-"));
}

TEST(Gemini, SendsWithAKeyAsItCame) {
  ClusterWorld world({KeyAccount("a", "AIza-a")}, kGemini);
  world.Ask("POST /v1beta/models/m:generateContent?key=cr_secret&x=1", PublicBody(),
            {"x-goog-api-key: cr_secret", "x-goog-api-client: genai"});
  ASSERT_EQ(world.vendor.requests.size(), 1U);
  const SeenRequest& seen = world.vendor.requests[0];
  EXPECT_EQ(seen.line(), "POST /v1beta/models/m:generateContent?x=1 HTTP/1.1");
  EXPECT_EQ(seen.Field("x-goog-api-key"), "AIza-a");
  EXPECT_EQ(seen.Field("x-goog-api-client"), "genai");
  EXPECT_EQ(seen.body, PublicBody());
  EXPECT_THAT(seen.head, Not(HasSubstr("cr_secret")));
}

TEST(Gemini, PutsTheAccountsProjectIntoEachBody) {
  struct Row {
    const char* verb;
    std::string body;
    std::string expected;
  };
  for (
      const Row& row : {
          Row{"streamGenerateContent?alt=sse", CliBody("p-client"), CliBody("p-account")},
          Row{"generateContent", R"({"model":"m", "request": {}})",
              R"({"model":"m", "request": {},"project":"p-account"})"},
          Row{"retrieveUserQuota", R"({"project":"x"})", R"({"project":"p-account"})"},
          Row{"retrieveUserQuota", R"({})", R"({})"},
          Row{"listExperiments",
              R"({"project":"x","metadata":{"ideName":"I", "duetProject" : "x"}})",
              R"({"project":"p-account","metadata":{"ideName":"I", "duetProject" : "p-account"}})"},
          Row{"loadCodeAssist", R"({"cloudaicompanionProject":"x","metadata":{"duetProject":"x"}})",
              R"({"cloudaicompanionProject":"p-account","metadata":{"duetProject":"p-account"}})"},
          Row{"loadCodeAssist", R"({"metadata":{"ideType":"IDE_UNSPECIFIED"}})",
              R"({"metadata":{"ideType":"IDE_UNSPECIFIED"}})"},
          Row{"onboardUser", R"({"tierId":"free","cloudaicompanionProject":null})",
              R"({"tierId":"free","cloudaicompanionProject":null})"},
          Row{"countTokens", R"({"request":{"contents":[]}})", R"({"request":{"contents":[]}})"},
      }) {
    SCOPED_TRACE(row.verb);
    ClusterWorld world({LoginAccount("dave", "ya29.dave", "p-account")}, kGemini);
    world.Ask("POST /v1internal:" + std::string(row.verb), row.body, kCli);
    ASSERT_EQ(world.vendor.requests.size(), 1U);
    EXPECT_EQ(world.vendor.requests[0].body, row.expected);
    EXPECT_EQ(world.vendor.requests[0].Field("authorization"), "Bearer ya29.dave");
  }
}

TEST(Gemini, ChangesTheProjectWithTheAccount) {
  std::vector<AccountConfig> accounts = {LoginAccount("one", "ya29.one", "p-one"),
                                         LoginAccount("two", "ya29.two", "p-two")};
  accounts[0].priority = 1;
  ClusterWorld world(std::move(accounts), kGemini);
  world.vendor.Answer("ya29.one", Json(500, "{}"));
  world.Ask("POST /v1internal:generateContent", CliBody("p-one"), kCli);
  ASSERT_EQ(world.vendor.requests.size(), 2U);
  EXPECT_EQ(world.vendor.requests[0].body, CliBody("p-one"));
  EXPECT_EQ(world.vendor.requests[1].body, CliBody("p-two"));
}

TEST(Gemini, LeavesTheProjectOfAnAccountWithoutOne) {
  ClusterWorld world({LoginAccount("dave", "ya29.dave")}, kGemini);
  world.Ask("POST /v1internal:generateContent", CliBody("own"), kCli);
  // What the relay told in the name of a key is no project of Google's.
  world.Ask("POST /v1internal:generateContent", CliBody("relay-api-key"), kCli);
  ASSERT_EQ(world.vendor.requests.size(), 2U);
  EXPECT_EQ(world.vendor.requests[0].body, CliBody("own"));
  EXPECT_THAT(world.vendor.requests[1].body, Not(HasSubstr("project")));
}

TEST(Gemini, AnswersTheCliItselfWhereAnAccountIsAKey) {
  struct Row {
    const char* line;
    std::string body;
    const char* has;
  };
  for (const Row& row : {
           Row{"POST /v1internal:loadCodeAssist", R"({"metadata":{}})",
               R"("cloudaicompanionProject":"relay-api-key")"},
           Row{"POST /v1internal:loadCodeAssist", R"({"cloudaicompanionProject":"mine"})",
               R"("cloudaicompanionProject":"mine")"},
           Row{"POST /v1internal:onboardUser", "{}", R"("done":true)"},
           Row{"GET /v1internal/operations/x", "", R"("done":true)"},
           Row{"POST /v1internal:retrieveUserQuota", "{}", R"({"buckets":[]})"},
           Row{"POST /v1internal:listExperiments", "{}", R"({"experimentIds":[],"flags":[]})"},
           Row{"POST /v1internal:recordCodeAssistMetrics", "{}", "{}"},
           Row{"POST /v1internal:fetchAdminControls", "{}", "{}"},
           Row{"GET /v1internal:getCodeAssistGlobalUserSetting", "", "freeTierDataCollection"},
       }) {
    SCOPED_TRACE(row.line);
    ClusterWorld world({KeyAccount("a", "AIza-a")}, kGemini);
    world.Ask(row.line, row.body, kCli);
    EXPECT_EQ(world.status(), 200);
    EXPECT_THAT(world.body(), HasSubstr(row.has));
    EXPECT_EQ(world.vendor.requests.size(), 0U);
  }
}

TEST(Gemini, RetriesStartUpCallsOnTheSameAccount) {
  const std::vector<Scripted> kFaults = {Json(503, "{}"), Json(500, "{}"), Json(429, "{}"),
                                         Nothing()};
  for (size_t i = 0; i < kFaults.size(); ++i) {
    SCOPED_TRACE(i);
    ClusterWorld world({LoginAccount("dave", "ya29.dave", "p")}, kGemini);
    world.vendor.Answer("ya29.dave", kFaults[i]);
    world.vendor.Answer("ya29.dave", kFaults[i]);
    world.Ask("POST /v1internal:loadCodeAssist", R"({"metadata":{}})", kCli);
    EXPECT_EQ(world.client->text, "");
    // A quarter of a second and a second, each a quarter more or less.
    world.Advance(std::chrono::milliseconds(180));
    EXPECT_EQ(world.vendor.requests.size(), 1U);
    world.Advance(std::chrono::milliseconds(140));
    EXPECT_EQ(world.vendor.requests.size(), 2U);
    world.Advance(std::chrono::milliseconds(740));
    EXPECT_EQ(world.vendor.requests.size(), 2U);
    world.Advance(std::chrono::milliseconds(520));
    EXPECT_EQ(world.status(), 200);
    EXPECT_EQ(world.vendor.requests.size(), 3U);
    EXPECT_EQ(world.Look(0).health, AccountPool::Health::kReady);
  }
}

TEST(Gemini, GivesAStartUpCallUpAtLast) {
  ClusterWorld world({LoginAccount("dave", "ya29.dave", "p")}, kGemini);
  world.vendor.otherwise = Json(503, R"({"error":{"code":503}})");
  world.Ask("POST /v1internal:loadCodeAssist", R"({"metadata":{}})", kCli);
  for (int i = 0; i < 5; ++i) world.Advance(std::chrono::seconds(2));
  EXPECT_EQ(world.status(), 503);
  EXPECT_EQ(world.body(), R"({"error":{"code":503}})");
  EXPECT_EQ(world.vendor.requests.size(), 3U);
}

// Code Assist's clients on a key.
TEST(Gemini, GivesAStartUpCallUpForWhatItsAccountSaidLast) {
  for (const Scripted& first : {Json(503, "{}"), Nothing()}) {
    ClusterWorld world({LoginAccount("dave", "ya29.dave", "p")}, kGemini);
    world.vendor.Answer("ya29.dave", first);
    world.vendor.otherwise = Json(429, "{}");
    world.Ask("POST /v1internal:loadCodeAssist", R"({"metadata":{}})", kCli);
    for (int i = 0; i < 3; ++i) world.Advance(std::chrono::seconds(2));
    EXPECT_EQ(world.status(), 429);
    EXPECT_EQ(world.vendor.requests.size(), 3U);
  }
}

TEST(Gemini, UnwrapsCodeAssistForAKey) {
  ClusterWorld world({KeyAccount("a", "AIza-a")}, kGemini);
  world.vendor.otherwise = Json(200, R"({"candidates":[{"x":"é"}],"usageMetadata":{}})");
  world.Ask("POST /v1internal:generateContent", CliBody(), kCli);
  ASSERT_EQ(world.vendor.requests.size(), 1U);
  const SeenRequest& seen = world.vendor.requests[0];
  EXPECT_EQ(seen.line(), "POST /v1beta/models/gemini-2.5-pro:generateContent HTTP/1.1");
  EXPECT_EQ(seen.body, PublicBody());
  EXPECT_EQ(seen.credential(), "AIza-a");
  EXPECT_THAT(world.body(), HasSubstr(R"({"candidates":[{"x":"é"}],"usageMetadata":{}})"));
  EXPECT_THAT(world.body(), HasSubstr(R"({"response":)"));
}

TEST(Gemini, UnwrapsAStreamForAKey) {
  ClusterWorld world({KeyAccount("a", "AIza-a")}, kGemini);
  world.vendor.otherwise = Events("data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\r\n\r\n");
  world.Ask("POST /v1internal:streamGenerateContent?alt=sse", CliBody(), kCli);
  EXPECT_EQ(world.vendor.requests[0].line(),
            "POST /v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse HTTP/1.1");
  EXPECT_THAT(
      world.body(),
      HasSubstr("data: {\"response\":{\"candidates\":[{\"finishReason\":\"STOP\"}]}}\r\n\r\n"));
  EXPECT_EQ(world.filter->last_end, Outcome::End::kComplete);
}

TEST(Gemini, UnwrapsCountTokensForAKey) {
  ClusterWorld world({KeyAccount("a", "AIza-a")}, kGemini);
  world.vendor.otherwise = Json(200, R"({"totalTokens":7})");
  world.Ask("POST /v1internal:countTokens",
            R"({"request":{"model":"models/m/../x","contents":[1]}})", kCli);
  EXPECT_EQ(world.vendor.requests[0].line(), "POST /v1beta/models/m%2F..%2Fx:countTokens HTTP/1.1");
  EXPECT_EQ(world.vendor.requests[0].body, R"({"contents":[1]})");
  EXPECT_EQ(world.body(), R"({"totalTokens":7})");
}

TEST(Gemini, UnwrapsWhatAFilterHasChanged) {
  ClusterWorld world({KeyAccount("a", "AIza-a")}, kGemini);
  world.filter->on_read = [](Exchange& x) {
    x.edits.Set(x.json, "added", "1");
    x.edits.Set(x.json, "model", "\"other\"");
    x.ask.model = "other";
  };
  world.Ask("POST /v1internal:generateContent", R"({"model":"m","request":{"contents":[]}})", kCli);
  EXPECT_EQ(world.vendor.requests[0].line(), "POST /v1beta/models/other:generateContent HTTP/1.1");
  EXPECT_EQ(world.vendor.requests[0].body, R"({"contents":[]})");
}

TEST(Gemini, RefusesWhatCannotBeUnwrapped) {
  for (const char* body :
       {R"({"model":"m"})", R"({"model":"m","request":[]})", R"({"request":{"contents":[]}})"}) {
    SCOPED_TRACE(body);
    ClusterWorld world({KeyAccount("a", "AIza-a")}, kGemini);
    world.Ask("POST /v1internal:generateContent", body, kCli);
    EXPECT_EQ(world.status(), 400);
    EXPECT_EQ(world.vendor.requests.size(), 0U);
  }
}

// Clients of the public API on a login.
TEST(Gemini, WrapsThePublicApiForALogin) {
  ClusterWorld world({LoginAccount("dave", "ya29.dave", "p-dave")}, kGemini);
  world.vendor.otherwise = Json(200, R"({"response": {"candidates":[ ]} ,"traceId":"t"})");
  world.Ask("POST /v1beta/models/gemini-2.5-pro:generateContent?key=x", PublicBody(), kCli);
  ASSERT_EQ(world.vendor.requests.size(), 1U);
  const SeenRequest& seen = world.vendor.requests[0];
  EXPECT_EQ(seen.line(), "POST /v1internal:generateContent HTTP/1.1");
  EXPECT_THAT(seen.body,
              testing::StartsWith(
                  R"({"model":"gemini-2.5-pro","project":"p-dave","user_prompt_id":"req_)"));
  EXPECT_THAT(seen.body, testing::EndsWith(R"(","request":)" + PublicBody() + "}"));
  EXPECT_EQ(seen.credential(), "ya29.dave");
  EXPECT_THAT(world.body(), HasSubstr(R"({"candidates":[ ]})"));
  EXPECT_THAT(world.body(), Not(HasSubstr("response")));
  EXPECT_THAT(world.body(), Not(HasSubstr("traceId")));
}

TEST(Gemini, WrapsStreamsForALogin) {
  const std::string events =
      "data: {\"response\":{\"candidates\":[{\"a\":1}]},\"traceId\":\"t\"}\r\n\r\n"
      "data: {\"response\":{\"candidates\":[{\"finishReason\":\"STOP\"}]}}\r\n\r\n";
  ClusterWorld world({LoginAccount("dave", "ya29.dave", "p-dave")}, kGemini);
  world.vendor.otherwise = Events(events);
  world.Ask("POST /v1beta/models/m:streamGenerateContent?alt=sse", PublicBody(), kCli);
  EXPECT_EQ(world.vendor.requests[0].line(),
            "POST /v1internal:streamGenerateContent?alt=sse HTTP/1.1");
  EXPECT_THAT(world.body(), HasSubstr("data: {\"candidates\":[{\"a\":1}]}\r\n\r\n"));
  EXPECT_EQ(world.filter->last_end, Outcome::End::kComplete);
  // Without alt=sse the client waits for an array.
  world.Ask("POST /v1beta/models/m:streamGenerateContent", PublicBody(), kCli);
  EXPECT_EQ(world.vendor.requests[1].line(),
            "POST /v1internal:streamGenerateContent?alt=sse HTTP/1.1");
  EXPECT_THAT(world.Field("content-type"), HasSubstr("application/json"));
  EXPECT_THAT(world.body(), HasSubstr("[{\"candidates\":[{\"a\":1}]}"));
  EXPECT_THAT(world.body(), HasSubstr(",\r\n{\"candidates\":[{\"finishReason\":\"STOP\"}]}"));
}

TEST(Gemini, WrapsCountTokensForALogin) {
  struct Row {
    std::string body;
    std::string expected;
  };
  for (const Row& row : {
           Row{R"({"contents":[1]})", R"({"request":{"model":"models/m","contents":[1]}})"},
           Row{R"( { } )", R"({"request":{"model":"models/m" } })"},
           Row{R"({"model":"models/m","contents":[1]})",
               R"({"request":{"model":"models/m","contents":[1]}})"},
           Row{R"({"generateContentRequest":{"model":"models/m","contents":[2],"tools":[]}})",
               R"({"request":{"model":"models/m","contents":[2]}})"},
       }) {
    SCOPED_TRACE(row.body);
    ClusterWorld world({LoginAccount("dave", "ya29.dave", "p-dave")}, kGemini);
    world.Ask("POST /v1beta/models/m:countTokens", row.body, kCli);
    ASSERT_EQ(world.vendor.requests.size(), 1U);
    EXPECT_EQ(world.vendor.requests[0].line(), "POST /v1internal:countTokens HTTP/1.1");
    EXPECT_EQ(world.vendor.requests[0].body, row.expected);
  }
}

TEST(Gemini, UsesKeysForWhatOnlyKeysCanDo) {
  for (const char* line : {"GET /v1beta/models", "POST /v1beta/models/m:embedContent",
                           "POST /v1beta/tunedModels/t:generateContent"}) {
    SCOPED_TRACE(line);
    std::string body = std::string_view(line).starts_with("GET") ? "" : "{}";
    std::vector<AccountConfig> accounts = {LoginAccount("dave", "ya29.dave", "p"),
                                           KeyAccount("a", "AIza-a")};
    accounts[0].priority = 1;
    ClusterWorld both(std::move(accounts), kGemini);
    both.Ask(line, body, kCli);
    EXPECT_EQ(both.status(), 200);
    EXPECT_EQ(both.vendor.requests[0].credential(), "AIza-a");
    ClusterWorld login({LoginAccount("dave", "ya29.dave", "p")}, kGemini);
    login.Ask(line, body, kCli);
    EXPECT_EQ(login.status(), 404);
    EXPECT_EQ(login.Field("x-should-retry"), "false");
  }
}

TEST(Gemini, RefusesACompressedAnswerThatWouldHaveToBeChanged) {
  ClusterWorld world({LoginAccount("dave", "ya29.dave", "p")}, kGemini);
  world.vendor.otherwise = Json(200, "zzzz", {"content-encoding: gzip"});
  world.Ask("POST /v1beta/models/m:generateContent", PublicBody(), kCli);
  EXPECT_EQ(world.status(), 502);
}

TEST(GeminiCandidates, AStreamEndsWhenAllHaveOrTheTransportDoes) {
  const std::string going = "data: {\"candidates\":[{\"index\":1,\"content\":{}}]}\r\n\r\n";
  const std::string first =
      "data: {\"candidates\":[{\"index\":0,\"finishReason\":\"STOP\"}]}\r\n\r\n";
  const std::string second =
      "data: {\"candidates\":[{\"index\":1,\"finishReason\":\"STOP\"}]}\r\n\r\n";
  const std::string plain = R"({"contents":[],"generationConfig":{"candidateCount":2}})";
  for (const std::string& events : {first + second, first}) {
    ClusterWorld world({KeyAccount("a", "k-a")}, ProviderKind::kGemini);
    world.vendor.otherwise = Events(events);
    world.Ask("POST /v1beta/models/m:streamGenerateContent?alt=sse", plain);
    EXPECT_EQ(world.filter->last_end, Outcome::End::kComplete);
    EXPECT_THAT(world.body(), Not(HasSubstr("error")));
  }
  ClusterWorld world({KeyAccount("a", "k-a")}, ProviderKind::kGemini);
  world.vendor.otherwise = Events(going);
  world.Ask("POST /v1beta/models/m:streamGenerateContent?alt=sse", plain);
  EXPECT_EQ(world.filter->last_end, Outcome::End::kUpstreamCut);
  // What breaks off after the first candidate's end has not ended.
  world.vendor.otherwise = {
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
      "content-length: 5000\r\n\r\n" +
          first + going,
      Then::kClose};
  world.Ask("POST /v1beta/models/m:streamGenerateContent?alt=sse", plain);
  EXPECT_EQ(world.filter->last_end, Outcome::End::kUpstreamCut);
}

}  // namespace
}  // namespace relay
