// SPDX-License-Identifier: MIT
// Who serves, and who waits.
#include "upstreams/account_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "tests/upstreams/pool_fixture.h"

namespace relay {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Kind = Judgement::Kind;
using Why = NoAccount::Why;

TEST(AccountPool, PrefersPriorityThenLeastInFlightThenLeastRecentlyUsed) {
  Pool p({MakeAccount("low", 90), MakeAccount("a", 10), MakeAccount("b", 10)});
  EXPECT_EQ(p.Next(), "a");
  EXPECT_EQ(p.Next(), "b");
  EXPECT_EQ(p.Next(), "a");
  auto held = p.pool->TryTake({});
  EXPECT_EQ((*held)->account(), "b");
  EXPECT_EQ(p.Next(), "a");
  EXPECT_EQ(p.Next(), "a");
}

TEST(AccountPool, KeepsASessionOnItsAccount) {
  Pool p({MakeAccount("a"), MakeAccount("b"), MakeAccount("c")});
  for (const char* session : {"s1", "s2", "s3"}) p.Next(Sticky(session));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(p.Next(Sticky("s2")), "b");
    EXPECT_EQ(p.Next(Sticky("s3")), "c");
    EXPECT_EQ(p.Next(Sticky("s1")), "a");
  }
}

TEST(AccountPool, ForgetsASessionAfterAnHour) {
  Pool p({MakeAccount("a"), MakeAccount("b")});
  EXPECT_EQ(p.Next(Sticky("s")), "a");
  EXPECT_EQ(p.Next(), "b");
  EXPECT_EQ(p.Next(), "a");
  p.clock.Advance(minutes(59));
  EXPECT_EQ(p.Next(Sticky("s")), "a");
  p.clock.Advance(minutes(61));
  EXPECT_EQ(p.Next(Sticky("s")), "b");
}

TEST(AccountPool, ForgetsTheSessionLongestUnusedWhenThereAreTooMany) {
  Pool p({MakeAccount("a", 10), MakeAccount("b", 20)});
  p.pool->Report(0, {.kind = Kind::kLimited, .until = p.clock.Now() + seconds(1)});
  constexpr size_t kMost = AccountPool::kMostSessions;
  for (size_t i = 0; i < kMost; ++i) p.Next(Sticky(std::to_string(i)));
  // Who is known stays on b; who is not gets a.
  p.clock.Advance(seconds(2));
  p.pool->Report(0, {.kind = Kind::kFine});
  EXPECT_EQ(p.Next(Sticky("0")), "b");
  EXPECT_EQ(p.Next(Sticky("new")), "a");
  EXPECT_EQ(p.Next(Sticky("0")), "b");
  EXPECT_EQ(p.Next(Sticky("2")), "b");
  EXPECT_EQ(p.Next(Sticky(std::to_string(kMost - 1))), "b");
  EXPECT_EQ(p.Next(Sticky("1")), "a");
  EXPECT_EQ(p.Next(Sticky("3")), "a");
  EXPECT_EQ(p.Next(Sticky("5")), "b");
}

TEST(AccountPool, MovesASessionWhoseAccountRests) {
  Pool p({MakeAccount("a"), MakeAccount("b")});
  EXPECT_EQ(p.Next(Sticky("s")), "a");
  p.pool->Report(0, {.kind = Kind::kLimited, .until = p.clock.Now() + minutes(5)});
  auto taken = p.pool->TryTake(Sticky("s"));
  EXPECT_EQ((*taken)->account(), "b");
  p.clock.Advance(minutes(6));
  // It stays where its cache is by now.
  auto again = p.pool->TryTake(Sticky("s"));
  EXPECT_EQ((*again)->account(), "b");
}

