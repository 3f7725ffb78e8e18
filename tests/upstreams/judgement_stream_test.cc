// SPDX-License-Identifier: MIT
// Every way in which a stream fails after a head of 200: what it says about the account, and what
// the client sees, alone and with another account beside it.
#include <gtest/gtest.h>

#include "tests/upstreams/claude_answers.h"
#include "tests/upstreams/cluster_world.h"
#include "tests/upstreams/vendor_errors.h"
#include "upstreams/provider.h"

namespace relay {
namespace {

using Kind = Judgement::Kind;

// What follows a head of 200 with an event stream.
struct StreamRow {
  const char* name;
  ProviderKind provider;
  std::string bytes;
  int alone;               // the status that the client sees
  const char* alone_has;   // and what the body holds
  const char* beside_has;  // the same, with another account that can serve
  size_t beside_asked;     // how many accounts were asked then
  AccountPool::Health health;
};

std::vector<StreamRow> StreamRows() {
  using Health = AccountPool::Health;
  constexpr auto kC = ProviderKind::kClaude;
  constexpr auto kG = ProviderKind::kGemini;
  auto error = [](std::string_view type) {
    return "event: error\ndata: " + Anthropic(type, "from the vendor") + "\n\n";
  };
  auto google = [](int code, std::string_view status) {
    return "data: " + Google(code, status) + "\r\n\r\n";
  };
  const std::string ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
  const std::string piece = "data: {\"candidates\":[{\"content\":{}}]}\r\n\r\n";
  const char* served = "message_stop";
  const char* stopped = "STOP";
  const char* passed = "from the vendor";
  const char* told = "event: error";
  return {
      {"overloaded", kC, error("overloaded_error"), 200, passed, served, 2, Health::kOverloaded},
      {"limited", kC, error("rate_limit_error"), 429, "limit", served, 2, Health::kLimited},
      {"refused", kC, error("authentication_error"), 503, "credential", served, 2,
       Health::kRefused},
      {"forbidden", kC, error("permission_error"), 503, "credential", served, 2, Health::kRefused},
      {"no money", kC, error("billing_error"), 503, "credential", served, 2, Health::kRefused},
      {"bug", kC, error("api_error"), 200, passed, served, 2, Health::kReady},
      {"unknown error", kC, error("new_error"), 200, passed, served, 2, Health::kReady},
      {"bad request", kC, error("invalid_request_error"), 200, passed, passed, 1, Health::kReady},
      {"no model", kC, error("not_found_error"), 200, passed, passed, 1, Health::kReady},
      {"too large", kC, error("request_too_large"), 200, passed, passed, 1, Health::kReady},
      {"nothing", kC, "", 502, "broke off", served, 2, Health::kReady},
      {"error after a ping", kC, ping + error("overloaded_error"), 200, passed, passed, 1,
       Health::kReady},
      {"error in the midst", kC, kStart + error("overloaded_error"), 200, passed, passed, 1,
       Health::kReady},
      {"cut after the start", kC, kStart, 200, told, told, 1, Health::kReady},
      {"google: limited", kG, google(429, "RESOURCE_EXHAUSTED"), 429, "limit", stopped, 2,
       Health::kLimited},
      {"google: overloaded", kG, google(503, "UNAVAILABLE"), 200, "UNAVAILABLE", stopped, 2,
       Health::kOverloaded},
      {"google: login", kG, google(401, "UNAUTHENTICATED"), 503, "credential", stopped, 2,
       Health::kRefused},
      {"google: bad request", kG, google(400, "INVALID_ARGUMENT"), 200, "INVALID_ARGUMENT",
       "INVALID_ARGUMENT", 1, Health::kReady},
      {"google: error in the midst", kG, piece + google(503, "UNAVAILABLE"), 200, "UNAVAILABLE",
       "UNAVAILABLE", 1, Health::kReady},
  };
}

TEST(Judgement, DecidesWhatTheClientSeesOfStreams) {
  for (const StreamRow& row : StreamRows()) {
    for (bool beside : {false, true}) {
      SCOPED_TRACE(std::string(row.name) + (beside ? ", with another account" : ", alone"));
      std::vector<AccountConfig> accounts = {KeyAccount("a", "k-a")};
      accounts[0].priority = 1;
      if (beside) accounts.push_back(KeyAccount("b", "k-b"));
      ClusterWorld world(std::move(accounts), row.provider);
      bool claude = row.provider == ProviderKind::kClaude;
      world.vendor.Answer("k-a", Events(row.bytes));
      world.vendor.Answer(
          "k-b", Events(claude ? kStart + kStop
                               : "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\r\n\r\n"));
      world.Ask(
          claude ? "POST /v1/messages" : "POST /v1beta/models/m:streamGenerateContent?alt=sse",
          claude ? ClusterWorld::kStreamed : R"({"contents":[]})");
      EXPECT_EQ(world.status(), beside ? 200 : row.alone) << world.client->text;
      EXPECT_NE(world.body().find(beside ? row.beside_has : row.alone_has), std::string::npos)
          << world.body();
      EXPECT_EQ(world.vendor.requests.size(), beside ? row.beside_asked : 1);
      // Nothing of a try that was given up reaches the client.
      if (beside && row.beside_asked == 2) {
        EXPECT_EQ(world.body().find("error"), std::string::npos) << world.body();
      }
      EXPECT_EQ(world.Look(0).health, row.health);
    }
  }
}

TEST(Judgement, ReadsErrorsInsideStreams) {
  struct Event {
    ProviderKind provider;
    std::string name;
    std::string data;
    Kind kind;
  };
  const std::vector<Event> kEvents = {
      {ProviderKind::kClaude, "message_start", R"({"type":"message_start"})", Kind::kFine},
      {ProviderKind::kClaude, "ping", R"({"type":"ping"})", Kind::kFine},
      {ProviderKind::kClaude, "error", Anthropic("overloaded_error", "x"), Kind::kOverloaded},
      {ProviderKind::kClaude, "error", Anthropic("rate_limit_error", "x"), Kind::kLimited},
      {ProviderKind::kClaude, "error", Anthropic("authentication_error", "x"), Kind::kRefused},
      {ProviderKind::kClaude, "error", Anthropic("permission_error", "x"), Kind::kRefused},
      {ProviderKind::kClaude, "error", Anthropic("api_error", "x"), Kind::kBroken},
      {ProviderKind::kClaude, "error", Anthropic("invalid_request_error", "x"), Kind::kRequest},
      {ProviderKind::kClaude, "error", "no json", Kind::kBroken},
      {ProviderKind::kGemini, "", R"({"candidates":[{"content":{}}]})", Kind::kFine},
      {ProviderKind::kGemini, "", R"({"response":{"candidates":[]}})", Kind::kFine},
      {ProviderKind::kGemini, "", Google(429, "RESOURCE_EXHAUSTED"), Kind::kLimited},
      {ProviderKind::kGemini, "", Google(503, "UNAVAILABLE"), Kind::kOverloaded},
      {ProviderKind::kGemini, "", Google(500, "INTERNAL"), Kind::kBroken},
      {ProviderKind::kGemini, "", Google(400, "INVALID_ARGUMENT"), Kind::kRequest},
      {ProviderKind::kGemini, "", R"({"error":{"message":"x"}})", Kind::kBroken},
      {ProviderKind::kGemini, "", R"({"candidates":[{"text":"\"error\":{}"}]})", Kind::kFine},
  };
  ManualClock clock;
  for (const Event& event : kEvents) {
    SCOPED_TRACE(event.data);
    Judgement judged =
        MakeProvider(event.provider)->JudgeEvent(event.name, event.data, clock.Now(), clock.Wall());
    EXPECT_EQ(judged.kind, event.kind);
  }
}

}  // namespace
}  // namespace relay
