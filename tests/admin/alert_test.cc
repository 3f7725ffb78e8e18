// SPDX-License-Identifier: MIT
#include "admin/alert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/json.h"

namespace relay {
namespace {

using ::testing::HasSubstr;

// 2026-09-21T15:33:20Z
constexpr WallTime kWhen{std::chrono::seconds(1'790'004'800)};

Alert Limited() {
  return {.id = "a1",
          .event = AlertEvent::kLimited,
          .severity = Alert::Severity::kWarning,
          .when = kWhen,
          .subject = "account claude/max",
          .what = "is at its limit",
          .details = "429 <rate> & \"more\"",
          .until = kWhen + std::chrono::hours(1)};
}

TEST(AlertBody, SaysAllOfItAsJson) {
  std::string body = AlertBody({}, Limited());
  Result<JsonIndex> json = JsonIndex::Parse(body);
  ASSERT_TRUE(json) << body;
  auto text = [&](std::string_view name) { return json->Find(name).String().value_or("-"); };
  EXPECT_EQ(text("id"), "a1");
  EXPECT_EQ(text("event"), "limited");
  EXPECT_EQ(text("phase"), "began");
  EXPECT_EQ(text("severity"), "warning");
  EXPECT_EQ(text("subject"), "account claude/max");
  EXPECT_EQ(text("details"), "429 <rate> & \"more\"");
  EXPECT_EQ(text("time"), "2026-09-21T15:33:20.000Z");
  EXPECT_EQ(text("until"), "2026-09-21T16:33:20.000Z");
  EXPECT_EQ(text("summary"),
            "account claude/max is at its limit: 429 <rate> & \"more\", until "
            "2026-09-21T16:33:20.000Z");
}

TEST(AlertBody, OfATestHasNoEvent) {
  std::string body = AlertBody({}, TestAlert(kWhen));
  Result<JsonIndex> json = JsonIndex::Parse(body);
  ASSERT_TRUE(json);
  EXPECT_EQ(json->Find("event").String(), "test");
  EXPECT_EQ(json->Find("phase").String(), "test");
  EXPECT_FALSE(json->Find("until"));
}

TEST(AlertBody, EscapesWhatSlackWouldRead) {
  AlertConfig config;
  config.format = AlertFormat::kSlack;
  std::string body = AlertBody(config, Limited());
  Result<JsonIndex> json = JsonIndex::Parse(body);
  ASSERT_TRUE(json);
  EXPECT_THAT(json->Find("text").String().value_or(""),
              HasSubstr("429 &lt;rate&gt; &amp; \"more\""));
}

TEST(AlertBody, NamesTelegramsChat) {
  AlertConfig config;
  config.format = AlertFormat::kTelegram;
  config.chat = "-100123";
  std::string body = AlertBody(config, Limited());
  Result<JsonIndex> json = JsonIndex::Parse(body);
  ASSERT_TRUE(json);
  EXPECT_EQ(json->Find("chat_id").String(), "-100123");
  EXPECT_THAT(json->Find("text").String().value_or(""), HasSubstr("account claude/max"));
}

TEST(AlertBody, FillsATemplateInSoThatItStaysJson) {
  AlertConfig config;
  config.text = R"({"content":"[{{severity}}] {{details}}","about":"{{subject}}"})";
  std::string body = AlertBody(config, Limited());
  Result<JsonIndex> json = JsonIndex::Parse(body);
  ASSERT_TRUE(json);
  EXPECT_EQ(json->Find("content").String(), "[warning] 429 <rate> & \"more\"");
  EXPECT_EQ(json->Find("about").String(), "account claude/max");
}

TEST(AlertTemplate, IsTakenForWhatItSays) {
  EXPECT_EQ(FillAlertTemplate("a{{x}}b{{x}}", {{"x", "1"}}), "a1b1");
  EXPECT_EQ(FillAlertTemplate("none", {}), "none");
  EXPECT_FALSE(FillAlertTemplate("{{y}}", {{"x", "1"}}));
  EXPECT_FALSE(FillAlertTemplate("{{x", {{"x", "1"}}));
}

// By `printf '1790004800.{}' | openssl dgst -sha256 -hmac 0123456789abcdef`.
TEST(AlertSignature, IsTheHmacOfTimeAndBody) {
  EXPECT_EQ(AlertSignature(Secret("0123456789abcdef"), "{}", kWhen),
            "t=1790004800,v1=b73aa84df675c74abc22be429f8d3c2f63a49f67384302eed2ddf0fb75dfd96e");
}

}  // namespace
}  // namespace relay
