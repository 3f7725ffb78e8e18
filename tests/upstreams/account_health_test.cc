// SPDX-License-Identifier: MIT
// What keeps an account from serving, how long, and how it comes back.
#include <gtest/gtest.h>

#include "tests/upstreams/pool_fixture.h"

namespace relay {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Kind = Judgement::Kind;
using Health = AccountPool::Health;
using Why = NoAccount::Why;

TEST(AccountHealth, TellsTheEarliestEndOfALimit) {
  Pool p({MakeAccount("a"), MakeAccount("b"), MakeAccount("c")});
  p.pool->Report(0, {.kind = Kind::kLimited, .until = p.clock.Now() + seconds(90)});
  p.pool->Report(1, {.kind = Kind::kLimited, .until = p.clock.Now() + seconds(40)});
  p.pool->Report(2, {.kind = Kind::kRefused});
  auto taken = p.pool->TryTake({});
  ASSERT_FALSE(taken.has_value());
  EXPECT_EQ(taken.error().why, Why::kLimited);
  EXPECT_EQ(taken.error().until, p.clock.Now() + seconds(40));
}

TEST(AccountHealth, LetsWhatDoesNotGeneratePassALimit) {
  Pool p({MakeAccount("a")});
  p.pool->Report(0, {.kind = Kind::kLimited});
  Wish counts;
  counts.generates = false;
  EXPECT_EQ(p.Next(counts), "a");
  EXPECT_EQ(p.Next(), "nobody");
  p.pool->Report(0, {.kind = Kind::kRefused});
  EXPECT_EQ(p.Next(counts), "nobody");
}

TEST(AccountHealth, ClampsWhatTheVendorSays) {
  Pool p({MakeAccount("a"), MakeAccount("b")});
  p.pool->Report(0, {.kind = Kind::kLimited, .until = p.clock.Now() + std::chrono::hours(9999)});
  EXPECT_EQ(p.pool->Look()[0].until, p.clock.Now() + std::chrono::hours(192));
  p.pool->Report(1, {.kind = Kind::kLimited, .until = p.clock.Now() - seconds(5)});
  EXPECT_EQ(p.pool->Look()[1].until, p.clock.Now() + seconds(1));
}

TEST(AccountHealth, NeverParksTheLastUsableAccountByAGuess) {
  Pool p({MakeAccount("a"), MakeAccount("b")});
  EXPECT_TRUE(p.pool->Report(0, {.kind = Kind::kOverloaded}));
  EXPECT_EQ(p.Next(), "b");
  EXPECT_EQ(p.Next(), "b");
  EXPECT_TRUE(p.pool->Report(1, {.kind = Kind::kOverloaded}));
  // Half of them rest by a guess at most: b is left, and a where b was tried.
  for (int i = 0; i < 2; ++i) EXPECT_EQ(p.Next(), "b");
  Wish wish;
  wish.tried = {1};
  EXPECT_EQ(p.Next(wish), "a");
  for (int i = 0; i < 20; ++i) p.pool->Report(1, {.kind = Kind::kBroken});
  // A limit is no guess, and leaves the other as the last.
  EXPECT_TRUE(p.pool->Report(0, {.kind = Kind::kLimited}));
  EXPECT_EQ(p.Next(), "b");
  EXPECT_TRUE(p.pool->Report(1, {.kind = Kind::kLimited}));
  EXPECT_EQ(p.Refusal(), Why::kLimited);
}

TEST(AccountHealth, CountsASubscriptionForNoReplacementOfAKey) {
  std::vector<Account> accounts = {MakeAccount("key"), MakeAccount("login")};
  accounts[1].kind = Account::Kind::kSubscription;
  Pool p(std::move(accounts));
  p.pool->Report(0, {.kind = Kind::kOverloaded});
  EXPECT_EQ(p.Next(), "key");
  Wish vendor;
  vendor.vendor_client = true;
  EXPECT_EQ(p.Next(vendor), "login");
}

void Break(Pool& p, size_t index) {
  for (int i = 0; i < 5; ++i) p.pool->Report(index, {.kind = Kind::kBroken, .cause = "500 x"});
}

TEST(AccountHealth, R36ParksAfterFiveFailuresInARow) {
  Pool p({MakeAccount("a", 1), MakeAccount("b", 2)});
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(p.pool->Report(0, {.kind = Kind::kBroken}));
  p.pool->Report(0, {.kind = Kind::kFine});
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(p.pool->Report(0, {.kind = Kind::kBroken}));
  // Whoever says that a request is bad has answered it.
  p.pool->Report(0, {.kind = Kind::kRequest});
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(p.pool->Report(0, {.kind = Kind::kBroken}));
  EXPECT_EQ(p.Next(), "a");
  EXPECT_TRUE(p.pool->Report(0, {.kind = Kind::kBroken, .cause = "500 x"}));
  EXPECT_EQ(p.pool->Look()[0].health, Health::kBroken);
  EXPECT_EQ(p.pool->Look()[0].cause, "500 x");
  EXPECT_EQ(p.pool->Look()[0].until, p.clock.Now() + seconds(5));
  EXPECT_EQ(p.Next(), "b");
  p.clock.Advance(seconds(5));
  EXPECT_EQ(p.pool->Look()[0].health, Health::kProbing);
  EXPECT_EQ(p.pool->Look()[0].until, TimePoint());
}

TEST(AccountHealth, R36LetsExactlyOneRequestProbeAnAccountThatRested) {
  const std::vector<Judgement> kTroubles = {{.kind = Kind::kBroken},
                                            {.kind = Kind::kOverloaded},
                                            {.kind = Kind::kLimited},
                                            {.kind = Kind::kRefused}};
  for (const Judgement& trouble : kTroubles) {
    SCOPED_TRACE(static_cast<int>(trouble.kind));
    Pool p({MakeAccount("a", 1), MakeAccount("b", 2)});
    for (int i = 0; i < 5; ++i) p.pool->Report(0, trouble);
    EXPECT_EQ(p.Next(), "b");
    p.clock.Advance(minutes(10));
    auto probe = p.pool->TryTake({});
    ASSERT_TRUE(probe.has_value());
    EXPECT_EQ((*probe)->account(), "a");
    for (int i = 0; i < 3; ++i) EXPECT_EQ(p.Next(), "b");
    // One failure is enough to rest again.
    EXPECT_TRUE(p.pool->Report(0, trouble));
    probe = std::unexpected(NoAccount());
    EXPECT_EQ(p.Next(), "b");
    p.clock.Advance(minutes(10));
    probe = p.pool->TryTake({});
    EXPECT_EQ((*probe)->account(), "a");
    EXPECT_EQ(p.Next(), "b");
    // From its first good word on all may come, whatever the probe still does.
    EXPECT_TRUE(p.pool->Report(0, {.kind = Kind::kFine}));
    EXPECT_EQ(p.pool->Look()[0].health, Health::kReady);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(p.Next(), "a");
  }
}

TEST(AccountHealth, ProbesAgainWhenAProbeEndsWithoutAWord) {
  Pool p({MakeAccount("a", 1), MakeAccount("b", 2)});
  Break(p, 0);
  p.clock.Advance(seconds(5));
  auto probe = p.pool->TryTake({});
  EXPECT_EQ(p.Next(), "b");
  probe = std::unexpected(NoAccount());
  EXPECT_EQ(p.Next(), "a");
  // A bad fit says nothing either.
  probe = p.pool->TryTake({});
  EXPECT_FALSE(p.pool->Report(0, {.kind = Kind::kUnsuited}));
  EXPECT_EQ(p.Next(), "b");
  EXPECT_EQ(p.pool->Look()[0].health, Health::kProbing);
}

TEST(AccountHealth, KeepsAProbesPlaceWhenAnOlderOneEnds) {
  Pool p({MakeAccount("a", 1), MakeAccount("b", 2)});
  Break(p, 0);
  p.clock.Advance(seconds(5));
  auto older = p.pool->TryTake({});
  EXPECT_TRUE(p.pool->Report(0, {.kind = Kind::kBroken}));
  p.clock.Advance(seconds(10));
  auto newer = p.pool->TryTake({});
  EXPECT_EQ((*newer)->account(), "a");
  older = std::unexpected(NoAccount());
  EXPECT_EQ(p.Next(), "b");
}

TEST(AccountHealth, LetsAllComeWhereTheProbedAccountIsTheLast) {
  Pool p({MakeAccount("a")});
  p.pool->Report(0, {.kind = Kind::kLimited, .until = p.clock.Now() + seconds(9)});
  EXPECT_EQ(p.Refusal(), Why::kLimited);
  p.clock.Advance(seconds(9));
  auto probe = p.pool->TryTake({});
  EXPECT_EQ(p.Next(), "a");
}

Wish Of(std::string family) {
  Wish wish;
  wish.model = "claude-" + family + "-5";
  wish.family = std::move(family);
  return wish;
}

Judgement FamilyLimit(TimePoint until) {
  return {
      .kind = Kind::kLimited, .scope = Judgement::Scope::kFamily, .cause = "429", .until = until};
}

TEST(AccountHealth, LimitsAFamilyOfModelsAlone) {
  Pool p({MakeAccount("a")});
  TimePoint now = p.clock.Now();
  EXPECT_TRUE(p.pool->Report(0, FamilyLimit(now + seconds(90)), Of("opus")));
  EXPECT_EQ(p.Refusal(Of("opus")), Why::kLimited);
  EXPECT_EQ(p.Next(Of("haiku")), "a");
  EXPECT_EQ(p.Next(), "a");
  AccountPool::View view = p.pool->Look()[0];
  EXPECT_EQ(view.health, Health::kLimited);
  EXPECT_EQ(view.family, "opus");
  EXPECT_EQ(view.until, now + seconds(90));
  // Each family has its own end.
  p.pool->Report(0, FamilyLimit(now + seconds(30)), Of("haiku"));
  p.clock.Advance(seconds(30));
  EXPECT_EQ(p.Next(Of("haiku")), "a");
  EXPECT_EQ(p.pool->TryTake(Of("opus")).error().until, now + seconds(90));
  // One family's success says nothing of the other's limit.
  EXPECT_TRUE(p.pool->Report(0, {.kind = Kind::kFine}, Of("haiku")));
  EXPECT_EQ(p.Refusal(Of("opus")), Why::kLimited);
  // Where the whole account is limited no family is served.
  p.pool->Report(0, {.kind = Kind::kLimited, .until = now + minutes(5)}, Of("haiku"));
  EXPECT_EQ(p.Refusal(Of("haiku")), Why::kLimited);
  EXPECT_EQ(p.pool->TryTake(Of("opus")).error().until, now + minutes(5));
  EXPECT_EQ(p.pool->Look()[0].family, "");
}

TEST(AccountHealth, ProbesEachFamilyByItself) {
  Pool p({MakeAccount("a", 1), MakeAccount("b", 2)});
  p.pool->Report(0, FamilyLimit(p.clock.Now() + seconds(5)), Of("opus"));
  p.pool->Report(0, FamilyLimit(p.clock.Now() + seconds(5)), Of("haiku"));
  EXPECT_EQ(p.Next(Of("opus")), "b");
  p.clock.Advance(seconds(5));
  EXPECT_EQ(p.pool->Look()[0].health, Health::kReady);
  auto opus = p.pool->TryTake(Of("opus"));
  EXPECT_EQ((*opus)->account(), "a");
  EXPECT_EQ(p.Next(Of("opus")), "b");
  EXPECT_EQ(p.Next(Of("haiku")), "a");
  EXPECT_EQ(p.Next(Of("sonnet")), "a");
}

TEST(AccountHealth, BoundsTheFamiliesThatClientsMakeUp) {
  Pool p({MakeAccount("a")});
  TimePoint now = p.clock.Now();
  p.pool->Report(0, FamilyLimit(now + minutes(50)), Of("opus"));
  for (int i = 0; i < 1000; ++i) {
    p.pool->Report(0, FamilyLimit(now + seconds(20 + i % 7)), Of("x" + std::to_string(i)));
  }
  // The one that ends last is remembered, of the others a bounded number.
  EXPECT_EQ(p.Refusal(Of("opus")), Why::kLimited);
  int known = 0;
  for (int i = 0; i < 1000; ++i) known += p.Next(Of("x" + std::to_string(i))) == "nobody" ? 1 : 0;
  EXPECT_GT(known, 0);
  EXPECT_LE(known, 40);
}

TEST(AccountHealth, DoesNotShortenWhatIsKnown) {
  Pool p({MakeAccount("a", 1), MakeAccount("b", 2)});
  TimePoint end = p.clock.Now() + minutes(50);
  p.pool->Report(0, {.kind = Kind::kLimited, .until = end});
  EXPECT_FALSE(p.pool->Report(0, {.kind = Kind::kLimited, .until = p.clock.Now() + seconds(5)}));
  EXPECT_FALSE(p.pool->Report(0, {.kind = Kind::kOverloaded}));
  EXPECT_EQ(p.pool->Look()[0].until, end);
  EXPECT_EQ(p.pool->Look()[0].health, Health::kLimited);
  EXPECT_TRUE(p.pool->Report(0, {.kind = Kind::kLimited, .until = end + minutes(1)}));
  // What is sure takes the place of a guess, though it ends sooner.
  p.pool->Report(1, {.kind = Kind::kOverloaded, .until = p.clock.Now() + minutes(3)});
  EXPECT_TRUE(p.pool->Report(1, {.kind = Kind::kLimited, .until = p.clock.Now() + seconds(7)}));
  EXPECT_EQ(p.pool->Look()[1].health, Health::kLimited);
}

TEST(AccountHealth, TellsTheEndOfWhatKeepsItFromServing) {
  Pool p({MakeAccount("a")});
  TimePoint now = p.clock.Now();
  p.pool->Report(0, {.kind = Kind::kOverloaded, .until = now + seconds(600)});
  p.pool->Report(0, FamilyLimit(now + seconds(5)), Of("opus"));
  EXPECT_EQ(p.pool->TryTake(Of("opus")).error().until, now + seconds(5)) << "a guess bars nobody";
  p.clock.Advance(seconds(5));
  EXPECT_EQ(p.Next(Of("opus")), "a");
}

TEST(AccountHealth, CountsTheVendorsShortageForNoFailureOfTheAccount) {
  Pool p({MakeAccount("a", 1), MakeAccount("b", 2)});
  for (int i = 0; i < 4; ++i) p.pool->Report(0, {.kind = Kind::kBroken});
  for (int i = 0; i < 20; ++i) p.pool->Report(0, {.kind = Kind::kOverloaded});
  EXPECT_EQ(p.pool->Look()[0].health, Health::kOverloaded);
  EXPECT_EQ(p.pool->Look()[0].until, p.clock.Now() + seconds(5));
  // And it breaks no row of failures either.
  p.clock.Advance(seconds(5));
  EXPECT_TRUE(p.pool->Report(0, {.kind = Kind::kBroken}));
  EXPECT_EQ(p.pool->Look()[0].health, Health::kBroken);
}

TEST(AccountHealth, EndsAGuessAtTheFirstGoodAnswer) {
  Pool p({MakeAccount("a", 1), MakeAccount("b", 2)});
  Break(p, 0);
  EXPECT_EQ(p.Next(), "b");
  EXPECT_TRUE(p.pool->Report(0, {.kind = Kind::kFine}));
  EXPECT_EQ(p.Next(), "a");
  EXPECT_FALSE(p.pool->Report(0, {.kind = Kind::kBroken}));
}

TEST(AccountHealth, KeepsALimitThoughAnOlderRequestEndsWell) {
  Pool p({MakeAccount("a")});
  p.pool->Report(0, {.kind = Kind::kLimited, .until = p.clock.Now() + seconds(50)});
  p.pool->Report(0, {.kind = Kind::kFine});
  EXPECT_EQ(p.Next(), "nobody");
  p.clock.Advance(seconds(50));
  EXPECT_EQ(p.Next(), "a");
}

TEST(AccountHealth, R11IgnoresWhatTheRequestIsToBlameFor) {
  Pool p({MakeAccount("a")});
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(p.pool->Report(0, {.kind = Kind::kRequest}));
    EXPECT_FALSE(p.pool->Report(0, {.kind = Kind::kUnsuited}));
  }
  EXPECT_EQ(p.Next(), "a");
}

}  // namespace
}  // namespace relay
