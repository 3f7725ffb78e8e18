// SPDX-License-Identifier: MIT
#include "core/exchange/body_budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "core/async/loop.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

// Keys, as far as a budget knows them.
const char kNames[3] = {'a', 'b', 'c'};
const BodyBudget::Owner kA = &kNames[0];
const BodyBudget::Owner kB = &kNames[1];
const BodyBudget::Owner kC = &kNames[2];

// A body: asks for its bytes, and gives them back when it dies.
class Sender {
 public:
  Sender(BodyBudget& budget, Loop& loop, BodyBudget::Owner owner, size_t bytes, Duration patience)
      : budget_(budget), owner_(owner), bytes_(bytes), task_(Run(loop, loop.Now() + patience)) {
    task_.Start([](void*) noexcept {}, nullptr);
  }
  ~Sender() {
    task_ = Task<Unit>();
    if (got() == true) budget_.Give(owner_, bytes_);
  }
  // Nothing while it waits.
  std::optional<bool> got() const { return got_; }

 private:
  Task<Unit> Run(Loop& loop, TimePoint deadline) {
    bool got = co_await budget_.Take(loop, owner_, bytes_, deadline);
    got_ = got;
    co_return Unit{};
  }
  BodyBudget& budget_;
  const BodyBudget::Owner owner_;
  const size_t bytes_;
  std::optional<bool> got_;
  Task<Unit> task_;
};

struct BodyBudgetTest : testing::Test {
  std::unique_ptr<Sender> Send(BodyBudget::Owner owner, size_t bytes, Duration patience = 10s) {
    return std::make_unique<Sender>(budget, loop, owner, bytes, patience);
  }
  void Turns() {
    for (int i = 0; i < 4; ++i) loop.Turn();
  }
  ManualClock clock;
  Loop loop{clock};
  BodyBudget budget{100};
};

TEST_F(BodyBudgetTest, TakesUpToItsBoundAndNotAByteMore) {
  EXPECT_TRUE(budget.TryTake(kA, 60));
  EXPECT_FALSE(budget.TryTake(kB, 41));
  EXPECT_EQ(budget.used(), 60U);
  EXPECT_TRUE(budget.TryTake(nullptr, 40));
  EXPECT_FALSE(budget.TryTake(kA, 1));
  budget.Give(kA, 60);
  budget.Give(nullptr, 40);
  EXPECT_EQ(budget.used(), 0U);
  EXPECT_TRUE(budget.TryTake(kA, 100));
}

TEST_F(BodyBudgetTest, LetsABodyWaitUntilThereIsRoom) {
  auto held = Send(kA, 100);
  EXPECT_EQ(held->got(), true);
  auto waits = Send(kB, 30);
  Turns();
  EXPECT_EQ(waits->got(), std::nullopt);
  EXPECT_EQ(budget.waiting(), 1U);
  held.reset();
  Turns();
  EXPECT_EQ(waits->got(), true);
  EXPECT_EQ(budget.used(), 30U);
}

TEST_F(BodyBudgetTest, TellsThatThereWasNoRoomAtTheDeadline) {
  auto held = Send(kA, 100);
  auto waits = Send(kB, 30, 10s);
  clock.Advance(9s);
  Turns();
  EXPECT_EQ(waits->got(), std::nullopt);
  clock.Advance(2s);
  Turns();
  EXPECT_EQ(waits->got(), false);
  EXPECT_EQ(budget.waiting(), 0U);
  EXPECT_EQ(budget.used(), 100U);
}

TEST_F(BodyBudgetTest, ServesFirstTheKeyThatHoldsLeast) {
  auto large = Send(kA, 50);
  auto small = Send(kB, 10);
  auto more = Send(kC, 40);
  // Both keys wait; the one with more in memory came first.
  auto again = Send(kA, 30);
  auto other = Send(kB, 30);
  Turns();
  more.reset();
  Turns();
  EXPECT_EQ(other->got(), true);
  EXPECT_EQ(again->got(), std::nullopt);
}

TEST_F(BodyBudgetTest, ServesOneKeyInTheOrderOfArrival) {
  auto held = Send(kA, 100);
  auto first = Send(kB, 80);
  auto second = Send(kB, 80);
  held.reset();
  Turns();
  EXPECT_EQ(first->got(), true);
  EXPECT_EQ(second->got(), std::nullopt);
  // Nobody who comes now overtakes, though its bytes would fit.
  EXPECT_FALSE(budget.TryTake(kC, 5));
}

TEST_F(BodyBudgetTest, SmallBodiesDoNotStarveALargeOne) {
  auto a = Send(kA, 40);
  auto b = Send(kA, 40);
  auto large = Send(kB, 90);
  auto small = Send(kC, 10);
  Turns();
  EXPECT_EQ(small->got(), std::nullopt);
  a.reset();
  b.reset();
  Turns();
  EXPECT_EQ(large->got(), true);
  EXPECT_EQ(small->got(), true);
}

TEST_F(BodyBudgetTest, HandsRoomOnWhenABodyDiesThatWasGrantedItOrStoodFirst) {
  auto held = Send(kA, 60);
  auto dies = Send(kB, 60);
  auto next = Send(kC, 30);
  held.reset();  // granted to both, which have not run yet
  dies.reset();
  Turns();
  EXPECT_EQ(next->got(), true);
  EXPECT_EQ(budget.used(), 30U);
  auto first = Send(kA, 80);
  auto behind = Send(kB, 20);
  Turns();
  EXPECT_EQ(behind->got(), std::nullopt);
  first.reset();
  Turns();
  EXPECT_EQ(behind->got(), true);
}

TEST_F(BodyBudgetTest, BoundsTheQueue) {
  auto held = Send(kA, 100);
  std::vector<std::unique_ptr<Sender>> waiting;
  for (size_t i = 0; i < BodyBudget::kMostWaiting; ++i) waiting.push_back(Send(kB, 1));
  EXPECT_EQ(Send(kC, 1)->got(), false);
  EXPECT_EQ(budget.waiting(), BodyBudget::kMostWaiting);
}

TEST_F(BodyBudgetTest, HoldsItsBoundOverThreadsAndLosesNothing) {
  constexpr unsigned kThreads = 4;
  std::vector<std::thread> threads;
  std::atomic<bool> over{false};
  // No loop ends before all are made: the thread sanitizer does not see libuv close a descriptor
  // that the next loop then gets.
  std::barrier line(kThreads);
  std::atomic<int> served{0};
  for (unsigned seed = 1; seed <= kThreads; ++seed) {
    threads.emplace_back([&, random = seed * 2654435761U]() mutable {
      Loop own;
      line.arrive_and_wait();
      std::vector<std::unique_ptr<Sender>> senders;
      for (int step = 0; step < 3000; ++step) {
        random = random * 1664525U + 1013904223U;
        if (senders.size() < 5) {
          senders.push_back(std::make_unique<Sender>(budget, own, &kNames[(random >> 4) % 3],
                                                     1 + (random >> 9) % 60, 1h));
        }
        size_t which = (random >> 16) % senders.size();
        bool done = senders[which]->got().has_value();
        if (done) ++served;
        if (done || (random >> 8) % 4 == 0) senders.erase(senders.begin() + long(which));
        if (budget.used() > 100) over = true;
        own.Turn();
      }
      senders.clear();
      own.Turn();
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(over);
  EXPECT_GT(served, 0);
  EXPECT_EQ(budget.used(), 0U);
  EXPECT_EQ(budget.waiting(), 0U);
}

}  // namespace
}  // namespace relay
