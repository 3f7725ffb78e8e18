// SPDX-License-Identifier: MIT
#include "core/store/ledger_keeper.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "core/store/sqlite_store.h"
#include "tests/core/store/keeper_world.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using Op = LedgerKeeper::Op;

TEST(LedgerKeeper, R38_BringsWhatAKilledProcessUsedToTheNextOnceAndSettlesTheOpen) {
  World world;
  {
    Process killed(world);
    killed.Close("a", 1);
    killed.Pass(2);
    EXPECT_EQ(InStore(world).input, 1);
    killed.Open("b", 2);
    killed.Close("b", 4);
    killed.Open("c", 8);
    killed.world.clock.Advance(10ms);
    killed.keeper->Step();
    EXPECT_EQ(InStore(world).input, 1) << "it is not time to flush";
  }
  for (int run = 0; run < 3; ++run) {
    Process next(world);
    EXPECT_EQ(next.Sum().input, 1 + 4 + 8) << run;
    EXPECT_EQ(next.Sum().requests, 3);
    EXPECT_EQ(next.Sum().estimated, 1);
    auto recent = next.ledger.Recent(10);
    ASSERT_EQ(recent.size(), 3U);
    std::set<std::string> ids;
    for (const LedgerEntry& entry : recent) {
      ids.insert(entry.id);
      EXPECT_EQ(entry.usage.estimated, entry.id == "c");
    }
    EXPECT_EQ(ids, (std::set<std::string>{"a", "b", "c"}));
    EXPECT_EQ(next.ledger.unsettled(), 0U);
    EXPECT_EQ(InStore(world).input, 13);
    EXPECT_EQ(world.files(), 2U) << "its own journals only";
  }
}

TEST(LedgerKeeper, LeavesNothingBehindWhenItFinishes) {
  World world;
  {
    Process process(world);
    process.Close("a", 1);
    process.Close("b", 2);
    process.keeper->Finish();
    EXPECT_EQ(world.files(), 0U);
  }
  auto image = Await<LedgerImage>([&](auto done) { world.kept.Load(std::move(done)); });
  EXPECT_TRUE(image->epochs.empty());
  EXPECT_EQ(SumOf(image->folded).input, 3);
  EXPECT_EQ(Process(world).Sum().input, 3);
}

TEST(LedgerKeeper, WithoutAJournalItTriesAStoreAgainThatFailsAtTheEnd) {
  World world;
  world.no_folder = true;
  {
    Process process(world);
    process.Close("a", 1);
    world.store.failures = 5;
    process.keeper->Finish();
    EXPECT_EQ(world.store.failures, 0);
  }
  EXPECT_EQ(InStore(world).input, 1);
  auto image = Await<LedgerImage>([&](auto done) { world.kept.Load(std::move(done)); });
  EXPECT_TRUE(image->epochs.empty()) << "it is folded";
}

TEST(LedgerKeeper, WithoutAJournalItDoesNotWaitForEver) {
  World world;
  world.no_folder = true;
  Process process(world);
  process.Close("a", 1);
  world.store.failures = 1000;
  world.store.on_failure = [&world] { world.clock.Advance(std::chrono::seconds(3)); };
  process.keeper->Finish();
  EXPECT_GT(world.store.failures, 980);
  EXPECT_EQ(InStore(world).input, 0);
}

TEST(LedgerKeeper, WithAJournalItLeavesToTheNextStartWhatTheStoreDoesNotTake) {
  World world;
  Process process(world);
  process.Close("a", 1);
  world.store.failures = 1000;
  process.keeper->Finish();
  EXPECT_GT(world.store.failures, 980) << "it did not wait";
  world.store.failures = 0;
  EXPECT_EQ(Process(world).Sum().input, 1);
}