TEST(AccountPool, BindsAndMovesNoSessionByWhatGeneratesNothing) {
  Pool p({MakeAccount("a", 1, 2), MakeAccount("b", 2)});
  Wish count = Sticky("s");
  count.generates = false;
  Wish elsewhere = count;
  elsewhere.tried = {0};
  EXPECT_EQ(p.Next(elsewhere), "b");
  EXPECT_EQ(p.pool->Explain(count, p.clock.Now()).session, Decision::Session::kNone);
  EXPECT_EQ(p.Next(Sticky("s")), "a") << "it began on b by counting";
  EXPECT_EQ(p.pool->Explain(count, p.clock.Now()).session, Decision::Session::kKept);
  // More at once than its account may carry throw it off no more.
  std::vector<AccountPool::Taken> held;
  for (int i = 0; i < 5; ++i) held.push_back(p.pool->TryTake(count));
  EXPECT_EQ((*held.back())->account(), "b");
  EXPECT_TRUE((*held.back())->may_have_moved()) << "b has not thought what the history holds";
  held.clear();
  EXPECT_EQ(p.pool->Explain(Sticky("s"), p.clock.Now()).session_account, "a");
  // It stays as long as anything of it comes.
  for (int i = 0; i < 3; ++i) {
    p.clock.Advance(minutes(50));
    EXPECT_EQ(p.Next(count), "a");
  }
  EXPECT_EQ(p.pool->Explain(Sticky("s"), p.clock.Now()).session, Decision::Session::kKept);
}

TEST(AccountPool, CountsForNoUseWhatGeneratesNothing) {
  Pool p({MakeAccount("a"), MakeAccount("b")});
  Wish count;
  count.generates = false;
  count.bound = "a";
  EXPECT_EQ(p.Next(), "a");
  EXPECT_EQ(p.Next(), "b");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(p.Next(count), "a");
  std::map<std::string, int> counts;
  for (int i = 0; i < 10; ++i) ++counts[p.Next()];
  EXPECT_EQ(counts, (std::map<std::string, int>{{"a", 5}, {"b", 5}}));
}

TEST(AccountPool, SkipsWhatCannotServe) {
  std::vector<Account> accounts = {MakeAccount("login", 1), MakeAccount("haiku", 2),
                                   MakeAccount("any", 3)};
  accounts[0].kind = Account::Kind::kSubscription;
  accounts[1].models = {"claude-haiku-*"};
  Pool p(std::move(accounts));
  Wish wish;
  wish.model = "claude-haiku-4";
  EXPECT_EQ(p.Next(wish), "haiku");
  wish.model = "claude-opus-5";
  EXPECT_EQ(p.Next(wish), "any");
  wish.vendor_client = true;
  EXPECT_EQ(p.Next(wish), "login");
  wish.only = Account::Kind::kApiKey;
  EXPECT_EQ(p.Next(wish), "any");
  wish.tried = {2};
  EXPECT_EQ(p.Next(wish), "nobody");
}

TEST(AccountPool, TellsWhetherAnyCouldServeAndTakesNothing) {
  Pool p({MakeAccount("a", 50, 1)});
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(p.pool->CanServe({}));
  EXPECT_EQ(p.pool->Look()[0].in_flight, 0);
  auto held = p.pool->TryTake({});
  ASSERT_TRUE(held);
  EXPECT_EQ(p.pool->CanServe({}).error().why, Why::kBusy);
}

TEST(AccountPool, TellsTheReasonNearestToACure) {
  EXPECT_EQ(Pool({}).Refusal(), Why::kEmpty);
  std::vector<Account> accounts = {MakeAccount("login"), MakeAccount("haiku")};
  accounts[0].kind = Account::Kind::kSubscription;
  accounts[1].models = {"claude-haiku-*"};
  Pool p(accounts);
  Wish wish;
  wish.model = "claude-opus-5";
  EXPECT_EQ(p.Refusal(wish), Why::kModel);
  EXPECT_EQ(Pool({accounts[0]}).Refusal(wish), Why::kClient);
  wish.vendor_client = true;
  wish.only = Account::Kind::kApiKey;
  EXPECT_EQ(Pool({accounts[0]}).Refusal(wish), Why::kCall);
  Pool busy({MakeAccount("a", 50, 1), MakeAccount("b")});
  auto held = busy.pool->TryTake({});
  busy.pool->Report(1, {.kind = Kind::kLimited, .until = busy.clock.Now() + seconds(9)});
  EXPECT_EQ(busy.Refusal(), Why::kBusy);
}

TEST(AccountPool, ServesMoreThanSixtyFourAccounts) {
  std::vector<Account> accounts;
  for (int i = 0; i < 100; ++i) accounts.push_back(MakeAccount("a" + std::to_string(i)));
  Pool p(std::move(accounts));
  Wish wish;
  for (size_t i = 0; i < 99; ++i) wish.tried.push_back(i);
  EXPECT_EQ(p.Next(wish), "a99");
}

