// SPDX-License-Identifier: MIT
// A pool of accounts on a manual clock, and who waits for one.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/async/loop.h"
#include "upstreams/account_pool.h"

namespace relay {

inline Account MakeAccount(std::string name, int priority = 50, int concurrency = 0) {
  Account account;
  account.cluster = "main";
  account.name = std::move(name);
  account.priority = priority;
  account.concurrency = concurrency;
  return account;
}

struct Pool {
  explicit Pool(std::vector<Account> accounts)
      : pool(std::make_shared<AccountPool>(ShareAccounts(std::move(accounts)), clock)) {}
  // The name of who would serve; gives it back at once.
  std::string Next(const Wish& wish = {}) {
    AccountPool::Taken taken = pool->TryTake(wish);
    return taken ? std::string((*taken)->account()) : "nobody";
  }
  NoAccount::Why Refusal(const Wish& wish = {}) {
    AccountPool::Taken taken = pool->TryTake(wish);
    EXPECT_FALSE(taken.has_value());
    return taken ? NoAccount::Why::kEmpty : taken.error().why;
  }
  ManualClock clock;
  std::shared_ptr<AccountPool> pool;
};

inline Wish Sticky(std::string session) {
  Wish wish;
  wish.sticky = std::move(session);
  return wish;
}

// One that waits, in a task of its own.
class Guest {
 public:
  Guest(AccountPool& pool, Loop& loop, Wish wish, TimePoint deadline) : pool_(pool), loop_(loop) {
    task_ = Wait(std::move(wish), deadline);
    task_.Start([](void*) noexcept {}, nullptr);
  }
  bool done() const { return taken.has_value(); }
  std::string name() const {
    return taken && *taken ? std::string((**taken)->account()) : "nobody";
  }
  std::optional<AccountPool::Taken> taken;

 private:
  Task<Unit> Wait(Wish wish, TimePoint deadline) {
    AccountPool::Taken got = co_await pool_.Take(loop_, std::move(wish), deadline);
    taken = std::move(got);
    co_return Unit{};
  }
  AccountPool& pool_;
  Loop& loop_;
  Task<Unit> task_;
};

struct Queue : Pool {
  explicit Queue(std::vector<Account> accounts) : Pool(std::move(accounts)) {}
  std::unique_ptr<Guest> Wait(const Wish& wish = {}, Duration patience = std::chrono::seconds(10)) {
    return std::make_unique<Guest>(*pool, loop, wish, loop.Now() + patience);
  }
  void Turns() {
    for (int i = 0; i < 4; ++i) loop.Turn();
  }
  Loop loop{clock};
};

}  // namespace relay
