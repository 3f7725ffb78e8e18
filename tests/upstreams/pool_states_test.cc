// SPDX-License-Identifier: MIT
// What pools know, from one run to the next.
#include "upstreams/pool_states.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/upstreams/pool_fixture.h"

namespace relay {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Kind = Judgement::Kind;
using Health = AccountPool::Health;
using Why = NoAccount::Why;

constexpr WallTime kNoon(seconds(1'795'694'400));

struct OneRun : Pool {
  explicit OneRun(std::vector<Account> accounts, WallTime wall = kNoon)
      : Pool(std::move(accounts)) {
    // Runs have steady clocks of their own.
    clock.Advance(hours(++runs));
    clock.SetWall(wall);
    pool->RingAt(bell);
  }
  std::vector<StateBlob> Changed(StateOwner& owner) {
    std::vector<StateBlob> blobs;
    owner.TakeChanged(blobs);
    return blobs;
  }
  static inline int runs = 0;
  StateBell bell;
  Pools pools = [this] { return std::vector<NamedPool>{{"main", pool}}; };
  HealthStates health{pools};
  StickyStates sticky{pools};
};

std::vector<Account> Two() {
  return {MakeAccount("a", 1), MakeAccount("b", 2)};
}

TEST(HealthStates, KeepWhyAnAccountRestsAndUntilWhen) {
  OneRun before(Two());
  Wish opus;
  opus.family = "opus";
  before.pool->Report(0,
                      {.kind = Kind::kLimited,
                       .scope = Judgement::Scope::kFamily,
                       .cause = "429 rate_limit_error",
                       .until = before.clock.Now() + minutes(30)},
                      opus);
  before.pool->Report(1, {.kind = Kind::kRefused, .cause = "401 authentication_error"});
  EXPECT_TRUE(before.bell.rung());
  std::vector<StateBlob> blobs = before.Changed(before.health);
  EXPECT_THAT(blobs, SizeIs(2));
  EXPECT_THAT(before.Changed(before.health), IsEmpty()) << "told once";

  OneRun after(Two(), kNoon + minutes(5));
  EXPECT_THAT(after.health.Restore(blobs), IsEmpty());
  opus.tried = {1};
  auto taken = after.pool->TryTake(opus);
  ASSERT_FALSE(taken.has_value());
  EXPECT_EQ(taken.error().why, Why::kLimited);
  EXPECT_EQ(taken.error().until, after.clock.Now() + minutes(25));
  EXPECT_EQ(after.Next(), "a") << "another family";
  auto views = after.pool->Look();
  EXPECT_EQ(views[0].health, Health::kLimited);
  EXPECT_EQ(views[0].cause, "429 rate_limit_error");
  EXPECT_EQ(views[0].family, "opus");
  // Its credential may have been mended for this run.
  EXPECT_EQ(views[1].health, Health::kProbing);
  EXPECT_EQ(views[1].rested_for, Health::kRefused);
  EXPECT_EQ(views[1].cause, "401 authentication_error");
}

TEST(HealthStates, AskWhoWasRefusedOnceMoreAfterARestart) {
  OneRun before(Two());
  before.pool->Report(0, {.kind = Kind::kRefused, .cause = "401"});
  OneRun after(Two(), kNoon + seconds(5));
  after.health.Restore(before.Changed(before.health));
  auto probe = after.pool->TryTake({});
  ASSERT_TRUE(probe.has_value());
  EXPECT_EQ((*probe)->account(), "a");
  EXPECT_EQ(after.Next(), "b") << "one request only";
  EXPECT_TRUE(after.pool->Report(0, {.kind = Kind::kRefused, .cause = "401"}));
  EXPECT_EQ(after.pool->Look()[0].until, after.clock.Now() + minutes(10));
}

TEST(HealthStates, ProbeAnAccountWhoseRestIsOver) {
  OneRun before({MakeAccount("a")});
  before.pool->Report(0, {.kind = Kind::kRefused, .cause = "401"});
  OneRun after({MakeAccount("a")}, kNoon + hours(3));
  after.health.Restore(before.Changed(before.health));
  EXPECT_EQ(after.pool->Look()[0].health, Health::kProbing);
  auto probe = after.pool->TryTake({});
  ASSERT_TRUE(probe.has_value());
  after.pool->Report(0, {});
  EXPECT_EQ(after.pool->Look()[0].health, Health::kReady);
  EXPECT_THAT(after.Changed(after.health), ElementsAre(StateBlob{"health", "main/a", ""}));
}

TEST(HealthStates, CountFailuresInARowOn) {
  OneRun before(Two());
  for (int i = 0; i < 3; ++i) before.pool->Report(0, {.kind = Kind::kBroken});
  OneRun after(Two());
  after.health.Restore(before.Changed(before.health));
  EXPECT_FALSE(after.pool->Report(0, {.kind = Kind::kBroken}));
  EXPECT_TRUE(after.pool->Report(0, {.kind = Kind::kBroken})) << "the fifth";
}

TEST(HealthStates, LetWhatThisRunKnowsCountMore) {
  OneRun before(Two());
  before.pool->Report(0, {.kind = Kind::kOverloaded, .until = before.clock.Now() + hours(1)});
  before.pool->Report(1, {.kind = Kind::kLimited, .until = before.clock.Now() + hours(1)});
  std::vector<StateBlob> blobs = before.Changed(before.health);
  OneRun after(Two());
  after.pool->Report(1, {.kind = Kind::kLimited, .until = after.clock.Now() + minutes(1)});
  EXPECT_EQ(after.Next(), "a");
  after.health.Restore(blobs);
  EXPECT_EQ(after.pool->Look()[0].health, Health::kReady) << "it has served";
  EXPECT_EQ(after.pool->Look()[1].until, after.clock.Now() + minutes(1));
}

TEST(HealthStates, TrustNoClockThatWasPutBack) {
  OneRun before({MakeAccount("a")});
  before.pool->Report(0, {.kind = Kind::kLimited});
  OneRun after({MakeAccount("a")}, kNoon - hours(10'000));
  after.health.Restore(before.Changed(before.health));
  EXPECT_EQ(after.pool->Look()[0].until, after.clock.Now() + hours(24 * 8));
}

TEST(HealthStates, TakeNoMoreThanCouldHaveBeenStored) {
  OneRun run(Two());
  auto text = [](std::string_view health) {
    return R"({"failures":0,"troubles":[{"health":")" + std::string(health) +
           R"(","until":99999999999999}]})";
  };
  for (std::string_view health : {"ready", "probing", "paused", "spared", "x"}) {
    EXPECT_THAT(run.health.Restore({{"health", "main/a", text(health)}}), ElementsAre("main/a"));
  }
  EXPECT_THAT(run.health.Restore({{"health", "main/a", R"({"failures":2147483647})"}}), IsEmpty());
  EXPECT_TRUE(run.pool->Report(0, {.kind = Kind::kBroken}));
  EXPECT_EQ(run.pool->Look()[0].health, Health::kBroken);
}