TEST(AccountPool, GivesAPlaceToTheFirstWhoWaits) {
  Queue q({MakeAccount("a", 50, 1)});
  auto held = q.pool->TryTake({});
  auto first = q.Wait();
  auto second = q.Wait();
  q.Turns();
  EXPECT_FALSE(first->done());
  held->reset();
  // Nobody who comes now overtakes.
  EXPECT_EQ(q.Next(), "nobody");
  q.Turns();
  EXPECT_EQ(first->name(), "a");
  EXPECT_FALSE(second->done());
  first.reset();
  q.Turns();
  EXPECT_EQ(second->name(), "a");
}

TEST(AccountPool, HandsAGrantOnWhenItsWaiterDies) {
  Queue q({MakeAccount("a", 50, 1)});
  auto held = q.pool->TryTake({});
  auto first = q.Wait();
  auto second = q.Wait();
  held->reset();  // granted to the first, which has not run yet
  first.reset();
  q.Turns();
  EXPECT_EQ(second->name(), "a");
  second.reset();
  EXPECT_EQ(q.Next(), "a");
}

TEST(AccountPool, LeavesTheQueueWhenAWaiterDies) {
  Queue q({MakeAccount("a", 50, 1)});
  auto held = q.pool->TryTake({});
  auto first = q.Wait();
  auto second = q.Wait();
  EXPECT_EQ(q.pool->waiting(), 2U);
  first.reset();
  EXPECT_EQ(q.pool->waiting(), 1U);
  held->reset();
  q.Turns();
  EXPECT_EQ(second->name(), "a");
}

TEST(AccountPool, TellsThatAllAreBusyAtTheDeadline) {
  Queue q({MakeAccount("a", 50, 1)});
  auto held = q.pool->TryTake({});
  auto guest = q.Wait({}, seconds(3));
  q.clock.Advance(seconds(2));
  q.Turns();
  EXPECT_FALSE(guest->done());
  q.clock.Advance(seconds(2));
  q.Turns();
  ASSERT_TRUE(guest->done());
  EXPECT_EQ(guest->taken->error().why, Why::kBusy);
  EXPECT_EQ(q.pool->waiting(), 0U);
}

TEST(AccountPool, LetsAFreeAccountServeThoughOthersWaitForAnother) {
  std::vector<Account> accounts = {MakeAccount("opus", 1, 1), MakeAccount("haiku", 2, 1)};
  accounts[0].models = {"opus"};
  accounts[1].models = {"haiku"};
  Queue q(std::move(accounts));
  Wish opus;
  opus.model = "opus";
  Wish haiku;
  haiku.model = "haiku";
  auto held = q.pool->TryTake(opus);
  auto waits = q.Wait(opus);
  auto goes = q.Wait(haiku);
  q.Turns();
  EXPECT_EQ(goes->name(), "haiku");
  EXPECT_FALSE(waits->done());
  // A place that the first in the queue cannot use goes to the next who can.
  auto next = q.Wait(haiku);
  goes.reset();
  q.Turns();
  EXPECT_EQ(next->name(), "haiku");
  EXPECT_FALSE(waits->done());
}

TEST(AccountPool, WakesAWaiterWhenARestEnds) {
  Queue q({MakeAccount("a", 1, 1), MakeAccount("b", 2, 1)});
  q.pool->Report(1, {.kind = Kind::kLimited, .until = q.clock.Now() + seconds(4)});
  auto held = q.pool->TryTake({});
  auto guest = q.Wait();
  q.clock.Advance(seconds(5));
  q.Turns();
  EXPECT_EQ(guest->name(), "b");
}

TEST(AccountPool, TellsAWaiterWhenItsAccountGoesToRest) {
  Queue q({MakeAccount("a", 1, 1)});
  auto held = q.pool->TryTake({});
  auto guest = q.Wait();
  q.pool->Report(0, {.kind = Kind::kLimited, .until = q.clock.Now() + seconds(40)});
  q.Turns();
  ASSERT_TRUE(guest->done());
  EXPECT_EQ(guest->taken->error().why, Why::kLimited);
}

TEST(AccountPool, GivesTheLastAccountToAWaiterThoughItMayFail) {
  Queue q({MakeAccount("a", 1, 1)});
  auto held = q.pool->TryTake({});
  auto guest = q.Wait();
  q.pool->Report(0, {.kind = Kind::kOverloaded});
  q.Turns();
  EXPECT_FALSE(guest->done());
  held->reset();
  q.Turns();
  EXPECT_EQ(guest->name(), "a");
}

