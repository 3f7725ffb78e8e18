// SPDX-License-Identifier: MIT
#include "admin/alert_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "tests/upstreams/vendor.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

// Tells a scripted receiver, on a loop that the test turns.
class AlertTargetTest : public ::testing::Test {
 protected:
  ~AlertTargetTest() override {
    target.reset();
    Settle();
  }
  void Settle() {
    for (int i = 0; i < 40; ++i) loop.Turn();
  }
  void Pass(Duration time) {
    clock.Advance(time);
    Settle();
  }
  void Open(AlertConfig config = {}) {
    config.name = "ops";
    config.url = Secret("http://127.0.0.1:" + std::to_string(receiver.port()) + "/hook?key=s3cret");
    target = std::make_shared<AlertTarget>(calls, metrics, states, std::move(config));
  }
  void Tell(std::string subject) {
    target->Tell({.id = subject, .subject = std::move(subject), .what = "is so"});
    Settle();
  }
  std::string SubjectOf(size_t index) const {
    Result<JsonIndex> json = JsonIndex::Parse(receiver.requests[index].body);
    return json ? json->Find("subject").String().value_or("") : "";
  }
  int Counted(const std::string& result) const {
    std::string series = "relay_alerts_total{alert=\"ops\",result=\"" + result + "\"} ";
    std::string text = metrics.Text(true);
    size_t at = text.find(series);
    return at == text.npos ? -1 : std::stoi(text.substr(at + series.size()));
  }

  ManualClock clock;
  Loop loop{clock};
  Resolver resolver{loop};
  Vendor receiver{loop};
  VendorCalls calls{loop, resolver, nullptr};
  Metrics metrics;
  StateBell bell;
  AlertStates states{bell, [](std::string_view name) { return name == "ops"; }};
  std::shared_ptr<AlertTarget> target;
};

TEST_F(AlertTargetTest, PostsInOrderWithASignature) {
  AlertConfig config;
  config.secret = Secret("0123456789abcdef");
  Open(config);
  receiver.otherwise = Json(200, "{}");
  EXPECT_EQ(Counted("sent"), 0);
  Tell("one");
  Tell("two");
  ASSERT_EQ(receiver.requests.size(), 2U);
  EXPECT_EQ(receiver.requests[0].line(), "POST /hook?key=s3cret HTTP/1.1");
  EXPECT_EQ(receiver.requests[0].Field("content-type"), "application/json");
  EXPECT_EQ(receiver.requests[0].Field("x-relay-signature"),
            AlertSignature(config.secret, receiver.requests[0].body, clock.Wall()));
  EXPECT_EQ(SubjectOf(0), "one");
  EXPECT_EQ(SubjectOf(1), "two");
  EXPECT_EQ(target->waiting(), 0U);
  EXPECT_EQ(Counted("sent"), 2);
}

TEST_F(AlertTargetTest, TriesAgainWhatMayPassAndKeepsTheOrder) {
  Open();
  receiver.otherwise = Json(503, "");
  Tell("one");
  Tell("two");
  EXPECT_EQ(receiver.requests.size(), 1U);
  receiver.otherwise = Json(200, "{}");
  Pass(900ms);
  EXPECT_EQ(receiver.requests.size(), 1U);
  Pass(200ms);
  ASSERT_EQ(receiver.requests.size(), 3U);
  EXPECT_EQ(SubjectOf(1), "one");
  EXPECT_EQ(SubjectOf(2), "two");
  Result<JsonIndex> first = JsonIndex::Parse(receiver.requests[0].body);
  EXPECT_EQ(first->Find("id").String(), "one") << "the same for each try";
}

TEST_F(AlertTargetTest, WaitsAsLongAsTheReceiverSays) {
  Open();
  receiver.otherwise = Json(429, "", {"retry-after: 60"});
  Tell("one");
  receiver.otherwise = Json(200, "{}");
  Pass(59s);
  EXPECT_EQ(receiver.requests.size(), 1U);
  Pass(2s);
  EXPECT_EQ(receiver.requests.size(), 2U);
}

TEST_F(AlertTargetTest, GivesUpAtOnceWhatIsRefused) {
  Open();
  receiver.otherwise = Json(404, "no_service");
  Tell("one");
  EXPECT_EQ(target->waiting(), 0U);
  EXPECT_EQ(Counted("failed"), 1);
  ASSERT_TRUE(target->last());
  EXPECT_EQ(target->last()->outcome.detail, "404: no_service");
}

