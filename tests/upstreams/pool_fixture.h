// SPDX-License-Identifier: MIT
// A pool of accounts on a manual clock.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

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
      : pool(std::make_shared<AccountPool>(std::move(accounts), clock)) {}
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

}  // namespace relay
