// SPDX-License-Identifier: MIT
// Processes that come and go on one disk and one store, all of them in the hands of a test.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/files.h"
#include "core/base/log.h"
#include "core/store/ledger_keeper.h"
#include "core/store/memory_store.h"
#include "tests/core/store/entries.h"
#include "tests/core/store/full_disk.h"
#include "tests/core/store/temp_folder.h"

namespace relay {

// A store that outlives its users, fails as told, and answers when it is told to.
class TestStore final : public Store {
 public:
  explicit TestStore(Store& inner) : inner_(inner) {}
  std::string_view kind() const override { return "test"; }
  StoreStatus status() const override { return tells; }
  void Load(Done<LedgerImage> done) override {
    ++calls["load"];
    if (fails) return done(Fail(Party::kRelay, Fault::kInternal, "not there yet", true));
    inner_.Load(std::move(done));
  }
  void Flush(std::vector<LedgerFlush> flushes, Done<Flushed> done) override {
    ++calls["flush"];
    if (!Fails(done)) inner_.Flush(std::move(flushes), Later(std::move(done)));
  }
  void Fold(std::string epoch, Done<Unit> done) override {
    ++calls["fold"];
    if (fold_fails) {
      if (on_failure) on_failure();
      return done(Fail(Party::kRelay, Fault::kInternal, "too large a fold"));
    }
    if (!Fails(done)) inner_.Fold(std::move(epoch), Later(std::move(done)));
  }
  void Expire(Period kept_from, Done<Unit> done) override {
    ++calls["expire"];
    expired = kept_from;
    if (!Fails(done)) inner_.Expire(kept_from, Later(std::move(done)));
  }
  void LoadStates(std::string kind, Done<std::vector<StateBlob>> done) override {
    inner_.LoadStates(std::move(kind), std::move(done));
  }
  void PutStates(std::vector<StateBlob> blobs, Done<Unit> done) override {
    ++calls["states"];
    if (states_fail) return done(Fail(Party::kRelay, Fault::kInternal, "no room for states"));
    if (!Fails(done)) inner_.PutStates(std::move(blobs), Later(std::move(done)));
  }
  void LoadObjects(Done<Directory> done) override { done(Directory()); }
  void WriteObject(ObjectWrite, Done<ObjectWritten> done) override { done(ObjectWritten()); }

  // Gives the answers that were held back.
  void Answer() {
    for (auto& answer : std::exchange(held_, {})) answer();
  }

  std::map<std::string, int> calls;
  StoreStatus tells;
  Period expired;
  bool fails = false;
  bool fold_fails = false;
  bool states_fail = false;
  int failures = 0;                  // that many calls fail
  std::function<void()> on_failure;  // of each of them
  bool done_but_lost = false;        // with `fails`: it is done, and the answer gets lost
  bool holds = false;

 private:
  // Where it fails without having done anything.
  template <class T>
  bool Fails(Done<T>& done) {
    bool blinks = failures > 0;
    if (blinks) {
      --failures;
      if (on_failure) on_failure();
    }
    if (!blinks && (!fails || done_but_lost)) return false;
    Give<T>(std::move(done), Fail(Party::kRelay, Fault::kInternal, "disk full"));
    return true;
  }
  template <class T>
  Done<T> Later(Done<T> done) {
    return [this, done = std::move(done)](Result<T> result) mutable {
      if (fails) result = Fail(Party::kRelay, Fault::kInternal, "the answer was lost");
      Give(std::move(done), std::move(result));
    };
  }
  template <class T>
  void Give(Done<T> done, Result<T> result) {
    if (holds) {
      held_.push_back([done = std::move(done), result = std::move(result)]() mutable {
        done(std::move(result));
      });
    } else {
      done(std::move(result));
    }
  }
  Store& inner_;
  std::vector<std::function<void()>> held_;
};

// What lasts: a disk, and the store.
struct World {
  TempFolder temp;
  ManualClock clock;
  FullDisk disk;
  MemoryStore kept;
  TestStore store{kept};
  int runs = 0;
  bool no_folder = false;
  std::string journals() const { return temp.File("journal"); }
  size_t files() const {
    size_t count = 0;
    if (!std::filesystem::exists(journals())) return 0;
    for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(journals()))
      ++count;
    return count;
  }
};

// One process, stepped by hand. It ends like one that was killed, unless it is told to Finish. A
// store that fails at its start is read late.
struct Process {
  explicit Process(World& w, uint64_t segment_bytes = Journal::kSegmentBytes,
                   StateKeeper* states = nullptr)
      : world(w),
        books(w.no_folder ? std::string(kNoFolder) : w.journals(), "run" + std::to_string(++w.runs),
              2, w.no_folder ? JournalFiles::None() : w.disk, segment_bytes) {
    std::vector<std::string> kinds;
    if (states != nullptr) kinds = states->kinds();
    auto past = ReadPast(world.store, world.journals(), kinds);
    auto add = [this, states](const Past& found) {
      ledger.Load(found.days, found.recent);
      if (states != nullptr) states->Restore(found.states);
    };
    if (past) add(*past);
    std::vector<DeadEpoch> dead;
    if (past) dead = std::move(past->dead);
    keeper.emplace(world.store, books, ledger, world.clock, std::move(dead), states);
    if (!past) keeper->ReadLate({world.journals(), "run" + std::to_string(world.runs), add});
    ledger.WriteTo(&books);
    keeper->Step();
  }
  void Open(const std::string& id, int64_t n) {
    ledger.Open(EntryOf(id, n));
    ledger.Write();
  }
  void Close(const std::string& id, int64_t n) {
    ledger.Close(EntryOf(id, n));
    ledger.Write();
  }
  LedgerEntry EntryOf(const std::string& id, int64_t n) const {
    LedgerEntry entry = TestEntry(id, n);
    entry.when = world.clock.Wall();
    return entry;
  }
  // As the thread would, `seconds` long.
  void Pass(int seconds) {
    for (int i = 0; i < seconds * 4; ++i) {
      world.clock.Advance(std::chrono::milliseconds(250));
      keeper->Step();
    }
  }
  LedgerTotals Sum() const {
    LedgerTotals sum;
    for (const LedgerRow& row : ledger.Sum(LedgerBy::kKey)) sum.Add(row.totals);
    return sum;
  }
  World& world;
  LedgerBooks books;
  Ledger ledger;
  std::optional<LedgerKeeper> keeper;
};

// What the log tells of an end.
inline std::string LogOfEnd(World& world, LedgerKeeper& keeper) {
  std::string file = world.temp.File("log");
  StartLog({.file = file});
  keeper.Finish();
  StopLog();
  return *ReadWholeFile(file);
}

// What the store alone knows.
inline LedgerTotals InStore(World& world) {
  auto image = Await<LedgerImage>([&](auto done) { world.kept.Load(std::move(done)); });
  LedgerTotals sum = SumOf(image->folded);
  for (const EpochRows& epoch : image->epochs) sum.Add(SumOf(epoch.rows));
  return sum;
}

}  // namespace relay
