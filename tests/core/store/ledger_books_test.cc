// SPDX-License-Identifier: MIT
#include "core/store/ledger_books.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <thread>

#include "tests/core/store/entries.h"
#include "tests/core/store/full_disk.h"
#include "tests/core/store/temp_folder.h"

namespace relay {
namespace {

void Open(LedgerBooks& books, const std::string& id, int64_t n) {
  LedgerEntry entry = TestEntry(id, n);
  books.Open(entry, TestPeriod(entry));
  books.Write();
}

void Close(LedgerBooks& books, const std::string& id, int64_t n) {
  LedgerEntry entry = TestEntry(id, n);
  books.Close(std::make_shared<const LedgerEntry>(entry), TestPeriod(entry));
  books.Write();
}

struct Replayed {
  LedgerTotals sum;
  std::multiset<std::string> ids;
  size_t unclosed = 0;
  size_t epochs = 0;
  size_t files = 0;
};

// What would be known if the process had been killed now.
Replayed Replay(const std::string& folder) {
  Replayed all;
  auto epochs = ReadJournals(folder);
  EXPECT_TRUE(epochs) << epochs.error().what;
  for (const ReplayedEpoch& epoch : *epochs) {
    ++all.epochs;
    all.sum.Add(SumOf(epoch.rows));
    EXPECT_EQ(SumOf(epoch.rows), SumOfHours(epoch.rows));
    all.unclosed += epoch.unclosed;
    all.files += epoch.files.size();
    for (const LedgerEntry& entry : epoch.entries) all.ids.insert(entry.id);
  }
  return all;
}

LedgerTotals SumOfFlushes(const std::vector<LedgerFlush>& flushes) {
  LedgerTotals sum;
  for (const LedgerFlush& flush : flushes) sum.Add(SumOf(flush.rows));
  return sum;
}

TEST(LedgerBooks, R38_WriteEachLineBeforeTheCallReturns) {
  TempFolder temp;
  FullDisk disk;
  LedgerBooks books(temp.File("journal"), "run", 2, disk);
  ASSERT_TRUE(books.Begin());
  disk.writes = 0;
  for (int n = 1; n <= 40; ++n) {
    std::string id = "req_" + std::to_string(n);
    if (n % 2 == 0) {
      Open(books, id, 1);
      EXPECT_EQ(Replay(temp.File("journal")).unclosed, 1U) << id;
    }
    Close(books, id, n);
    Replayed now = Replay(temp.File("journal"));
    EXPECT_EQ(now.ids.size(), static_cast<size_t>(n));
    EXPECT_EQ(now.sum.input, n * (n + 1) / 2);
    EXPECT_EQ(now.unclosed, 0U);
  }
  EXPECT_EQ(Replay(temp.File("journal")).epochs, 2U) << "both books were used";
  EXPECT_EQ(disk.writes, 40 + 20) << "one system call a line";
  EXPECT_EQ(disk.syncs, 0) << "no waiting for the disk";
}

TEST(LedgerBooks, WriteAllThatATurnBroughtWithOneCallAJournal) {
  TempFolder temp;
  FullDisk disk;
  LedgerBooks books(temp.File("journal"), "run", 2, disk);
  ASSERT_TRUE(books.Begin());
  disk.writes = 0;
  for (int n = 1; n <= 40; ++n) {
    LedgerEntry entry = TestEntry("req_" + std::to_string(n), 1);
    books.Open(entry, TestPeriod(entry));
    books.Close(std::make_shared<const LedgerEntry>(entry), TestPeriod(entry));
  }
  EXPECT_EQ(Replay(temp.File("journal")).sum.requests, 0);
  books.Write();
  books.Write();
  EXPECT_EQ(disk.writes, 2);
  EXPECT_EQ(Replay(temp.File("journal")).sum.requests, 40);
  // The keeper waits for no writer.
  LedgerEntry last = TestEntry("last", 1);
  books.Close(std::make_shared<const LedgerEntry>(last), TestPeriod(last));
  EXPECT_TRUE(books.Sync());
  EXPECT_EQ(Replay(temp.File("journal")).sum.requests, 41);
}

TEST(LedgerBooks, GiveTheStoreNothingThatTheJournalHasNot) {
  TempFolder temp;
  LedgerBooks books(temp.File("journal"), "run", 1);
  ASSERT_TRUE(books.Begin());
  LedgerEntry entry = TestEntry("a", 1000);
  books.Close(std::make_shared<const LedgerEntry>(entry), TestPeriod(entry));
  EXPECT_EQ(SumOfFlushes(books.Take()).input, 1000);
  EXPECT_EQ(Replay(temp.File("journal")).sum.input, 1000);
}

TEST(LedgerBooks, WriteForTheirThreadHoweverManyItServes) {
  TempFolder temp;
  LedgerBooks one(temp.File("one"), "run", 70);
  LedgerBooks two(temp.File("two"), "run", 70);
  ASSERT_TRUE(one.Begin() && two.Begin());
  constexpr int kEach = 200;
  for (int i = 0; i < kEach; ++i) {
    LedgerEntry entry = TestEntry(std::to_string(i), 1);
    for (LedgerBooks* books : {&one, &two}) {
      books->Close(std::make_shared<const LedgerEntry>(entry), TestPeriod(entry));
    }
    if (i % 3 == 0) two.Write();
  }
  one.Write();
  two.Write();
  EXPECT_EQ(Replay(temp.File("one")).sum.requests, kEach);
  EXPECT_EQ(Replay(temp.File("two")).sum.requests, kEach);
}

TEST(LedgerBooks, KeepBothLinesOfAnExchangeInOneFileWhateverThreadsWriteThem) {
  TempFolder temp;
  LedgerBooks books(temp.File("journal"), "run", 3);
  ASSERT_TRUE(books.Begin());
  constexpr int kEach = 200;
  auto all = [&](auto&& work) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&work, t] {
        for (int i = 0; i < kEach; ++i) work(t, i);
      });
    }
    for (std::thread& thread : threads) thread.join();
  };
  all([&](int t, int i) { Open(books, std::to_string(t) + "/" + std::to_string(i), 1); });
  EXPECT_EQ(books.open(), 4U * kEach);
  // Each is closed by another thread than opened it.
  all([&](int t, int i) {
    Close(books, std::to_string((t + 1) % 4) + "/" + std::to_string(i), 2);
  });
  EXPECT_EQ(books.open(), 0U);
  Replayed replayed = Replay(temp.File("journal"));
  EXPECT_EQ(replayed.unclosed, 0U);
  EXPECT_EQ(replayed.sum.requests, 4 * kEach);
  EXPECT_EQ(replayed.sum.input, 8 * kEach);
  EXPECT_EQ(replayed.epochs, 3U);
}

