// SPDX-License-Identifier: MIT
// Rules of a cluster before the shipped ones: what they make of an answer, what they never let out.
#include "upstreams/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/upstreams/claude_answers.h"
#include "tests/upstreams/vendor_errors.h"

namespace relay {
namespace {

using Health = AccountPool::Health;
using Kind = Judgement::Kind;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

struct OwnRules {
  std::vector<AccountRule> rules;
};
void Bind(Fields& f, OwnRules& r) {
  f.Required("rules", r.rules, "as of a cluster");
}

// As relay.yaml has them, a line each.
std::vector<AccountRule> Read(const std::vector<std::string>& lines) {
  if (lines.empty()) return {};
  std::string text = "rules:\n";
  for (const std::string& line : lines) text += "  - " + line + "\n";
  Problems problems;
  Environment none = [](std::string_view) { return std::optional<std::string>(); };
  OwnRules read;
  ReadStruct(ParseYaml({text, "relay.yaml", "", none}, problems), "", problems, read);
  for (const std::string& line : problems.ErrorLines()) ADD_FAILURE() << line;
  return read.rules;
}

std::function<void(ClusterConfig&)> With(const std::vector<std::string>& lines) {
  return [rules = Read(lines)](ClusterConfig& config) { config.rules = rules; };
}

Judgement Judge(const std::vector<std::string>& lines, int status, std::string_view body,
                const std::vector<std::pair<std::string, std::string>>& fields = {}) {
  ManualClock clock;
  Head head;
  head.status = status;
  for (const auto& [name, value] : fields) head.Add(name, value);
  return MakeClaude(Read(lines))->Judge(head, body, clock.Now(), clock.Wall());
}

TEST(Rules, ShippedOnesCanBeRead) {
  EXPECT_GT(Rules::Shipped(ProviderKind::kClaude).size(), 5U);
  EXPECT_GT(Rules::Shipped(ProviderKind::kGemini).size(), 5U);
}

TEST(Rules, MatchByStatusHeaderTypeAndMessageTogether) {
  const std::vector<std::string> kRule = {
      R"({match: {status: [418, 5xx], headers: {x-edge: "a*"}, error: "odd_*", )"
      R"(message: ["no", "*today*"]}, action: refused})"};
  const std::string odd = Anthropic("odd_error", "not today, please");
  EXPECT_EQ(Judge(kRule, 418, odd, {{"X-Edge", "abc"}}).kind, Kind::kRefused);
  EXPECT_EQ(Judge(kRule, 507, odd, {{"x-edge", "a"}}).kind, Kind::kRefused);
  EXPECT_EQ(Judge(kRule, 419, odd, {{"x-edge", "abc"}}).kind, Kind::kRequest);
  EXPECT_EQ(Judge(kRule, 418, odd, {{"x-edge", "b"}}).kind, Kind::kRequest);
  EXPECT_EQ(Judge(kRule, 418, odd).kind, Kind::kRequest);
  EXPECT_EQ(Judge(kRule, 418, Anthropic("even", "not today"), {{"x-edge", "a"}}).kind,
            Kind::kRequest);
  EXPECT_EQ(Judge(kRule, 418, Anthropic("odd_error", "No"), {{"x-edge", "a"}}).kind,
            Kind::kRequest);
}

TEST(Rules, TheFirstThatMatchesCountsAndTheShippedOnesFollow) {
  const std::vector<std::string> kRules = {"{match: {status: 500}, action: next}",
                                           "{match: {status: 5xx}, action: overloaded}"};
  EXPECT_EQ(Judge(kRules, 500, "").kind, Kind::kUnsuited);
  EXPECT_EQ(Judge(kRules, 502, "").kind, Kind::kOverloaded);
  EXPECT_EQ(Judge(kRules, 429, "").kind, Kind::kLimited);
  EXPECT_THAT(Judge(kRules, 502, "").cause, HasSubstr("by the rule at relay.yaml:3:5"));
  EXPECT_THAT(Judge(kRules, 429, "").cause, Not(HasSubstr("rule")));
}

TEST(Rules, ReadAPageWhereTheVendorSaysNothing) {
  EXPECT_EQ(Judge({R"({match: {message: "<html>*full*"}, action: overloaded})"}, 403,
                  "<html>we are full</html>")
                .kind,
            Kind::kOverloaded);
}

TEST(Rules, TheVendorsOwnTimeCountsBeforeTheRules) {
  ManualClock clock;
  const std::vector<std::string> kRule = {"{match: {status: 429}, action: limited, for: 5m}"};
  EXPECT_EQ(Judge(kRule, 429, "").until - clock.Now(), minutes(5));
  EXPECT_EQ(Judge(kRule, 429, "", {{"retry-after", "7"}}).until - clock.Now(), seconds(7));
}

TEST(Rules, ScopeOfALimitIsTheVendorsUnlessTheRuleNamesOne) {
  using Scope = Judgement::Scope;
  EXPECT_EQ(Judge({"{match: {status: 429}, action: limited}"}, 429, "").scope, Scope::kFamily);
  EXPECT_EQ(Judge({"{match: {status: 429}, action: limited, scope: account}"}, 429, "").scope,
            Scope::kAccount);
}

// A client's own words come back in what the vendor says of a bad request.
TEST(Rules, WordsOfTheClientBlameNoAccount) {
  for (const char* words :
       {"Your credit balance is too low", "This organization has been disabled"}) {
    EXPECT_EQ(
        Judge({}, 400, Anthropic("invalid_request_error", std::string("type: ") + words)).kind,
        Kind::kRequest);
    EXPECT_EQ(Judge({}, 404, Anthropic("not_found_error", std::string("model: ") + words)).kind,
              Kind::kRequest);
  }
}

TEST(Rules, DecideOfAnErrorThatOpensAStream) {
  auto claude = MakeClaude(Read({"{match: {status: 529}, action: limited, for: 1m}"}));
  ManualClock clock;
  Judgement judged =
      claude->JudgeEvent("error", Anthropic("overloaded_error", "x"), clock.Now(), clock.Wall());
  EXPECT_EQ(judged.kind, Kind::kLimited);
  EXPECT_EQ(judged.until - clock.Now(), minutes(1));
}

TEST(Rules, AGoogleErrorThatOpensAStreamTellsUntilWhen) {
  ManualClock clock;
  Judgement judged = MakeGemini()->JudgeEvent(
      "",
      Google(429, "RESOURCE_EXHAUSTED",
             R"({"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"9s"})"),
      clock.Now(), clock.Wall());
  EXPECT_EQ(judged.until - clock.Now(), seconds(9));
}

TEST(Rules, RestAnAccountAsLongAsTheySay) {
  ClusterWorld world(
      Three(), ProviderKind::kClaude,
      With({"{match: {status: 400, message: \"*sealed*\"}, action: refused, for: 2h}"}));
  world.vendor.Answer("sk-a", Json(400, Anthropic("invalid_request_error", "it is sealed now")));
  world.vendor.otherwise = Json(200, "{}");
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b"));
  EXPECT_EQ(world.Look(0).health, Health::kRefused);
  EXPECT_EQ(world.Look(0).until - world.clock.Now(), std::chrono::hours(2));
}

TEST(Rules, PassWhatTheShippedOnesTakeForTheVendorsTrouble) {
  ClusterWorld world(Three(), ProviderKind::kClaude,
                     With({"{match: {status: 500}, action: pass}"}));
  world.vendor.otherwise = Json(500, "mine alone");
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 500);
  EXPECT_EQ(world.body(), "mine alone");
  EXPECT_THAT(world.asked(), ElementsAre("sk-a"));
  EXPECT_EQ(world.Look(0).health, Health::kReady);
}

