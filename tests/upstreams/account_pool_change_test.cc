// SPDX-License-Identifier: MIT
// A pool whose accounts are not those that it had: what goes on, what ends, and who is told.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/upstreams/pool_fixture.h"
#include "upstreams/tokens.h"

namespace relay {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Health = AccountPool::Health;
using Kind = Judgement::Kind;
using Why = NoAccount::Why;

TEST(ShareAccounts, KeepsTheVeryObjectOfWhatDidNotChange) {
  Accounts before = ShareAccounts({MakeAccount("a", 10), MakeAccount("b", 20)});
  Accounts after =
      ShareAccounts({MakeAccount("b", 20), MakeAccount("a", 11), MakeAccount("c")}, before);
  ASSERT_EQ(after.size(), 3U);
  EXPECT_EQ(after[0], before[1]);
  EXPECT_NE(after[1], before[0]);
  EXPECT_EQ(after[1]->priority, 11);
}

TEST(AccountPoolChange, HealthGoesOnByName) {
  Pool p({MakeAccount("a", 10), MakeAccount("b", 20)});
  TimePoint until = p.clock.Now() + minutes(5);
  p.pool->Report(0, {.kind = Kind::kLimited, .cause = "429", .until = until});
  p.pool->Reconfigure(ShareAccounts({MakeAccount("c", 30), MakeAccount("a", 5)}));
  std::vector<AccountPool::View> views = p.pool->Look();
  ASSERT_EQ(views.size(), 2U);
  EXPECT_EQ(views[0].name, "a");
  EXPECT_EQ(views[0].health, Health::kLimited);
  EXPECT_EQ(views[0].cause, "429");
  EXPECT_EQ(views[0].until, until);
  EXPECT_EQ(views[1].name, "c");
  EXPECT_EQ(p.Next(), "c");
  p.clock.Advance(minutes(6));
  EXPECT_EQ(p.Next(), "a") << "and its rest ends as it would have";
}

TEST(AccountPoolChange, AnAccountThatComesBackIsWhatItWas) {
  Pool p({MakeAccount("a", 10), MakeAccount("b", 20)});
  p.pool->Report(0, {.kind = Kind::kRefused});
  p.pool->Reconfigure(ShareAccounts({MakeAccount("b", 20)}));
  EXPECT_EQ(p.Next(), "b");
  p.pool->Reconfigure(ShareAccounts({MakeAccount("a", 10)}));
  EXPECT_EQ(p.Refusal(), Why::kRefused);
}

TEST(AccountPoolChange, KeepsNeitherSecretsNorTokensOfWhatIsGone) {
  Pool p({});
  auto login = std::make_shared<TokenSource>(TokenSpec{}, WayOut{}, p.clock, nullptr);
  Account account = MakeAccount("a");
  account.tokens = login;
  account.endpoint.url.host = "api.example";
  auto first = std::make_shared<const Account>(account);
  p.pool->Reconfigure({first});
  p.pool->Report(0, {.kind = Kind::kRefused});
  p.pool->Reconfigure({});
  EXPECT_EQ(first.use_count(), 1);
  EXPECT_EQ(login.use_count(), 3) << "ours, and those of the two accounts here";
  // Who they were is known all the same.
  p.pool->Reconfigure(ShareAccounts({account}));
  EXPECT_EQ(p.Refusal(), Why::kRefused);
  account.endpoint.way.proxy.password = Secret("other");
  p.pool->Reconfigure(ShareAccounts({account}));
  EXPECT_EQ(p.Next(), "a");
  p.pool->Report(0, {.kind = Kind::kRefused});
  account.tokens = std::make_shared<TokenSource>(TokenSpec{}, WayOut{}, p.clock, nullptr);
  p.pool->Reconfigure(ShareAccounts({account}));
  EXPECT_EQ(p.Next(), "a");
}

TEST(AccountPoolChange, ASessionStaysOnItsAccountAndLeavesOneThatIsGone) {
  Pool p({MakeAccount("a"), MakeAccount("b")});
  EXPECT_EQ(p.Next(Sticky("s1")), "a");
  EXPECT_EQ(p.Next(Sticky("s2")), "b");
  p.pool->Reconfigure(ShareAccounts({MakeAccount("c"), MakeAccount("b")}));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(p.Next(Sticky("s2")), "b");
  EXPECT_EQ(p.Next(Sticky("s1")), "c");
  EXPECT_EQ(p.Next(Sticky("s1")), "c");
}

TEST(AccountPoolChange, ALeaseOfAnAccountThatIsGoneEndsNormally) {
  Pool p({MakeAccount("a", 10, 1)});
  auto held = p.pool->TryTake({});
  p.pool->Reconfigure(ShareAccounts({MakeAccount("b")}));
  EXPECT_EQ((*held)->account(), "a");
  EXPECT_EQ((*held)->details()->priority, 10);
  p.pool->Report((*held)->index(), {.kind = Kind::kFine});
  EXPECT_EQ(p.Next(), "b");
  held->reset();
  EXPECT_EQ(p.pool->Look()[0].in_flight, 0);
  p.pool->Reconfigure(ShareAccounts({MakeAccount("a", 10, 1)}));
  EXPECT_EQ(p.Next(), "a") << "its place is free";
}

TEST(AccountPoolChange, WhatIsInFlightCountsOnWithTheNewBound) {
  Pool p({MakeAccount("a", 10, 3)});
  auto first = p.pool->TryTake({});
  auto second = p.pool->TryTake({});
  p.pool->Reconfigure(ShareAccounts({MakeAccount("a", 10, 2)}));
  EXPECT_EQ(p.pool->Look()[0].in_flight, 2);
  EXPECT_EQ(p.Refusal(), Why::kBusy);
  first->reset();
  EXPECT_EQ(p.Next(), "a");
}

TEST(AccountPoolChange, WhoWaitsGetsTheAccountThatCame) {
  Queue q({MakeAccount("a", 10, 1)});
  auto held = q.pool->TryTake({});
  auto guest = q.Wait();
  q.Turns();
  EXPECT_FALSE(guest->done());
  q.pool->Reconfigure(ShareAccounts({MakeAccount("a", 10, 1), MakeAccount("b", 20)}));
  q.Turns();
  ASSERT_TRUE(guest->done());
  EXPECT_EQ(guest->name(), "b");
}

TEST(AccountPoolChange, WhoWaitsIsToldWhenNobodyIsLeft) {
  Queue q({MakeAccount("a", 10, 1)});
  auto held = q.pool->TryTake({});
  auto guest = q.Wait();
  q.pool->Reconfigure({});
  q.Turns();
  ASSERT_TRUE(guest->done());
  EXPECT_EQ(guest->taken->error().why, Why::kEmpty);
  held->reset();
  EXPECT_TRUE(q.pool->Look().empty());
}

TEST(AccountPoolChange, AGrantedWaiterMayTakeTheAccountThatWasRemovedBehindItsBack) {
  Queue q({MakeAccount("a", 10, 1)});
  auto held = q.pool->TryTake({});
  auto guest = q.Wait();
  held->reset();  // granted, but the waiter has not run yet
  q.pool->Reconfigure(ShareAccounts({MakeAccount("b")}));
  q.Turns();
  ASSERT_TRUE(guest->done());
  EXPECT_EQ(guest->name(), "a");
}

// Takes and gives back on threads while the accounts change under them.
TEST(AccountPoolChange, LosesNoPlaceWhileAccountsComeAndGo) {
  auto pool = std::make_shared<AccountPool>(ShareAccounts({MakeAccount("a")}), SystemClock::Get());
  std::atomic<bool> ends{false};
  std::atomic<int> served{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      Wish wish = Sticky("s" + std::to_string(i));
      while (!ends) {
        AccountPool::Taken taken = pool->TryTake(wish);
        if (!taken) continue;
        EXPECT_FALSE((*taken)->account().empty());
        pool->Report((*taken)->index(), {.kind = Kind::kFine}, wish);
        ++served;
      }
    });
  }
  for (int i = 0; i < 300 || served < 300; ++i) {
    std::vector<Account> accounts = {MakeAccount(i % 2 == 0 ? "a" : "b", i % 7)};
    if (i % 3 == 0) accounts.push_back(MakeAccount("c", 3, 2));
    pool->Reconfigure(ShareAccounts(std::move(accounts)));
  }
  ends = true;
  for (std::thread& thread : threads) thread.join();
  pool->Reconfigure(ShareAccounts({MakeAccount("a"), MakeAccount("b"), MakeAccount("c")}));
  std::vector<AccountPool::View> views = pool->Look();
  ASSERT_EQ(views.size(), 3U) << "a name is one account, however often it came";
  for (const AccountPool::View& view : views) EXPECT_EQ(view.in_flight, 0) << view.name;
}

}  // namespace
}  // namespace relay
