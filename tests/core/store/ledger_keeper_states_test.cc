// SPDX-License-Identifier: MIT
// What the keeper does beside the ledger: states, and a store that is there late.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/store/keeper_world.h"

namespace relay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Op = LedgerKeeper::Op;

// Owns one thing, which it counts up.
class Counting final : public StateOwner {
 public:
  explicit Counting(StateBell& bell) : bell_(bell) {}
  std::string_view kind() const override { return "count"; }
  void TakeChanged(std::vector<StateBlob>& to) override {
    if (std::exchange(changed_, false)) to.push_back({"count", "it", std::to_string(count)});
  }
  std::vector<std::string> Restore(const std::vector<StateBlob>& blobs) override {
    for (const StateBlob& blob : blobs) count += std::stoi(blob.value);
    return {};
  }
  void Up() {
    ++count;
    changed_ = true;
    bell_.Ring();
  }
  int count = 0;

 private:
  StateBell& bell_;
  bool changed_ = false;
};

struct KeeperStates : testing::Test {
  struct OneRun {
    explicit OneRun(World& world) : process(world, Journal::kSegmentBytes, &states) {}
    StateBell bell;
    Counting owner{bell};
    StateKeeper states{{&owner}, bell};
    Process process;
  };
  std::vector<StateBlob> Stored() {
    return *Await<std::vector<StateBlob>>(
        [&](auto done) { world.kept.LoadStates("count", std::move(done)); });
  }
  World world;
};

TEST_F(KeeperStates, AreWrittenOnceASecondAndOnlyWhenTheyChange) {
  OneRun run(world);
  run.process.Pass(5);
  EXPECT_EQ(world.store.calls["states"], 0);
  for (int i = 0; i < 5; ++i) run.owner.Up();
  run.process.Pass(3);
  EXPECT_EQ(world.store.calls["states"], 1);
  EXPECT_THAT(Stored(), ElementsAre(StateBlob{"count", "it", "5"}));
  for (int i = 0; i < 5; ++i) {
    run.owner.Up();
    run.process.Pass(1);
  }
  EXPECT_LE(world.store.calls["states"], 6);
  EXPECT_EQ(world.store.calls["flush"], 0) << "nothing was used";
}

TEST_F(KeeperStates, SurviveAFailureOfTheStoreAndTheEndOfTheRun) {
  {
    OneRun run(world);
    world.store.fails = true;
    run.owner.Up();
    run.process.Pass(2);
    EXPECT_THAT(Stored(), IsEmpty());
    EXPECT_GT(run.process.keeper->status().errors[static_cast<size_t>(Op::kStates)], 0U);
    world.store.fails = false;
    run.process.Pass(2);
    EXPECT_THAT(Stored(), ElementsAre(StateBlob{"count", "it", "1"}));
    run.owner.Up();
    run.process.keeper->Finish();
  }
  OneRun next(world);
  EXPECT_EQ(next.owner.count, 2);
}

TEST_F(KeeperStates, KeepAKeeperFromSleepingUntilTheyAreWritten) {
  OneRun run(world);
  run.process.Pass(2);
  LedgerKeeper& keeper = *run.process.keeper;
  EXPECT_EQ(keeper.Step(), std::chrono::hours(1));
  run.owner.Up();
  EXPECT_EQ(keeper.Step(), LedgerKeeper::kFlushEvery);
  run.process.Pass(2);
  EXPECT_THAT(Stored(), ElementsAre(StateBlob{"count", "it", "1"}));
  EXPECT_EQ(keeper.Step(), std::chrono::hours(1));
}

