// SPDX-License-Identifier: MIT
// Relays that share limits in a real Redis: what they admit together, and what becomes of what is
// held when answers are late, relays die and Redis is away.
#include "core/store/redis_limits.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <sstream>
#include <vector>

#include "core/store/redis_limit_script.h"
#include "tests/core/store/redis_server.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using What = Limiter::Denied::What;
using Verdict = SharedLimits::Verdict;

// One relay: a store, its limiter, and a loop on which exchanges ask.
class Relay {
 public:
  Relay(const RedisOptions& redis, const std::string& name,
        const std::function<void(RedisLimits::Options&)>& change = {}) {
    RedisStore::Options options{redis};
    options.limits = RedisLimits::Options{.relay = name};
    if (change) change(*options.limits);
    store_ = std::make_unique<RedisStore>(std::move(options));
    limiter.ShareBy(store_->limits());
    limits().Open();
  }
  RedisLimits& limits() { return *store_->limits(); }
  RedisStore& store() { return *store_; }
  void Stop() { store_.reset(); }

  // An exchange that asks once, and holds what it gets while it lives.
  class Guest {
   public:
    Guest(Relay& relay, Limiter::Ask ask, Duration patience)
        : relay_(relay), task_(Run(std::move(ask), patience)) {
      task_.Start([](void*) noexcept {}, nullptr);
    }
    bool done() const { return admitted.has_value(); }
    bool in() const { return done() && admitted->slot != nullptr; }
    const Limiter::Denied& over() const { return *admitted->over; }
    void Use(const Charge& charge) { relay_.limiter.Settle(*admitted->slot, charge); }
    void Leave() { admitted->slot.reset(); }

    std::optional<Limiter::Everywhere> admitted;

   private:
    Task<Unit> Run(Limiter::Ask ask, Duration patience) {
      Limiter::Everywhere got = co_await relay_.limiter.AdmitEverywhere(
          relay_.loop, std::move(ask), relay_.loop.Now() + patience, 100);
      admitted = std::move(got);
      co_return Unit{};
    }
    Relay& relay_;
    Task<Unit> task_;
  };

  // The scope of that name is asked for these.
  std::unique_ptr<Guest> Begin(const std::string& scope, const RateLimits& limits,
                               Charge reserve = {}, Duration patience = {}) {
    Limiter::Ask ask;
    ask.claims[0] = {limiter.Scope(scope), limits};
    ask.reserve = reserve;
    loop.Turn();  // it may have stood still
    return std::make_unique<Guest>(*this, std::move(ask), patience);
  }
  bool Until(const std::function<bool()>& test, Duration most = 10s) {
    for (TimePoint end = std::chrono::steady_clock::now() + most;
         !test() && std::chrono::steady_clock::now() < end;) {
      loop.Turn();
      ::poll(nullptr, 0, 1);
    }
    return test();
  }
  std::unique_ptr<Guest> Ask(const std::string& scope, const RateLimits& limits,
                             Charge reserve = {}) {
    auto guest = Begin(scope, limits, reserve);
    EXPECT_TRUE(Until([&] { return guest->done(); }));
    return guest;
  }

  Loop loop;
  Limiter limiter;

 private:
  std::unique_ptr<RedisStore> store_;
};

constexpr std::string_view kKey = "key alice";

struct RedisLimitsTest : testing::Test {
  // Of all leases together: "requests tokens nanodollars".
  std::string HeldOf(const std::string& relay, const std::string& scope = std::string(kKey)) {
    return server.Ask({"HGET", "relay:lease:" + relay, "=" + scope})[0];
  }
  bool Becomes(const std::function<bool()>& test) {
    for (int i = 0; i < 1000 && !test(); ++i) ::poll(nullptr, 0, 10);
    return test();
  }
  bool NothingIsHeld() {
    return Becomes([&] {
      return server.Ask({"EXISTS", "relay:lease:a", "relay:lease:b"})[0] == "0" &&
             server.Ask({"SCARD", "relay:replicas"})[0] == "0";
    });
  }
  RedisServer server;
  Relay a{server.options(), "a"};
  Relay b{server.options(), "b"};
};