// As some servers do in the words of their errors.
TEST_F(AlertTargetTest, NeverTellsItsUrl) {
  Open();
  receiver.otherwise = Json(404, "Cannot POST /hook?key=s3cret");
  Tell("one");
  EXPECT_EQ(target->last()->outcome.detail, "404: Cannot POST …?…");
}

// A reload may take the target away while somebody waits for what came of a test.
TEST_F(AlertTargetTest, LivesAsLongAsSomebodyWaitsForIt) {
  Open();
  receiver.otherwise = Silence();
  std::optional<AlertOutcome> outcome;
  auto wait = [](std::shared_ptr<AlertTarget> held, std::optional<AlertOutcome>& to) -> Task<Unit> {
    Alert alert = TestAlert(WallTime());
    to = co_await held->Post(std::move(alert));
    co_return Unit{};
  };
  Task<Unit> waiting = wait(target, outcome);
  waiting.Start([](void*) noexcept {}, nullptr);
  Settle();
  target.reset();
  Pass(AlertTarget::kPatience + 1s);
  ASSERT_TRUE(outcome);
  EXPECT_FALSE(outcome->sent);
}

TEST_F(AlertTargetTest, GivesUpInTheEnd) {
  Open();
  receiver.otherwise = Silence();
  Tell("one");
  for (int i = 0; i < 30; ++i) Pass(1min);
  EXPECT_EQ(receiver.requests.size(), static_cast<size_t>(AlertTarget::kTries));
  EXPECT_EQ(target->waiting(), 0U);
  EXPECT_EQ(Counted("failed"), 1);
}

// What waits when the relay ends was not told.
TEST_F(AlertTargetTest, KeepsWhatWasToldOnceItIsThere) {
  Open();
  receiver.otherwise = Json(503, "");
  AlertLook look;
  look.conditions.push_back({.id = "store",
                             .event = AlertEvent::kStore,
                             .thing = "store",
                             .subject = "the store",
                             .what = "fails"});
  look.things = {"store"};
  target->Update(look);
  Pass(AlertBook::HoldOf(AlertEvent::kStore));
  target->Update(look);
  Settle();
  std::vector<StateBlob> blobs;
  states.TakeChanged(blobs);
  EXPECT_TRUE(blobs.empty());
  receiver.otherwise = Json(200, "");
  Pass(AlertTarget::WaitAfter(1));
  states.TakeChanged(blobs);
  ASSERT_EQ(blobs.size(), 1U);
  EXPECT_EQ(blobs[0].id, "ops/store");
  size_t asked = receiver.requests.size();
  // The next run, which finds it the case at once.
  states.Restore(blobs);
  Open();
  target->Update(look);
  Pass(1min);
  target->Update(look);
  Settle();
  EXPECT_EQ(receiver.requests.size(), asked);
  // Whom relay.yaml names no more leaves nothing.
  target->Leave();
  blobs.clear();
  states.TakeChanged(blobs);
  ASSERT_EQ(blobs.size(), 1U);
  EXPECT_EQ(blobs[0].value, "");
}

TEST_F(AlertTargetTest, DropsTheOldestOfTooMany) {
  Open();
  receiver.otherwise = Silence();
  Tell("first");
  for (size_t i = 0; i < AlertTarget::kMostWaiting + 5; ++i) {
    target->Tell({.subject = std::to_string(i), .what = "is so"});
  }
  EXPECT_EQ(target->waiting(), AlertTarget::kMostWaiting);
  // The first is being sent; of those behind it the oldest are gone.
  receiver.otherwise = Json(200, "{}");
  Pass(AlertTarget::kPatience + 1s);
  Pass(AlertTarget::WaitAfter(1));
  ASSERT_GE(receiver.requests.size(), 3U);
  EXPECT_EQ(SubjectOf(1), "first");
  EXPECT_EQ(SubjectOf(2), "6");
  EXPECT_EQ(Counted("dropped"), 6);
}

TEST_F(AlertTargetTest, EndsWithWhatItSends) {
  Open();
  receiver.otherwise = Silence();
  Tell("one");
  EXPECT_EQ(receiver.open(), 1);
  target.reset();
  Settle();
  EXPECT_EQ(receiver.open(), 0);
}

TEST(AlertWaits, Grow) {
  for (int failed = 2; failed < AlertTarget::kTries; ++failed) {
    EXPECT_LT(AlertTarget::WaitAfter(failed - 1), AlertTarget::WaitAfter(failed));
  }
  EXPECT_EQ(AlertTarget::WaitAfter(AlertTarget::kTries - 1), AlertTarget::kMostWait);
}

}  // namespace
}  // namespace relay
