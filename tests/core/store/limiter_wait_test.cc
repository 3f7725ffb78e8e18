// SPDX-License-Identifier: MIT
// Who is over a limit and waits: in turn, woken by what changes, on whichever loop it lives.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <memory>
#include <thread>
#include <vector>

#include "core/async/loop.h"
#include "core/store/limiter.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using What = Limiter::Denied::What;
constexpr size_t kMost = 100;

// A coroutine that asks in turn and keeps its slot while this lives.
class Guest {
 public:
  Guest(Limiter& limiter, Loop& loop, Limiter::Ask ask, TimePoint deadline, size_t most = kMost)
      : limiter_(limiter), task_(Run(loop, std::move(ask), deadline, most)) {
    task_.Start([](void*) noexcept {}, nullptr);
  }
  bool done() const { return admitted.has_value(); }
  bool in() const { return done() && admitted->has_value(); }
  Slot& slot() { return ***admitted; }

  std::optional<Limiter::Admitted> admitted;

 private:
  Task<Unit> Run(Loop& loop, Limiter::Ask ask, TimePoint deadline, size_t most) {
    Limiter::Admitted got = co_await limiter_.AdmitInTurn(loop, std::move(ask), deadline, most);
    admitted = std::move(got);
    co_return Unit{};
  }
  Limiter& limiter_;
  Task<Unit> task_;
};

struct LimiterWaitTest : testing::Test {
  Limiter::Ask AskFor(const RateLimits& limits, Charge reserve = {}) {
    Limiter::Ask ask;
    ask.claims[0] = {key, limits};
    ask.reserve = reserve;
    return ask;
  }
  std::unique_ptr<Guest> Wait(const Limiter::Ask& ask, Duration patience = 10s,
                              size_t most = kMost) {
    return std::make_unique<Guest>(limiter, loop, ask, loop.Now() + patience, most);
  }
  void Turns() {
    for (int i = 0; i < 6; ++i) loop.Turn();
  }
  void Advance(Duration by) {
    clock.Advance(by);
    Turns();
  }
  ManualClock clock;
  Loop loop{clock};
  Limiter limiter{clock};
  std::shared_ptr<LimitScope> key = limiter.Scope("key alice");
  std::shared_ptr<LimitScope> other = limiter.Scope("key bob");
  std::shared_ptr<LimitScope> route = limiter.Scope("route main");
};

TEST_F(LimiterWaitTest, AReleaseWakesTheFirstWhoWaits) {
  auto ask = AskFor({.concurrency = 1});
  auto holder = Wait(ask);
  EXPECT_TRUE(holder->in());
  auto first = Wait(ask);
  auto second = Wait(ask);
  Turns();
  EXPECT_FALSE(first->done());
  EXPECT_EQ(key->Waiting(), 2U);
  holder.reset();
  // Nobody who comes now overtakes.
  Slot slot;
  EXPECT_TRUE(limiter.Admit(ask, clock.Now(), slot));
  Turns();
  EXPECT_TRUE(first->in());
  EXPECT_FALSE(second->done());
  first.reset();
  Turns();
  EXPECT_TRUE(second->in());
  EXPECT_EQ(key->InFlight(), 1);
}

TEST_F(LimiterWaitTest, ManyReleasesServeAsMany) {
  auto ask = AskFor({.concurrency = 3});
  std::vector<std::unique_ptr<Guest>> holders;
  for (int i = 0; i < 3; ++i) holders.push_back(Wait(ask));
  std::vector<std::unique_ptr<Guest>> waiting;
  for (int i = 0; i < 5; ++i) waiting.push_back(Wait(ask));
  holders.clear();
  Turns();
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(waiting[i]->in(), i < 3) << i;
}

TEST_F(LimiterWaitTest, ThePassingOfTheMinuteWakesInOrder) {
  auto ask = AskFor({.requests_per_minute = 1});
  auto now = Wait(ask, 5min);
  EXPECT_TRUE(now->in());
  auto first = Wait(ask, 5min);
  auto second = Wait(ask, 5min);
  Advance(60s);
  EXPECT_FALSE(first->done());
  Advance(1s + 16ms);
  EXPECT_TRUE(first->in());
  EXPECT_FALSE(second->done());
  Advance(61s + 16ms);
  EXPECT_TRUE(second->in());
}

