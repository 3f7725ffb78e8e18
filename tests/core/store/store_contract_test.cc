// SPDX-License-Identifier: MIT
// What every store promises, asked of each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <thread>

#include "core/store/memory_store.h"
#include "core/store/redis_store.h"
#include "core/store/sqlite_store.h"
#include "core/store/store.h"
#include "tests/core/store/entries.h"
#include "tests/core/store/redis_server.h"
#include "tests/core/store/temp_folder.h"

namespace relay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

struct Kind {
  std::string name;
  std::function<std::unique_ptr<Store>(const TempFolder&)> make;
};

class StoreContract : public ::testing::TestWithParam<Kind> {
 protected:
  LedgerImage Load() {
    auto image = Await<LedgerImage>([&](auto done) { store_->Load(std::move(done)); });
    EXPECT_TRUE(image.has_value());
    return std::move(*image);
  }
  // → the epochs that it says were folded.
  std::vector<EndedEpoch> Flush(std::vector<LedgerFlush> flushes) {
    auto flushed =
        Await<Flushed>([&](auto done) { store_->Flush(std::move(flushes), std::move(done)); });
    EXPECT_TRUE(flushed.has_value());
    return flushed ? flushed->ended : std::vector<EndedEpoch>();
  }
  void Fold(const std::string& epoch) {
    EXPECT_TRUE(Await<Unit>([&](auto done) { store_->Fold(epoch, std::move(done)); }));
  }
  ObjectWritten Write(ObjectWrite write) {
    auto written = Await<ObjectWritten>(
        [&](auto done) { store_->WriteObject(std::move(write), std::move(done)); });
    EXPECT_TRUE(written.has_value());
    return *written;
  }
  Directory Objects() {
    auto directory = Await<Directory>([&](auto done) { store_->LoadObjects(std::move(done)); });
    EXPECT_TRUE(directory.has_value());
    return std::move(*directory);
  }
  std::vector<StateBlob> States(const std::string& kind) {
    auto blobs = Await<std::vector<StateBlob>>(
        [&](auto done) { store_->LoadStates(kind, std::move(done)); });
    EXPECT_TRUE(blobs.has_value());
    return std::move(*blobs);
  }
  void PutStates(std::vector<StateBlob> blobs) {
    EXPECT_TRUE(
        Await<Unit>([&](auto done) { store_->PutStates(std::move(blobs), std::move(done)); }));
  }

  TempFolder temp_;
  std::unique_ptr<Store> store_ = GetParam().make(temp_);
};

// One entry's rows, and the entry.
LedgerFlush FlushOf(const std::string& epoch, int64_t sequence, int64_t n,
                    const std::string& key = "alice") {
  LedgerRows rows;
  LedgerEntry entry = TestEntry(epoch + "/" + key + "/" + std::to_string(sequence), n, key);
  rows.Add(entry, TestPeriod(entry));
  return {epoch, sequence, rows.All(), {entry}};
}

TEST_P(StoreContract, IsEmptyAtFirst) {
  LedgerImage image = Load();
  EXPECT_TRUE(image.folded.empty());
  EXPECT_TRUE(image.epochs.empty());
  EXPECT_TRUE(image.recent.empty());
  EXPECT_EQ(Objects().version, 0);
  EXPECT_TRUE(Objects().objects.empty());
  EXPECT_TRUE(States("health").empty());
}

TEST_P(StoreContract, GivesBackTheRowsOfEachEpoch) {
  LedgerFlush a = FlushOf("a", 1, 10);
  LedgerFlush b = FlushOf("b", 1, 20, "bob");
  Flush({a, b});
  LedgerImage image = Load();
  ASSERT_EQ(image.epochs.size(), 2U);
  EXPECT_EQ(image.epochs[0].epoch, "a");
  EXPECT_EQ(image.epochs[0].sequence, 1);
  EXPECT_EQ(image.epochs[0].rows.days, a.rows.days);
  EXPECT_EQ(image.epochs[0].rows.hours, a.rows.hours);
  EXPECT_EQ(image.epochs[1].rows.days, b.rows.days);
  EXPECT_TRUE(image.folded.empty());
}

TEST_P(StoreContract, IsNotChangedByAFlushThatIsRepeated) {
  Flush({FlushOf("a", 1, 10)});
  Flush({FlushOf("a", 1, 10)});
  LedgerImage image = Load();
  ASSERT_EQ(image.epochs.size(), 1U);
  EXPECT_EQ(SumOf(image.epochs[0].rows).input, 10);
  EXPECT_EQ(SumOf(image.epochs[0].rows).requests, 1);
  EXPECT_EQ(image.recent.size(), 1U);
}