TEST_F(RedisLimitsTest, StartsOfAMinuteAreCountedTogether) {
  const RateLimits limits{.requests_per_minute = 3};
  EXPECT_TRUE(a.Ask("key alice", limits)->in());
  EXPECT_TRUE(b.Ask("key alice", limits)->in());
  EXPECT_TRUE(a.Ask("key alice", limits)->in());
  auto denied = b.Ask("key alice", limits);
  ASSERT_FALSE(denied->in());
  EXPECT_EQ(denied->over().what, What::kRequests);
  EXPECT_EQ(denied->over().claim, 0U);
  EXPECT_EQ(denied->over().limit, 3);
  EXPECT_GT(*denied->over().retry_after, 55s);
  EXPECT_LE(*denied->over().retry_after, 61s);
  EXPECT_TRUE(b.Ask("key bob", limits)->in());
  EXPECT_TRUE(NothingIsHeld());
}

TEST_F(RedisLimitsTest, WhatHasEndedGoesWithAFlush) {
  const RateLimits limits{.concurrency = 1};
  auto flush = [&](int64_t sequence) {
    LedgerFlush one{"epoch", sequence, {}, {}};
    one.rows.hours.push_back({1, "alice", {.requests = sequence}});
    std::vector<StateBlob> blobs{{"budget", "it", std::to_string(sequence)}};
    return Await<Flushed>(
        [&](auto done) { a.store().FlushWithStates({one}, blobs, std::move(done)); });
  };
  for (int64_t i = 1; i <= 3; ++i) {
    auto guest = a.Ask("key alice", limits);
    ASSERT_TRUE(guest->in());
    uint64_t before = a.store().status().commands;
    guest->Leave();
    ASSERT_TRUE(flush(i));
    EXPECT_EQ(HeldOf("a"), "") << "before anything else told of it";
    if (i == 1) continue;  // a script that the server does not know
    EXPECT_EQ(a.store().status().commands, before + 1);
  }
  EXPECT_EQ(server.Ask({"HGET", "relay:states:budget", "it"})[0], "3");
  // What was told is not told again by itself.
  uint64_t before = a.store().status().commands;
  ::poll(nullptr, 0, 300);
  EXPECT_EQ(a.store().status().commands, before);
}

TEST_F(RedisLimitsTest, AMinuteThatAllHaveUsedUpIsAskedForOnce) {
  for (const RateLimits& limits :
       {RateLimits{.requests_per_minute = 1}, RateLimits{.tokens_per_minute = 1}}) {
    std::string scope = limits.tokens_per_minute > 0 ? "key tokens" : "key starts";
    auto first = a.Ask(scope, limits, {.tokens = 1});
    ASSERT_TRUE(first->in());
    first->Use({.tokens = 1});
    ASSERT_TRUE(NothingIsHeld());
    auto denied = b.Ask(scope, limits, {.tokens = 1});
    ASSERT_FALSE(denied->in());
    uint64_t before = b.store().status().commands;
    auto again = b.Ask(scope, limits, {.tokens = 1});
    ASSERT_FALSE(again->in());
    EXPECT_EQ(again->over().what, denied->over().what);
    EXPECT_EQ(again->over().limit, 1);
    EXPECT_GT(*again->over().retry_after, 50s);
    EXPECT_LE(*again->over().retry_after, *denied->over().retry_after);
    EXPECT_EQ(b.store().status().commands, before);
    RateLimits more = limits;
    (limits.tokens_per_minute > 0 ? more.tokens_per_minute : more.requests_per_minute) = 5;
    EXPECT_TRUE(b.Ask(scope, more)->in()) << "it was changed";
    EXPECT_TRUE(NothingIsHeld());
  }
}

TEST_F(RedisLimitsTest, WhatIsDeniedElsewhereCountsNowhere) {
  const RateLimits limits{.requests_per_minute = 5, .concurrency = 1};
  auto holder = a.Ask("key alice", limits);
  for (int i = 0; i < 10; ++i) {
    auto denied = b.Ask("key alice", limits);
    ASSERT_FALSE(denied->in());
    EXPECT_EQ(denied->over().what, What::kConcurrency);
    EXPECT_EQ(denied->over().retry_after, 1s);
  }
  EXPECT_EQ(b.limiter.Scope("key alice")->InFlight(), 0);
  holder->Leave();
  EXPECT_TRUE(NothingIsHeld());
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(b.Ask("key alice", limits)->in()) << i;
  EXPECT_FALSE(b.Ask("key alice", limits)->in());
}