TEST(LedgerBooks, GoOnInMemoryOnAFullDiskAndBeginAnewWithAll) {
  TempFolder temp;
  FullDisk disk;
  LedgerBooks books(temp.File("journal"), "run", 1, disk);
  ASSERT_TRUE(books.Begin());
  Close(books, "before", 1);
  disk.room = 30;  // half a line
  Open(books, "torn", 2);
  EXPECT_EQ(books.trouble(), ENOSPC);
  EXPECT_TRUE(books.wants_begin());
  Close(books, "during", 4);
  auto begun = books.Begin();
  ASSERT_FALSE(begun);
  EXPECT_NE(begun.error().what.find("No space left"), std::string::npos) << begun.error().what;
  EXPECT_EQ(Replay(temp.File("journal")).ids, std::multiset<std::string>{"before"});

  disk.room = SIZE_MAX;
  ASSERT_TRUE(books.Begin());
  EXPECT_EQ(books.trouble(), 0);
  EXPECT_FALSE(books.wants_begin());
  Replayed replayed = Replay(temp.File("journal"));
  EXPECT_EQ(replayed.sum.input, 1 + 4 + 2) << "what was open is in the opening, too";
  EXPECT_EQ(replayed.unclosed, 1U);
  Close(books, "torn", 8);
  replayed = Replay(temp.File("journal"));
  EXPECT_EQ(replayed.sum.input, 1 + 4 + 8);
  EXPECT_EQ(replayed.unclosed, 0U);
}