TEST_P(StoreContract, IgnoresAFlushThatIsOlderThanWhatItHas) {
  Flush({FlushOf("a", 7, 70)});
  Flush({FlushOf("a", 6, 60), FlushOf("b", 1, 1)});
  LedgerImage image = Load();
  ASSERT_EQ(image.epochs.size(), 2U);
  EXPECT_EQ(SumOf(image.epochs[0].rows).input, 70);
  EXPECT_EQ(image.epochs[0].sequence, 7);
  EXPECT_EQ(SumOf(image.epochs[1].rows).input, 1);
}

TEST_P(StoreContract, LeavesRowsThatAFlushDoesNotName) {
  Flush({FlushOf("a", 1, 10)});
  Flush({FlushOf("a", 2, 5, "bob")});
  LedgerImage image = Load();
  ASSERT_EQ(image.epochs[0].rows.days.size(), 2U);
  EXPECT_EQ(SumOf(image.epochs[0].rows).input, 15);
  EXPECT_EQ(SumOfHours(image.epochs[0].rows).input, 15);
}

TEST_P(StoreContract, FoldsAnEpochOnceAndTakesNoMoreOfIt) {
  Flush({FlushOf("a", 1, 10), FlushOf("b", 1, 5)});
  Fold("a");
  Fold("a");
  EXPECT_EQ(Load().ended, std::vector<std::string>{"a"});
  Flush({FlushOf("a", 2, 1000)});
  Fold("a");
  LedgerImage image = Load();
  EXPECT_EQ(SumOf(image.folded).input, 10);
  ASSERT_EQ(image.epochs.size(), 1U);
  EXPECT_EQ(image.epochs[0].epoch, "b");
  Fold("b");
  image = Load();
  EXPECT_TRUE(image.epochs.empty());
  ASSERT_EQ(image.folded.days.size(), 1U) << "the same day, key, model and account";
  LedgerTotals sum;
  sum.Add(TestEntry("", 10));
  sum.Add(TestEntry("", 5));
  EXPECT_EQ(SumOf(image.folded), sum);
  EXPECT_EQ(SumOfHours(image.folded), sum);
}

TEST_P(StoreContract, TakesNothingOfAnEpochThatWasFoldedUnseen) {
  Fold("a");
  Flush({FlushOf("a", 1, 10)});
  LedgerImage image = Load();
  EXPECT_TRUE(image.folded.empty());
  EXPECT_TRUE(image.epochs.empty());
}

TEST_P(StoreContract, TellsWhichEpochsWereFoldedAndHowMuchOfThem) {
  EXPECT_THAT(Flush({FlushOf("a", 1, 10), FlushOf("b", 1, 5)}), IsEmpty());
  EXPECT_THAT(Flush({FlushOf("a", 3, 20)}), IsEmpty());
  EXPECT_THAT(Flush({FlushOf("a", 2, 15)}), IsEmpty()) << "it is only late";
  Fold("a");
  Fold("unseen");
  EXPECT_THAT(Flush({FlushOf("a", 4, 1000), FlushOf("b", 2, 6), FlushOf("unseen", 1, 9)}),
              UnorderedElementsAre(EndedEpoch{"a", 3}, EndedEpoch{"unseen", 0}));
  Fold("a");
  EXPECT_THAT(Flush({FlushOf("a", 3, 20)}), ElementsAre(EndedEpoch{"a", 3})) << "still";
  LedgerImage image = Load();
  EXPECT_EQ(SumOf(image.folded).input, 20);
  ASSERT_EQ(image.epochs.size(), 1U) << "the others of the call were taken";
  EXPECT_EQ(SumOf(image.epochs[0].rows).input, 6);
  // As long as rows are kept.
  auto expire = [&](int32_t day) {
    Period kept{day, 0};
    ASSERT_TRUE(Await<Unit>([&](auto done) { store_->Expire(kept, std::move(done)); }));
  };
  expire(kTestDay);
  EXPECT_THAT(Load().ended, UnorderedElementsAre("a", "unseen"));
}

TEST_P(StoreContract, DropsRowsThatAreTooOldOfEndedEpochsAndOfLiveOnes) {
  LedgerFlush flush = FlushOf("a", 1, 10);
  DayRow next = flush.rows.days[0];
  next.day += 1;
  flush.rows.days.push_back(next);
  HourRow later = flush.rows.hours[0];
  later.hour += 1;
  flush.rows.hours.push_back(later);
  Flush({flush, flush});
  flush.epoch = "alive";
  Flush({flush});
  Fold("a");
  Period kept{next.day, later.hour};
  ASSERT_TRUE(Await<Unit>([&](auto done) { store_->Expire(kept, std::move(done)); }));
  LedgerImage image = Load();
  EXPECT_THAT(image.folded.days, ElementsAre(next));
  EXPECT_THAT(image.folded.hours, ElementsAre(later));
  ASSERT_EQ(image.epochs.size(), 1U);
  EXPECT_THAT(image.epochs[0].rows.days, ElementsAre(next)) << "a run may be longer than that";
  EXPECT_THAT(image.epochs[0].rows.hours, ElementsAre(later));
}