TEST_F(RedisLimitsTest, APlaceThatIsGivenBackHereIsTakenHereAtOnce) {
  const RateLimits limits{.concurrency = 1};
  for (int i = 0; i < 50; ++i) {
    auto guest = a.Ask("key alice", limits);
    EXPECT_TRUE(guest->in()) << i;
  }
  EXPECT_TRUE(NothingIsHeld());
}

TEST_F(RedisLimitsTest, WhoDiesBeforeItIsAnsweredHoldsNothingAndIsNoStart) {
  const RateLimits limits{.requests_per_minute = 1, .concurrency = 1};
  for (int i = 0; i < 50; ++i) {
    auto guest = a.Begin("key alice", limits);
    EXPECT_FALSE(guest->done());
    // Some are on their way then, others not yet.
    if (i % 2 == 1) ::poll(nullptr, 0, 1);
  }
  EXPECT_TRUE(NothingIsHeld());
  EXPECT_TRUE(b.Ask("key alice", limits)->in());
}

TEST_F(RedisLimitsTest, OneCommandReservesAndSettlesTheOneBefore) {
  const RateLimits limits{.requests_per_minute = 1000, .concurrency = 1};
  a.Ask("key alice", limits);
  EXPECT_TRUE(NothingIsHeld());
  uint64_t before = a.store().status().commands;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(a.Ask("key alice", limits)->in());
  EXPECT_TRUE(NothingIsHeld());
  uint64_t spent = a.store().status().commands - before;
  EXPECT_GE(spent, 100U);
  EXPECT_LE(spent, 110U);
}

TEST_F(RedisLimitsTest, ALeaseThatLapsesIsToldAgain) {
  const RateLimits limits{.concurrency = 3};
  auto first = a.Ask("key alice", limits);
  auto second = a.Ask("key alice", limits);
  ASSERT_EQ(HeldOf("a"), "2 0 0");
  server.Ask({"DEL", "relay:lease:a"});
  auto third = a.Ask("key alice", limits);
  EXPECT_TRUE(third->in());
  EXPECT_EQ(HeldOf("a"), "3 0 0");
  EXPECT_FALSE(b.Ask("key alice", limits)->in());
  first->Leave();
  second->Leave();
  third->Leave();
  EXPECT_TRUE(NothingIsHeld());
}

TEST_F(RedisLimitsTest, WhatALeaseThatLapsedHeldCountsWithWhatOthersHold) {
  const RateLimits limits{.concurrency = 3};
  auto first = a.Ask("key alice", limits);
  auto second = a.Ask("key alice", limits);
  auto third = b.Ask("key alice", limits);
  ASSERT_TRUE(third->in());
  server.Ask({"DEL", "relay:lease:a"});
  EXPECT_FALSE(a.Ask("key alice", limits)->in());
  EXPECT_EQ(HeldOf("a"), "2 0 0");
  EXPECT_EQ(HeldOf("b"), "1 0 0");
}

