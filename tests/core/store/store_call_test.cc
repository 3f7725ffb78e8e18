// SPDX-License-Identifier: MIT
#include "core/store/store_call.h"

#include <gtest/gtest.h>

#include <thread>

#include "core/async/task.h"
#include "core/store/memory_store.h"

namespace relay {
namespace {

// Answers when it is told to, on the thread that tells it.
class SlowStore {
 public:
  void LoadObjects(Store::Done<Directory> done) { waiting_ = std::move(done); }
  void Answer(Result<Directory> directory) { waiting_(std::move(directory)); }
  bool asked() const { return waiting_ != nullptr; }

 private:
  Store::Done<Directory> waiting_;
};

template <class S>
Task<Unit> Read(Loop& loop, std::shared_ptr<LoopDoor> door, S& store, Result<Directory>& to) {
  auto load = [&](auto done) { store.LoadObjects(std::move(done)); };
  to = co_await CallStore<Directory>(loop, door, load);
  loop.Stop();
  co_return Unit{};
}

class StoreCallTest : public testing::Test {
 protected:
  template <class S>
  void Begin(S& store) {
    task_ = Read(loop_, door_, store, result_);
    task_.StartOn(loop_, start_, [](void*) noexcept {}, nullptr);
  }

  Loop loop_;
  std::shared_ptr<LoopDoor> door_ = std::make_shared<LoopDoor>(loop_);
  SlowStore slow_;
  Result<Directory> result_ = Directory{};
  Waiter start_;
  Task<Unit> task_;
};

TEST_F(StoreCallTest, GivesAnAnswerThatComesBeforeTheCallReturns) {
  MemoryStore store;
  store.WriteObject({"key", "alice", 0, "{}"}, [](const Result<ObjectWritten>&) {});
  Begin(store);
  loop_.Run();
  ASSERT_TRUE(result_);
  EXPECT_EQ(result_->objects.size(), 1U);
}

TEST_F(StoreCallTest, GivesAnAnswerOfAnotherThread) {
  Begin(slow_);
  loop_.Turn();
  ASSERT_TRUE(slow_.asked());
  std::thread other([&] { slow_.Answer(Fail(Party::kRelay, Fault::kConnect, "gone", true)); });
  loop_.Run();
  other.join();
  ASSERT_FALSE(result_);
  EXPECT_EQ(result_.error().what, "gone");
}

TEST_F(StoreCallTest, AnAnswerForACallerThatHasDiedIsDropped) {
  Begin(slow_);
  loop_.Turn();
  task_ = Task<Unit>();
  std::thread other([&] { slow_.Answer(Directory{7, {}}); });
  other.join();
  loop_.Turn();
  EXPECT_EQ(result_->version, 0);
}

TEST(StoreCall, AnAnswerForALoopThatHasDiedIsDropped) {
  SlowStore store;
  Result<Directory> result = Directory{};
  {
    Loop loop;
    auto door = std::make_shared<LoopDoor>(loop);
    Waiter start;
    Task<Unit> task = Read(loop, door, store, result);
    task.StartOn(loop, start, [](void*) noexcept {}, nullptr);
    loop.Turn();
    task = Task<Unit>();
    door->Close();
  }
  store.Answer(Directory{7, {}});
  EXPECT_EQ(result->version, 0);
}

}  // namespace
}  // namespace relay