TEST_F(KeeperStates, AreReadLateWhereTheStoreIsThereLateAndNothingCountsTwice) {
  {
    OneRun killed(world);
    killed.process.Close("a", 1);
    killed.owner.Up();
    killed.process.Pass(2);
    killed.process.Close("b", 2);  // in the journal alone
  }
  world.store.fails = true;
  OneRun run(world);
  run.process.Close("c", 4);
  run.process.Open("d", 8);
  run.owner.Up();
  run.process.Pass(3);
  EXPECT_EQ(run.process.Sum().input, 4);
  EXPECT_EQ(run.owner.count, 1);
  EXPECT_THAT(Stored(), ElementsAre(StateBlob{"count", "it", "1"})) << "of the older run";
  EXPECT_TRUE(run.process.keeper->status().store_fails);

  world.store.fails = false;
  run.process.Close("d", 8);
  run.process.Pass(2);
  EXPECT_EQ(run.process.Sum().input, 1 + 2 + 4 + 8);
  EXPECT_EQ(run.process.Sum().requests, 4);
  EXPECT_EQ(run.owner.count, 2) << "added, not replaced";
  EXPECT_FALSE(run.process.keeper->status().store_fails);
  EXPECT_EQ(run.process.ledger.Recent(10).size(), 4U);
  EXPECT_EQ(run.process.ledger.Recent(10).front().id, "d");
  EXPECT_EQ(InStore(world).input, 1 + 2 + 4 + 8);
  int loads = world.store.calls["load"];
  run.owner.Up();
  run.process.Close("e", 16);
  run.process.keeper->Finish();
  EXPECT_EQ(world.store.calls["load"], loads) << "once is enough";

  OneRun next(world);
  EXPECT_EQ(next.process.Sum().input, 1 + 2 + 4 + 8 + 16);
  EXPECT_EQ(next.process.Sum().requests, 5);
  EXPECT_EQ(next.owner.count, 3);
}

TEST_F(KeeperStates, GoWithAFlushWhereCallsHaveAPriceAndWaitForOneForSomeTime) {
  world.store.tells.states_wait = std::chrono::seconds(10);
  OneRun run(world);
  run.process.Pass(2);
  run.owner.Up();
  run.process.Pass(5);
  EXPECT_EQ(world.store.calls["states"], 0);
  run.process.Close("a", 1);
  run.process.Pass(2);
  EXPECT_THAT(Stored(), ElementsAre(StateBlob{"count", "it", "1"}));
  EXPECT_EQ(world.store.calls["flush"], 1);
  EXPECT_EQ(world.store.calls["states"], 1);
  run.owner.Up();
  run.process.Pass(9);
  EXPECT_EQ(world.store.calls["states"], 1);
  run.process.Pass(2);
  EXPECT_EQ(world.store.calls["states"], 2) << "nothing was used";
  run.owner.Up();
  run.process.keeper->Finish();
  EXPECT_THAT(Stored(), ElementsAre(StateBlob{"count", "it", "3"})) << "at once";
}

TEST_F(KeeperStates, AreToldAgainAfterAFlushWithThemFailed) {
  OneRun run(world);
  run.process.Pass(2);
  for (bool states : {true, false}) {
    world.store.states_fail = states;
    world.store.fails = !states;
    run.process.Close(states ? "a" : "b", 1);
    run.owner.Up();
    run.process.Pass(2);
    world.store.states_fail = world.store.fails = false;
    run.process.Pass(2);
    EXPECT_EQ(Stored().at(0).value, std::to_string(run.owner.count));
    EXPECT_EQ(InStore(world).input, run.owner.count);
  }
}

TEST_F(KeeperStates, AreTriedAgainAtTheEndWhereNobodyElseHasThem) {
  world.no_folder = true;
  OneRun run(world);
  run.process.Pass(2);
  run.owner.Up();
  world.store.failures = 5;
  run.process.keeper->Finish();
  EXPECT_THAT(Stored(), ElementsAre(StateBlob{"count", "it", "1"}));
}

TEST_F(KeeperStates, ThatTheStoreDoesNotTakeAtTheEndAreToldAsLost) {
  OneRun run(world);
  run.process.Pass(2);
  run.process.Close("a", 1);
  run.owner.Up();
  world.store.states_fail = true;
  std::string log = LogOfEnd(world, *run.process.keeper);
  EXPECT_NE(log.find("states are lost"), std::string::npos) << log;
  EXPECT_EQ(log.find("usage"), std::string::npos) << log;
  EXPECT_EQ(InStore(world).input, 1);
  EXPECT_EQ(world.files(), 0U) << "the ledger is whole, and folded";
}

TEST_F(KeeperStates, AreLateForARunThatEndsWithoutAStore) {
  world.store.fails = true;
  {
    OneRun run(world);
    run.process.Close("a", 1);
    run.process.keeper->Finish();
  }
  world.store.fails = false;
  OneRun next(world);
  EXPECT_EQ(next.process.Sum().requests, 1) << "the journal has it";
}

}  // namespace
}  // namespace relay