TEST(LedgerKeeper, CallsNoUsageLostThatIsOnlyNotFolded) {
  for (bool journal : {true, false}) {
    World world;
    world.no_folder = !journal;
    world.store.on_failure = [&world] { world.clock.Advance(std::chrono::seconds(3)); };
    Process process(world);
    process.Close("a", 1);
    if (journal) world.disk.failure = ENOSPC;
    process.Close("b", 2);
    world.store.fold_fails = true;
    std::string log = LogOfEnd(world, *process.keeper);
    EXPECT_EQ(log.find("usage is"), std::string::npos) << log;
    EXPECT_NE(log.find("epochs are left unfolded"), std::string::npos) << log;
    EXPECT_EQ(InStore(world).input, 3);
    world.store.fold_fails = false;
    world.disk.failure = 0;
    Process next(world);
    EXPECT_EQ(next.Sum().input, 3);
    next.Pass(2);
    EXPECT_EQ(InStore(world).input, 3);
    auto image = Await<LedgerImage>([&](auto done) { world.kept.Load(std::move(done)); });
    EXPECT_EQ(SumOf(image->folded).input, 3);
  }
}

TEST(LedgerKeeper, R38_LosesNothingThatTheStoreHasAndABrokenJournalHasNot) {
  World world;
  {
    Process killed(world);
    killed.Close("a", 1);
    world.disk.failure = ENOSPC;
    killed.Close("b", 2);
    killed.Pass(2);
  }
  EXPECT_EQ(InStore(world).input, 3);
  world.disk.failure = 0;
  Process next(world);
  EXPECT_EQ(next.Sum().input, 3);
  next.Pass(2);
  EXPECT_EQ(InStore(world).input, 3);
  EXPECT_EQ(InStore(world).requests, 2);
}

TEST(LedgerKeeper, SaysThatUsageIsLostThatNobodyHas) {
  World world;
  Process process(world);
  world.disk.failure = ENOSPC;
  process.Close("a", 1);
  world.store.failures = 1000;
  EXPECT_NE(LogOfEnd(world, *process.keeper).find("usage is lost"), std::string::npos);
}

TEST(LedgerKeeper, TellsTheStoreNothingOfARunThatWasNotUsed) {
  World world;
  {
    Process killed(world);
  }
  {
    Process process(world);
    process.Pass(2);
    EXPECT_EQ(world.files(), 2U);
    process.keeper->Finish();
  }
  EXPECT_EQ(world.files(), 0U);
  EXPECT_EQ(world.store.calls["flush"], 0);
  EXPECT_EQ(world.store.calls["fold"], 0);
}

TEST(LedgerKeeper, LeavesTheJournalOfAnExchangeThatNobodyClosed) {
  World world;
  {
    Process process(world);
    process.Close("a", 1);
    process.Open("b", 2);
    process.keeper->Finish();
    EXPECT_EQ(world.files(), 2U);
  }
  Process next(world);
  EXPECT_EQ(next.Sum().input, 3);
  EXPECT_EQ(next.Sum().estimated, 1);
}

TEST(LedgerKeeper, KeepsAllOfItWhileTheStoreFails) {
  World world;
  {
    Process process(world);
    world.store.fails = true;
    process.Close("a", 1);
    process.Pass(3);
    process.Close("b", 2);
    process.Pass(2);
    LedgerKeeper::Status status = process.keeper->status();
    EXPECT_TRUE(status.store_fails);
    EXPECT_FALSE(status.journal_fails);
    EXPECT_TRUE(status.degraded());
    EXPECT_GE(status.errors[static_cast<size_t>(Op::kFlush)], 3U);
    EXPECT_EQ(InStore(world).requests, 0);
    EXPECT_EQ(process.Sum().input, 3);

    world.store.fails = false;
    process.Pass(2);
    EXPECT_FALSE(process.keeper->status().degraded());
    EXPECT_EQ(InStore(world).input, 3);
    world.store.fails = true;
    process.Close("c", 4);
    process.keeper->Finish();
    EXPECT_EQ(world.files(), 2U) << "it waits in the journal";
  }
  world.store.fails = false;
  Process next(world);
  EXPECT_EQ(next.Sum().input, 7);
  EXPECT_EQ(InStore(world).input, 7);
}

TEST(LedgerKeeper, CountsNothingTwiceWhenAnswersGetLost) {
  World world;
  world.store.done_but_lost = true;
  Process(world).Close("a", 1);
  world.store.fails = true;
  {
    Process process(world);
    process.Close("b", 2);
    process.Pass(3);
    process.keeper->Finish();
    EXPECT_GE(world.store.calls["flush"], 3);
  }
  world.store.fails = false;
  Process next(world);
  next.Pass(2);
  EXPECT_EQ(next.Sum().input, 3);
  EXPECT_EQ(InStore(world).input, 3);
}

