// SPDX-License-Identifier: MIT
// A session that asks for models which no one account serves: each family stays where it is.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/upstreams/pool_fixture.h"
#include "upstreams/pool_states.h"

namespace relay {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Kind = Judgement::Kind;
using Session = Decision::Session;

Wish Asks(const std::string& family, const std::string& session = "s") {
  Wish wish = Sticky(session);
  wish.family = family;
  wish.model = "claude-" + family + "-5";
  return wish;
}

struct Families : Pool {
  using Pool::Pool;
  void Limit(size_t index, const std::string& family, Duration rest = minutes(5)) {
    pool->Report(
        index,
        {.kind = Kind::kLimited, .scope = Judgement::Scope::kFamily, .until = clock.Now() + rest},
        Asks(family));
  }
  void Cache(const Wish& wish, int64_t tokens) {
    Usage usage;
    usage.model = wish.model;
    usage.cache_write_5m = tokens;
    auto lease = pool->TryTake(wish);
    (*lease)->NoteUsage(usage, clock.Now());
  }
  Decision Ask(const Wish& wish) { return pool->Explain(wish, clock.Now()); }
};

// Two with opus, two with haiku.
std::vector<Account> TwoOfEach() {
  std::vector<Account> accounts = {MakeAccount("opus-a"), MakeAccount("haiku-a"),
                                   MakeAccount("opus-b"), MakeAccount("haiku-b")};
  for (size_t i = 0; i < accounts.size(); ++i) {
    accounts[i].models = {i % 2 == 0 ? "claude-opus-*" : "claude-haiku-*"};
  }
  return accounts;
}

TEST(SessionFamilies, HaveAnAccountEachWhereNoneServesBoth) {
  Families p(TwoOfEach());
  const std::string opus = p.Next(Asks("opus"));
  EXPECT_EQ(p.Ask(Asks("haiku")).session, Session::kNew);
  EXPECT_EQ(p.Ask(Asks("haiku")).others_on, opus);
  const std::string haiku = p.Next(Asks("haiku"));
  for (int i = 0; i < 6; ++i) {
    // Who comes between makes the others the less used.
    p.Next(Asks("opus", "t" + std::to_string(i)));
    p.Next(Asks("haiku", "t" + std::to_string(i)));
    EXPECT_EQ(p.Next(Asks("opus")), opus);
    EXPECT_EQ(p.Next(Asks("haiku")), haiku);
  }
  EXPECT_EQ(p.Ask(Asks("opus")).session, Session::kKept);
  EXPECT_EQ(p.Ask(Asks("haiku")).session, Session::kKept);
  EXPECT_EQ(p.Ask(Asks("haiku")).session_account, haiku);
}

TEST(SessionFamilies, KeepAnAccountForEachOfTwoModelsOfOne) {
  std::vector<Account> accounts = {MakeAccount("old-a"), MakeAccount("old-b"), MakeAccount("new-a"),
                                   MakeAccount("new-b")};
  for (size_t i = 0; i < accounts.size(); ++i) {
    accounts[i].models = {i < 2 ? "claude-opus-4" : "claude-opus-5"};
  }
  Families p(std::move(accounts));
  auto asks = [](const std::string& model, const std::string& session) {
    Wish wish = Asks("opus", session);
    wish.model = model;
    return wish;
  };
  const std::string old = p.Next(asks("claude-opus-4", "s"));
  const std::string fresh = p.Next(asks("claude-opus-5", "s"));
  for (int i = 0; i < 6; ++i) {
    p.Next(asks("claude-opus-4", "t" + std::to_string(i)));
    p.Next(asks("claude-opus-5", "t" + std::to_string(i)));
    EXPECT_EQ(p.Next(asks("claude-opus-4", "s")), old);
    EXPECT_EQ(p.Next(asks("claude-opus-5", "s")), fresh);
  }
}

TEST(SessionFamilies, StayWhereOneAccountServesBoth) {
  Families p({MakeAccount("a"), MakeAccount("b")});
  const std::string own = p.Next(Asks("opus"));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(p.Next(Asks(i % 2 == 0 ? "haiku" : "opus")), own);
  EXPECT_EQ(p.pool->TakeChangedSessions().size(), 1U);
}

TEST(SessionFamilies, LeaveAtALimitOfTheirsWithoutTheOthers) {
  Families p({MakeAccount("a", 1), MakeAccount("b", 2), MakeAccount("c", 3)});
  p.Cache(Asks("opus"), 9000);
  p.Limit(0, "opus");
  Decision decision = p.Ask(Asks("opus"));
  EXPECT_EQ(decision.session, Session::kMoved);
  EXPECT_EQ(decision.session_account, "a");
  EXPECT_EQ(decision.others_on, "a");
  ASSERT_NE(decision.lost(), nullptr);
  auto moved = p.pool->TryTake(Asks("opus"));
  EXPECT_EQ((*moved)->account(), "b");
  EXPECT_EQ((*moved)->lost().tokens, 9000);
  EXPECT_TRUE((*moved)->may_have_moved());
  moved->reset();
  EXPECT_EQ(p.Next(Asks("haiku")), "a");
  EXPECT_EQ(p.Next(Asks("opus")), "b");
  // Neither goes back when the limit is over; each moves by itself.
  p.clock.Advance(minutes(6));
  EXPECT_EQ(p.Next(Asks("opus")), "b");
  EXPECT_EQ(p.Next(Asks("haiku")), "a");
  p.pool->Report(1, {.kind = Kind::kLimited, .until = p.clock.Now() + minutes(1)});
  EXPECT_EQ(p.Ask(Asks("opus")).others_on, "");
  EXPECT_EQ(p.Next(Asks("opus")), "a");
  p.pool->Report(0, {.kind = Kind::kLimited, .until = p.clock.Now() + minutes(1)});
  EXPECT_EQ(p.Next(Asks("haiku")), "c");
}

TEST(SessionFamilies, NeitherWaitForNorLoseWhatIsCachedOfOthers) {
  Families p({MakeAccount("a", 1), MakeAccount("b", 2)});
  p.Cache(Asks("haiku"), 9000);
  p.Limit(0, "opus", seconds(1));
  Wish opus = Asks("opus");
  opus.own_until = p.clock.Now() + seconds(2);
  EXPECT_FALSE(p.Ask(opus).waits_for_own);
  auto moved = p.pool->TryTake(opus);
  EXPECT_EQ((*moved)->account(), "b");
  EXPECT_EQ((*moved)->lost().tokens, 0);
  EXPECT_EQ(p.Ask(Asks("haiku")).cached.tokens, 9000);
}

TEST(SessionFamilies, LoseNothingWhereTheirAccountLacksOneOfTheirModels) {
  std::vector<Account> accounts = {MakeAccount("old", 1), MakeAccount("new", 2)};
  accounts[0].models = {"claude-opus-4"};
  Families p(std::move(accounts));
  Wish old = Asks("opus");
  old.model = "claude-opus-4";
  p.Cache(old, 9000);
  Decision decision = p.Ask(Asks("opus"));
  EXPECT_EQ(decision.session, Session::kNew);
  EXPECT_EQ(decision.lost(), nullptr);
  auto taken = p.pool->TryTake(Asks("opus"));
  EXPECT_EQ((*taken)->account(), "new");
  EXPECT_EQ((*taken)->lost().tokens, 0);
}

TEST(SessionFamilies, AreRememberedAsLongAsTheirSession) {
  Families p(TwoOfEach());
  p.Next(Asks("haiku", "other"));
  const std::string haiku = p.Next(Asks("haiku"));
  const std::string opus = p.Next(Asks("opus"));
  // The one that began is used no more, but what found the other by it.
  for (int i = 0; i < 3; ++i) {
    p.clock.Advance(minutes(50));
    p.Next(Asks("opus", "x" + std::to_string(i)));
    EXPECT_EQ(p.Next(Asks("opus")), opus);
  }
  EXPECT_EQ(p.Next(Asks("haiku")), haiku);
  p.clock.Advance(minutes(61));
  EXPECT_EQ(p.Ask(Asks("opus")).session, Session::kNew);
  EXPECT_EQ(p.Ask(Asks("opus")).others_on, "");
}

TEST(SessionFamilies, OutliveTheProcess) {
  Families p(TwoOfEach());
  p.Next(Asks("opus", "other"));
  const std::string opus = p.Next(Asks("opus"));
  const std::string haiku = p.Next(Asks("haiku"));
  StickyStates before([&] { return std::vector<NamedPool>{{"main", p.pool}}; });
  std::vector<StateBlob> blobs;
  before.TakeChanged(blobs);
  EXPECT_EQ(blobs.size(), 3U);
  Families later(TwoOfEach());
  StickyStates after([&] { return std::vector<NamedPool>{{"main", later.pool}}; });
  EXPECT_TRUE(after.Restore(blobs).empty());
  EXPECT_EQ(later.Ask(Asks("opus")).session, Session::kKept);
  EXPECT_EQ(later.Next(Asks("opus")), opus);
  EXPECT_EQ(later.Next(Asks("haiku")), haiku);
}

}  // namespace
}  // namespace relay