TEST_F(LimiterWaitTest, IsDeniedAtTheDeadlineAndLeavesTheQueue) {
  auto ask = AskFor({.concurrency = 1});
  auto holder = Wait(ask);
  auto waits = Wait(ask, 3s);
  auto behind = Wait(ask, 10s);
  Advance(2s);
  EXPECT_FALSE(waits->done());
  Advance(1s + 16ms);
  ASSERT_TRUE(waits->done());
  ASSERT_FALSE(waits->in());
  EXPECT_EQ(waits->admitted->error().what, What::kConcurrency);
  EXPECT_EQ(waits->admitted->error().retry_after, Duration(1s));
  EXPECT_EQ(key->Waiting(), 1U);
  holder.reset();
  Turns();
  EXPECT_TRUE(behind->in());
}

TEST_F(LimiterWaitTest, IsDeniedAtOnceWhereWaitingCannotHelp) {
  auto ask = AskFor({.requests_per_minute = 1});
  auto now = Wait(ask);
  auto hopeless = Wait(ask, 60s);
  ASSERT_TRUE(hopeless->done());
  EXPECT_EQ(hopeless->admitted->error().retry_after, Duration(61s));
  auto spent = AskFor({.cost = {0, 0, 0, 5}});
  limiter.Settle(now->slot(), {.nanodollars = 5});
  auto never = Wait(spent, 60s);
  ASSERT_TRUE(never->done());
  EXPECT_TRUE(never->admitted->error().spent);
  EXPECT_EQ(key->Waiting(), 0U);
}

TEST_F(LimiterWaitTest, BoundsTheQueue) {
  auto ask = AskFor({.concurrency = 1});
  auto holder = Wait(ask, 10s, 2);
  auto first = Wait(ask, 10s, 2);
  auto second = Wait(ask, 10s, 2);
  auto third = Wait(ask, 10s, 2);
  EXPECT_FALSE(second->done());
  ASSERT_TRUE(third->done());
  EXPECT_FALSE(third->in());
}

TEST_F(LimiterWaitTest, WhoDiesWithTheWakeUpOnItsWayPassesItOn) {
  auto ask = AskFor({.concurrency = 1});
  auto holder = Wait(ask);
  auto dies = Wait(ask);
  auto next = Wait(ask);
  holder.reset();
  dies.reset();
  Turns();
  EXPECT_TRUE(next->in());
}

TEST_F(LimiterWaitTest, ASettlementWakesWhoWaitsForReservedMoney) {
  auto ask = AskFor({.cost = {10, 0, 0, 0}}, {.nanodollars = 6});
  auto holder = Wait(ask);
  auto waits = Wait(ask);
  Turns();
  EXPECT_FALSE(waits->done());
  limiter.Settle(holder->slot(), {.nanodollars = 4});
  Turns();
  EXPECT_TRUE(waits->in());
  auto last = Wait(ask);
  Turns();
  EXPECT_FALSE(last->done());
  limiter.Settle(waits->slot(), {.nanodollars = 6});  // nothing is left
  Turns();
  ASSERT_TRUE(last->done());
  EXPECT_TRUE(last->admitted->error().spent);
}

TEST_F(LimiterWaitTest, WaitsForTokensOfTheMinute) {
  auto ask = AskFor({.tokens_per_minute = 100}, {.tokens = 60});
  auto past = Wait(ask);
  limiter.Settle(past->slot(), {.tokens = 60});
  auto running = Wait(AskFor({}, {.tokens = 10}));
  auto waits = Wait(ask, 2min);
  Advance(60s);
  EXPECT_FALSE(waits->done());
  Advance(1s + 16ms);
  EXPECT_TRUE(waits->in());
}

// alice waits for her own limit, so bob, who shares the route with her, goes past.
TEST_F(LimiterWaitTest, WhoWaitsForItsKeyHoldsNobodyElseUp) {
  Limiter::Ask alice = AskFor({.concurrency = 1});
  alice.claims[1] = {route, {.concurrency = 2}};
  Limiter::Ask bob = alice;
  bob.claims[0] = {other, {}};
  auto holder = Wait(alice);
  auto waits = Wait(alice);
  Turns();
  auto passes = Wait(bob);
  EXPECT_TRUE(passes->in());
  // Her own limit no longer stands in the way, but the route's does: she is the first there.
  auto behind = Wait(bob);
  Turns();
  EXPECT_EQ(route->Waiting(), 1U);
  auto third = Wait(bob);
  EXPECT_EQ(route->Waiting(), 2U);
  holder.reset();
  Turns();
  EXPECT_TRUE(waits->in() != behind->in());
  passes.reset();
  Turns();
  EXPECT_TRUE(waits->in());
  EXPECT_TRUE(behind->in());
  EXPECT_FALSE(third->done());
}