TEST(LedgerBooks, BeginAnewWhenTheDiskCouldNotTakeWhatWasWritten) {
  TempFolder temp;
  FullDisk disk;
  LedgerBooks books(temp.File("journal"), "run", 1, disk);
  ASSERT_TRUE(books.Begin());
  EXPECT_TRUE(books.touched()) << "the opening, too, must get to the disk";
  EXPECT_TRUE(books.Sync());
  EXPECT_FALSE(books.touched());
  Close(books, "a", 1);
  disk.sync_failure = EIO;
  EXPECT_FALSE(books.Sync());
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(books.trouble(), EIO);
  EXPECT_TRUE(books.wants_begin());
  // A process that is killed loses nothing meanwhile: the lines are written on.
  Close(books, "b", 2);
  EXPECT_EQ(Replay(temp.File("journal")).sum.input, 3);

  disk.sync_failure = 0;
  ASSERT_TRUE(books.Begin());
  EXPECT_TRUE(books.Sync());
  EXPECT_EQ(books.trouble(), 0);
  EXPECT_EQ(Replay(temp.File("journal")).sum.input, 3);
}

TEST(LedgerBooks, CollectNoSegmentsThatTheDiskDoesNotTake) {
  TempFolder temp;
  FullDisk disk;
  LedgerBooks books(temp.File("journal"), "run", 1, disk);
  ASSERT_TRUE(books.Begin());
  ASSERT_TRUE(books.Sync());
  disk.sync_failure = EIO;
  for (int n = 1; n <= 5; ++n) {
    Close(books, std::to_string(n), 1);
    EXPECT_FALSE(books.Sync());
    ASSERT_TRUE(books.Begin());
    books.Tidy();
    EXPECT_EQ(Replay(temp.File("journal")).files, 2U) << "the last one on the disk, and the newest";
    EXPECT_EQ(Replay(temp.File("journal")).sum.requests, n);
  }
  disk.sync_failure = 0;
  EXPECT_TRUE(books.Sync());
  books.Arrived(books.Take(), {});
  books.Tidy();
  EXPECT_EQ(Replay(temp.File("journal")).files, 1U);
}

TEST(LedgerBooks, SyncOnlyWhatWasWritten) {
  TempFolder temp;
  FullDisk disk;
  LedgerBooks books(temp.File("journal"), "run", 4, disk);
  ASSERT_TRUE(books.Begin());
  ASSERT_TRUE(books.Sync());
  disk.syncs = 0;
  ASSERT_TRUE(books.Sync());
  EXPECT_EQ(disk.syncs, 0);
  Close(books, "a", 1);
  ASSERT_TRUE(books.Sync());
  EXPECT_EQ(disk.syncs, 1);
}

TEST(LedgerBooks, GiveAbsoluteSumsAndEachExchangeOnce) {
  TempFolder temp;
  LedgerBooks books(temp.File("journal"), "run", 1);
  ASSERT_TRUE(books.Begin());
  EXPECT_TRUE(books.Take().empty());
  Close(books, "a", 1);
  Close(books, "b", 2);
  EXPECT_TRUE(books.changed());
  auto first = books.Take();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].epoch, "run-0");
  EXPECT_EQ(SumOfFlushes(first).input, 3);
  EXPECT_EQ(first[0].recent.size(), 2U);
  EXPECT_FALSE(books.changed());
  books.Arrived(first, {});
  Close(books, "c", 4);
  auto second = books.Take();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_GT(second[0].sequence, first[0].sequence);
  EXPECT_EQ(SumOfFlushes(second).input, 7);
  ASSERT_EQ(second[0].recent.size(), 1U);
  EXPECT_EQ(second[0].recent[0].id, "c");
}