TEST(Rules, NeverPassWhatBlamesAnAccountUnlessTheySaySo) {
  const std::string broke =
      Anthropic("invalid_request_error", "Your credit balance is too low, Ms. Miller");
  const std::vector<std::pair<int, std::string>> kAnswers = {
      {400, broke},
      {403, Anthropic("permission_error", "org 4711 may not")},
      {401, kAuthError},
      {429, kLimitError},
  };
  for (const auto& [status, body] : kAnswers) {
    SCOPED_TRACE(status);
    ClusterWorld hidden({KeyAccount("a", "sk-a")}, ProviderKind::kClaude,
                        With({"{match: {status: 4xx}, action: pass}"}));
    hidden.vendor.otherwise = Json(status, body);
    hidden.AskClaude(false);
    EXPECT_EQ(hidden.status(), status == 429 ? 429 : 503);
    EXPECT_NE(hidden.body(), body);
    EXPECT_NE(hidden.Look(0).health, Health::kReady);

    ClusterWorld shown({KeyAccount("a", "sk-a")}, ProviderKind::kClaude,
                       With({"{match: {status: 4xx}, action: pass, shows-account: true}"}));
    shown.vendor.otherwise = Json(status, body);
    shown.AskClaude(false);
    EXPECT_EQ(shown.status(), status);
    EXPECT_EQ(shown.body(), body);
    EXPECT_EQ(shown.Look(0).health, Health::kReady);
  }
}

