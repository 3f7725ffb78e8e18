// SPDX-License-Identifier: MIT
// Histories that another account signed: what is taken out of them, and when.
#include "upstreams/thinking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/upstreams/claude_answers.h"
#include "tests/upstreams/vendor_errors.h"

namespace relay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string WithoutClaudeThinking(const std::string& text) {
  Edits edits;
  Result<JsonIndex> json = JsonIndex::Parse(text);
  EXPECT_TRUE(json.has_value()) << text;
  EXPECT_EQ(TakeOutClaudeThinking(*json, edits), !edits.empty());
  std::string after = edits.Apply(text);
  EXPECT_TRUE(JsonIndex::Parse(after).has_value()) << after;
  return after;
}

std::string WithoutGeminiThinking(const std::string& text) {
  Edits edits;
  Result<JsonIndex> json = JsonIndex::Parse(text);
  EXPECT_TRUE(json.has_value()) << text;
  EXPECT_EQ(TakeOutGeminiThinking(*json, edits), !edits.empty());
  std::string after = edits.Apply(text);
  EXPECT_TRUE(JsonIndex::Parse(after).has_value()) << after;
  return after;
}

const std::string kThought = R"({"type":"thinking","thinking":"2+2","signature":"c2ln"})";
const std::string kHidden = R"({"type":"redacted_thinking","data":"eHh4"})";

TEST(Thinking, EveryBlockGoesAndEveryOtherByteStays) {
  const std::string before = R"({ "model": "m", "messages": [ {"role":"user","content":"hi"},)"
                             R"({"role":"assistant","content":[ )" +
                             kThought + " , " + kHidden +
                             R"( , {"type":"text","text":"a"}]}, {"role":"user","content":[)"
                             R"({"type":"text","text":"\"type\":\"thinking\""}]},)"
                             R"({"role":"assistant","content":[{"type":"text","text":"b"},)" +
                             kThought + R"(]} ] , "max_tokens" : 5})";
  EXPECT_EQ(WithoutClaudeThinking(before),
            R"({ "model": "m", "messages": [ {"role":"user","content":"hi"},)"
            R"({"role":"assistant","content":[ {"type":"text","text":"a"}]}, )"
            R"({"role":"user","content":[{"type":"text","text":"\"type\":\"thinking\""}]},)"
            R"({"role":"assistant","content":[{"type":"text","text":"b"}]} ] , "max_tokens" : 5})");
}

TEST(Thinking, WhereThereIsNoneNothingIsTouched) {
  for (const char* text :
       {R"({"messages":[{"role":"user","content":"hi"}],"thinking":{"type":"enabled"}})",
        R"({"messages":[]})", R"({"messages":"x"})", R"({})",
        R"({"messages":[1,[],{"content":5}]})"}) {
    EXPECT_EQ(WithoutClaudeThinking(text), text);
    EXPECT_EQ(WithoutGeminiThinking(text), text);
  }
}

// A message must not be empty; two of one role in a row are one turn.
TEST(Thinking, AMessageOfNothingElseGoesToo) {
  for (const auto& [before, after] : std::vector<std::pair<std::string, std::string>>{
           {R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[)" +
                kThought + R"(]},{"role":"user","content":"b"}]})",
            R"({"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]})"},
           {R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[)" +
                kThought + "," + kHidden + "]}]}",
            R"({"messages":[{"role":"user","content":"a"}]})"}}) {
    EXPECT_EQ(WithoutClaudeThinking(before), after);
  }
}

// "A final assistant message must start with a thinking block … to avoid this, disable thinking."
TEST(Thinking, WithABudgetItIsSwitchedOffInTheMidstOfToolCalls) {
  auto request = [](const std::string& thinking, const std::string& last) {
    return R"({"thinking":)" + thinking +
           R"(,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[)" +
           kThought +
           R"(,{"type":"tool_use","id":"t","name":"n","input":{}}]},{"role":"user","content":)" +
           last +
           R"(}],"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"},)"
           R"({"type":"clear_tool_uses_20250919"}]}})";
  };
  const std::string result = R"([{"type":"tool_result","tool_use_id":"t","content":"x"}])";
  const std::string budget = R"({"type":"enabled","budget_tokens":4000})";
  std::string after = WithoutClaudeThinking(request(budget, result));
  EXPECT_THAT(after, HasSubstr(R"("thinking":{"type":"disabled"})"));
  EXPECT_THAT(after, HasSubstr(R"("edits":[{"type":"clear_tool_uses_20250919"}])"));
  EXPECT_THAT(after, HasSubstr(R"("content":[{"type":"tool_use")"));
  // The next turn may think again, and thinking that adapts needs no block before it.
  after = WithoutClaudeThinking(request(budget, R"("and now?")"));
  EXPECT_THAT(after, HasSubstr(budget));
  EXPECT_THAT(after, HasSubstr("clear_thinking"));
  EXPECT_THAT(WithoutClaudeThinking(request(R"({"type":"adaptive"})", result)),
              HasSubstr(R"("thinking":{"type":"adaptive"})"));
}

