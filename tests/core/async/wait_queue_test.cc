// SPDX-License-Identifier: MIT
#include "core/async/wait_queue.h"

#include <gtest/gtest.h>

#include <barrier>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "core/async/loop.h"
#include "core/async/task.h"

namespace relay {
namespace {

// The least owner of a queue: so many tokens, handed to those who wait in turn.
class Tokens {
 public:
  explicit Tokens(int count) : count_(count) {}

  class Ticket final : public WaitTicket {
   public:
    Ticket(Tokens& tokens, Loop& loop) : WaitTicket(loop), tokens_(tokens) {}
    ~Ticket() {
      std::lock_guard lock(tokens_.mutex_);
      if (linked()) tokens_.queue_.Leave(*this);
      if (granted_) tokens_.GiveLocked();
    }
    bool Try() {
      std::lock_guard lock(tokens_.mutex_);
      if (granted_) {
        granted_ = false;
        return true;
      }
      if (!linked() && tokens_.count_ > 0) {
        --tokens_.count_;
        return true;
      }
      if (!linked()) tokens_.queue_.Enter(*this);
      return false;
    }

   private:
    friend class Tokens;
    Tokens& tokens_;
    bool granted_ = false;
  };

  Task<bool> Take(Loop& loop) {
    Ticket ticket(*this, loop);
    while (!ticket.Try()) co_await ticket.Wait(TimePoint::max());
    co_return true;
  }
  void Give() {
    std::lock_guard lock(mutex_);
    GiveLocked();
  }
  int count() {
    std::lock_guard lock(mutex_);
    return count_;
  }
  size_t waiting() {
    std::lock_guard lock(mutex_);
    return queue_.size();
  }

 private:
  void GiveLocked() {
    Ticket* next = queue_.front();
    if (next == nullptr) {
      ++count_;
      return;
    }
    queue_.Leave(*next);
    next->granted_ = true;
    next->Wake();
  }

  std::mutex mutex_;
  int count_;
  WaitQueue<Ticket> queue_;
};

// A coroutine that takes a token and keeps it while this lives.
class Guest {
 public:
  Guest(Tokens& tokens, Loop& loop) : tokens_(tokens), task_(Run(loop)) {
    task_.Start([](void*) noexcept {}, nullptr);
  }
  ~Guest() {
    task_ = Task<Unit>();
    if (served_) tokens_.Give();
  }
  bool served() const { return served_; }

 private:
  Task<Unit> Run(Loop& loop) {
    served_ = co_await tokens_.Take(loop);
    co_return Unit{};
  }
  Tokens& tokens_;
  bool served_ = false;
  Task<Unit> task_;
};

TEST(WaitQueue, ServesInTheOrderOfArrival) {
  Loop loop;
  Tokens tokens(1);
  std::vector<std::unique_ptr<Guest>> guests;
  for (int i = 0; i < 4; ++i) guests.push_back(std::make_unique<Guest>(tokens, loop));
  for (size_t i = 0; i < 4; ++i) {
    for (int turn = 0; turn < 3; ++turn) loop.Turn();
    EXPECT_TRUE(guests[i]->served()) << i;
    if (i < 3) {
      EXPECT_FALSE(guests[i + 1]->served()) << i;
    }
    guests[i].reset();
  }
  EXPECT_EQ(tokens.count(), 1);
}

TEST(WaitQueue, PutsWhoComesFromElsewhereWhereItsArrivalSays) {
  struct Ticket : WaitTicket {
    using WaitTicket::WaitTicket;
  };
  Loop loop;
  std::vector<std::unique_ptr<Ticket>> tickets;
  for (int i = 0; i < 3; ++i) tickets.push_back(std::make_unique<Ticket>(loop));
  WaitQueue<Ticket> queue;
  for (size_t i : {1U, 2U, 0U}) queue.Enter(*tickets[i]);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(queue.front(), tickets[i].get());
    EXPECT_EQ(queue.size(), 3 - i);
    queue.Leave(*queue.front());
  }
  EXPECT_EQ(queue.front(), nullptr);
  EXPECT_TRUE(queue.empty());
}

TEST(WaitQueue, HandsOnWhatWasGivenToOneThatDied) {
  Loop loop;
  Tokens tokens(1);
  auto holder = std::make_unique<Guest>(tokens, loop);
  auto dies = std::make_unique<Guest>(tokens, loop);
  auto next = std::make_unique<Guest>(tokens, loop);
  holder.reset();  // granted, and the wake-up is on its way
  dies.reset();
  for (int turn = 0; turn < 3; ++turn) loop.Turn();
  EXPECT_TRUE(next->served());
  next.reset();
  EXPECT_EQ(tokens.count(), 1);
}

TEST(WaitQueue, WakesWaitersOfManyThreadsAndLosesNothingWithThoseThatDie) {
  constexpr int kThreads = 4;
  Tokens tokens(2);
  // No loop ends before all are made: the thread sanitizer does not see libuv close a descriptor
  // that the next loop then gets.
  std::barrier line(kThreads);
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= kThreads; ++seed) {
    threads.emplace_back([&tokens, &line, random = seed * 2654435761U]() mutable {
      Loop loop;
      line.arrive_and_wait();
      std::vector<std::unique_ptr<Guest>> guests;
      for (int step = 0; step < 3000; ++step) {
        random = random * 1664525U + 1013904223U;
        if (guests.size() < 5) guests.push_back(std::make_unique<Guest>(tokens, loop));
        size_t which = (random >> 16) % guests.size();
        bool leaves = guests[which]->served() || (random >> 8) % 4 == 0;
        if (leaves) guests.erase(guests.begin() + static_cast<long>(which));
        loop.Turn();
      }
      guests.clear();
      loop.Turn();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(tokens.count(), 2);
  EXPECT_EQ(tokens.waiting(), 0U);
}

}  // namespace
}  // namespace relay
