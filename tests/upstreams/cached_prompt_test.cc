// SPDX-License-Identifier: MIT
// A session whose prompt is cached on an account: it rather waits a moment than move.
#include "upstreams/cached_prompt.h"

#include <gtest/gtest.h>

#include "tests/upstreams/pool_fixture.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using Kind = Judgement::Kind;
using Outcome = Decision::Outcome;
using Why = NoAccount::Why;

constexpr std::string_view kOpus = "claude-opus-5-5";
constexpr std::string_view kHaiku = "claude-haiku-4-5";

Usage Used(int64_t read, int64_t five_minutes, int64_t hour, std::string_view model = kOpus) {
  Usage usage;
  usage.model = model;
  usage.input = 7;
  usage.cache_read = read;
  usage.cache_write_5m = five_minutes;
  usage.cache_write_1h = hour;
  return usage;
}

CachedPrompt After(CachedPrompt known, const Usage& usage, TimePoint now) {
  CachedPrompt newer = CachedPrompt::Of(usage, now);
  known.Renew(newer, now);
  return known;
}

TEST(CachedPrompt, LivesAsLongAsItsWritesSay) {
  const TimePoint now = ManualClock().Now();
  CachedPrompt shortly = After({}, Used(1000, 500, 0), now);
  EXPECT_EQ(shortly.tokens, 1500);
  EXPECT_EQ(shortly.until(), now + 5min);
  EXPECT_TRUE(shortly.LivesAt(now + 299s));
  EXPECT_FALSE(shortly.LivesAt(now + 5min));
  EXPECT_EQ(After({}, Used(1000, 0, 500), now).until(), now + 1h);
  EXPECT_EQ(After({}, Used(1000, 100, 500), now).until(), now + 5min) << "the shorter of both";
  EXPECT_EQ(After({}, Used(1000, 0, 0), now).until(), now + 5min);
}

TEST(CachedPrompt, IsRenewedByWhatReadsIt) {
  const TimePoint now = ManualClock().Now();
  const CachedPrompt known = After({}, Used(0, 0, 9000), now);
  CachedPrompt read = After(known, Used(8000, 0, 0), now + 30min);
  EXPECT_EQ(read.tokens, 8000);
  EXPECT_EQ(read.until(), now + 90min) << "as long as what it was read from";
  EXPECT_EQ(After(known, Used(8000, 0, 0), now + 2h).until(), now + 2h + 5min);
  EXPECT_EQ(After(known, Used(0, 0, 0), now + 1min).tokens, 9000) << "nothing was said of it";
}