TEST_F(RedisLimitsTest, ANewConnectionTellsAllThatIsHeldAndNoMore) {
  const RateLimits limits{.concurrency = 2};
  auto holder = a.Ask("key alice", limits);
  ASSERT_EQ(HeldOf("a"), "1 0 0");
  // A server that took another's place has not heard that this one ended.
  server.Ask({"HSET", "relay:lease:a", "#999", "0 0 0\x1f-key alice", "=key alice", "2 0 0"});
  EXPECT_FALSE(b.Ask("key alice", limits)->in());
  server.Ask({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  EXPECT_TRUE(Becomes([&] { return HeldOf("a") == "1 0 0"; }));
  EXPECT_EQ(server.Ask({"HEXISTS", "relay:lease:a", "#999"})[0], "0");
  EXPECT_FALSE(a.limits().status().away);
  EXPECT_TRUE(b.Ask("key alice", limits)->in());
}

TEST_F(RedisLimitsTest, IsConnectedBeforeAnybodyAsks) {
  EXPECT_TRUE(Becomes([&] { return a.store().status().link == StoreStatus::Link::kConnected; }));
}

TEST_F(RedisLimitsTest, WhatADeadRelayHeldIsFreeWhenItsLeaseEnds) {
  auto brief = [](RedisLimits::Options& options) { options.lease = 300ms; };
  const RateLimits limits{.concurrency = 1};
  Relay c(server.options(), "c", brief);
  auto guest = c.Ask("key alice", limits);
  EXPECT_FALSE(a.Ask("key alice", limits)->in());
  // Its next renewal would come too late: as if it were dead.
  EXPECT_TRUE(Becomes([&] { return server.Ask({"EXISTS", "relay:lease:c"})[0] == "0"; }));
  EXPECT_TRUE(a.Ask("key alice", limits)->in());
  EXPECT_EQ(server.Ask({"SISMEMBER", "relay:replicas", "c"})[0], "0");
}

TEST_F(RedisLimitsTest, ABudgetIsHeldByTheReserveRule) {
  RateLimits limits;
  limits.cost[static_cast<size_t>(CostWindow::kDay)] = 100;
  // Nothing is in flight anywhere: whatever it reserves.
  auto first = a.Ask("key alice", limits, {.nanodollars = 90});
  ASSERT_TRUE(first->in());
  EXPECT_EQ(HeldOf("a"), "1 0 90");
  auto second = b.Ask("key alice", limits, {.nanodollars = 20});
  ASSERT_FALSE(second->in());
  EXPECT_EQ(second->over().what, What::kCost);
  EXPECT_EQ(second->over().window, CostWindow::kDay);
  EXPECT_EQ(second->over().limit, 100);
  EXPECT_FALSE(second->over().spent);
  EXPECT_EQ(second->over().retry_after, 1s);
  EXPECT_TRUE(b.Ask("key alice", limits, {.nanodollars = 10})->in());
  first->Use({.nanodollars = 120});
  EXPECT_TRUE(NothingIsHeld());
  auto spent = b.Ask("key alice", limits, {.nanodollars = 1});
  ASSERT_FALSE(spent->in());
  EXPECT_TRUE(spent->over().spent);
  EXPECT_GT(*spent->over().retry_after, 0s);
  EXPECT_LE(*spent->over().retry_after, 24h);
}

TEST_F(RedisLimitsTest, FiveHoursAndAllWindowsCountWhatAnyRelaySpent) {
  for (size_t window = 0; window <= kCostWindows; ++window) {
    std::string scope = "key k" + std::to_string(window);
    RateLimits limits;
    (window == kCostWindows ? limits.cost_per_5h : limits.cost[window]) = 100;
    auto guest = a.Ask(scope, limits, {.nanodollars = 50});
    ASSERT_TRUE(guest->in());
    guest->Use({.nanodollars = 100});
    ASSERT_TRUE(NothingIsHeld());
    auto spent = b.Ask(scope, limits, {.nanodollars = 1});
    ASSERT_FALSE(spent->in()) << scope;
    EXPECT_TRUE(spent->over().spent);
    bool ends = window != static_cast<size_t>(CostWindow::kTotal);
    EXPECT_EQ(spent->over().retry_after.has_value(), ends) << scope;
    // It knows now, and says so by itself.
    uint64_t before = b.store().status().commands;
    auto again = b.Ask(scope, limits, {.nanodollars = 1});
    ASSERT_FALSE(again->in()) << scope;
    EXPECT_TRUE(again->over().spent);
    EXPECT_EQ(again->over().what, spent->over().what);
    EXPECT_EQ(again->over().retry_after.has_value(), ends) << scope;
    EXPECT_EQ(b.store().status().commands, before);
  }
}

TEST_F(RedisLimitsTest, FiveHoursEndWhenThoseOfAllDo) {
  const RateLimits limits{.cost_per_5h = 100};
  a.Ask("key alice", limits)->Use({.nanodollars = 10});
  ASSERT_TRUE(NothingIsHeld());
  // Ours began now, theirs four hours ago.
  auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
      SystemClock::Get().Wall().time_since_epoch());
  std::string began = std::to_string((now - 4h).count());
  server.Ask({"HSET", "relay:limit:key alice", "five", began + " 100"});
  for (int i = 0; i < 2; ++i) {
    auto spent = a.Ask("key alice", limits);
    ASSERT_FALSE(spent->in());
    EXPECT_EQ(spent->over().what, What::kFiveHours);
    EXPECT_GT(*spent->over().retry_after, 59min);
    EXPECT_LE(*spent->over().retry_after, 1h);
  }
}

TEST_F(RedisLimitsTest, TokensOfAMinuteCountWhatIsReservedAndWhatWasUsed) {
  const RateLimits limits{.tokens_per_minute = 100};
  auto first = a.Ask("key alice", limits, {.tokens = 90});
  ASSERT_TRUE(first->in());
  auto held = b.Ask("key alice", limits, {.tokens = 20});
  ASSERT_FALSE(held->in());
  EXPECT_EQ(held->over().what, What::kTokens);
  EXPECT_EQ(held->over().retry_after, 1s);
  first->Use({.tokens = 100});
  EXPECT_TRUE(NothingIsHeld());
  auto used = b.Ask("key alice", limits, {.tokens = 1});
  ASSERT_FALSE(used->in());
  EXPECT_GT(*used->over().retry_after, 55s);
}

TEST_F(RedisLimitsTest, WhatWasSpentBeforeCountsOnceWhoeverKnowsIt) {
  RateLimits limits;
  limits.cost[static_cast<size_t>(CostWindow::kTotal)] = 100;
  for (Relay* relay : {&a, &b}) {
    Spending past(relay->limiter.Today());
    past.Add(relay->limiter.Today(), 60);
    relay->limiter.AddPast("key alice", past);
  }
  auto first = a.Ask("key alice", limits, {.nanodollars = 10});
  ASSERT_TRUE(first->in());
  first->Use({.nanodollars = 30});
  EXPECT_TRUE(NothingIsHeld());
  EXPECT_TRUE(b.Ask("key alice", limits, {.nanodollars = 10})->in()) << "90 of 100";
  auto last = b.Ask("key alice", limits, {.nanodollars = 10});
  last->Use({.nanodollars = 10});
  EXPECT_TRUE(NothingIsHeld());
  EXPECT_FALSE(a.Ask("key alice", limits, {.nanodollars = 1})->in());
}

TEST_F(RedisLimitsTest, WhatOneSpentWhileItWasAloneCountsWhenItIsToldLater) {
  RateLimits limits;
  limits.cost[static_cast<size_t>(CostWindow::kTotal)] = 100;
  a.Ask("key alice", limits)->Use({.nanodollars = 30});
  EXPECT_TRUE(NothingIsHeld());
  Relay c(server.options(), "c");
  Spending past(c.limiter.Today());
  past.Add(c.limiter.Today(), 99);
  c.limiter.AddPast("key alice", past);
  auto last = c.Ask("key alice", limits);
  ASSERT_TRUE(last->in()) << "99 of 100";
  last->Use({.nanodollars = 1});
  EXPECT_TRUE(Becomes(
      [&] { return server.Ask({"HGET", "relay:limit:key alice", "spent"})[0].ends_with(" 100"); }));
  EXPECT_FALSE(b.Ask("key alice", limits, {.nanodollars = 1})->in());
}

TEST_F(RedisLimitsTest, WhatIsSpentWithoutALimitCountsForOneThatComes) {
  auto spend = [](Relay& relay) {
    Limiter::Ask ask;
    ask.claims[0] = {relay.limiter.Scope("key alice"), {}};
    EXPECT_FALSE(relay.limiter.IsShared(ask));
    Slot slot;
    EXPECT_FALSE(relay.limiter.Admit(ask, relay.loop.Now(), slot));
    relay.limiter.Settle(slot, {.nanodollars = 50});
  };
  spend(a);
  spend(b);
  EXPECT_TRUE(Becomes(
      [&] { return server.Ask({"HGET", "relay:limit:key alice", "spent"})[0].ends_with(" 100"); }));
  RateLimits limits;
  limits.cost[static_cast<size_t>(CostWindow::kTotal)] = 100;
  EXPECT_FALSE(a.Ask("key alice", limits, {.nanodollars = 1})->in());
}

TEST_F(RedisLimitsTest, WhoWaitsIsServedWhenAnotherRelayGivesBack) {
  const RateLimits limits{.concurrency = 1};
  auto holder = a.Ask("key alice", limits);
  auto first = b.Begin("key alice", limits, {}, 10s);
  auto second = b.Begin("key alice", limits, {}, 10s);
  EXPECT_TRUE(b.Until([&] { return b.limiter.Scope("key alice")->Waiting() == 2; }));
  EXPECT_FALSE(first->done());
  holder->Leave();
  EXPECT_TRUE(b.Until([&] { return first->done(); }, 3s));
  EXPECT_TRUE(first->in());
  EXPECT_TRUE(first->admitted->over) << "it had to wait";
  EXPECT_FALSE(second->done());
  first->Leave();
  EXPECT_TRUE(b.Until([&] { return second->done(); }, 3s));
  EXPECT_TRUE(second->in());
}

TEST_F(RedisLimitsTest, WhoWaitsIsRefusedInTimeAndAsksRarely) {
  const RateLimits limits{.concurrency = 1};
  auto holder = a.Ask("key alice", limits);
  uint64_t before = b.store().status().commands;
  std::vector<std::unique_ptr<Relay::Guest>> guests;
  guests.reserve(20);
  for (int i = 0; i < 20; ++i) guests.push_back(b.Begin("key alice", limits, {}, 2500ms));
  for (auto& guest : guests) {
    EXPECT_TRUE(b.Until([&] { return guest->done(); }));
    EXPECT_FALSE(guest->in());
    EXPECT_EQ(guest->over().what, What::kConcurrency);
  }
  EXPECT_LE(b.store().status().commands - before, 20U + 6U);
}

TEST_F(RedisLimitsTest, ShadowCountsAndRefusesNothing) {
  Limiter::Ask ask;
  ask.claims[0] = {a.limiter.Scope("key alice"), {.concurrency = 1}};
  ask.shadow = true;
  auto holder = b.Ask("key alice", {.concurrency = 1});
  Relay::Guest guest(a, ask, 0s);
  EXPECT_TRUE(a.Until([&] { return guest.done(); }));
  ASSERT_TRUE(guest.in());
  EXPECT_EQ(guest.over().what, What::kConcurrency);
  EXPECT_EQ(HeldOf("a"), "1 0 0");
}

TEST_F(RedisLimitsTest, ASettlementThatIsToldTwiceCountsOnce) {
  LimitSpeaker speaker{"c", 15s, false, 1};
  LimitBatch batch;
  batch.sequence = 1;
  batch.uses.push_back({{"key alice", {.tokens = 5, .nanodollars = 7}}, SystemClock::Get().Wall()});
  auto tell = [&](const LimitSpeaker& from, const LimitBatch& what) {
    SharedRequest request =
        redis_limit_calls::Make(from, Zone(), SystemClock::Get().Wall(), &what, nullptr);
    std::vector<std::string> words = {"EVAL", std::string(request->script->text)};
    words.insert(words.end(), request->arguments.begin(), request->arguments.end());
    return server.Ask(words)[0];
  };
  auto spent = [&] { return server.Ask({"HGET", "relay:limit:key alice", "spent"})[0]; };
  EXPECT_EQ(tell(speaker, batch), "0");
  EXPECT_TRUE(spent().ends_with(" 7"));
  EXPECT_EQ(tell(speaker, batch), "0");
  EXPECT_TRUE(spent().ends_with(" 7"));
  speaker.fence = 2;
  batch.sequence = 2;
  EXPECT_EQ(tell(speaker, batch), "0");
  EXPECT_TRUE(spent().ends_with(" 14"));
  // Out of a connection that was given up.
  speaker.fence = 1;
  batch.sequence = 3;
  EXPECT_EQ(tell(speaker, batch), "3");
  EXPECT_TRUE(spent().ends_with(" 14"));
}

TEST_F(RedisLimitsTest, WhatIsToldLateCountsWhenItWas) {
  WallTime now = SystemClock::Get().Wall();
  int32_t today = Zone().DayOf(now);
  PastSpending past;
  past.calendar = Spending(today);
  LimitBatch batch;
  batch.sequence = 1;
  auto use = [&](Duration ago, Charge charge) {
    batch.uses.push_back(
        {{"key alice", charge, past}, now - std::chrono::duration_cast<WallTime::duration>(ago)});
  };
  use(0s, {.tokens = 1, .nanodollars = 1});
  use(2min, {.tokens = 10, .nanodollars = 10});
  use(30s, {.tokens = 100});
  use(72h * 200, {.nanodollars = 1000});
  SharedRequest request =
      redis_limit_calls::Make({"c", 15s, false, 1}, Zone(), now, &batch, nullptr);
  std::vector<std::string> words = {"EVAL", std::string(request->script->text)};
  words.insert(words.end(), request->arguments.begin(), request->arguments.end());
  EXPECT_EQ(server.Ask(words)[0], "0");
  std::istringstream tokens(server.Ask({"HGET", "relay:limit:key alice", "tokens"})[0]);
  int64_t first = 0;
  int64_t amount = 0;
  int64_t second = 0;
  int64_t last = 0;
  tokens >> first >> amount >> second >> last;
  EXPECT_EQ(second - first, 30) << "the oldest first";
  EXPECT_EQ(amount, 100);
  EXPECT_EQ(last, 1);
  EXPECT_EQ(tokens.peek(), EOF) << tokens.str();
  std::string spent = server.Ask({"HGET", "relay:limit:key alice", "spent"})[0];
  EXPECT_TRUE(spent.ends_with(" 1011")) << spent;
  EXPECT_FALSE(spent.contains(" 1011 ")) << spent;
  EXPECT_TRUE(server.Ask({"HGET", "relay:limit:key alice", "five"})[0].ends_with(" 11"));
}

TEST_F(RedisLimitsTest, ALateAnswerLeaksNothing) {
  auto hasty = [](RedisLimits::Options& options) { options.answer_within = 50ms; };
  const RateLimits limits{.concurrency = 1};
  Relay c(server.options(), "c", hasty);
  EXPECT_TRUE(c.Ask("key alice", limits)->in());
  EXPECT_TRUE(Becomes([&] { return server.Ask({"EXISTS", "relay:lease:c"})[0] == "0"; }));
  server.Signal(SIGSTOP);
  auto alone = c.Ask("key alice", limits);
  EXPECT_TRUE(alone->in()) << "its own limiter has admitted it";
  EXPECT_TRUE(c.limits().status().away);
  EXPECT_EQ(c.limits().status().alone, 1U);
  server.Signal(SIGCONT);
  // It is in flight, and the others are told.
  EXPECT_TRUE(Becomes([&] { return HeldOf("c") == "1 0 0"; }));
  EXPECT_FALSE(a.Ask("key alice", limits)->in());
  alone->Leave();
  EXPECT_TRUE(Becomes([&] { return server.Ask({"EXISTS", "relay:lease:c"})[0] == "0"; }));
  EXPECT_TRUE(a.Ask("key alice", limits)->in());
}

TEST_F(RedisLimitsTest, WhileRedisIsAwayEachGoesByItsOwnAndTellsAfterwards) {
  RateLimits limits{.concurrency = 2};
  limits.cost[static_cast<size_t>(CostWindow::kTotal)] = 1000;
  EXPECT_TRUE(a.Ask("key alice", limits)->in());
  EXPECT_TRUE(NothingIsHeld());
  server.Stop();
  auto first = a.Ask("key alice", limits);
  auto second = a.Ask("key alice", limits);
  EXPECT_TRUE(first->in());
  EXPECT_TRUE(second->in());
  auto third = a.Ask("key alice", limits);
  ASSERT_FALSE(third->in());
  EXPECT_EQ(third->over().what, What::kConcurrency);
  EXPECT_TRUE(a.limits().status().away);
  first->Use({.nanodollars = 70});
  server.Start();
  EXPECT_TRUE(Becomes([&] { return HeldOf("a") == "1 0 0"; }));
  EXPECT_TRUE(Becomes(
      [&] { return server.Ask({"HGET", "relay:limit:key alice", "spent"})[0].ends_with(" 70"); }));
  EXPECT_TRUE(Becomes([&] { return !a.limits().status().away; }));
}

TEST_F(RedisLimitsTest, FailClosedRefusesWhatHasALimitWhileRedisIsAway) {
  auto closed = [](RedisLimits::Options& options) { options.fail_closed = true; };
  const RateLimits limits{.requests_per_minute = 10, .concurrency = 2};
  Relay c(server.options(), "c", closed);
  EXPECT_TRUE(c.Ask("key alice", limits)->in());
  server.Stop();
  for (int i = 0; i < 20; ++i) {
    auto refused = c.Ask("key alice", limits);
    ASSERT_FALSE(refused->in()) << i;
    EXPECT_EQ(refused->over().what, What::kAway);
    EXPECT_EQ(refused->over().retry_after, 1s);
  }
  EXPECT_EQ(c.limiter.Scope("key alice")->InFlight(), 0);
  server.Start();
  EXPECT_TRUE(c.Until([&] { return c.Ask("key alice", limits)->in(); }));
}

TEST_F(RedisLimitsTest, TellsWhatIsLeftBeforeItEnds) {
  RateLimits limits;
  limits.cost[static_cast<size_t>(CostWindow::kTotal)] = 1000;
  a.Ask("key alice", limits)->Use({.nanodollars = 5});
  a.Stop();
  EXPECT_TRUE(server.Ask({"HGET", "relay:limit:key alice", "spent"})[0].ends_with(" 5"));
  EXPECT_EQ(server.Ask({"EXISTS", "relay:lease:a"})[0], "0");
}

}  // namespace
}  // namespace relay