TEST(HealthStates, OfWhatIsGoneOrDamagedAreDropped) {
  OneRun run(Two());
  std::string good = R"({"failures":0,"troubles":[{"health":"refused","until":1}]})";
  EXPECT_THAT(run.health.Restore({{"health", "main/gone", good},
                                  {"health", "other/a", good},
                                  {"health", "main", good},
                                  {"health", "main/a", "{"},
                                  {"health", "main/b", R"({"failures":0,"troubles":[7]})"}}),
              ElementsAre("main/gone", "other/a", "main", "main/a", "main/b"));
}

TEST(StickyStates, LetASessionStickOn) {
  OneRun before(Two());
  Wish second = Sticky("alice\ns1");
  second.tried = {0};
  EXPECT_EQ(before.Next(second), "b");
  EXPECT_TRUE(before.bell.rung());
  std::vector<StateBlob> blobs = before.Changed(before.sticky);
  EXPECT_THAT(blobs, SizeIs(1));
  EXPECT_EQ(before.Next(Sticky("alice\ns1")), "b");
  EXPECT_THAT(before.Changed(before.sticky), IsEmpty()) << "that it was used again is told later";
  before.clock.Advance(minutes(6));
  EXPECT_EQ(before.Next(Sticky("alice\ns1")), "b");
  EXPECT_THAT(before.Changed(before.sticky), SizeIs(1));

  OneRun after(Two(), kNoon + minutes(59));
  EXPECT_THAT(after.sticky.Restore(blobs), IsEmpty());
  EXPECT_EQ(after.Next(Sticky("alice\ns1")), "b");
  EXPECT_EQ(after.Next(Sticky("alice\ns2")), "a");
  // Its own slot is not given to another.
  EXPECT_THAT(after.Changed(after.sticky), SizeIs(2));

  OneRun late(Two(), kNoon + minutes(61));
  EXPECT_THAT(late.sticky.Restore(blobs), ElementsAre("main/0"));
  EXPECT_EQ(late.Next(Sticky("alice\ns1")), "a");
}

