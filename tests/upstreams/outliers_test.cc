// SPDX-License-Identifier: MIT
// Who fails more than others rests, longer each time, and never too many at once.
#include <gtest/gtest.h>

#include "tests/upstreams/pool_fixture.h"

namespace relay {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Health = AccountHealth;
using Kind = Judgement::Kind;
using Why = NoAccount::Why;

const Judgement kFine{};
const Judgement kBroken{.kind = Kind::kBroken, .cause = "500 x"};

std::vector<Account> Many(int count) {
  std::vector<Account> accounts;
  for (int i = 0; i < count; ++i) {
    accounts.push_back(MakeAccount(std::string(1, static_cast<char>('a' + i)), i));
  }
  return accounts;
}

// The rest that this account begins now.
Duration RestOf(Pool& p, size_t index) {
  return p.pool->Look()[index].until - p.clock.Now();
}

TEST(Outliers, RestWhenTooManyOfTheLastMinutesRequestsFail) {
  Pool p(Many(2));
  for (int i = 0; i < 9; ++i) {
    EXPECT_FALSE(p.pool->Report(0, kBroken));
    p.pool->Report(0, kFine);
  }
  p.pool->Report(0, kFine);
  // The twentieth request, of which half failed.
  EXPECT_TRUE(p.pool->Report(0, kBroken));
  EXPECT_EQ(p.pool->Look()[0].health, Health::kBroken);
  EXPECT_EQ(p.Next(), "b");
  p.clock.Advance(seconds(5));
  auto probe = p.pool->TryTake({});
  EXPECT_EQ((*probe)->account(), "a");
  EXPECT_TRUE(p.pool->Report(0, kBroken)) << "its probe's failure is enough";
}

TEST(Outliers, SayNothingByFewRequestsOrOldOnes) {
  Pool p(Many(2));
  for (int i = 0; i < 9; ++i) {
    p.pool->Report(0, kBroken);
    p.pool->Report(0, kFine);
  }
  p.clock.Advance(minutes(1));
  for (int i = 0; i < 9; ++i) {
    EXPECT_FALSE(p.pool->Report(0, kBroken));
    p.pool->Report(0, kFine);
  }
  for (int i = 0; i < 30; ++i) p.pool->Report(0, kFine);
  EXPECT_FALSE(p.pool->Report(0, kBroken)) << "less than half";
  EXPECT_EQ(p.Next(), "a");
}

TEST(Outliers, RestTwiceAsLongEachTimeUntilTheyServeWell) {
  Pool p(Many(2));
  for (int i = 0; i < 4; ++i) p.pool->Report(0, kBroken);
  for (int expected : {5, 10, 20, 40, 80, 160, 300, 300}) {
    EXPECT_TRUE(p.pool->Report(0, kBroken));
    EXPECT_EQ(RestOf(p, 0), seconds(expected));
    p.clock.Advance(seconds(expected));
    p.pool->Report(0, kFine);
    for (int i = 0; i < 4; ++i) p.pool->Report(0, kBroken);
  }
  p.pool->Report(0, kFine);
  p.clock.Advance(minutes(5));
  for (int i = 0; i < 5; ++i) p.pool->Report(0, kBroken);
  EXPECT_EQ(RestOf(p, 0), seconds(5));
}

// How many of so many accounts are passed by when all of them fail.
int Resting(int accounts, const OutlierConfig& outliers, Kind kind = Kind::kBroken) {
  Pool p(Many(accounts));
  p.pool->Reconfigure(ShareAccounts(Many(accounts)), outliers);
  for (size_t i = 0; i < static_cast<size_t>(accounts); ++i) {
    for (int n = 0; n < 5; ++n) p.pool->Report(i, {.kind = kind});
  }
  for (const AccountPool::View& view : p.pool->Look()) EXPECT_NE(view.health, Health::kReady);
  Decision decision = p.pool->Explain({}, p.clock.Now());
  int resting = 0;
  for (const Decision::Candidate& candidate : decision.candidates) {
    EXPECT_TRUE(candidate.guess);
    if (candidate.outcome == Decision::Outcome::kGuess) ++resting;
  }
  return resting;
}

TEST(Outliers, AreNeverMoreAtOnceThanMay) {
  EXPECT_EQ(Resting(6, {}), 3);
  EXPECT_EQ(Resting(6, {}, Kind::kOverloaded), 3);
  EXPECT_EQ(Resting(5, {}), 2);
  EXPECT_EQ(Resting(6, {.at_most = 20}), 1);
  EXPECT_EQ(Resting(3, {.at_most = 20}), 1) << "one may, where there is another";
  EXPECT_EQ(Resting(1, {}), 0);
  EXPECT_EQ(Resting(6, {.at_most = 100}), 5);
  EXPECT_EQ(Resting(1, {.at_most = 100}), 0);
}

TEST(Outliers, AreAShareOfThoseThatCouldServe) {
  Pool p(Many(5));
  for (size_t i = 0; i < 2; ++i) {
    p.pool->Report(i, {.kind = Kind::kLimited, .until = p.clock.Now() + minutes(9)});
  }
  for (size_t i = 2; i < 5; ++i) p.pool->Report(i, {.kind = Kind::kOverloaded});
  EXPECT_EQ(p.Next(), "d") << "one of three rests, not two of five";
}

// What a person says is cured begins anew in all.
TEST(Outliers, AreForgottenWholeByAReset) {
  Pool p(Many(2));
  for (int i = 0; i < 5; ++i) p.pool->Report(0, kBroken);
  p.clock.Advance(seconds(5));
  p.pool->Report(0, kFine);
  for (int i = 0; i < 9; ++i) {
    p.pool->Report(0, kBroken);
    p.pool->Report(0, kFine);
  }
  p.pool->Reset("a");
  EXPECT_FALSE(p.pool->Report(0, kBroken)) << "the first of its new life";
  for (int i = 0; i < 4; ++i) p.pool->Report(0, kBroken);
  EXPECT_EQ(RestOf(p, 0), seconds(5));
}

TEST(Outliers, WhoIsLeftRestsWhenOthersAreWellAgain) {
  Pool p(Many(2));
  p.pool->Report(1, {.kind = Kind::kOverloaded, .until = p.clock.Now() + minutes(2)});
  p.pool->Report(0, {.kind = Kind::kOverloaded, .until = p.clock.Now() + minutes(9)});
  EXPECT_EQ(p.Next(), "a") << "one of two has to serve";
  EXPECT_FALSE(p.pool->Report(0, {.kind = Kind::kOverloaded}));
  p.pool->Report(1, kFine);
  EXPECT_EQ(p.Next(), "a");
  EXPECT_TRUE(p.pool->Report(0, {.kind = Kind::kOverloaded}));
  EXPECT_EQ(p.Next(), "b");
  EXPECT_EQ(RestOf(p, 0), minutes(9));
}

TEST(Outliers, WhoIsLeftIsKnownToFailAndKeepsItsSessions) {
  Pool p(Many(2));
  EXPECT_EQ(p.Next(Sticky("s")), "a");
  for (int i = 0; i < 5; ++i) p.pool->Report(1, kBroken);
  for (int i = 0; i < 5; ++i) p.pool->Report(0, kBroken);
  auto taken = p.pool->TryTake(Sticky("s"));
  ASSERT_TRUE(taken);
  EXPECT_EQ((*taken)->account(), "a");
  EXPECT_TRUE((*taken)->guess());
}

TEST(Outliers, AreNotTakenByWhoWantsToBeSureAndMoveNoSession) {
  Pool p(Many(2));
  EXPECT_EQ(p.Next(Sticky("s")), "a");
  p.pool->Report(0, {.kind = Kind::kLimited, .until = p.clock.Now() + minutes(9)});
  p.pool->Report(1, {.kind = Kind::kOverloaded});
  Wish sure = Sticky("s");
  sure.sure = true;
  EXPECT_EQ(p.Refusal(sure), Why::kUntried);
  EXPECT_EQ(p.pool->Explain(Sticky("s"), p.clock.Now()).session_account, "a");
  EXPECT_EQ(p.Next(Sticky("s")), "b");
  p.clock.Advance(seconds(5));
  EXPECT_EQ(p.Next(sure), "b");
}

TEST(Outliers, ACredentialThatIsMendedIsRefusedNoMore) {
  std::vector<Account> accounts = Many(2);
  for (Account& account : accounts) account.credential = Secret("sk-old");
  Pool p(accounts);
  for (size_t i = 0; i < 2; ++i) p.pool->Report(i, {.kind = Kind::kRefused});
  Wish opus;
  opus.family = "opus";
  p.pool->Report(1, {.kind = Kind::kLimited, .scope = Judgement::Scope::kFamily}, opus);
  EXPECT_EQ(p.Refusal(), Why::kRefused);
  accounts[1].credential = Secret("sk-new");
  p.pool->Reconfigure(ShareAccounts(accounts));
  EXPECT_EQ(p.pool->Look()[0].health, Health::kRefused);
  EXPECT_EQ(p.Next(), "b");
  EXPECT_EQ(p.pool->Look()[1].family, "opus") << "a limit is no matter of the credential";
  // Also of one that was away meanwhile.
  p.pool->Reconfigure({});
  accounts[0].credential = Secret("sk-new");
  p.pool->Reconfigure(ShareAccounts(accounts));
  EXPECT_EQ(p.Next(), "a");
}

}  // namespace
}  // namespace relay
