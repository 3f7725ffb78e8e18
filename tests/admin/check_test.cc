// SPDX-License-Identifier: MIT
#include "admin/check.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/admin/fixture.h"
#include "tests/admin/temporary_folder.h"

namespace relay {
namespace {

constexpr std::string_view kConfig = R"(listeners: [{address: "127.0.0.1:0"}]
keys:
  - {name: alice, key: "${ALICE_KEY}", limits: {requests-per-minute: 1, concurrency: 1}}
  - {name: bob, key: "${BOB_KEY}", services: claude, models: {deny: claude-opus-*}}
  - {name: carol, key: "${CAROL_KEY:=}"}
clusters:
  claude:
    provider: claude
    endpoint: http://127.0.0.1:9
    accounts:
      - {name: first, api-key: "${ACCOUNT_KEY}", priority: 10}
      - {name: second, api-key: "${ACCOUNT_KEY}", priority: 20, models: [claude-haiku-*]}
      - {name: absent, api-key: "${ABSENT_KEY:=}"}
  gemini: {provider: gemini}
routes:
  - name: claude
    match: {prefix: /api}
    filters:
      - auth: {service: claude}
      - rate-limit: {}
      - account-select: {}
      - rewrite: {strip-prefix: true}
      - usage-record: {}
    cluster: claude
  - name: gemini
    match: {prefix: /gemini}
    filters: [{auth: {service: gemini}}, {account-select: {}}]
    cluster: gemini
tests:
)";

constexpr std::string_view kMessage =
    "{method: POST, path: /api/v1/messages, key: alice, body: {model: claude-opus-5-5, messages: "
    "[]}}";

// The lines of these tests, without their places.
std::vector<std::string> Lines(const std::string& tests) {
  auto config = ConfigOf(std::string(kConfig) + tests, {{"ALICE_KEY", "cr_check-test-alice"},
                                                        {"BOB_KEY", "cr_check-test-bob"},
                                                        {"ACCOUNT_KEY", "sk-ant-check-test"}});
  std::vector<std::string> lines;
  for (const TestOutcome& outcome : RunConfigTests(config)) {
    size_t end = outcome.line.find(": ");
    EXPECT_TRUE(outcome.line.starts_with("relay.yaml:")) << outcome.line;
    lines.push_back(outcome.line.substr(end + 2));
  }
  return lines;
}

std::string Line(std::string_view request, std::string_view expect) {
  auto lines =
      Lines("  - request: " + std::string(request) + "\n    expect: " + std::string(expect) + "\n");
  return lines.size() == 1 ? lines.front() : "not one line";
}

TEST(ConfigTests, ARequestGoesToItsRouteAndAccount) {
  EXPECT_EQ(Line(kMessage, "{route: claude, account: first}"),
            "ok: POST /api/v1/messages (key alice): route claude, account claude/first");
  EXPECT_EQ(Line(kMessage, "{account: claude/first, status: 200}"),
            "ok: POST /api/v1/messages (key alice): route claude, account claude/first");
}

TEST(ConfigTests, EachDifferenceIsNamed) {
  EXPECT_EQ(Line(kMessage, "{route: gemini, account: second, status: 429}"),
            "FAILED: POST /api/v1/messages (key alice): route is claude, not gemini; account is "
            "claude/first, not second; status is 200, not 429");
}

TEST(ConfigTests, ARefusalIsTheRelaysOwn) {
  EXPECT_EQ(Line("{method: POST, path: /api/v1/messages, key: nobody}", "{status: 401}"),
            "ok: POST /api/v1/messages (key nobody): route claude, answered 401");
  EXPECT_EQ(Line("{method: POST, path: /api/v1/messages}", "{status: 401}"),
            "ok: POST /api/v1/messages: route claude, answered 401");
  EXPECT_EQ(Line("{method: POST, path: /api/v1/messages, key: bob, body: {model: "
                 "claude-opus-5-5, messages: []}}",
                 "{route: claude, status: 403}"),
            "ok: POST /api/v1/messages (key bob): route claude, answered 403");
  EXPECT_EQ(Line("{path: /gemini/v1beta/models, key: bob}", "{status: 403}"),
            "ok: GET /gemini/v1beta/models (key bob): route gemini, answered 403");
  EXPECT_EQ(Line("{path: /gemini/v1beta/models, key: alice}", "{status: 503}"),
            "ok: GET /gemini/v1beta/models (key alice): route gemini, answered 503");
  EXPECT_EQ(Line("{path: /elsewhere, key: alice}", "{status: 404}"),
            "ok: GET /elsewhere (key alice): route none, answered 404");
}

TEST(ConfigTests, ARefusalWhereAnAccountWasExpectedFails) {
  EXPECT_EQ(Line("{method: POST, path: /api/v1/messages, key: nobody}", "{account: first}"),
            "FAILED: POST /api/v1/messages (key nobody): account is none, not first (the relay "
            "answers 401)");
}

TEST(ConfigTests, WhatIsLeftOutIsSkipped) {
  EXPECT_EQ(Line("{method: POST, path: /api/v1/messages, key: carol}", "{status: 200}"),
            "skipped: POST /api/v1/messages: key 'carol' is left out: CAROL_KEY is not set");
  EXPECT_EQ(Line(kMessage, "{account: absent}"),
            "skipped: POST /api/v1/messages: account 'claude/absent' is left out: ABSENT_KEY is "
            "not set");
}

TEST(ConfigTests, NoTestDisturbsAnother) {
  std::string test = "  - request: " + std::string(kMessage) + "\n    expect: {status: 200}\n";
  // Alice may send one request a minute.
  auto lines = Lines(test + test + test);
  EXPECT_EQ(lines.size(), 3U);
  for (const std::string& line : lines) EXPECT_TRUE(line.starts_with("ok: ")) << line;
}

TEST(ConfigTests, MethodsQueriesHeadersAndOtherCallsGoTheSameWay) {
  EXPECT_EQ(Line("{path: \"/api/v1/models?limit=2\", key: bob, headers: {x-team: research}}",
                 "{route: claude, account: first}"),
            "ok: GET /api/v1/models?limit=2 (key bob): route claude, account claude/first");
  EXPECT_EQ(Line("{method: HEAD, path: /api/api/hello}", "{status: 200}"),
            "ok: HEAD /api/api/hello: route claude, answered 200");
  EXPECT_EQ(Line("{path: /api/../secret, key: bob}", "{status: 400}"),
            "ok: GET /api/../secret (key bob): route none, answered 400");
  EXPECT_EQ(Line("{path: /api/v1/models, headers: {authorization: Bearer cr_check-test-bob}}",
                 "{account: first}"),
            "ok: GET /api/v1/models: route claude, account claude/first");
}

int Check(const std::string& text, std::string& out, std::string& err) {
  TemporaryFolder folder;
  Options options;
  options.config = folder.Write("relay.yaml", text);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  int code = RunCheck(options, EnvironmentOf({{"ALICE_KEY", "cr_check-test-alice"},
                                              {"BOB_KEY", "cr_check-test-bob"},
                                              {"CAROL_KEY", "cr_check-test-carol"},
                                              {"ABSENT_KEY", "sk-ant-not-absent"},
                                              {"ACCOUNT_KEY", "sk-ant-check-test"}}));
  out = testing::internal::GetCapturedStdout();
  err = testing::internal::GetCapturedStderr();
  return code;
}

TEST(Check, EndsWith0WhenAllIsGood) {
  std::string out;
  std::string err;
  EXPECT_EQ(Check(std::string(kConfig) + "  - request: " + std::string(kMessage) +
                      "\n    expect: {account: first}\n",
                  out, err),
            kExitOk);
  EXPECT_EQ(err, "");
  EXPECT_NE(out.find("is good; tests: 1 passed, 0 failed, 0 skipped\n"), std::string::npos) << out;
}

TEST(Check, EndsWith1WhenATestFails) {
  std::string out;
  std::string err;
  EXPECT_EQ(Check(std::string(kConfig) + "  - request: " + std::string(kMessage) +
                      "\n    expect: {status: 401}\n",
                  out, err),
            kExitFailed);
  EXPECT_NE(out.find("0 passed, 1 failed, 0 skipped\n"), std::string::npos) << out;
}

TEST(Check, EndsWith2AndRunsNoTestWhenTheFileIsWrong) {
  std::string out;
  std::string err;
  EXPECT_EQ(Check("worker: 2\n" + std::string(kConfig), out, err), kExitUsage);
  EXPECT_EQ(out, "");
  EXPECT_NE(err.find("relay.yaml:1:1: unknown key 'worker' (did you mean 'workers'?)\n"),
            std::string::npos)
      << err;
}

TEST(Check, NamesACertificateThatDoesNotLoadAndATimeZoneThatThereIsNot) {
  std::string text(kConfig);
  text.replace(text.find("\"127.0.0.1:0\"}"), 14,
               "\"127.0.0.1:0\", tls: {certificate: relay.yaml, key: relay.yaml}}");
  std::string out;
  std::string err;
  EXPECT_EQ(Check("time-zone: Europe/Atlantis\n" + text + "  []\n", out, err), kExitUsage);
  EXPECT_NE(err.find("relay.yaml: the system knows no time zone 'Europe/Atlantis'"),
            std::string::npos)
      << err;
  EXPECT_NE(err.find("relay.yaml:2:"), std::string::npos) << err;
}

}  // namespace
}  // namespace relay