// What an account thought is read by none but that one, however long ago the session left it.
TEST(StickyStates, KeepThatASessionMoved) {
  OneRun before(Two());
  Wish wish;
  wish.sticky = "s";
  // Neither is known before its account has answered it.
  EXPECT_TRUE((*before.pool->TryTake(wish))->may_have_moved());
  before.pool->NoteAnswered(**before.pool->TryTake(wish), false);
  EXPECT_FALSE((*before.pool->TryTake(wish))->may_have_moved());
  before.pool->Report(0, {.kind = Kind::kRefused, .cause = "401"});
  EXPECT_TRUE((*before.pool->TryTake(wish))->may_have_moved());
  before.pool->NoteAnswered(**before.pool->TryTake(wish), false);
  EXPECT_TRUE((*before.pool->TryTake(wish))->may_have_moved());
  Wish other;
  other.sticky = "t";
  before.pool->NoteAnswered(**before.pool->TryTake(other), false);
  EXPECT_FALSE((*before.pool->TryTake(other))->may_have_moved());

  OneRun after(Two());
  EXPECT_THAT(after.sticky.Restore(before.Changed(before.sticky)), IsEmpty());
  for (const Wish& each : {wish, other}) {
    EXPECT_TRUE((*after.pool->TryTake(each))->may_have_moved());
    after.pool->NoteAnswered(**after.pool->TryTake(each), false);
  }
  EXPECT_FALSE((*after.pool->TryTake(other))->may_have_moved());
  EXPECT_TRUE((*after.pool->TryTake(wish))->may_have_moved());
}

TEST(StickyStates, KeepThatThinkingWasTakenOut) {
  OneRun before(Two());
  Wish wish;
  wish.sticky = "s";
  std::unique_ptr<AccountLease> lease = *before.pool->TryTake(wish);
  EXPECT_THAT(before.Changed(before.sticky), SizeIs(1));
  before.pool->NoteAnswered(*lease, true);
  OneRun after(Two());
  EXPECT_THAT(after.sticky.Restore(before.Changed(before.sticky)), IsEmpty());
  after.pool->NoteAnswered(**after.pool->TryTake(wish), false);
  EXPECT_TRUE((*after.pool->TryTake(wish))->may_have_moved());
}

TEST(StickyStates, ForgetThoseLongestUnusedFirstAlsoAfterARestart) {
  OneRun before({MakeAccount("a")});
  for (int i = 0; i < 3; ++i) {
    before.Next(Sticky("s" + std::to_string(i)));
    before.clock.Advance(minutes(10));
  }
  std::vector<StateBlob> blobs = before.Changed(before.sticky);
  OneRun after({MakeAccount("a")}, before.clock.Wall());
  after.sticky.Restore(blobs);
  // An hour after the first, whose slot is then free.
  after.clock.Advance(minutes(31));
  after.Next(Sticky("new"));
  std::vector<StateBlob> changed = after.Changed(after.sticky);
  ASSERT_THAT(changed, SizeIs(1));
  std::set<std::string> ids;
  for (const StateBlob& blob : blobs) ids.insert(blob.id);
  EXPECT_TRUE(ids.contains(changed[0].id)) << changed[0].id;
}

TEST(StickyStates, GiveEachSessionASlotOfItsOwnWhenTheyComeLate) {
  OneRun before({MakeAccount("a")});
  for (int i = 0; i < 100; ++i) before.Next(Sticky("old" + std::to_string(i)));
  std::map<std::string, std::string> stored;
  for (const StateBlob& blob : before.Changed(before.sticky)) stored[blob.id] = blob.value;
  ASSERT_EQ(stored.size(), 100U);
  std::vector<StateBlob> blobs;
  for (const auto& [id, value] : stored) blobs.push_back({"sticky", id, value});
  OneRun after({MakeAccount("a")});
  for (int i = 0; i < 50; ++i) after.Next(Sticky("new" + std::to_string(i)));
  after.Next(Sticky("old7"));
  std::vector<std::string> gone = after.sticky.Restore(blobs);
  EXPECT_THAT(gone, ElementsAre("main/7")) << "this run's counts";
  for (const std::string& id : gone) stored.erase(id);
  for (const StateBlob& blob : after.Changed(after.sticky)) stored[blob.id] = blob.value;
  EXPECT_EQ(stored.size(), 150U);
  std::set<std::string> values;
  for (const auto& [id, value] : stored) values.insert(value.substr(0, value.find("\"account")));
  EXPECT_EQ(values.size(), 150U);
}

TEST(StickyStates, OfWhatIsGoneOrDamagedAreDropped) {
  OneRun run(Two());
  auto text = [](const std::string& account) {
    return R"({"session":"s","account":")" + account + R"(","used":1795694400000})";
  };
  EXPECT_THAT(run.sticky.Restore({{"sticky", "other/1", text("a")},
                                  {"sticky", "main/x", text("a")},
                                  {"sticky", "main/3", "[]"},
                                  {"sticky", "main/5", R"({"account":"a","used":1795694400000})"}}),
              ElementsAre("other/1", "main/x", "main/3", "main/5"));
}

}  // namespace
}  // namespace relay