// Killed after the store has folded an epoch, before its journal was removed.
TEST(LedgerKeeper, CountsAFoldedEpochsJournalNoSecondTime) {
  World world;
  Process(world).Close("a", 5);
  TempFolder copy;
  std::filesystem::copy(world.journals(), copy.File("journal"));
  Process(world).keeper->Step();
  std::filesystem::copy(
      copy.File("journal"), world.journals(),
      std::filesystem::copy_options::skip_existing | std::filesystem::copy_options::recursive);
  EXPECT_EQ(world.files(), 4U);
  Process next(world);
  EXPECT_EQ(next.Sum().input, 5);
  EXPECT_EQ(next.ledger.Recent(10).size(), 1U);
  EXPECT_EQ(InStore(world).input, 5);
  EXPECT_EQ(world.files(), 2U);
}

TEST(LedgerKeeper, GoesOnWithoutADiskAndBeginsAnewWhenThereIsOne) {
  World world;
  {
    Process process(world);
    process.Close("a", 1);
    world.disk.room = 0;
    process.Close("b", 2);
    process.world.clock.Advance(LedgerKeeper::kSyncEvery);
    process.keeper->Step();
    EXPECT_TRUE(process.keeper->status().journal_fails) << "told at once";
    process.Pass(3);
    EXPECT_GE(process.keeper->status().errors[static_cast<size_t>(Op::kJournal)], 3U);
    EXPECT_EQ(InStore(world).input, 3) << "the store has it all the same";
    process.Close("c", 4);
    world.disk.room = SIZE_MAX;
    process.Pass(1);
    EXPECT_FALSE(process.books.wants_begin());
    process.Pass(2);
    EXPECT_FALSE(process.keeper->status().degraded());
    process.Close("d", 8);
  }
  EXPECT_EQ(Process(world).Sum().input, 15);
}

TEST(LedgerKeeper, TellsOnceOfADiskThatTakesALineNowAndThen) {
  World world;
  Process process(world);
  for (int second = 0; second < 20; ++second) {
    world.disk.room = 400;  // an opening and a line, not two
    process.Close(std::to_string(2 * second), 1);
    process.Close(std::to_string(2 * second + 1), 1);
    process.Pass(1);
  }
  EXPECT_TRUE(process.keeper->status().journal_fails);
  EXPECT_EQ(process.Sum().requests, 40);
  EXPECT_EQ(InStore(world).requests, 40);
  world.disk.room = SIZE_MAX;
  process.Pass(3);
  EXPECT_FALSE(process.keeper->status().degraded());
}

TEST(LedgerKeeper, CallsADiskWellOnlyWhenItHasTakenSomething) {
  World world;
  Process process(world);
  process.Close("a", 1);
  world.disk.sync_failure = EIO;
  for (int i = 0; i < 20; ++i) {
    process.Pass(1);
    EXPECT_TRUE(process.keeper->status().journal_fails) << i;
  }
  EXPECT_GE(process.keeper->status().errors[static_cast<size_t>(Op::kSync)], 10U);
  EXPECT_EQ(process.keeper->status().errors[static_cast<size_t>(Op::kJournal)], 1U)
      << "told once, though it was begun anew again and again";
  world.disk.sync_failure = 0;
  process.Pass(3);
  EXPECT_FALSE(process.keeper->status().degraded());
}

TEST(LedgerKeeper, BeginsADiskThatWasFullAtTheStart) {
  World world;
  world.disk.no_files = true;
  Process process(world);
  EXPECT_TRUE(process.keeper->status().journal_fails);
  process.Close("a", 1);
  world.disk.no_files = false;
  process.Pass(3);
  EXPECT_FALSE(process.keeper->status().degraded());
  EXPECT_EQ(ReadPast(world.store, world.journals())->days.size(), 1U);
}