TEST(AccountPool, WakesAWaiterWhenAProbeGoesWell) {
  Queue q({MakeAccount("a", 1), MakeAccount("b", 2, 1)});
  for (int i = 0; i < 5; ++i) q.pool->Report(0, {.kind = Kind::kBroken});
  q.clock.Advance(seconds(5));
  auto probe = q.pool->TryTake({});
  auto held = q.pool->TryTake({});
  EXPECT_EQ((*held)->account(), "b");
  auto guest = q.Wait();
  q.Turns();
  EXPECT_FALSE(guest->done());
  q.pool->Report(0, {.kind = Kind::kFine});
  q.Turns();
  EXPECT_EQ(guest->name(), "a");
}

TEST(AccountPool, BoundsTheQueue) {
  Queue q({MakeAccount("a", 1, 1)});
  auto held = q.pool->TryTake({});
  std::vector<std::unique_ptr<Guest>> guests;
  for (size_t i = 0; i < AccountPool::kMostWaiting; ++i) guests.push_back(q.Wait());
  auto last = q.Wait();
  ASSERT_TRUE(last->done());
  EXPECT_EQ(last->taken->error().why, Why::kBusy);
  EXPECT_EQ(q.pool->waiting(), AccountPool::kMostWaiting);
}

// One thread's guests: take, hold, give back or give up, over and over.
class Crowd {
 public:
  Crowd(AccountPool& pool, std::atomic<int>& inside, std::atomic<int>& most, int seed)
      : pool_(pool), inside_(inside), most_(most), seed_(seed) {}
  void Run() {
    Loop loop;
    std::vector<std::unique_ptr<Guest>> guests;
    unsigned random = static_cast<unsigned>(seed_) * 2654435761U + 1;
    for (int step = 0; step < 3000; ++step) {
      random = random * 1664525U + 1013904223U;
      if (guests.size() < 6) {
        guests.push_back(
            std::make_unique<Guest>(pool_, loop, Wish(), loop.Now() + std::chrono::hours(1)));
      }
      // Some give up before they are served, some leave after.
      size_t which = (random >> 16) % guests.size();
      bool served = guests[which]->done();
      if (served) {
        int now = ++inside_;
        int seen = most_.load();
        while (now > seen && !most_.compare_exchange_weak(seen, now)) {
        }
        --inside_;
        ++served_;
      }
      if (served || (random >> 8) % 4 == 0) guests.erase(guests.begin() + static_cast<long>(which));
      loop.Turn();
    }
    guests.clear();
    loop.Turn();
  }
  int served() const { return served_; }

 private:
  AccountPool& pool_;
  std::atomic<int>& inside_;
  std::atomic<int>& most_;
  const int seed_;
  int served_ = 0;
};

TEST(AccountPool, LosesNoPlaceAmongThreadsAndWaitersThatDie) {
  auto pool = std::make_shared<AccountPool>(
      ShareAccounts({MakeAccount("a", 50, 2), MakeAccount("b", 50, 1)}), SystemClock::Get());
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<std::unique_ptr<Crowd>> crowds;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    crowds.push_back(std::make_unique<Crowd>(*pool, inside, most, i));
    threads.emplace_back([crowd = crowds.back().get()] { crowd->Run(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& crowd : crowds) EXPECT_GT(crowd->served(), 0);
  EXPECT_LE(most, 3);
  EXPECT_EQ(pool->waiting(), 0U);
  for (const AccountPool::View& account : pool->Look()) EXPECT_EQ(account.in_flight, 0);
}

TEST(AccountPool, LetsABoundRequestUseItsAccountAlone) {
  Pool p({MakeAccount("a", 1), MakeAccount("b", 2)});
  Wish bound;
  bound.bound = "b";
  EXPECT_EQ(p.Next(bound), "b");
  bound.sticky = "session";
  EXPECT_EQ(p.Next(Sticky("session")), "a");
  EXPECT_EQ(p.Next(bound), "b");
  p.pool->Report(1, {.kind = Judgement::Kind::kLimited});
  EXPECT_EQ(p.Refusal(bound), NoAccount::Why::kLimited) << "never another";
  bound.bound = "gone";
  EXPECT_EQ(p.Refusal(bound), NoAccount::Why::kBound);
}

}  // namespace
}  // namespace relay