TEST(LedgerBooks, GiveAgainWhatMayHaveArrivedAsItWasAndTheRestBehindIt) {
  TempFolder temp;
  LedgerBooks books(temp.File("journal"), "run", 1);
  ASSERT_TRUE(books.Begin());
  int64_t n = 0;
  auto close_some = [&](size_t count) {
    for (size_t i = 0; i < count; ++i) Close(books, std::to_string(++n), 1);
  };
  close_some(Store::kRecent + 5);  // more than anybody keeps
  auto taken = books.Take();
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].recent.size(), Store::kRecent);
  EXPECT_EQ(taken[0].recent.front().id, "6");
  int64_t before = n;
  books.GiveBack(taken);
  EXPECT_TRUE(books.changed()) << "it is still to be told";
  close_some(Store::kRecent + 3);
  auto again = books.Take();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].sequence, taken[0].sequence);
  EXPECT_EQ(again[0].rows.days, taken[0].rows.days);
  EXPECT_EQ(SumOfFlushes(again).requests, before);
  ASSERT_EQ(again[0].recent.size(), Store::kRecent);
  for (size_t i = 0; i < Store::kRecent; ++i) {
    ASSERT_EQ(again[0].recent[i].id, std::to_string(6 + i));
  }
  books.Arrived(again, {});
  auto rest = books.Take();
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_GT(rest[0].sequence, taken[0].sequence);
  EXPECT_EQ(SumOfFlushes(rest).requests, n);
  ASSERT_EQ(rest[0].recent.size(), Store::kRecent);
  EXPECT_EQ(rest[0].recent.front().id, std::to_string(before + 4)) << "the oldest have gone";
  EXPECT_EQ(rest[0].recent.back().id, std::to_string(n));
  EXPECT_FALSE(books.changed());
}

TEST(LedgerBooks, GoOnUnderAnotherNameWithWhatWasNotFolded) {
  for (bool counted : {false, true}) {
    TempFolder temp;
    LedgerBooks books(temp.File("journal"), "run", 1);
    ASSERT_TRUE(books.Begin());
    Close(books, "a", 1);
    books.Arrived(books.Take(), {});  // sequence 1
    Close(books, "b", 2);
    auto flushes = books.Take();  // 2: in what was folded or not
    ASSERT_EQ(flushes.size(), 1U);
    Close(books, "c", 4);
    Open(books, "d", 8);
    auto old = books.BeginAnew({{"run-0", counted ? 2 : 1}}, flushes);
    books.Arrived(flushes, {});
    ASSERT_EQ(old.size(), 1U);
    EXPECT_TRUE(old[0].last.epoch.empty()) << "it is folded already";
    ASSERT_EQ(old[0].files.size(), 1U);
    EXPECT_EQ(old[0].files[0], temp.File("journal") + "/run-0.1");
    std::filesystem::remove(old[0].files[0]);
    EXPECT_FALSE(books.wants_begin());
    Replayed replayed = Replay(temp.File("journal"));
    EXPECT_EQ(replayed.sum.input, (counted ? 4 : 6) + 8) << "its journal has all of it";
    Close(books, "d", 8);
    auto rest = books.Take();
    ASSERT_EQ(rest.size(), 1U);
    EXPECT_EQ(rest[0].epoch, "run-1");
    EXPECT_EQ(rest[0].sequence, 1);
    EXPECT_EQ(SumOfFlushes(rest).input, (counted ? 4 : 6) + 8);
    std::vector<std::string> ids;
    for (const LedgerEntry& entry : rest[0].recent) ids.push_back(entry.id);
    EXPECT_EQ(ids, counted ? (std::vector<std::string>{"c", "d"})
                           : (std::vector<std::string>{"b", "c", "d"}));
  }
}

TEST(LedgerBooks, EndAnEpochOfWhichAllIsOldAndInTheStore) {
  TempFolder temp;
  LedgerBooks books(temp.File("journal"), "run", 1);
  ASSERT_TRUE(books.Begin());
  Period later{kTestDay + 1, HourOf(kTestNoon) + 24};
  EXPECT_TRUE(books.EndQuiet(later).empty()) << "nothing is of it";
  Close(books, "a", 1);
  EXPECT_TRUE(books.EndQuiet(later).empty()) << "nobody was told";
  books.GiveBack(books.Take());
  EXPECT_TRUE(books.EndQuiet(later).empty()) << "it is in doubt";
  books.Arrived(books.Take(), {});
  EXPECT_TRUE(books.EndQuiet({kTestDay, HourOf(kTestNoon)}).empty()) << "it is not old";
  Open(books, "b", 2);
  EXPECT_TRUE(books.EndQuiet(later).empty()) << "something is under way";
  Close(books, "b", 2);
  books.Arrived(books.Take(), {});
  auto old = books.EndQuiet(later);
  ASSERT_EQ(old.size(), 1U);
  EXPECT_EQ(old[0].last.epoch, "run-0");
  EXPECT_TRUE(old[0].last.rows.empty());
  EXPECT_EQ(old[0].files, std::vector<std::string>{temp.File("journal") + "/run-0.1"});
  EXPECT_TRUE(books.EndQuiet(later).empty());
  EXPECT_TRUE(books.flushed_epochs().empty());
  EXPECT_FALSE(books.wants_begin());
  Close(books, "c", 4);
  auto flushes = books.Take();
  ASSERT_EQ(flushes.size(), 1U);
  EXPECT_EQ(flushes[0].epoch, "run-1");
  EXPECT_EQ(SumOfFlushes(flushes).input, 4);
}

