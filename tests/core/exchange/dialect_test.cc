// SPDX-License-Identifier: MIT
#include "core/exchange/dialect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/json.h"
#include "core/http/sse.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

constexpr Dialect kAll[] = {Dialect::kPlain, Dialect::kAnthropic, Dialect::kGemini,
                            Dialect::kCodeAssist, Dialect::kOpenai};

JsonIndex Parse(const std::string& text) {
  Result<JsonIndex> index = JsonIndex::Parse(text);
  EXPECT_TRUE(index) << text;
  return index ? *index : JsonIndex();
}

std::string At(const std::string& json, std::initializer_list<std::string_view> path) {
  Result<JsonValue> value = Parse(json).Path(path);
  return value && *value ? value->String().value_or(std::string(value->raw)) : "absent";
}

struct StatusRow {
  Fault fault;
  Party party;
  int status;
  const char* anthropic;
  const char* google;
};

constexpr StatusRow kStatusRows[] = {
    {Fault::kMalformed, Party::kClient, 400, "invalid_request_error", "INVALID_ARGUMENT"},
    {Fault::kMalformed, Party::kUpstream, 502, "api_error", "UNAVAILABLE"},
    {Fault::kUnauthenticated, Party::kRelay, 401, "authentication_error", "UNAUTHENTICATED"},
    {Fault::kForbidden, Party::kRelay, 403, "permission_error", "PERMISSION_DENIED"},
    {Fault::kNotFound, Party::kRelay, 404, "not_found_error", "NOT_FOUND"},
    {Fault::kMethod, Party::kClient, 405, "invalid_request_error", "UNIMPLEMENTED"},
    {Fault::kBodyTooLarge, Party::kClient, 413, "request_too_large", "INVALID_ARGUMENT"},
    {Fault::kTargetTooLong, Party::kClient, 414, "invalid_request_error", "INVALID_ARGUMENT"},
    {Fault::kExpectation, Party::kClient, 417, "invalid_request_error", "INVALID_ARGUMENT"},
    {Fault::kHeadTooLarge, Party::kClient, 431, "invalid_request_error", "INVALID_ARGUMENT"},
    {Fault::kHeadTooLarge, Party::kUpstream, 502, "api_error", "UNAVAILABLE"},
    {Fault::kRateLimited, Party::kRelay, 429, "rate_limit_error", "RESOURCE_EXHAUSTED"},
    {Fault::kBudgetSpent, Party::kRelay, 429, "billing_error", "RESOURCE_EXHAUSTED"},
    {Fault::kNoAccount, Party::kRelay, 503, "overloaded_error", "UNAVAILABLE"},
    {Fault::kOverloaded, Party::kRelay, 503, "overloaded_error", "UNAVAILABLE"},
    {Fault::kConnect, Party::kUpstream, 502, "api_error", "UNAVAILABLE"},
    {Fault::kTls, Party::kUpstream, 502, "api_error", "UNAVAILABLE"},
    {Fault::kReset, Party::kUpstream, 502, "api_error", "UNAVAILABLE"},
    {Fault::kTruncated, Party::kUpstream, 502, "api_error", "UNAVAILABLE"},
    {Fault::kUnprocessed, Party::kUpstream, 502, "api_error", "UNAVAILABLE"},
    {Fault::kTimeout, Party::kUpstream, 504, "timeout_error", "DEADLINE_EXCEEDED"},
    {Fault::kTimeout, Party::kClient, 408, "timeout_error", "DEADLINE_EXCEEDED"},
    {Fault::kCancelled, Party::kRelay, 503, "overloaded_error", "UNAVAILABLE"},
    {Fault::kInternal, Party::kRelay, 500, "api_error", "INTERNAL"},
};

TEST(Dialect, SaysEachFaultWithItsStatusAndType) {
  for (const StatusRow& row : kStatusRows) {
    Refusal refusal{.fault = row.fault, .message = "what to do", .party = row.party};
    SCOPED_TRACE(static_cast<int>(row.fault));
    EXPECT_EQ(StatusOf(refusal), row.status);

    Reply anthropic = RefusalReply(Dialect::kAnthropic, refusal, "req_1");
    EXPECT_EQ(anthropic.status, row.status);
    EXPECT_EQ(At(anthropic.body, {"type"}), "error");
    EXPECT_EQ(At(anthropic.body, {"error", "type"}), row.anthropic);
    EXPECT_EQ(At(anthropic.body, {"error", "message"}), "what to do");
    EXPECT_EQ(At(anthropic.body, {"request_id"}), "req_1");

    for (Dialect google : {Dialect::kGemini, Dialect::kCodeAssist}) {
      Reply reply = RefusalReply(google, refusal, "req_1");
      EXPECT_EQ(At(reply.body, {"error", "code"}), std::to_string(row.status));
      EXPECT_EQ(At(reply.body, {"error", "status"}), row.google);
      EXPECT_EQ(At(reply.body, {"error", "message"}), "what to do");
    }

    Reply openai = RefusalReply(Dialect::kOpenai, refusal, "req_1");
    EXPECT_EQ(At(openai.body, {"error", "message"}), "what to do");
    EXPECT_EQ(At(openai.body, {"error", "param"}), "null");

    Reply plain = RefusalReply(Dialect::kPlain, refusal, "req_1");
    EXPECT_EQ(At(plain.body, {"error"}), "what to do");
    EXPECT_EQ(At(plain.body, {"request_id"}), "req_1");
  }
}

