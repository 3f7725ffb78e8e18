// SPDX-License-Identifier: MIT
#include "core/async/loop.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <functional>
#include <string>
#include <thread>

#include "core/async/event.h"
#include "core/async/task.h"

namespace relay {
namespace {

using std::chrono::milliseconds;

struct Fixture : ::testing::Test {
  ManualClock clock;
  Loop loop{clock};
  void After(Duration by) {
    clock.Advance(by);
    loop.Turn();
    loop.Turn();
  }
};

// Owns a task and buries itself when it ends, as an exchange does.
struct Owner : Mortal {
  explicit Owner(Loop& l, int& deaths) : loop(l), dead(deaths) {}
  ~Owner() override { ++dead; }
  Loop& loop;
  int& dead;
  Task<Unit> task;
};

void Launch(Owner* owner) {
  owner->task.Start(
      [](void* arg) noexcept {
        auto* self = static_cast<Owner*>(arg);
        self->loop.Bury(std::unique_ptr<Mortal>(self));
      },
      owner);
}

Task<int> Add(int a, int b) {
  co_return a + b;
}

Task<int> SumInLoop(int n) {
  int sum = 0;
  for (int i = 0; i < n; ++i) {
    int one = co_await Add(i, 0);
    sum = one;
  }
  co_return sum;
}

Task<Unit> Store(int n, int& out) {
  out = co_await SumInLoop(n);
  co_return Unit{};
}

TEST(Task, AwaitsMillionsOfReadyChildrenWithoutGrowingTheStack) {
  int out = 0;
  Task<Unit> task = Store(2'000'000, out);
  task.Start([](void*) noexcept {}, nullptr);
  EXPECT_TRUE(task.done());
  EXPECT_EQ(out, 1'999'999);
}

Task<int> Ready(int n) {
  return n;
}

Task<Unit> StoreReady(int& out) {
  out = co_await Ready(7);
  co_return Unit{};
}

TEST(Task, CanBeMadeFromAReadyValue) {
  int out = 0;
  Task<Unit> task = StoreReady(out);
  task.Start([](void*) noexcept {}, nullptr);
  EXPECT_EQ(out, 7);
}

using LoopTest = Fixture;

Task<Unit> Naps(Loop& loop, int& steps) {
  co_await Sleep(loop, milliseconds(100));
  ++steps;
  co_await Sleep(loop, milliseconds(100));
  ++steps;
  co_return Unit{};
}

TEST_F(LoopTest, SleepsByTheManualClockAndBuriesTheOwnerAtItsEnd) {
  int steps = 0;
  int deaths = 0;
  auto* owner = new Owner(loop, deaths);
  owner->task = Naps(loop, steps);
  Launch(owner);
  After(milliseconds(90));
  EXPECT_EQ(steps, 0);
  After(milliseconds(20));
  EXPECT_EQ(steps, 1);
  EXPECT_EQ(deaths, 0);
  After(milliseconds(120));
  EXPECT_EQ(steps, 2);
  EXPECT_EQ(deaths, 1);
}

TEST_F(LoopTest, BuryingASuspendedOwnerDisarmsWhatItWaitsFor) {
  int steps = 0;
  int deaths = 0;
  auto* owner = new Owner(loop, deaths);
  owner->task = Naps(loop, steps);
  Launch(owner);
  loop.Bury(std::unique_ptr<Mortal>(owner));
  loop.Turn();
  EXPECT_EQ(deaths, 1);
  After(milliseconds(300));
  EXPECT_EQ(steps, 0);
}

Task<Unit> WaitFor(Event& event, TimePoint deadline, std::string& log) {
  bool woken = co_await event.Wait(deadline);
  log += woken ? "woken " : "late ";
  co_return Unit{};
}

TEST_F(LoopTest, AnEventWakesInOrderAndADeadlineEndsTheWait) {
  Event event(loop);
  std::string log;
  Task<Unit> a = WaitFor(event, loop.Now() + milliseconds(50), log);
  Task<Unit> b = WaitFor(event, TimePoint::max(), log);
  a.Start([](void*) noexcept {}, nullptr);
  b.Start([](void*) noexcept {}, nullptr);
  After(milliseconds(80));
  EXPECT_EQ(log, "late ");
  event.NotifyAll();
  EXPECT_EQ(log, "late ");  // only the loop resumes
  loop.Turn();
  EXPECT_EQ(log, "late woken ");
}

struct LoggedFlush final : Flushable {
  LoggedFlush(std::string name, std::string& to) : word(std::move(name)), log(to) {}
  void Flush() override {
    log += word;
    if (then) then();
  }
  std::string word;
  std::string& log;
  std::function<void()> then;
};

TEST_F(LoopTest, FlushesFirstWhatHasToBeThereBeforeAnythingLeaves) {
  std::string log;
  LoggedFlush a("a", log);
  LoggedFlush b("b", log);
  LoggedFlush first("1", log);
  loop.FlushLater(a);
  loop.FlushLater(b);
  loop.FlushFirst(first);
  // Also where a flush brings it about.
  a.then = [&] { loop.FlushFirst(first); };
  loop.Turn();
  EXPECT_EQ(log, "1a1b");
}

TEST_F(LoopTest, GravesAreEmptiedBeforeWaitersAreResumed) {
  Event event(loop);
  std::string log;
  int deaths = 0;
  auto* owner = new Owner(loop, deaths);
  owner->task = WaitFor(event, TimePoint::max(), log);
  Launch(owner);
  event.NotifyAll();
  loop.Bury(std::unique_ptr<Mortal>(owner));
  loop.Turn();
  EXPECT_EQ(deaths, 1);
  EXPECT_EQ(log, "");
}

TEST(Loop, RunsJobsPostedFromAnotherThread) {
  Loop loop;
  int ran = 0;
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) loop.Post([&ran] { ++ran; });
    loop.Post([&loop] { loop.Stop(); });
  });
  loop.Run();
  other.join();
  EXPECT_EQ(ran, 100);
}

