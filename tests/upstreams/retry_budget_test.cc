// SPDX-License-Identifier: MIT
#include "upstreams/retry_budget.h"

#include <gmock/gmock.h>

#include <thread>
#include <vector>

#include "tests/upstreams/claude_answers.h"

namespace relay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(RetryBudget, GivesAShareOfWhatIsInFlightAndAFewAlways) {
  auto budget = std::make_shared<RetryBudget>();
  const RetryBudgetConfig kBounds = {.percent = 20, .min_concurrency = 3};
  std::vector<RetryBudget::Place> held;
  auto take = [&](int in_flight) {
    std::optional<RetryBudget::Place> place = budget->Take(kBounds, in_flight);
    if (!place) return false;
    held.push_back(std::move(*place));
    return true;
  };
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(take(1));
  EXPECT_FALSE(take(19));
  EXPECT_TRUE(take(20));
  EXPECT_FALSE(take(24));
  EXPECT_TRUE(take(25));
  EXPECT_EQ(budget->taken(), 5);
  held.pop_back();
  EXPECT_TRUE(take(25));
  held.clear();
  EXPECT_EQ(budget->taken(), 0);
}

TEST(RetryBudget, MayGiveNone) {
  EXPECT_FALSE(std::make_shared<RetryBudget>()->Take({.percent = 0, .min_concurrency = 0}, 1000));
}

TEST(RetryBudget, NeverGivesMoreToManyThreads) {
  auto budget = std::make_shared<RetryBudget>();
  const RetryBudgetConfig kFour = {.percent = 0, .min_concurrency = 4};
  std::atomic<int> most = 0;
  std::atomic<int> given = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 5'000; ++n) {
        std::optional<RetryBudget::Place> first = budget->Take(kFour, 1);
        std::optional<RetryBudget::Place> second = budget->Take(kFour, 1);
        if (first || second) ++given;
        int taken = budget->taken();
        int seen = most;
        while (taken > seen && !most.compare_exchange_weak(seen, taken)) {
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(given, 0);
  EXPECT_LE(most, 4);
  EXPECT_EQ(budget->taken(), 0);
}

std::function<void(ClusterConfig&)> Budget(int percent, int min_concurrency) {
  return [=](ClusterConfig& config) { config.failover.budget = {percent, min_concurrency}; };
}

std::vector<AccountConfig> Two() {
  std::vector<AccountConfig> accounts = Three();
  accounts.pop_back();
  return accounts;
}

TEST(RetryBudget, OneDeadAccountOfTwoFailsNoRequestWhateverTheBudget) {
  ClusterWorld world(Two(), ProviderKind::kClaude, Budget(0, 0));
  for (int i = 0; i < 20; ++i) {
    world.vendor.Answer("sk-a", Nothing());
    world.AskClaude(false);
    EXPECT_EQ(world.status(), 200) << i;
  }
  EXPECT_THAT(world.metrics.Text(true),
              HasSubstr(R"(relay_failover_budget_spent_total{cluster="main"} 0)"));
}

// Without a budget each request would be sent once to each account for as long as it lasts.
TEST(RetryBudget, RetriesDoNotMultiplyAnOutage) {
  ClusterWorld world(Three(), ProviderKind::kClaude, Budget(0, 0));
  world.vendor.otherwise = Json(529, kOverloaded);
  constexpr int kRequests = 20;
  for (int i = 0; i < kRequests; ++i) {
    world.AskClaude(false);
    EXPECT_EQ(world.status(), 529);
    EXPECT_EQ(world.body(), kOverloaded);
  }
  // Only the first found out that each of them fails.
  EXPECT_EQ(world.vendor.requests.size(), kRequests + 2);
  EXPECT_THAT(world.metrics.Text(true),
              HasSubstr(R"(relay_failover_budget_spent_total{cluster="main"} 19)"));
  // When it is over, all is well by itself.
  world.vendor.otherwise = Json(200, R"({"ok":true})");
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
}

TEST(RetryBudget, APlaceIsHeldUntilTheFurtherTryIsAnswered) {
  ClusterWorld world(Two(), ProviderKind::kClaude, Budget(0, 1));
  world.vendor.otherwise = Json(529, kOverloaded);
  world.AskClaude(false);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b"));
  EXPECT_EQ(world.shared->retries->taken(), 0);
  // Both fail of late, and b is the one that is left: the next is tried again by the one place
  // there is, and waits.
  world.vendor.Answer("sk-a", Silence());
  world.AskClaude(false);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b", "sk-b", "sk-a"));
  EXPECT_EQ(world.shared->retries->taken(), 1);
  std::unique_ptr<ClientSocket> first = std::move(world.client);
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 529);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b", "sk-b", "sk-a", "sk-b"));
  // It is given back when its client leaves.
  first.reset();
  world.Settle();
  EXPECT_EQ(world.shared->retries->taken(), 0);
  world.vendor.Answer("sk-b", Json(529, kOverloaded));
  world.vendor.Answer("sk-a", Json(200, R"({"ok":true})"));
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.shared->retries->taken(), 0);
}

TEST(RetryBudget, WhatBlamesAnAccountIsNotPassedOnWhenItIsSpent) {
  ClusterWorld world(Two(), ProviderKind::kClaude, Budget(0, 0));
  world.vendor.Answer("sk-a", Json(529, kOverloaded));
  world.vendor.Answer("sk-b", Json(529, kOverloaded));
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 529);
  world.vendor.Answer("sk-b", Json(401, kAuthError));
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 503);
  EXPECT_EQ(world.Field("retry-after"), "1");
}

}  // namespace
}  // namespace relay