TEST(Thinking, GeminiCallsKeepTheMarkOfAnotherModelsHistory) {
  EXPECT_EQ(
      WithoutGeminiThinking(
          R"({"contents":[{"role":"model","parts":[{"text":"a","thoughtSignature":"c2ln"},)"
          R"({"functionCall":{"name":"f"},"thoughtSignature":"c2ln"}]}]})"),
      R"({"contents":[{"role":"model","parts":[{"text":"a"},)"
      R"({"functionCall":{"name":"f"},"thoughtSignature":"skip_thought_signature_validator"}]}]})");
  const std::string done =
      R"({"contents":[{"parts":[{"functionCall":{},"thoughtSignature":"skip_thought_signature_validator"}]}]})";
  EXPECT_EQ(WithoutGeminiThinking(done), done);
}

// Google refuses a part without data.
TEST(Thinking, AGeminiPartThatOnlySignsGoesAndSoDoesAContentOfNothingElse) {
  EXPECT_EQ(
      WithoutGeminiThinking(R"({"contents":[{"parts":[{"text":"hi"}]},)"
                            R"({"role":"model","parts":[{"thoughtSignature":"x"},{"text":"a"},)"
                            R"({"text":"b","thought":true,"thought_signature":"x"},)"
                            R"({"text":"","thought":true,"thought_signature":"x"}]},)"
                            R"({"role":"model","parts":[{"text":"","thoughtSignature":"x"}]},)"
                            R"({"parts":[{"text":""}]}]})"),
      R"({"contents":[{"parts":[{"text":"hi"}]},)"
      R"({"role":"model","parts":[{"text":"a"},{"text":"b","thought":true}]},)"
      R"({"parts":[{"text":""}]}]})");
}

// On the loop's thread it would hold up everybody.
TEST(Thinking, NothingIsTakenOutOfAHistoryThatIsHardlyOne) {
  std::string claude = R"({"messages":[{"role":"assistant","content":[{"type":"text"})";
  std::string gemini = R"({"contents":[{"role":"model","parts":[{"text":"a"})";
  for (int i = 0; i < 200'000; ++i) {
    claude += R"(,{"type":"thinking"},{"type":"text"})";
    gemini += R"(,{"text":"a","thoughtSignature":"x"},{"text":"b"})";
  }
  for (std::string* text : {&claude, &gemini}) *text += "]}]}";
  EXPECT_TRUE(WithoutClaudeThinking(claude) == claude);
  EXPECT_TRUE(WithoutGeminiThinking(gemini) == gemini);
}

// However much there is to walk past.
TEST(Thinking, TheMostThatIsTakenOutGoesWhole) {
  std::string claude = R"({"messages":[{"role":"assistant","content":[{"type":"text"})";
  std::string gemini = R"({"contents":[{"role":"model","parts":[{"text":"b"})";
  std::string claude_after = claude;
  std::string gemini_after = gemini;
  for (int i = 0; i < 200'000; ++i) {
    if (i % 20 == 0) {
      claude += R"(,{"type":"thinking"})";
      gemini += R"(,{"text":"b","thoughtSignature":"x"})";
      gemini_after += R"(,{"text":"b"})";
    }
    for (std::string* text : {&claude, &claude_after}) *text += R"(,{"type":"text"})";
    for (std::string* text : {&gemini, &gemini_after}) *text += R"(,{"text":"b"})";
  }
  for (std::string* text : {&claude, &gemini, &claude_after, &gemini_after}) *text += "]}]}";
  EXPECT_TRUE(WithoutClaudeThinking(claude) == claude_after);
  EXPECT_TRUE(WithoutGeminiThinking(gemini) == gemini_after);
}

// --- When ----------------------------------------------------------------------------------------

const std::string kUnreadable = Anthropic(
    "invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking` block");

const std::string kHistory =
    R"({"model":"claude-opus-5-5","max_tokens":5,"messages":[{"role":"user","content":"hi"},)"
    R"({"role":"assistant","content":[)" +
    kThought + R"(,{"type":"text","text":"a"}]},{"role":"user","content":"more"}]})";