TEST(LedgerKeeper, R38_SyncsWhileTheStoreTakesItsTime) {
  World world;
  Process process(world);
  world.store.holds = true;
  process.Close("a", 1);
  process.Pass(2);
  EXPECT_EQ(world.store.calls["flush"], 1);
  int syncs = world.disk.syncs;
  for (int i = 0; i < 5; ++i) {
    process.Close("b" + std::to_string(i), 1);
    world.clock.Advance(LedgerKeeper::kSyncEvery);
    EXPECT_LE(process.keeper->Step(), LedgerKeeper::kFlushEvery);
    EXPECT_FALSE(process.books.touched());
  }
  EXPECT_EQ(world.disk.syncs, syncs + 5);
  process.Pass(3);
  EXPECT_EQ(world.store.calls["flush"], 1) << "one at a time";
  world.store.holds = false;
  world.store.Answer();
  process.Pass(2);
  EXPECT_EQ(InStore(world).input, 6);
}

TEST(LedgerKeeper, LeavesTheStoreAloneWhileNothingIsUsed) {
  World world;
  Process process(world);
  process.Close("a", 1);
  process.Pass(3);
  auto calls = world.store.calls;
  process.Pass(60);
  EXPECT_EQ(world.store.calls, calls);
  EXPECT_GE(process.keeper->Step(), 1min) << "it sleeps";
  // The first entry after a pause waits for others to come with it.
  process.Close("b", 2);
  process.keeper->Step();
  EXPECT_EQ(world.store.calls, calls);
  process.Pass(2);
  EXPECT_EQ(world.store.calls["flush"], calls["flush"] + 1);
}

TEST(LedgerKeeper, TellsSoonAfterAPauseWhereTheStoreWantsIt) {
  World world;
  world.store.tells.first_flush = std::chrono::milliseconds(50);
  Process process(world);
  process.Pass(2);
  LedgerKeeper& keeper = *process.keeper;
  EXPECT_EQ(keeper.Step(), std::chrono::hours(1));
  process.Close("a", 1);
  EXPECT_EQ(keeper.Step(), std::chrono::milliseconds(50));
  world.clock.Advance(std::chrono::milliseconds(50));
  keeper.Step();
  EXPECT_EQ(world.store.calls["flush"], 1);
  // But not more often than it is worth.
  process.Close("b", 1);
  EXPECT_EQ(keeper.Step(), LedgerKeeper::kFlushEvery);
  process.Pass(1);
  EXPECT_EQ(world.store.calls["flush"], 2);
}

TEST(LedgerKeeper, ExpiresAtTheStartAndOnceADay) {
  World world;
  Process process(world);
  EXPECT_EQ(world.store.calls["expire"], 1);
  EXPECT_EQ(world.store.expired.day, kTestDay - 399);
  EXPECT_EQ(world.store.expired.hour, HourOf(kTestNoon) - 31 * 24 + 1);
  process.Close("a", 1);
  process.Pass(2);
  EXPECT_EQ(world.store.calls["expire"], 1);
  world.clock.Advance(24h);
  process.Close("b", 1);
  process.Pass(2);
  EXPECT_EQ(world.store.calls["expire"], 2);
  EXPECT_EQ(world.store.expired.day, kTestDay - 398);
}

TEST(LedgerKeeper, RollsFullSegmentsAndRemovesTheOld) {
  World world;
  int64_t n = 0;
  {
    Process process(world, 4096);
    for (int second = 0; second < 30; ++second) {
      for (int i = 0; i < 40; ++i) process.Close(std::to_string(++n), 1);
      process.Pass(1);
      EXPECT_LE(world.files(), 6U);
    }
    EXPECT_FALSE(std::filesystem::exists(world.journals() + "/run1-0.1"));
  }
  EXPECT_EQ(Process(world).Sum().requests, n);
}

TEST(LedgerKeeper, ServesAnAnswerThatComesAfterItIsTold) {
  World world;
  world.store.holds = true;
  auto process = std::make_unique<Process>(world);
  process->Close("a", 1);
  process->Pass(2);
  std::thread late([&] { world.store.Answer(); });
  process.reset();  // waits for it
  late.join();
  world.store.holds = false;
  EXPECT_EQ(Process(world).Sum().input, 1);
}