TEST_F(LimiterWaitTest, KeepsItsTurnWhenItMovesToAnotherQueue) {
  Limiter::Ask alice = AskFor({.concurrency = 1});
  alice.claims[1] = {route, {.concurrency = 2}};
  Limiter::Ask bob = alice;
  bob.claims[0] = {other, {}};
  auto hers = Wait(alice);
  auto his = Wait(bob);
  auto first = Wait(alice);  // for the key
  auto second = Wait(bob);   // for the route
  Turns();
  EXPECT_EQ(key->Waiting(), 1U);
  EXPECT_EQ(route->Waiting(), 1U);
  hers.reset();  // both may look; there is one place on the route
  his.reset();
  Turns();
  EXPECT_TRUE(first->in());
  EXPECT_TRUE(second->in());
  EXPECT_EQ(key->Waiting() + route->Waiting(), 0U);
}

// Guests of several loops over one key and one route: the limits hold, nobody is forgotten.
TEST_F(LimiterWaitTest, LosesNobodyAndNothingAmongThreads) {
  constexpr int kThreads = 4;
  std::atomic<int64_t> most{0};
  std::atomic<int> served{0};
  std::vector<std::thread> threads;
  Limiter real;
  std::array<std::shared_ptr<LimitScope>, 2> keys = {real.Scope("a"), real.Scope("b")};
  auto shared = real.Scope("r");
  // No loop ends before all are made: the thread sanitizer does not see libuv close a descriptor
  // that the next loop then gets.
  std::barrier line(kThreads);
  for (unsigned seed = 1; seed <= kThreads; ++seed) {
    threads.emplace_back([&, random = seed * 2654435761U]() mutable {
      Loop own;
      line.arrive_and_wait();
      std::vector<std::unique_ptr<Guest>> guests;
      for (int step = 0; step < 4000; ++step) {
        random = random * 1664525U + 1013904223U;
        if (guests.size() < 5) {
          Limiter::Ask ask;
          ask.claims[0] = {keys[(random >> 5) % 2], {.concurrency = 2}};
          ask.claims[1] = {shared, {.concurrency = 3}};
          guests.push_back(std::make_unique<Guest>(real, own, ask, own.Now() + 1h));
        }
        size_t which = (random >> 16) % guests.size();
        bool in = guests[which]->in();
        if (in) {
          ++served;
          int64_t seen = shared->InFlight();
          int64_t before = most;
          while (seen > before && !most.compare_exchange_weak(before, seen)) {
          }
        }
        if (in || (random >> 8) % 4 == 0) guests.erase(guests.begin() + long(which));
        own.Turn();
      }
      guests.clear();
      own.Turn();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(served, 0);
  EXPECT_LE(most, 3);
  for (const auto& scope : {keys[0], keys[1], shared}) {
    EXPECT_EQ(scope->InFlight(), 0);
    EXPECT_EQ(scope->Waiting(), 0U);
  }
}

// However the wake-ups of many loops interleave, a place that is free is taken in the end.
TEST_F(LimiterWaitTest, ServesAllWhoWaitOnManyLoops) {
  constexpr int kThreads = 4;
  constexpr int kEach = 200;
  Limiter real;
  auto scope = real.Scope("a");
  std::vector<std::thread> threads;
  std::atomic<int> served{0};
  std::barrier line(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      Loop own;
      line.arrive_and_wait();
      std::vector<std::unique_ptr<Guest>> guests;
      Limiter::Ask ask;
      ask.claims[0] = {scope, {.concurrency = 2}};
      for (int i = 0; i < kEach; ++i) {
        guests.push_back(std::make_unique<Guest>(real, own, ask, own.Now() + 1h, 10'000));
      }
      while (!guests.empty()) {
        own.Turn();
        std::erase_if(guests, [&](const auto& guest) {
          served += guest->in() ? 1 : 0;
          return guest->done();
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, kThreads * kEach);
}

}  // namespace
}  // namespace relay