const std::string kWithout =
    R"({"model":"claude-opus-5-5","max_tokens":5,"messages":[{"role":"user","content":"hi"},)"
    R"({"role":"assistant","content":[{"type":"text","text":"a"}]},{"role":"user","content":"more"}]})";

class ForeignHistory : public testing::Test {
 protected:
  explicit ForeignHistory(ForeignThinking config = ForeignThinking::kTakeOut)
      : world(Three(), ProviderKind::kClaude,
              [config](ClusterConfig& c) { c.failover.thinking = config; }) {}
  void Ask() { world.Ask("POST /v1/messages", kHistory, {"x-claude-code-session-id: s"}); }
  // The session is on a, which is limited then.
  void Move() {
    world.vendor.otherwise = Json(200, "{}");
    Ask();
    world.vendor.Answer("sk-a", Json(429, kLimitError, {"retry-after: 3600"}));
  }
  // Whichever account it is.
  void RefuseOnce() {
    for (const char* key : {"sk-a", "sk-b", "sk-c"}) {
      world.vendor.Answer(key, Json(400, kUnreadable));
    }
  }
  std::vector<std::string> bodies() {
    std::vector<std::string> all;
    for (const SeenRequest& seen : world.vendor.requests) all.push_back(seen.body);
    return all;
  }
  ClusterWorld world;
};

TEST_F(ForeignHistory, OfASessionThatMovedIsSentOnceMoreWithoutTheThinking) {
  Move();
  world.vendor.Answer("sk-b", Json(400, kUnreadable));
  world.vendor.Answer("sk-b", Json(200, R"({"good":1})"));
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.body(), R"({"good":1})");
  EXPECT_EQ(world.Field("x-relay-thinking"), "taken-out");
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-a", "sk-b", "sk-b"));
  EXPECT_THAT(bodies(), ElementsAre(kHistory, kHistory, kHistory, kWithout));
  EXPECT_EQ(world.Look(1).health, AccountPool::Health::kReady);
  EXPECT_THAT(world.metrics.Text(true),
              HasSubstr(R"(relay_upstream_attempts_total{account="main/b",reason="thinking"} 1)"));
  // Its next request as well; one that is read as it is passes as it is.
  world.vendor.Answer("sk-b", Json(400, kUnreadable));
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.Field("x-relay-thinking"), "taken-out");
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.Field("x-relay-thinking"), "");
  EXPECT_EQ(world.vendor.requests.back().body, kHistory);
}

TEST_F(ForeignHistory, OfASessionThatDidNotMoveIsTheClientsAffair) {
  world.vendor.Answer("sk-a", Json(200, "{}"));
  world.vendor.otherwise = Json(400, kUnreadable);
  Ask();
  EXPECT_EQ(world.status(), 200);
  Ask();
  EXPECT_EQ(world.status(), 400);
  EXPECT_EQ(world.body(), kUnreadable);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-a"));
}

// It was lost in a restart, say, and comes back with what another account signed.
TEST_F(ForeignHistory, OfASessionThatIsNotKnownIsSentOnceMoreToo) {
  world.vendor.otherwise = Json(200, "{}");
  for (int turn = 0; turn < 3; ++turn) {
    SCOPED_TRACE(turn);
    world.vendor.Answer("sk-a", Json(400, kUnreadable));
    Ask();
    EXPECT_EQ(world.status(), 200);
    EXPECT_EQ(world.Field("x-relay-thinking"), "taken-out");
    EXPECT_EQ(world.vendor.requests.back().body, kWithout);
  }
  EXPECT_EQ(world.vendor.requests.size(), 6U);
}

TEST_F(ForeignHistory, OfASessionThatIdledTooLongIsSentOnceMoreToo) {
  world.vendor.otherwise = Json(200, "{}");
  Ask();
  world.Advance(std::chrono::minutes(61));
  RefuseOnce();
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.Field("x-relay-thinking"), "taken-out");
}

TEST_F(ForeignHistory, WithoutASessionIsSentOnceMoreEachTime) {
  world.filter->on_read = [](Exchange& x) { x.ask.session.clear(); };
  world.vendor.otherwise = Json(200, "{}");
  for (int turn = 0; turn < 2; ++turn) {
    SCOPED_TRACE(turn);
    Ask();
    EXPECT_EQ(world.status(), 200);
    RefuseOnce();
    Ask();
    EXPECT_EQ(world.status(), 200);
    EXPECT_EQ(world.Field("x-relay-thinking"), "taken-out");
  }
}

