// SPDX-License-Identifier: MIT
#include "core/store/limiter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <deque>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace relay {
namespace {

using namespace std::chrono_literals;
using What = Limiter::Denied::What;

struct LimiterTest : testing::Test {
  ManualClock clock;
  Limiter limiter{clock};

  static Limiter::Ask AskFor(const std::vector<Limiter::Claim>& claims, Charge reserve = {}) {
    Limiter::Ask ask;
    std::copy(claims.begin(), claims.end(), ask.claims.begin());
    ask.reserve = reserve;
    return ask;
  }
  std::optional<Limiter::Denied> Admit(const std::vector<Limiter::Claim>& claims, Slot& slot,
                                       bool shadow = false) {
    Limiter::Ask ask = AskFor(claims);
    ask.shadow = shadow;
    return limiter.Admit(ask, clock.Now(), slot);
  }
};

TEST_F(LimiterTest, AdmitsUpToTheMinutesLimit) {
  auto scope = limiter.Scope("a");
  for (int i = 0; i < 3; ++i) {
    Slot slot;
    EXPECT_FALSE(Admit({{scope, {.requests_per_minute = 3}}}, slot));
  }
  Slot slot;
  auto denied = Admit({{scope, {.requests_per_minute = 3}}}, slot);
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->what, What::kRequests);
  EXPECT_EQ(denied->limit, 3);
  EXPECT_EQ(denied->retry_after, 61s);
  clock.Advance(*denied->retry_after);
  EXPECT_FALSE(Admit({{scope, {.requests_per_minute = 3}}}, slot));
}

TEST_F(LimiterTest, GivesAPlaceBackWhenItsSlotDies) {
  auto scope = limiter.Scope("a");
  const RateLimits one{.concurrency = 1};
  {
    Slot first;
    EXPECT_FALSE(Admit({{scope, one}}, first));
    EXPECT_EQ(scope->InFlight(), 1);
    Slot second;
    auto denied = Admit({{scope, one}}, second);
    ASSERT_TRUE(denied);
    EXPECT_EQ(denied->what, What::kConcurrency);
    EXPECT_EQ(denied->retry_after, 1s);
  }
  EXPECT_EQ(scope->InFlight(), 0);
  Slot third;
  EXPECT_FALSE(Admit({{scope, one}}, third));
}

TEST_F(LimiterTest, CountsInAllScopesOrInNone) {
  auto key = limiter.Scope("key");
  auto route = limiter.Scope("route");
  std::vector<Limiter::Claim> claims = {{key, {.requests_per_minute = 5}},
                                        {route, {.requests_per_minute = 2}}};
  for (int i = 0; i < 2; ++i) {
    Slot slot;
    EXPECT_FALSE(Admit(claims, slot));
  }
  for (int i = 0; i < 10; ++i) {
    Slot slot;
    auto denied = Admit(claims, slot);
    ASSERT_TRUE(denied);
    EXPECT_EQ(denied->claim, 1U);
  }
  EXPECT_EQ(key->InFlight(), 0);
  // The refused ones cost the key nothing: three are left.
  for (int i = 0; i < 3; ++i) {
    Slot slot;
    EXPECT_FALSE(Admit({claims[0]}, slot));
  }
  Slot slot;
  EXPECT_TRUE(Admit({claims[0]}, slot));
}

TEST_F(LimiterTest, TellsTheLongestOfTheWaits) {
  auto key = limiter.Scope("key");
  auto route = limiter.Scope("route");
  Slot first;
  Admit({{key, {}}}, first);
  clock.Advance(20s);
  Slot second;
  Admit({{route, {}}}, second);
  Slot slot;
  auto denied = Admit(
      {{key, {.requests_per_minute = 1}}, {route, {.requests_per_minute = 1, .concurrency = 1}}},
      slot);
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->claim, 0U);
  EXPECT_EQ(denied->retry_after, 61s);
}

TEST_F(LimiterTest, CountsButAdmitsInTheShadow) {
  auto scope = limiter.Scope("a");
  const RateLimits one{.requests_per_minute = 1, .concurrency = 1};
  Slot first;
  EXPECT_FALSE(Admit({{scope, one}}, first, true));
  Slot second;
  EXPECT_TRUE(Admit({{scope, one}}, second, true));
  EXPECT_EQ(scope->InFlight(), 2);
}

TEST_F(LimiterTest, KeepsAScopeAsLongAsItCounts) {
  auto a = limiter.Scope("a");
  EXPECT_EQ(limiter.Scope("a"), a);
  EXPECT_NE(limiter.Scope("b"), a);
}

TEST_F(LimiterTest, ForgetsIdleScopes) {
  auto held = limiter.Scope("held");
  Slot slot;
  Admit({{limiter.Scope("busy"), {}}}, slot);
  {
    Slot past;
    Admit({{limiter.Scope("recent"), {}}}, past);
  }
  for (int i = 0; i < 10'000; ++i) limiter.Scope("passing " + std::to_string(i));
  EXPECT_LE(limiter.size(), 200U);
  Slot again;
  EXPECT_TRUE(Admit({{limiter.Scope("recent"), {.requests_per_minute = 1}}}, again));
  EXPECT_EQ(limiter.Scope("busy")->InFlight(), 1);
  EXPECT_EQ(limiter.Scope("held"), held);
}

TEST_F(LimiterTest, PassesExactlyFiveOfFortyParallelRequests) {
  constexpr size_t kThreads = 4;
  constexpr size_t kEach = 10;
  for (int round = 0; round < 50; ++round) {
    auto by_starts = limiter.Scope("starts " + std::to_string(round));
    auto by_flight = limiter.Scope("flight " + std::to_string(round));
    std::array<std::array<Slot, kEach>, kThreads> starts;
    std::array<std::array<Slot, kEach>, kThreads> flights;
    std::atomic<int> started{0};
    std::atomic<int> flying{0};
    std::barrier line(kThreads);
    TimePoint now = clock.Now();
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        line.arrive_and_wait();
        for (size_t i = 0; i < kEach; ++i) {
          Limiter::Ask a = AskFor({{by_starts, {.requests_per_minute = 5}}});
          if (!limiter.Admit(a, now, starts[t][i])) ++started;
          Limiter::Ask b = AskFor({{by_flight, {.concurrency = 5}}});
          if (!limiter.Admit(b, now, flights[t][i])) ++flying;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(started, 5) << "round " << round;
    ASSERT_EQ(flying, 5) << "round " << round;
    ASSERT_EQ(by_flight->InFlight(), 5);
  }
}

TEST_F(LimiterTest, NeitherLosesNorDoublesAPlaceUnderThreads) {
  auto a = limiter.Scope("a");
  auto b = limiter.Scope("b");
  std::atomic<int64_t> most{0};
  std::vector<std::thread> threads;
  TimePoint now = clock.Now();
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5000; ++i) {
        Slot slot;
        Limiter::Claim first{a, {.concurrency = 3}};
        Limiter::Claim second{b, {}};
        // Both orders: neither waits for the other for ever.
        Limiter::Ask ask = t % 2 == 0 ? AskFor({first, second}) : AskFor({second, first});
        if (limiter.Admit(ask, now, slot)) continue;
        int64_t seen = a->InFlight();
        int64_t before = most;
        while (seen > before && !most.compare_exchange_weak(before, seen)) {
        }
        limiter.Scope("other " + std::to_string(i % 100));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 3);
  EXPECT_EQ(a->InFlight(), 0);
  EXPECT_EQ(b->InFlight(), 0);
}

}  // namespace
}  // namespace relay
