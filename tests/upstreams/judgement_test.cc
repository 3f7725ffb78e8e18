// SPDX-License-Identifier: MIT
// Every answer that a vendor gives: what it says about the account, and what the client sees, alone
// and with another account beside it.
#include <gtest/gtest.h>

#include "tests/upstreams/cluster_world.h"
#include "tests/upstreams/vendor_errors.h"
#include "upstreams/provider.h"

namespace relay {
namespace {

using Kind = Judgement::Kind;
using std::chrono::seconds;

std::string Info(std::string_view reason) {
  return R"({"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":")" + std::string(reason) +
         R"(","domain":"cloudcode-pa.googleapis.com"})";
}

std::string Delay(std::string_view delay) {
  return R"({"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":")" +
         std::string(delay) + R"("})";
}

struct Row {
  const char* name;
  ProviderKind provider;
  int status;
  std::vector<std::string> fields;
  std::string body;
  Kind kind;
  int rest;    // seconds until it may be asked again; -1: not told
  int alone;   // what the client sees when there is no other account
  int beside;  // and when there is one
  Judgement::Scope scope = Judgement::Scope::kAccount;  // of a limit
};

// The wall clock of the tests stands at 1790000000, 2026-09-21T14:13:20Z.
std::vector<Row> Rows() {
  constexpr auto kC = ProviderKind::kClaude;
  constexpr auto kG = ProviderKind::kGemini;
  constexpr auto kFamily = Judgement::Scope::kFamily;
  const std::string limit = Anthropic("rate_limit_error", "This request would exceed your limit");
  return {
      {"no key",
       kC,
       401,
       {},
       Anthropic("authentication_error", "invalid x-api-key"),
       Kind::kRefused,
       -1,
       503,
       200},
      {"no oauth beta",
       kC,
       401,
       {},
       Anthropic("authentication_error", "OAuth authentication is currently not supported."),
       Kind::kUnsuited,
       -1,
       403,
       200},
      {"no money", kC, 402, {}, Anthropic("billing_error", "pay"), Kind::kRefused, -1, 503, 200},
      {"forbidden", kC, 403, {}, Anthropic("permission_error", "no"), Kind::kRefused, -1, 503, 200},
      {"firewall", kC, 403, {}, "<html>blocked</html>", Kind::kUnsuited, -1, 403, 200},
      {"credit",
       kC,
       400,
       {},
       Anthropic("invalid_request_error",
                 "Your credit balance is too low to access the Anthropic API."),
       Kind::kRefused,
       -1,
       503,
       200},
      {"scope",
       kC,
       400,
       {},
       Anthropic("invalid_request_error",
                 "This credential is only authorized for use with Claude Code and cannot be used"),
       Kind::kUnsuited,
       -1,
       403,
       200},
      {"disabled",
       kC,
       400,
       {},
       Anthropic("invalid_request_error", "This organization has been disabled."),
       Kind::kRefused,
       -1,
       503,
       200},
      {"malformed",
       kC,
       400,
       {},
       Anthropic("invalid_request_error", "max_tokens: required"),
       Kind::kRequest,
       -1,
       400,
       400},
      {"thinking",
       kC,
       400,
       {},
       Anthropic("invalid_request_error", "Invalid `signature` in `thinking` block"),
       Kind::kRequest,
       -1,
       400,
       400},
      {"no body", kC, 400, {}, "", Kind::kRequest, -1, 400, 400},
      {"model",
       kC,
       404,
       {},
       Anthropic("not_found_error", "model: x"),
       Kind::kRequest,
       -1,
       404,
       404},
      {"conflict", kC, 409, {}, "{}", Kind::kRequest, -1, 409, 409},
      {"large", kC, 413, {}, Anthropic("request_too_large", "32 MB"), Kind::kRequest, -1, 413, 413},
      {"teapot", kC, 418, {}, "", Kind::kRequest, -1, 418, 418},
      {"moved", kC, 307, {"location: https://elsewhere.test/"}, "", Kind::kRequest, -1, 307, 307},
      {"limit in seconds",
       kC,
       429,
       {"retry-after: 3600"},
       limit,
       Kind::kLimited,
       3600,
       429,
       200,
       kFamily},
      {"limit by date",
       kC,
       429,
       {"retry-after: Mon, 21 Sep 2026 14:14:20 GMT"},
       limit,
       Kind::kLimited,
       60,
       429,
       200,
       kFamily},
      {"limit of a subscription",
       kC,
       429,
       {"retry-after: 5", "anthropic-ratelimit-unified-status: rejected",
        "anthropic-ratelimit-unified-reset: 1790018000"},
       limit,
       Kind::kLimited,
       18000,
       429,
       200},
      {"burst of a subscription",
       kC,
       429,
       {"retry-after: 5", "anthropic-ratelimit-unified-status: allowed",
        "anthropic-ratelimit-unified-reset: 1790018000"},
       limit,
       Kind::kLimited,
       5,
       429,
       200},
      {"share of a class of models",
       kC,
       429,
       {"anthropic-ratelimit-unified-status: rejected",
        "anthropic-ratelimit-unified-representative-claim: seven_day_opus",
        "anthropic-ratelimit-unified-reset: 1790018000"},
       limit,
       Kind::kLimited,
       18000,
       429,
       200,
       kFamily},
      {"week of a subscription",
       kC,
       429,
       {"anthropic-ratelimit-unified-status: rejected",
        "anthropic-ratelimit-unified-representative-claim: seven_day",
        "anthropic-ratelimit-unified-reset: 1790604800"},
       limit,
       Kind::kLimited,
       604800,
       429,
       200},
      {"beyond all bounds",
       kC,
       429,
       {"retry-after: 99999999"},
       limit,
       Kind::kLimited,
       31536000,
       429,
       200,
       kFamily},
      {"not to be processed",
       kC,
       422,
       {},
       Anthropic("invalid_request_error", "no"),
       Kind::kRequest,
       -1,
       422,
       422},
      {"senseless reset",
       kC,
       429,
       {"anthropic-ratelimit-unified-status: rejected",
        "anthropic-ratelimit-unified-reset: tomorrow"},
       limit,
       Kind::kLimited,
       -1,
       429,
       200},
      {"budget of a key",
       kC,
       429,
       {"anthropic-ratelimit-requests-remaining: 7",
        "anthropic-ratelimit-requests-reset: 2026-09-21T15:13:20Z",
        "anthropic-ratelimit-input-tokens-remaining: 0",
        "anthropic-ratelimit-input-tokens-reset: 2026-09-21T14:13:50Z"},
       limit,
       Kind::kLimited,
       30,
       429,
       200,
       kFamily},
      {"limit without a time", kC, 429, {}, limit, Kind::kLimited, -1, 429, 200, kFamily},
      {"senseless retry-after",
       kC,
       429,
       {"retry-after: soon"},
       limit,
       Kind::kLimited,
       -1,
       429,
       200,
       kFamily},
      {"time gone by",
       kC,
       429,
       {"retry-after: Mon, 21 Sep 2026 13:00:00 GMT"},
       limit,
       Kind::kLimited,
       0,
       429,
       200,
       kFamily},
      {"bug",
       kC,
       500,
       {},
       Anthropic("api_error", "Internal server error"),
       Kind::kBroken,
       -1,
       500,
       200},
      {"gateway", kC, 502, {}, "<html>502</html>", Kind::kBroken, -1, 502, 200},
      {"unavailable", kC, 503, {}, "", Kind::kBroken, -1, 503, 200},
      {"overloaded",
       kC,
       529,
       {},
       Anthropic("overloaded_error", "Overloaded"),
       Kind::kOverloaded,
       -1,
       529,
       200},
      {"overloaded, with a time",
       kC,
       529,
       {"retry-after: 20"},
       Anthropic("overloaded_error", "Overloaded"),
       Kind::kOverloaded,
       20,
       529,
       200},
      {"late", kC, 504, {}, Anthropic("timeout_error", "late"), Kind::kBroken, -1, 504, 200},
      {"cloudflare", kC, 520, {}, "", Kind::kBroken, -1, 520, 200},

      {"not acceptable", kC, 406, {}, "", Kind::kRequest, -1, 406, 406},
      {"request timed out at the vendor",
       kC,
       408,
       {},
       Anthropic("timeout_error", "late"),
       Kind::kRequest,
       -1,
       408,
       408},
      {"gone", kC, 410, {}, Anthropic("not_found_error", "gone"), Kind::kRequest, -1, 410, 410},
      {"a block page for a bad request",
       kC,
       400,
       {},
       "<html>Bad Request</html>",
       Kind::kRequest,
       -1,
       400,
       400},
      {"unavailable, in the vendor's words",
       kC,
       503,
       {},
       Anthropic("overloaded_error", "Overloaded"),
       Kind::kOverloaded,
       -1,
       503,
       200},
      {"cloudflare's own error", kC, 525, {}, "<html></html>", Kind::kBroken, -1, 525, 200},

      {"google: too large",
       kG,
       413,
       {},
       Google(413, "INVALID_ARGUMENT"),
       Kind::kRequest,
       -1,
       413,
       413},
      {"google: leaked key",
       kG,
       400,
       {},
       Google(400, "INVALID_ARGUMENT", "", "Your API key was reported as leaked."),
       Kind::kRefused,
       -1,
       503,
       200},
      {"google: conflict", kG, 409, {}, Google(409, "ABORTED"), Kind::kRequest, -1, 409, 409},
      {"google: not built", kG, 501, {}, Google(501, "UNIMPLEMENTED"), Kind::kBroken, -1, 501, 200},
      {"google: gateway", kG, 502, {}, "<html>502</html>", Kind::kBroken, -1, 502, 200},
      {"google: billing off",
       kG,
       403,
       {},
       Google(403, "PERMISSION_DENIED", Info("BILLING_DISABLED")),
       Kind::kRefused,
       -1,
       503,
       200},
      {"google: wrong key",
       kG,
       400,
       {},
       Google(400, "INVALID_ARGUMENT", Info("API_KEY_INVALID")),
       Kind::kRefused,
       -1,
       503,
       200},
      {"google: expired key",
       kG,
       400,
       {},
       Google(400, "INVALID_ARGUMENT", "", "API key expired. Please renew the API key."),
       Kind::kRefused,
       -1,
       503,
       200},
      {"google: malformed",
       kG,
       400,
       {},
       Google(400, "INVALID_ARGUMENT"),
       Kind::kRequest,
       -1,
       400,
       400},
      {"google: place",
       kG,
       400,
       {},
       Google(400, "FAILED_PRECONDITION", "", "User location is not supported"),
       Kind::kRequest,
       -1,
       400,
       400},
      {"google: login", kG, 401, {}, Google(401, "UNAUTHENTICATED"), Kind::kRefused, -1, 503, 200},
      {"google: service off",
       kG,
       403,
       {},
       Google(403, "PERMISSION_DENIED", Info("SERVICE_DISABLED")),
       Kind::kRefused,
       -1,
       503,
       200},
      {"google: another's file",
       kG,
       403,
       {},
       Google(403, "PERMISSION_DENIED"),
       Kind::kUnsuited,
       -1,
       403,
       200},
      {"google: project",
       kG,
       403,
       {},
       Google(403, "PERMISSION_DENIED", Info("USER_PROJECT_DENIED")),
       Kind::kUnsuited,
       -1,
       403,
       200},
      {"google: model", kG, 404, {}, Google(404, "NOT_FOUND"), Kind::kRequest, -1, 404, 404},
      {"google: limit",
       kG,
       429,
       {},
       Google(429, "RESOURCE_EXHAUSTED", Info("RATE_LIMIT_EXCEEDED") + "," + Delay("2s")),
       Kind::kLimited,
       2,
       429,
       200,
       kFamily},
      {"google: limit with a fraction",
       kG,
       429,
       {},
       Google(429, "RESOURCE_EXHAUSTED", Delay("34.5s")),
       Kind::kLimited,
       34,
       429,
       200,
       kFamily},
      {"google: day",
       kG,
       429,
       {},
       Google(429, "RESOURCE_EXHAUSTED",
              R"({"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":)"
              R"("GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},)" +
                  Delay("17s")),
       Kind::kLimited,
       3600,
       429,
       200,
       kFamily},
      {"google: of all models",
       kG,
       429,
       {},
       Google(429, "RESOURCE_EXHAUSTED",
              R"({"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":)"
              R"("GenerateRequestsPerMinutePerProject"}]},)" +
                  Delay("17s")),
       Kind::kLimited,
       17,
       429,
       200},
      {"google: reset",
       kG,
       429,
       {},
       Google(429, "RESOURCE_EXHAUSTED",
              R"({"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"QUOTA_EXHAUSTED",)"
              R"("metadata":{"quotaResetTimeStamp":"2026-09-21T17:13:20+02:00"}})"),
       Kind::kLimited,
       3600,
       429,
       200,
       kFamily},
      {"google: in an array",
       kG,
       429,
       {},
       "[" + Google(429, "RESOURCE_EXHAUSTED", Delay("9s")) + "]",
       Kind::kLimited,
       9,
       429,
       200,
       kFamily},
      {"google: limit without words", kG, 429, {}, "", Kind::kLimited, -1, 429, 200, kFamily},
      {"google: senseless delay",
       kG,
       429,
       {},
       Google(429, "RESOURCE_EXHAUSTED", Delay("soon")),
       Kind::kLimited,
       -1,
       429,
       200,
       kFamily},
      {"google: bug", kG, 500, {}, Google(500, "INTERNAL"), Kind::kBroken, -1, 500, 200},
      {"google: overloaded",
       kG,
       503,
       {},
       Google(503, "UNAVAILABLE"),
       Kind::kOverloaded,
       -1,
       503,
       200},
      {"google: late", kG, 504, {}, Google(504, "DEADLINE_EXCEEDED"), Kind::kBroken, -1, 504, 200},
  };
}