TEST(CachedPrompt, OfASideRequestToAnotherModelCountsOnlyIfItIsMore) {
  const TimePoint now = ManualClock().Now();
  const CachedPrompt known = After({}, Used(0, 9000, 0), now);
  EXPECT_EQ(After(known, Used(0, 2000, 0, kHaiku), now + 1min).tokens, 9000);
  EXPECT_EQ(After(known, Used(0, 12'000, 0, kHaiku), now + 1min).model, kHaiku);
  EXPECT_EQ(After(known, Used(0, 2000, 0, kHaiku), now + 6min).tokens, 2000);
  EXPECT_EQ(After(known, Used(0, 2000, 0), now + 1min).tokens, 2000) << "a prompt begun anew";
}

TEST(CachedPrompt, CostsTheDifferenceOfBothPrices) {
  CachedPrompt lost;
  lost.model = "claude-opus-4-1";
  lost.tokens = 100'000;
  // $15.00 and $1.50 for a million.
  EXPECT_EQ(PriceOfLoss(lost, "claude", WallTime() + 24h * 365 * 56), 1'350'000'000);
}

// A session on `a`, which has room for one request, and has its prompt cached.
struct Session : Queue {
  explicit Session(int64_t tokens = 50'000, int places_of_b = 0)
      : Queue({MakeAccount("a", 10, 1), MakeAccount("b", 20, places_of_b)}) {
    AccountPool::Taken taken = pool->TryTake(Sticky("s"));
    (*taken)->NoteUsage(Used(0, tokens, 0), clock.Now());
  }
  AccountPool::Taken Hold(std::string account) {
    Wish wish;
    wish.bound = std::move(account);
    return pool->TryTake(wish);
  }
  Wish Own(Duration moment = 2s) {
    Wish wish = Sticky("s");
    wish.own_until = clock.Now() + moment;
    return wish;
  }
  // Who gets it without a wait; "nobody" has to wait.
  std::string AtOnce(const Wish& wish) {
    auto guest = Wait(wish);
    Turns();
    return guest->name();
  }
  void Pass(Duration time) {
    clock.Advance(time);
    Turns();
  }
};

TEST(CachedSession, WaitsForItsAccountAndGetsItWhenItIsFree) {
  Session s;
  auto held = s.Hold("a");
  auto guest = s.Wait(s.Own());
  s.Turns();
  EXPECT_FALSE(guest->done());
  EXPECT_EQ(s.Next(), "b") << "others need not wait";
  held->reset();
  s.Turns();
  ASSERT_EQ(guest->name(), "a");
  EXPECT_EQ((**guest->taken)->lost().tokens, 0);
}

TEST(CachedSession, MovesAfterTheMomentAndSaysWhatItLoses) {
  Session s;
  auto held = s.Hold("a");
  auto guest = s.Wait(s.Own());
  s.Turns();
  s.Pass(1900ms);
  EXPECT_FALSE(guest->done());
  s.Pass(200ms);
  ASSERT_EQ(guest->name(), "b");
  EXPECT_EQ((**guest->taken)->lost().tokens, 50'000);
  EXPECT_EQ((**guest->taken)->lost().model, kOpus);
  guest.reset();
  // It is lost once, and nothing is cached on b yet.
  held->reset();
  auto again = s.pool->TryTake(s.Own());
  EXPECT_EQ((*again)->account(), "b");
  EXPECT_EQ((*again)->lost().tokens, 0);
  EXPECT_EQ(s.pool->Explain(Sticky("s"), s.clock.Now()).cached.tokens, 0);
}

TEST(CachedSession, WaitsForALimitThatEndsInTheMomentAndForNoOther) {
  Session s;
  s.pool->Report(0, {.kind = Kind::kLimited, .until = s.clock.Now() + 1500ms});
  auto guest = s.Wait(s.Own());
  s.Turns();
  EXPECT_FALSE(guest->done());
  s.Pass(1600ms);
  EXPECT_EQ(guest->name(), "a");

  Session longer;
  longer.pool->Report(0, {.kind = Kind::kLimited, .until = longer.clock.Now() + 3s});
  EXPECT_EQ(longer.AtOnce(longer.Own()), "b");
}

TEST(CachedSession, MovesAtOnceWhereThereIsNothingToWaitFor) {
  Session small(CachedPrompt::kLeastTokens - 1);
  auto held_small = small.Hold("a");
  EXPECT_EQ(small.AtOnce(small.Own()), "b");

  Session enough(CachedPrompt::kLeastTokens);
  auto held_enough = enough.Hold("a");
  EXPECT_EQ(enough.AtOnce(enough.Own()), "nobody");

  Session off;
  auto held_off = off.Hold("a");
  EXPECT_EQ(off.AtOnce(off.Own(0s)), "b");

  Session dead;
  auto held_dead = dead.Hold("a");
  dead.Pass(5min);
  EXPECT_EQ(dead.AtOnce(dead.Own()), "b");

  Session fails;
  for (int i = 0; i < 5; ++i) fails.pool->Report(0, {.kind = Kind::kBroken});
  EXPECT_EQ(fails.AtOnce(fails.Own()), "b");
}

TEST(CachedSession, MovesRatherThanBeRefused) {
  Session s;
  auto held = s.Hold("a");
  auto guest = s.Wait(s.Own(), 1s);
  s.Turns();
  EXPECT_FALSE(guest->done());
  s.Pass(1100ms);
  EXPECT_EQ(guest->name(), "b") << "its patience ends before the moment";

  Session full;
  auto held_full = full.Hold("a");
  Wish bound;
  bound.bound = "a";
  std::vector<std::unique_ptr<Guest>> crowd;
  for (size_t i = 0; i < AccountPool::kMostWaiting; ++i) crowd.push_back(full.Wait(bound));
  EXPECT_EQ(full.AtOnce(full.Own()), "b") << "there is no room to wait in";
}

TEST(CachedSession, LeavesToOthersWhatItDoesNotWant) {
  Session s(50'000, 1);
  auto a = s.Hold("a");
  auto b = s.Hold("b");
  auto own = s.Wait(s.Own());
  auto any = s.Wait();
  s.Turns();
  b->reset();
  s.Turns();
  EXPECT_FALSE(own->done());
  EXPECT_EQ(any->name(), "b");
  // Who was first gets what it waited for.
  auto late = s.Wait();
  s.Turns();
  a->reset();
  s.Turns();
  EXPECT_EQ(own->name(), "a");
  EXPECT_FALSE(late->done());
}

TEST(CachedSession, SaysThatItWaitsAndForWhat) {
  Session s;
  auto held = s.Hold("a");
  Decision decision = s.pool->Explain(s.Own(), s.clock.Now());
  EXPECT_TRUE(decision.waits_for_own);
  EXPECT_EQ(decision.none.why, Why::kBusy);
  EXPECT_EQ(decision.none.until, s.clock.Now() + 2s);
  EXPECT_EQ(decision.Find("a")->why, Why::kBusy);
  EXPECT_EQ(decision.Find("b")->outcome, Outcome::kNotOwn);
  EXPECT_EQ(decision.cached.tokens, 50'000);
  EXPECT_EQ(decision.lost(), nullptr);
  decision = s.pool->Explain(s.Own(), s.clock.Now() + 2s);
  EXPECT_FALSE(decision.waits_for_own);
  EXPECT_EQ(decision.chosen, 1U);
  ASSERT_NE(decision.lost(), nullptr);
  EXPECT_EQ(decision.lost()->tokens, 50'000);
}

TEST(CachedSession, ForgetsNothingForAnAnswerOfTheAccountItLeft) {
  Session s;
  Wish counts = Sticky("s");
  counts.generates = false;
  auto a = s.pool->TryTake(counts);
  ASSERT_EQ((*a)->account(), "a");
  s.pool->Report(0, {.kind = Kind::kLimited, .until = s.clock.Now() + 1min});
  counts.tried = {0};
  auto b = s.pool->TryTake(counts);
  ASSERT_EQ((*b)->account(), "b");
  (*b)->NoteUsage(Used(0, 70'000, 0), s.clock.Now());
  b->reset();
  EXPECT_EQ(s.pool->Explain(Sticky("s"), s.clock.Now()).cached.tokens, 50'000) << "b is not its";
  EXPECT_EQ(s.Next(Sticky("s")), "b");
  (*a)->NoteUsage(Used(0, 60'000, 0), s.clock.Now());
  EXPECT_EQ(s.pool->Explain(Sticky("s"), s.clock.Now()).cached.tokens, 0) << "a is it no more";
  counts.sticky = "nobody";
  auto nobody = s.pool->TryTake(counts);
  (*nobody)->NoteUsage(Used(0, 60'000, 0), s.clock.Now());
  EXPECT_EQ(s.pool->Explain(Sticky("nobody"), s.clock.Now()).session, Decision::Session::kNew);
}

}  // namespace
}  // namespace relay