TEST_P(StoreContract, KeepsTheNewestExchangesOnceEach) {
  for (int64_t i = 0; i < 30; ++i) {
    LedgerFlush flush{"a", i, {}, {}};
    for (int64_t n = 0; n < 50; ++n)
      flush.recent.push_back(TestEntry(std::to_string(i * 40 + n), n));
    Flush({flush});
  }
  LedgerImage image = Load();
  constexpr int kLast = 29 * 40 + 49;
  ASSERT_EQ(image.recent.size(), Store::kRecent);
  EXPECT_EQ(image.recent.back().id, std::to_string(kLast));
  EXPECT_EQ(image.recent.front().id, std::to_string(kLast + 1 - 1000));
  EXPECT_EQ(image.recent.back().key, "alice");
  EXPECT_EQ(image.recent.back().usage.output, 98);
}

TEST_P(StoreContract, KeepsStatesByKindAndDropsEmptyOnes) {
  std::string bytes("\0\xff{}", 4);
  PutStates({{"health", "b", "1"}, {"health", "a", bytes}, {"healthy", "c", "3"}});
  PutStates({{"health", "b", "2"}});
  EXPECT_THAT(States("health"),
              ElementsAre(StateBlob{"health", "a", bytes}, StateBlob{"health", "b", "2"}));
  PutStates({{"health", "a", ""}, {"health", "never", ""}});
  EXPECT_THAT(States("health"), ElementsAre(StateBlob{"health", "b", "2"}));
  EXPECT_EQ(States("healthy").size(), 1U);
}

TEST_P(StoreContract, TakesStatesWithAFlush) {
  auto flush = [&](std::vector<LedgerFlush> flushes, std::vector<StateBlob> blobs) {
    auto flushed = Await<Flushed>(
        [&](auto done) { store_->FlushWithStates(flushes, blobs, std::move(done)); });
    EXPECT_TRUE(flushed.has_value());
    return flushed ? flushed->ended : std::vector<EndedEpoch>();
  };
  PutStates({{"health", "claude/a", "old"}});
  EXPECT_THAT(flush({FlushOf("a", 1, 10)}, {{"health", "claude/a", ""}, {"sticky", "s", "new"}}),
              IsEmpty());
  EXPECT_TRUE(States("health").empty());
  EXPECT_THAT(States("sticky"), ElementsAre(StateBlob{"sticky", "s", "new"}));
  Fold("a");
  EXPECT_THAT(flush({FlushOf("a", 2, 20)}, {{"sticky", "s", "newer"}}),
              ElementsAre(EndedEpoch{"a", 1}));
  EXPECT_THAT(States("sticky"), ElementsAre(StateBlob{"sticky", "s", "newer"}));
  EXPECT_EQ(SumOf(Load().folded).input, 10);
}

TEST_P(StoreContract, WritesAnObjectOnlyOverTheVersionThatWasRead) {
  ObjectWritten made = Write({"key", "alice", 0, "one"});
  EXPECT_FALSE(made.conflict);
  EXPECT_GT(made.version, 0);
  ObjectWritten again = Write({"key", "alice", 0, "another"});
  EXPECT_TRUE(again.conflict);
  EXPECT_EQ(again.version, made.version);
  ObjectWritten changed = Write({"key", "alice", made.version, "two"});
  EXPECT_FALSE(changed.conflict);
  EXPECT_GT(changed.version, made.version);
  EXPECT_TRUE(Write({"key", "alice", made.version, "late"}).conflict);
  EXPECT_TRUE(Write({"key", "alice", made.version, std::nullopt}).conflict);
  EXPECT_THAT(Objects().objects, ElementsAre(StoredObject{"key", "alice", changed.version, "two"}));
  EXPECT_EQ(Objects().version, changed.version);
}

TEST_P(StoreContract, CountsTheDirectorysVersionByOneWithEachWrite) {
  ObjectWritten made = Write({"key", "alice", 0, "one"});
  EXPECT_EQ(made.directory, Objects().version);
  EXPECT_EQ(Write({"key", "alice", 0, "two"}).directory, 0) << "a conflict";
  EXPECT_EQ(Write({"key", "bob", 0, std::nullopt}).directory, 0) << "there is none to remove";
  EXPECT_EQ(Write({"key", "bob", 0, "two"}).directory, made.directory + 1);
  EXPECT_EQ(Write({"key", "alice", made.version, std::nullopt}).directory, made.directory + 2);
  EXPECT_EQ(Objects().version, made.directory + 2);
}