Head HeadOf(const Row& row) {
  Head head;
  head.status = row.status;
  for (const std::string& field : row.fields) {
    size_t colon = field.find(": ");
    head.Add(field.substr(0, colon), field.substr(colon + 2));
  }
  return head;
}

TEST(Judgement, TellsWhatEachAnswerSaysOfTheAccount) {
  ManualClock clock;
  for (const Row& row : Rows()) {
    SCOPED_TRACE(row.name);
    Judgement judgement =
        MakeProvider(row.provider)->Judge(HeadOf(row), row.body, clock.Now(), clock.Wall());
    EXPECT_EQ(judgement.kind, row.kind);
    EXPECT_EQ(judgement.status, row.status);
    if (row.kind == Kind::kLimited) {
      EXPECT_EQ(judgement.scope, row.scope);
    }
    if (row.rest < 0) {
      EXPECT_EQ(judgement.until, TimePoint());
    } else {
      EXPECT_EQ(std::chrono::floor<seconds>(judgement.until - clock.Now()), seconds(row.rest));
    }
  }
}

// What the pool makes of it, when it is the account's first trouble.
AccountPool::View StateAfter(const Row& row, TimePoint now) {
  using Health = AccountPool::Health;
  AccountPool::View view{.name = "a"};
  Duration rest{};
  switch (row.kind) {
    case Kind::kLimited:
      view.health = Health::kLimited;
      rest = seconds(60);
      break;
    case Kind::kOverloaded:
      view.health = Health::kOverloaded;
      rest = seconds(5);
      break;
    case Kind::kRefused:
      view.health = Health::kRefused;
      rest = std::chrono::minutes(10);
      break;
    default: return view;  // one broken answer parks nobody, and a bad request never does
  }
  if (row.rest >= 0) rest = seconds(row.rest);
  view.until = now + std::clamp<Duration>(rest, seconds(1), std::chrono::hours(8 * 24));
  bool family = row.kind == Kind::kLimited && row.scope == Judgement::Scope::kFamily;
  if (family) view.family = row.provider == ProviderKind::kClaude ? "opus" : "m";
  return view;
}