TEST(Dialect, TellsFinalRefusalsNotToBeRepeated) {
  for (Dialect dialect : kAll) {
    Refusal refusal{.fault = Fault::kUnauthenticated, .message = "no"};
    EXPECT_THAT(RefusalReply(dialect, refusal, "r").headers,
                Not(Contains(Pair("x-should-retry", testing::_))));
    refusal.final = true;
    EXPECT_THAT(RefusalReply(dialect, refusal, "r").headers,
                Contains(Pair("x-should-retry", "false")));
  }
}

TEST(Dialect, RoundsRetryAfterUpToWholeSeconds) {
  const std::pair<Duration, const char*> rows[] = {
      {0ms, "1"}, {1ms, "1"}, {1000ms, "1"}, {1001ms, "2"}, {59s, "59"}};
  for (const auto& [delay, text] : rows) {
    Refusal refusal{.fault = Fault::kRateLimited, .message = "later", .retry_after = delay};
    for (Dialect dialect : kAll) {
      EXPECT_THAT(RefusalReply(dialect, refusal, "r").headers, Contains(Pair("retry-after", text)));
    }
    EXPECT_THAT(RefusalReply(Dialect::kGemini, refusal, "r").body,
                HasSubstr(R"("retryDelay":")" + std::string(text) + R"(s")"));
  }
}

TEST(Dialect, SaysNothingOfATimeThatIsNotKnown) {
  Refusal refusal{.fault = Fault::kRateLimited, .message = "later"};
  for (Dialect dialect : kAll) {
    Reply reply = RefusalReply(dialect, refusal, "r");
    EXPECT_TRUE(reply.headers.empty());
    EXPECT_THAT(reply.body, Not(HasSubstr("retryDelay")));
  }
}

// Gemini CLI waits for RATE_LIMIT_EXCEEDED and stops for QUOTA_EXHAUSTED.
TEST(Dialect, TellsGoogleClientsASpentBudgetFromALimitThatPasses) {
  Refusal limit{.fault = Fault::kRateLimited, .message = "later", .retry_after = 2s};
  Refusal spent{.fault = Fault::kBudgetSpent, .message = "spent", .final = true};
  EXPECT_THAT(RefusalReply(Dialect::kCodeAssist, limit, "r").body,
              HasSubstr(R"("reason":"RATE_LIMIT_EXCEEDED")"));
  EXPECT_THAT(RefusalReply(Dialect::kCodeAssist, spent, "r").body,
              HasSubstr(R"("reason":"QUOTA_EXHAUSTED")"));
  Refusal other{.fault = Fault::kForbidden, .message = "no"};
  EXPECT_THAT(RefusalReply(Dialect::kCodeAssist, other, "r").body, Not(HasSubstr("details")));
}

TEST(Dialect, EscapesWhatAClientMayHaveSent) {
  Refusal refusal{.fault = Fault::kNotFound, .message = "no \"x\"\n\ndata: {}\n\xff here"};
  for (Dialect dialect : kAll) {
    std::string body = RefusalReply(dialect, refusal, "r").body;
    EXPECT_TRUE(JsonIndex::Parse(body)) << body;
    EXPECT_THAT(body, Not(HasSubstr("\n")));
  }
}

TEST(Dialect, MakesOneErrorEventOfARefusal) {
  Refusal refusal{.fault = Fault::kReset, .message = "cut\noff", .party = Party::kUpstream};
  for (Dialect dialect : kAll) {
    std::string text = ErrorEvent(dialect, refusal, "req_1");
    if (dialect == Dialect::kPlain) {
      EXPECT_EQ(text, "");
      continue;
    }
    SseSplitter splitter;
    std::vector<std::string> names;
    splitter.Feed(text, [&](const SseEvent& event) {
      names.emplace_back(event.name);
      EXPECT_TRUE(JsonIndex::Parse(event.data)) << event.data;
    });
    EXPECT_TRUE(splitter.at_boundary());
    EXPECT_THAT(names, testing::ElementsAre(dialect == Dialect::kAnthropic ? "error" : ""));
  }
}

TEST(Dialect, KeepsAliveOnlyWhereItDoesNoHarm) {
  EXPECT_THAT(KeepAlive(Dialect::kAnthropic), HasSubstr("event: ping\n"));
  EXPECT_EQ(KeepAlive(Dialect::kOpenai), ": keep-alive\n\n");
  EXPECT_EQ(KeepAlive(Dialect::kGemini), "");
  EXPECT_EQ(KeepAlive(Dialect::kCodeAssist), "");
  EXPECT_EQ(KeepAlive(Dialect::kPlain), "");
}

TEST(ToRefusal, RepeatingCuresNoRequestThatBreaksTheRules) {
  EXPECT_TRUE(ToRefusal({Party::kClient, Fault::kMalformed, "no"}).final);
  EXPECT_TRUE(ToRefusal({Party::kClient, Fault::kBodyTooLarge, "no"}).final);
  EXPECT_FALSE(ToRefusal({Party::kClient, Fault::kTimeout, "slow"}).final);
  EXPECT_FALSE(ToRefusal({Party::kUpstream, Fault::kReset, "cut"}).final);
  EXPECT_FALSE(ToRefusal({Party::kUpstream, Fault::kMalformed, "garbage"}).final);
  EXPECT_EQ(ToRefusal({Party::kRelay, Fault::kOverloaded, "full"}).retry_after, 1s);
}

}  // namespace
}  // namespace relay