TEST_P(StoreContract, NeverGivesAVersionAgain) {
  ObjectWritten made = Write({"key", "alice", 0, "one"});
  EXPECT_FALSE(Write({"key", "alice", made.version, std::nullopt}).conflict);
  EXPECT_TRUE(Objects().objects.empty());
  EXPECT_GT(Objects().version, made.version);
  ObjectWritten anew = Write({"key", "alice", 0, "one"});
  EXPECT_NE(anew.version, made.version);
  EXPECT_FALSE(Write({"key", "bob", 0, std::nullopt}).conflict) << "there is none to remove";
}

TEST_P(StoreContract, LosesNoUpdateOfMany) {
  constexpr int kThreads = 4;
  constexpr int kEach = 25;
  Write({"count", "all", 0, "0"});
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < kEach;) {
        StoredObject read = Objects().objects.at(0);
        std::string next = std::to_string(std::stoi(read.value) + 1);
        if (!Write({"count", "all", read.version, next}).conflict) ++i;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Objects().objects.at(0).value, std::to_string(kThreads * kEach));
}

TEST_P(StoreContract, TakesAFlushOfVeryManyRows) {
  LedgerFlush flush{"a", 1, {}, {}};
  constexpr int kRows = 5000;
  for (int i = 0; i < kRows; ++i) {
    DayRow row{kTestDay + i % 100, "key" + std::to_string(i / 100), "model", "claude/team", {}};
    row.totals.requests = i + 1;
    flush.rows.days.push_back(row);
    flush.recent.push_back(TestEntry(std::to_string(i), i));
  }
  Flush({flush, FlushOf("b", 1, 1)});
  LedgerImage image = Load();
  ASSERT_EQ(image.epochs.size(), 2U);
  EXPECT_EQ(image.epochs[0].rows.days.size(), size_t{kRows});
  EXPECT_EQ(SumOf(image.epochs[0].rows).requests, int64_t{kRows} * (kRows + 1) / 2);
  EXPECT_EQ(image.recent.size(), Store::kRecent);
  Fold("a");
  image = Load();
  EXPECT_EQ(image.folded.days.size(), size_t{kRows});
  EXPECT_EQ(SumOf(image.folded).requests, int64_t{kRows} * (kRows + 1) / 2);
}

TEST_P(StoreContract, KeepsNamesAndValuesOfAnyBytes) {
  LedgerFlush flush = FlushOf("a", 1, 10);
  flush.rows.days[0].model = "a|b\\c \x01 \xc3\xa9";
  flush.rows.days[0].totals.nanodollars = 8'123'456'789'012'345;
  Flush({flush});
  Fold("a");
  EXPECT_EQ(Load().folded.days, flush.rows.days);
  std::string bytes("1 \0\xff\r\n", 6);
  ObjectWritten made = Write({"key", "a|b\\", 0, bytes});
  EXPECT_THAT(Objects().objects, ElementsAre(StoredObject{"key", "a|b\\", made.version, bytes}));
}

TEST_P(StoreContract, FinishesWhatWasAskedBeforeItDies) {
  std::atomic<int> done{0};
  for (int i = 1; i <= 20; ++i) {
    store_->Flush({FlushOf("a", i, i)}, [&done](const Result<Flushed>& result) {
      if (result) ++done;
    });
  }
  store_.reset();
  EXPECT_EQ(done, 20);
}

std::vector<Kind> Kinds() {
  std::vector<Kind> kinds = {
      {"memory", [](const TempFolder&) { return std::make_unique<MemoryStore>(); }},
      {"embedded",
       [](const TempFolder& temp) {
         auto store = SqliteStore::Open(temp.File("relay.db"));
         EXPECT_TRUE(store.has_value()) << store.error().what;
         return std::move(*store);
       }},
  };
  // Redis always, Valkey where it is installed. One server for all tests of a kind.
  for (std::string name : {"redis", "valkey"}) {
    std::string program = FindProgram(name + "-server");
    if (program.empty() && name == "valkey") continue;
    kinds.push_back({name, [program](const TempFolder&) -> std::unique_ptr<Store> {
                       static std::map<std::string, std::unique_ptr<RedisServer>> servers;
                       auto& server = servers[program];
                       if (server == nullptr) {
                         server =
                             std::make_unique<RedisServer>(std::vector<std::string>(), program);
                       }
                       EXPECT_EQ(server->Ask({"FLUSHALL"}), std::vector<std::string>{"OK"});
                       return std::make_unique<RedisStore>(RedisStore::Options{server->options()});
                     }});
  }
  return kinds;
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreContract, ::testing::ValuesIn(Kinds()),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace relay