TEST(LedgerKeeper, CountsTheModelsOfAHostileUpstreamAsTheLedgerDoes) {
  World world;
  Process process(world);
  constexpr size_t kInvented = 2 * Ledger::kModels;
  for (size_t i = 0; i < kInvented; ++i) {
    LedgerEntry entry = process.EntryOf(std::to_string(i), 1);
    entry.model = "model-" + std::to_string(i);
    process.ledger.Open(entry);
    process.ledger.Close(std::move(entry));
  }
  process.Pass(2);
  auto image = Await<LedgerImage>([&](auto done) { world.kept.Load(std::move(done)); });
  std::set<std::string> models;
  for (const EpochRows& epoch : image->epochs) {
    for (const DayRow& row : epoch.rows.days) models.insert(row.model);
  }
  EXPECT_EQ(models.size(), Ledger::kModels + 1);
  // They do not take the places of this run's models.
  Process next(world);
  EXPECT_EQ(next.Sum().requests, static_cast<int64_t>(kInvented));
  EXPECT_EQ(next.ledger.CountedAs("claude-haiku-4-5"), "claude-haiku-4-5");
}

TEST(LedgerKeeper, WorksOnItsThreadWithTheEmbeddedStore) {
  TempFolder temp;
  constexpr int kThreads = 3;
  constexpr int kEach = 400;
  for (int run = 0; run < 2; ++run) {
    auto store = SqliteStore::Open(temp.File("relay.db"));
    ASSERT_TRUE(store) << store.error().what;
    LedgerBooks books(temp.File("journal"), "run" + std::to_string(run), kThreads);
    Ledger ledger;
    auto past = ReadPast(**store, temp.File("journal"));
    ASSERT_TRUE(past) << past.error().what;
    ledger.Load(past->days, past->recent);
    LedgerKeeper keeper(**store, books, ledger, SystemClock::Get(), std::move(past->dead));
    ledger.WriteTo(&books);
    keeper.Start();
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&ledger, t] {
        for (int i = 0; i < kEach; ++i) {
          LedgerEntry entry = TestEntry(std::to_string(t) + "/" + std::to_string(i), 1);
          entry.when = SystemClock::Get().Wall();
          ledger.Open(entry);
          ledger.Close(entry);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    keeper.Finish();
    EXPECT_FALSE(keeper.status().degraded());
    EXPECT_EQ(ledger.Sum(LedgerBy::kKey)[0].totals.requests, (run + 1) * kThreads * kEach);
  }
  EXPECT_TRUE(std::filesystem::is_empty(temp.File("journal")));
  auto store = SqliteStore::Open(temp.File("relay.db"));
  auto past = ReadPast(**store, temp.File("journal"));
  ASSERT_TRUE(past);
  EXPECT_TRUE(past->dead.empty());
  EXPECT_EQ(SumOf({past->days, {}}).requests, 2 * kThreads * kEach);
}

// What the start of another relay does with the epochs of a run that it takes for dead.
void FoldAll(World& world) {
  auto image = Await<LedgerImage>([&](auto done) { world.kept.Load(std::move(done)); });
  for (const EpochRows& epoch : image->epochs) {
    ASSERT_TRUE(Await<Unit>([&](auto done) { world.kept.Fold(epoch.epoch, std::move(done)); }));
  }
}

// A host that slept for nine days, or could not reach the store.
TEST(LedgerKeeper, LosesNothingOfAnEpochThatAnotherRelayFolded) {
  World world;
  {
    Process process(world);
    for (int i = 0; i < 10; ++i) process.Close(std::to_string(i), 1);
    process.Pass(2);
    world.clock.Advance(9 * 24h);
    FoldAll(world);
    for (int i = 10; i < 20; ++i) process.Close(std::to_string(i), 1);
    process.Pass(2);
    EXPECT_EQ(InStore(world).requests, 20);
    EXPECT_GE(process.keeper->status().errors[static_cast<size_t>(Op::kEnded)], 1U);
    EXPECT_FALSE(process.keeper->status().degraded());
    // The rows of this minute have been told: what comes goes on in them.
    for (int i = 20; i < 30; ++i) process.Close(std::to_string(i), 1);
    process.Pass(2);
    FoldAll(world);
    for (int i = 30; i < 40; ++i) process.Close(std::to_string(i), 1);
    process.Pass(2);
    EXPECT_EQ(InStore(world).requests, 40);
    EXPECT_EQ(process.Sum().requests, 40);
    EXPECT_EQ(world.files(), 2U) << "journals of the new names only";
    process.Close("last", 1);
  }
  auto image = Await<LedgerImage>([&](auto done) { world.kept.Load(std::move(done)); });
  EXPECT_EQ(image->recent.size(), 40U);
  for (int run = 0; run < 2; ++run) {
    Process next(world);
    EXPECT_EQ(next.Sum().requests, 41);
    EXPECT_EQ(InStore(world).requests, 41);
  }
}

TEST(LedgerKeeper, CountsOnceWhatWasFoldedBeforeItsAnswerGotLost) {
  for (bool done : {false, true}) {
    World world;
    Process process(world);
    for (int i = 0; i < 10; ++i) process.Close(std::to_string(i), 1);
    process.Pass(2);
    world.store.fails = true;
    world.store.done_but_lost = done;
    for (int i = 10; i < 20; ++i) process.Close(std::to_string(i), 1);
    process.Pass(2);
    for (int i = 20; i < 30; ++i) process.Close(std::to_string(i), 1);
    process.Pass(2);
    EXPECT_EQ(InStore(world).requests, done ? 20 : 10);
    FoldAll(world);
    world.store.fails = false;
    process.Pass(2);
    EXPECT_EQ(InStore(world).requests, 30) << done;
    process.keeper->Finish();
    EXPECT_EQ(InStore(world).requests, 30) << done;
    EXPECT_EQ(world.files(), 0U);
    auto image = Await<LedgerImage>([&](auto got) { world.kept.Load(std::move(got)); });
    EXPECT_TRUE(image->epochs.empty());
    EXPECT_EQ(image->recent.size(), 30U);
  }
}

TEST(LedgerKeeper, HearsAtTheEndThatItsEpochWasFolded) {
  World world;
  {
    Process process(world);
    for (int i = 0; i < 10; ++i) process.Close(std::to_string(i), 1);
    process.Pass(2);
    FoldAll(world);
    for (int i = 10; i < 20; ++i) process.Close(std::to_string(i), 1);
    process.keeper->Finish();
  }
  EXPECT_EQ(InStore(world).requests, 20);
  EXPECT_EQ(world.files(), 0U);
  EXPECT_EQ(Process(world).Sum().requests, 20);
}

TEST(LedgerKeeper, EndsItsEpochsItselfWhenItIsQuietForADay) {
  World world;
  {
    Process process(world);
    for (int i = 0; i < 10; ++i) process.Close(std::to_string(i), 1);
    process.Pass(2);
    auto hours = [&](int count) {
      for (int i = 0; i < count; ++i) {
        world.clock.Advance(1h);
        process.Pass(3);
      }
    };
    hours(20);
    EXPECT_EQ(world.store.calls["fold"], 0);
    hours(9 * 24);
    EXPECT_EQ(world.store.calls["fold"], 2) << "once for each worker";
    EXPECT_EQ(world.files(), 2U);
    auto image = Await<LedgerImage>([&](auto done) { world.kept.Load(std::move(done)); });
    EXPECT_TRUE(image->epochs.empty()) << "there is nothing that others could fold";
    EXPECT_EQ(image->ended, (std::vector<std::string>{"run1-0", "run1-1"}));
    for (int i = 10; i < 20; ++i) process.Close(std::to_string(i), 1);
    process.Pass(2);
    EXPECT_EQ(InStore(world).requests, 20);
    EXPECT_EQ(process.Sum().requests, 20);
    EXPECT_EQ(process.keeper->status().errors[static_cast<size_t>(Op::kEnded)], 0U);
    process.Close("last", 1);
  }
  Process next(world);
  EXPECT_EQ(next.Sum().requests, 21);
  EXPECT_EQ(InStore(world).requests, 21);
}

// Killed when its quiet epochs have new names, and the old ones are not yet folded.
TEST(LedgerKeeper, CountsAQuietEpochOnceThoughItIsKilledBeforeItIsFolded) {
  World world;
  {
    Process process(world);
    for (int i = 0; i < 10; ++i) process.Close(std::to_string(i), 1);
    process.Pass(2);
    world.store.fails = true;
    world.clock.Advance(72h);
    process.keeper->Step();
    EXPECT_EQ(world.files(), 4U) << "of both names";
    process.Close("last", 1);
    process.Pass(2);
  }
  world.store.fails = false;
  Process next(world);
  EXPECT_EQ(next.Sum().requests, 11);
  next.Pass(2);
  EXPECT_EQ(InStore(world).requests, 11);
  EXPECT_EQ(world.files(), 2U);
}

// Requests, steps, lost answers and folding by others in any order against a plain count.
TEST(LedgerKeeper, AgreesWithAModelWhileOthersFoldItsEpochs) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    auto chance = [&](int percent) { return static_cast<int>(random() % 100) < percent; };
    World world;
    int64_t requests = 0;
    for (int run = 0; run < 4; ++run) {
      Process process(world, 1500);
      ASSERT_EQ(process.Sum().requests, requests) << "seed " << seed << ", run " << run;
      for (int i = 0; i < 150; ++i) {
        if (chance(70)) process.Close(std::to_string(++requests), 1);
        if (chance(10)) world.store.fails = !world.store.fails;
        if (chance(10)) world.store.done_but_lost = !world.store.done_but_lost;
        if (chance(10)) world.store.holds = !world.store.holds;
        if (chance(20)) world.store.Answer();
        if (chance(8)) FoldAll(world);
        if (chance(5)) world.clock.Advance(std::chrono::hours(random() % 60));
        if (chance(60)) {
          world.clock.Advance(std::chrono::milliseconds(random() % 900));
          process.keeper->Step();
        }
      }
      world.store.fails = false;
      world.store.holds = false;
      world.store.Answer();
      // From then on it knows of all that was folded.
      process.Pass(4);
      ASSERT_EQ(InStore(world).requests, requests) << "seed " << seed << ", run " << run;
      process.Close(std::to_string(++requests), 1);
      if (chance(50)) process.keeper->Finish();
    }
  }
}

