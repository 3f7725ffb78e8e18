// SPDX-License-Identifier: MIT
#include "admin/alert_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/admin/fixture.h"

namespace relay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view kConfig = R"(
listeners: [{address: "127.0.0.1:0"}]
keys:
  - {name: alice, key: cr_alert-watch-alice, limits: {cost-per-day: 10, cost-per-5h: 4},
     service-limits: {claude: {cost-total: 100}}}
  - {name: bob, key: cr_alert-watch-bob}
clusters:
  claude:
    provider: claude
    accounts: [{name: one, api-key: sk-ant-one}, {name: two, api-key: sk-ant-two}]
  spare: {provider: claude}
routes:
  - name: claude
    match: {prefix: /api}
    filters: [{auth: {service: claude}}, {rate-limit: {}}, {account-select: {}}, {usage-record: {}}]
    cluster: claude
  - name: shared
    match: {prefix: /shared}
    filters: [{auth: {service: claude}}, {rate-limit: {cost-per-month: 50, budget: route}},
              {account-select: {}}, {usage-record: {}}]
    cluster: claude
  - name: each
    match: {prefix: /each}
    filters: [{auth: {service: claude}}, {rate-limit: {cost-per-day: 5, concurrency: 3}},
              {account-select: {}}, {usage-record: {}}]
    cluster: claude
)";

class AlertWatchTest : public ::testing::Test {
 protected:
  AlertWatchTest() {
    auto made = Services::Make(ConfigOf(kConfig), clock, uint64_t{1} << 30);
    EXPECT_TRUE(made);
    services = std::move(*made);
  }
  AccountPool& pool() { return *services->current()->clusters[0]->pool; }
  void Report(size_t account, Judgement::Kind kind, std::string cause, Duration rest = {}) {
    Judgement judgement;
    judgement.kind = kind;
    judgement.cause = std::move(cause);
    if (rest > Duration::zero()) judgement.until = clock.Now() + rest;
    pool().Report(account, judgement);
  }
  std::vector<std::string> Found(const std::string& refused = "") {
    std::vector<std::string> found;
    look = LookForAlerts(*services, refused);
    for (const AlertCondition& condition : look.conditions) {
      found.push_back(std::string(NameOf(condition.event)) + ": " + condition.subject + " " +
                      condition.what + (condition.details.empty() ? "" : " - ") +
                      condition.details + (condition.until ? " (until)" : ""));
    }
    return found;
  }
  void Spend(const std::string& scope, int64_t dollars) {
    Slot slot;
    Limiter::Ask ask;
    ask.claims[0] = {services->limiter.Scope(scope), {}};
    ask.claims[0].limits.cost_per_5h = 1'000'000'000'000;
    ASSERT_FALSE(services->limiter.Admit(ask, clock.Now(), slot));
    services->limiter.Settle(slot, {.nanodollars = dollars * 1'000'000'000});
  }

  ManualClock clock;
  std::unique_ptr<Services> services;
  AlertLook look;
};

TEST_F(AlertWatchTest, FindsNothingWhereAllIsWell) {
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(AlertWatchTest, FindsTroubleOfAccounts) {
  Report(0, Judgement::Kind::kRefused, "401 authentication_error");
  EXPECT_THAT(Found(), ElementsAre("refused: account claude/one is refused by its vendor, and "
                                   "needs a person - 401 authentication_error"));
  Report(1, Judgement::Kind::kLimited, "429 rate_limit_error", std::chrono::hours(1));
  EXPECT_THAT(
      Found(),
      ElementsAre("refused: account claude/one is refused by its vendor, and needs a person - 401 "
                  "authentication_error",
                  "limited: account claude/two is at its limit - 429 rate_limit_error (until)",
                  ::testing::StartsWith("unserved: cluster claude can serve nobody - ")));
}

// A rest that is over proves nothing: only a limit ends by time.
TEST_F(AlertWatchTest, HoldsToTroubleUntilARequestShowsThatItIsOver) {
  Report(0, Judgement::Kind::kRefused, "401 authentication_error");
  Report(1, Judgement::Kind::kLimited, "429 rate_limit_error", std::chrono::hours(1));
  clock.Advance(std::chrono::hours(2));
  EXPECT_THAT(Found(), ElementsAre("refused: account claude/one is refused by its vendor, and "
                                   "needs a person - 401 authentication_error"));
  Report(0, Judgement::Kind::kFine, "");
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(AlertWatchTest, KnowsThatNoCredentialServes) {
  Report(0, Judgement::Kind::kRefused, "401 authentication_error");
  Report(1, Judgement::Kind::kRefused, "401 authentication_error");
  clock.Advance(std::chrono::hours(2));
  EXPECT_THAT(Found(), ::testing::Contains(::testing::StartsWith("unserved: cluster claude")));
}

TEST_F(AlertWatchTest, SaysWhatIsThere) {
  Found();
  EXPECT_TRUE(look.things.contains("account claude/one"));
  EXPECT_TRUE(look.things.contains("cluster claude"));
  EXPECT_FALSE(look.things.contains("cluster spare")) << "it has no account";
  auto config = ConfigOf(R"(
listeners: [{address: "127.0.0.1:0"}]
clusters:
  claude: {provider: claude, accounts: [{name: two, api-key: sk-ant-two}]}
routes:
  - name: claude
    match: {prefix: /api}
    filters: [{auth: {service: claude}}, {rate-limit: {}}, {account-select: {}}, {usage-record: {}}]
    cluster: claude
)");
  auto snapshot = services->Build(config, std::make_shared<const StoredObjects>());
  ASSERT_TRUE(snapshot);
  services->Publish(*snapshot);
  Found();
  EXPECT_FALSE(look.things.contains("account claude/one"));
  EXPECT_TRUE(look.things.contains("account claude/two"));
}

TEST_F(AlertWatchTest, FindsWhatKeysHaveSpent) {
  Spend(Limiter::NameOfKey("alice"), 3);
  EXPECT_THAT(Found(),
              ElementsAre("budget: key alice has spent 75% of its cost-per-5h - $3.00 of $4.00",
                          "budget: key alice has spent 30% of its cost-per-day - $3.00 "
                          "of $10.00"));
  Spend(Limiter::NameOfService("claude", "alice"), 100);
  EXPECT_THAT(Found(), ::testing::Contains("budget: key alice on claude has spent 100% of its "
                                           "cost-total - $100.00 of $100.00"));
}

TEST_F(AlertWatchTest, FindsWhatRoutesHaveSpentAndKeysOnThem) {
  size_t before = services->limiter.size();
  EXPECT_THAT(Found(), IsEmpty());
  EXPECT_EQ(services->limiter.size(), before) << "looking keeps nothing of who spent nothing";
  Spend(Limiter::NameOfRoute("shared"), 40);
  Spend(Limiter::NameOfRoute("each", "bob"), 5);
  EXPECT_THAT(Found(),
              ElementsAre("budget: route shared has spent 80% of its cost-per-month - $40.00 of "
                          "$50.00",
                          "budget: key bob on route each has spent 100% of its cost-per-day - "
                          "$5.00 of $5.00"));
}

TEST_F(AlertWatchTest, FindsAFileThatWasRefused) {
  EXPECT_THAT(Found("relay.yaml:4:7: is wrong"),
              ElementsAre("config: the changed relay.yaml was refused, and what was in force "
                          "stays - relay.yaml:4:7: is wrong"));
}

}  // namespace
}  // namespace relay