TEST(LedgerBooks, RemoveASegmentOnlyWhenTheStoreHasItAndTheDiskTheNext) {
  TempFolder temp;
  FullDisk disk;
  LedgerBooks books(temp.File("journal"), "run", 1, disk, 1);  // each line fills its segment
  auto segments = [&] { return Replay(temp.File("journal")).files; };
  ASSERT_TRUE(books.Begin());
  Close(books, "a", 1);
  EXPECT_TRUE(books.wants_begin());
  ASSERT_TRUE(books.Begin());
  ASSERT_TRUE(books.Sync());
  books.Tidy();
  EXPECT_EQ(segments(), 2U) << "the store does not have it";
  auto flushes = books.Take();
  books.Arrived(flushes, {});
  Close(books, "b", 2);
  ASSERT_TRUE(books.Begin());
  disk.sync_failure = EIO;
  EXPECT_FALSE(books.Sync());
  books.Tidy();
  EXPECT_EQ(segments(), 2U) << "only the first has arrived";
  books.Arrived(books.Take(), {});
  books.Tidy();
  EXPECT_EQ(segments(), 2U) << "the third is not on the disk";
  disk.sync_failure = 0;
  ASSERT_TRUE(books.Begin());
  ASSERT_TRUE(books.Sync());
  books.Arrived(books.Take(), {});
  books.Tidy();
  EXPECT_EQ(segments(), 1U);
  EXPECT_EQ(Replay(temp.File("journal")).sum.input, 3);
  books.RemoveAll();
  EXPECT_TRUE(std::filesystem::is_empty(temp.File("journal")));
}

TEST(LedgerBooks, BoundTheJournalOfAStoreThatNeverAnswers) {
  TempFolder temp;
  LedgerBooks books(temp.File("journal"), "run", 1, JournalFiles::System(), 1);
  for (int n = 1; n <= 20; ++n) {
    ASSERT_TRUE(books.Begin());
    ASSERT_TRUE(books.Sync());
    books.Tidy();
    Close(books, std::to_string(n), 1);
    books.GiveBack(books.Take());
    Replayed replayed = Replay(temp.File("journal"));
    EXPECT_LE(replayed.files, LedgerBooks::kSegments);
    EXPECT_EQ(replayed.sum.requests, n);
  }
}

TEST(LedgerBooks, BeginNoForgottenRowAnew) {
  TempFolder temp;
  LedgerBooks books(temp.File("journal"), "run", 1);
  ASSERT_TRUE(books.Begin());
  Close(books, "a", 1);
  auto flushes = books.Take();
  books.Arrived(flushes, {kTestDay + 1, HourOf(kTestNoon) + 24});
  // The clock was put back: what counts for the day that is forgotten counts for the next.
  Close(books, "b", 2);
  flushes = books.Take();
  ASSERT_EQ(flushes.size(), 1U);
  ASSERT_EQ(flushes[0].rows.days.size(), 1U);
  EXPECT_EQ(flushes[0].rows.days[0].day, kTestDay + 1);
  EXPECT_EQ(flushes[0].rows.days[0].totals.input, 2);
}

TEST(LedgerBooks, WakeWhoeverWaitsForAnEntry) {
  TempFolder temp;
  LedgerBooks books(temp.File("journal"), "run", 2);
  ASSERT_TRUE(books.Begin());
  ASSERT_TRUE(books.Sync());
  for (int round = 0; round < 200; ++round) {
    std::thread waiter([&] {
      while (!books.touched()) books.WaitForEntry(std::chrono::hours(1));
      books.Sync();
    });
    Close(books, std::to_string(round), 1);
    waiter.join();  // or the test never ends
  }
  std::thread stopped([&] { books.Rest(std::chrono::hours(1)); });
  books.Wake();
  stopped.join();
}

}  // namespace
}  // namespace relay