// Any order of requests, steps, failures and crashes against a plain count. Only a crash while the
// journal fails may lose something, and then no more than what the store has not been told.
TEST(LedgerKeeper, R38_AgreesWithAModelThroughRandomCrashes) {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    std::mt19937 random(seed);
    auto chance = [&](int percent) { return static_cast<int>(random() % 100) < percent; };
    World world;
    int64_t requests = 0;
    int64_t estimated = 0;
    int64_t ids = 0;
    for (int run = 0; run < 12; ++run) {
      world.store.fails = false;
      Process process(world, 1500);
      ASSERT_EQ(process.Sum().requests, requests) << "seed " << seed << ", run " << run;
      ASSERT_EQ(process.Sum().estimated, estimated) << "seed " << seed << ", run " << run;
      std::vector<std::string> open;
      int steps = static_cast<int>(random() % 60);
      for (int i = 0; i < steps; ++i) {
        std::string id = std::to_string(++ids);
        if (chance(50)) {
          process.Open(id, 1);
          open.push_back(id);
        } else if (!open.empty() && chance(50)) {
          process.Close(open.back(), 1);
          open.pop_back();
          ++requests;
        } else {
          process.Close(id, 1);
          ++requests;
        }
        if (chance(10)) world.store.fails = !world.store.fails;
        if (chance(10)) world.store.done_but_lost = !world.store.done_but_lost;
        if (chance(10)) world.store.holds = !world.store.holds;
        if (chance(20)) world.store.Answer();
        if (chance(5)) world.disk.room = random() % 200;
        if (chance(40)) {
          world.clock.Advance(std::chrono::milliseconds(random() % 900));
          process.keeper->Step();
        }
      }
      world.disk.room = SIZE_MAX;
      world.store.holds = false;
      world.store.Answer();
      // A disk that is well again; from then on a crash loses nothing.
      process.Pass(4);
      ASSERT_FALSE(process.keeper->status().journal_fails);
      if (chance(30)) process.keeper->Finish();
      requests += static_cast<int64_t>(open.size());
      estimated += static_cast<int64_t>(open.size());
    }
    world.store.fails = false;
    Process last(world);
    ASSERT_EQ(last.Sum().requests, requests) << "seed " << seed;
    last.Pass(2);
    ASSERT_EQ(InStore(world).requests, requests) << "seed " << seed;
    ASSERT_EQ(InStore(world).estimated, estimated) << "seed " << seed;
  }
}

}  // namespace
}  // namespace relay