TEST(Rules, GiveWayAt401WhereTheyWouldNotBlameTheCredential) {
  for (const char* action : {"limited", "overloaded", "broken"}) {
    for (const char* match : {"{status: 4xx}", "{error: \"*\"}"}) {
      const std::vector<std::string> rule = {std::string("{match: ") + match +
                                             ", action: " + action + "}"};
      SCOPED_TRACE(rule[0]);
      Judgement judged = Judge(rule, 401, kAuthError);
      EXPECT_EQ(judged.kind, Kind::kRefused);
      EXPECT_THAT(judged.cause, Not(HasSubstr("by the rule")));
      EXPECT_NE(Judge(rule, 404, Anthropic("not_found_error", "x")).kind, Kind::kRequest);
      ManualClock clock;
      EXPECT_EQ(MakeClaude(Read(rule))
                    ->JudgeEvent("error", Anthropic("authentication_error", "x"), clock.Now(),
                                 clock.Wall())
                    .kind,
                Kind::kRefused);
    }
  }
  EXPECT_EQ(Judge({"{match: {status: 4xx}, action: next}"}, 401, kAuthError).kind, Kind::kUnsuited);
}

// It stands in logs, in the store and in alerts.
TEST(Rules, WhatAVendorCallsItsErrorIsShownShortAndPrintable) {
  const std::string odd = "odd\\u0007\\u001b[2Jé\\n" + std::string(70'000, 'x');
  EXPECT_EQ(Judge({}, 500, R"({"error":{"type":")" + odd + R"("}})").cause,
            "500 odd??[2J???" + std::string(89, 'x'));
  ManualClock clock;
  std::string google =
      MakeGemini()
          ->JudgeEvent("", Google(429, std::string(70'000, 'R')), clock.Now(), clock.Wall())
          .cause;
  EXPECT_EQ(google, "event " + std::string(100, 'R') + " ");
}

// The vendor's last word is passed on where it is about the vendor, never where it may not be.
TEST(Rules, WhatARuleCallsOverloadedMovesOnAndKeepsTheVendorsWords) {
  ClusterWorld world(Three(), ProviderKind::kClaude,
                     With({"{match: {status: 403, message: \"*full*\"}, action: overloaded}",
                           "{match: {status: 404}, action: broken}"}));
  world.vendor.Answer("sk-a", Json(403, Anthropic("permission_error", "org 4711: we are full")));
  world.vendor.Answer("sk-b", Json(404, "<html>lost</html>"));
  world.vendor.Answer("sk-c", Json(403, Anthropic("permission_error", "org 4712: we are full")));
  world.AskClaude(false);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b", "sk-c"));
  EXPECT_EQ(world.status(), 503);
  EXPECT_EQ(world.Field("retry-after"), "1");
  EXPECT_THAT(world.body(), Not(HasSubstr("org")));
  EXPECT_THAT(world.body(), HasSubstr("cannot serve at the moment"));
  EXPECT_EQ(world.Look(0).health, Health::kOverloaded);
  EXPECT_EQ(world.Look(1).health, Health::kReady);
}

TEST(Rules, ThatATokenEndedBlamesACredentialThatCannotBeRenewed) {
  ClusterWorld world(Three(), ProviderKind::kClaude,
                     With({"{match: {status: 400, error: token_expired}, action: expired}"}));
  world.vendor.Answer("sk-a", Json(400, Anthropic("token_expired", "x")));
  world.vendor.otherwise = Json(200, "{}");
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.Look(0).health, Health::kRefused);
}

}  // namespace
}  // namespace relay