TEST(Judgement, DecidesWhatTheClientSees) {
  for (const Row& row : Rows()) {
    for (bool beside : {false, true}) {
      SCOPED_TRACE(std::string(row.name) + (beside ? ", with another account" : ", alone"));
      std::vector<AccountConfig> accounts = {KeyAccount("a", "k-a")};
      accounts[0].priority = 1;
      if (beside) accounts.push_back(KeyAccount("b", "k-b"));
      ClusterWorld world(std::move(accounts), row.provider);
      world.vendor.Answer("k-a", Json(row.status, row.body, row.fields));
      bool claude = row.provider == ProviderKind::kClaude;
      world.Ask(claude ? "POST /v1/messages" : "POST /v1beta/models/m:generateContent",
                claude ? ClusterWorld::kWhole : R"({"contents":[]})");
      int expected = beside ? row.beside : row.alone;
      EXPECT_EQ(world.status(), expected) << world.client->text;
      bool passes = expected == row.status && row.kind != Kind::kLimited &&
                    row.kind != Kind::kRefused && row.kind != Kind::kUnsuited;
      if (passes) {
        EXPECT_EQ(world.body(), row.body);
        for (const std::string& field : row.fields) {
          EXPECT_EQ(world.Field(field.substr(0, field.find(':'))),
                    field.substr(field.find(": ") + 2));
        }
      } else if (expected != 200) {
        // What blames an account is the relay's business.
        EXPECT_EQ(world.body().find(R"("message":"m")"), std::string::npos);
        if (!row.body.empty()) {
          EXPECT_NE(world.body(), row.body);
        }
      }
      AccountPool::View state = world.Look(0);
      if (expected == 429) {
        // True, and no longer than the account is left alone: the SDK sleeps as long as it is told.
        auto wait = std::chrono::ceil<seconds>(state.until - world.clock.Now()).count();
        EXPECT_EQ(world.Field("retry-after"), std::to_string(wait));
      }
      AccountPool::View supposed = StateAfter(row, world.clock.Now());
      EXPECT_EQ(state.health, supposed.health);
      EXPECT_EQ(state.family, supposed.family);
      EXPECT_EQ(std::chrono::floor<seconds>(state.until.time_since_epoch()),
                std::chrono::floor<seconds>(supposed.until.time_since_epoch()));
    }
  }
}

}  // namespace
}  // namespace relay