// What fails once more for another reason has not shown whose the session is.
TEST_F(ForeignHistory, OfASessionThatWasNotAnsweredYetIsSentOnceMoreAgain) {
  world.vendor.otherwise = Json(200, "{}");
  world.vendor.Answer("sk-a", Json(400, kUnreadable));
  world.vendor.Answer("sk-a", Json(400, Anthropic("invalid_request_error", "of the second")));
  Ask();
  EXPECT_EQ(world.status(), 400);
  world.vendor.Answer("sk-a", Json(400, kUnreadable));
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.Field("x-relay-thinking"), "taken-out");
}

TEST_F(ForeignHistory, IsTriedOnceAndThenToldAsItWas) {
  Move();
  world.vendor.Answer("sk-b", Json(400, kUnreadable));
  world.vendor.Answer("sk-b", Json(400, Anthropic("invalid_request_error", "of the second")));
  Ask();
  EXPECT_EQ(world.status(), 400);
  EXPECT_EQ(world.body(), kUnreadable);
  EXPECT_EQ(world.Field("x-relay-thinking"), "");
  EXPECT_EQ(world.vendor.requests.size(), 4U);
}

TEST_F(ForeignHistory, IsNotTriedAfterFailoversTime) {
  world.vendor.otherwise = {"", Then::kWait};
  Ask();
  world.Advance(world.config.failover.within + std::chrono::seconds(1));
  world.vendor.Say(Json(400, kUnreadable).bytes);
  world.Settle();
  EXPECT_EQ(world.status(), 400);
  EXPECT_EQ(world.body(), kUnreadable);
  EXPECT_EQ(world.vendor.requests.size(), 1U);
}

TEST_F(ForeignHistory, OtherFaultsOfARequestPassAsEver) {
  Move();
  const std::string other = Anthropic("invalid_request_error", "messages.1.content.0: empty");
  world.vendor.Answer("sk-b", Json(400, other));
  Ask();
  EXPECT_EQ(world.body(), other);
  EXPECT_EQ(world.vendor.requests.size(), 3U);
}

TEST_F(ForeignHistory, WithoutAnyThinkingIsNotSentAgain) {
  auto ask = [&] { world.Ask("POST /v1/messages", kWithout, {"x-claude-code-session-id: s"}); };
  Move();
  world.vendor.Answer("sk-b", Json(400, kUnreadable));
  ask();
  EXPECT_EQ(world.status(), 400);
  EXPECT_EQ(world.body(), kUnreadable);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-a", "sk-b"));
}

TEST_F(ForeignHistory, GoesOnToTheNextAccountWithoutTheThinking) {
  Move();
  world.vendor.Answer("sk-b", Json(400, kUnreadable));
  world.vendor.Answer("sk-b", Json(529, kOverloaded));
  Ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-a", "sk-b", "sk-b", "sk-c"));
  EXPECT_EQ(world.vendor.requests.back().body, kWithout);
  EXPECT_EQ(world.Field("x-relay-thinking"), "taken-out");
}

class UntouchedHistory : public ForeignHistory {
 protected:
  UntouchedHistory() : ForeignHistory(ForeignThinking::kPass) {}
};

TEST_F(UntouchedHistory, IsLeftAloneWhereTheClusterSaysSo) {
  Move();
  world.vendor.Answer("sk-b", Json(400, kUnreadable));
  Ask();
  EXPECT_EQ(world.status(), 400);
  EXPECT_EQ(world.body(), kUnreadable);
}

TEST(ForeignGeminiHistory, KeepsItsCallsWithTheMark) {
  std::vector<AccountConfig> accounts = {KeyAccount("a", "k-a"), KeyAccount("b", "k-b")};
  accounts[0].priority = 1;
  ClusterWorld world(std::move(accounts), ProviderKind::kGemini);
  auto ask = [&] {
    world.Ask("POST /v1beta/models/m:generateContent",
              R"({"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[)"
              R"({"functionCall":{"name":"f"},"thoughtSignature":"c2ln"}]}]})");
  };
  ask();
  world.vendor.Answer("k-a", Json(429, Google(429, "RESOURCE_EXHAUSTED")));
  world.vendor.Answer(
      "k-b", Json(400, Google(400, "INVALID_ARGUMENT", "", "Corrupted thought signature.")));
  ask();
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.Field("x-relay-thinking"), "taken-out");
  EXPECT_THAT(world.asked(), ElementsAre("k-a", "k-a", "k-b", "k-b"));
  EXPECT_THAT(world.vendor.requests.back().body,
              HasSubstr(R"("thoughtSignature":"skip_thought_signature_validator")"));
}

}  // namespace
}  // namespace relay