struct Probe : Timer {
  Probe(TimerWheel& w, std::vector<int>& l, int n) : Timer(w), log(l), id(n) {}
  void OnTimer() override { log.push_back(id); }
  std::vector<int>& log;
  int id;
};

TEST(TimerWheel, FiresEveryTimerOnceNeverEarlyAndAtMostATickLate) {
  ManualClock clock;
  TimerWheel wheel(clock);
  std::vector<int> log;
  std::vector<std::unique_ptr<Probe>> probes;
  std::vector<TimePoint> due;
  uint64_t seed = 1;
  for (int i = 0; i < 2000; ++i) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    auto delay = milliseconds(static_cast<int64_t>((seed >> 33) % (i % 2 ? 200'000 : 900)));
    probes.push_back(std::make_unique<Probe>(wheel, log, i));
    probes.back()->ArmIn(delay);
    due.push_back(clock.Now() + delay);
  }
  size_t seen = 0;
  for (int step = 0; step < 30'000; ++step) {
    clock.Advance(milliseconds(7));
    wheel.Advance();
    for (; seen < log.size(); ++seen) {
      auto at = due[static_cast<size_t>(log[seen])];
      ASSERT_LE(at, clock.Now());
      ASSERT_LE(clock.Now() - at, milliseconds(7 + 8 + 8));
    }
  }
  EXPECT_EQ(log.size(), 2000U);
}

TEST(TimerWheel, HoldsTimersOfManyDays) {
  ManualClock clock;
  TimerWheel wheel(clock);
  std::vector<int> log;
  Probe far(wheel, log, 1);
  far.ArmIn(std::chrono::hours(24 * 9));
  clock.Advance(std::chrono::hours(24 * 9) - milliseconds(20));
  wheel.Advance();
  EXPECT_TRUE(log.empty());
  clock.Advance(milliseconds(40));
  wheel.Advance();
  EXPECT_EQ(log.size(), 1U);
}

TEST(TimerWheel, ADisarmedOrDeadTimerDoesNotFire) {
  ManualClock clock;
  TimerWheel wheel(clock);
  std::vector<int> log;
  Probe stays(wheel, log, 1);
  stays.ArmIn(milliseconds(10));
  stays.Disarm();
  {
    Probe dies(wheel, log, 2);
    dies.ArmIn(milliseconds(10));
  }
  clock.Advance(milliseconds(100));
  wheel.Advance();
  EXPECT_TRUE(log.empty());
  EXPECT_FALSE(wheel.Next().has_value());
}

struct StopsTheLoop {
  void OnTime() { loop.Stop(); }
  Loop& loop;
};

// libuv's own switch for this replaces the mask while it polls, and a signal that the process
// waits for elsewhere would end it.
TEST(LoopInThread, ABlockedSignalStaysBlockedWhilePolling) {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
  ASSERT_EQ(raise(SIGUSR1), 0);
  Loop loop;
  StopsTheLoop owner{loop};
  MethodTimer<StopsTheLoop, &StopsTheLoop::OnTime> timer(loop.timers(), owner);
  timer.ArmIn(milliseconds(1));
  loop.Run();
  timespec at_once{};
  EXPECT_EQ(sigtimedwait(&blocked, nullptr, &at_once), SIGUSR1);
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
}

}  // namespace
}  // namespace relay
