// SPDX-License-Identifier: MIT
// Relays that share limits in a real Redis: what they admit together, and what becomes of what is
// held when answers are late, relays die and Redis is away.
#include "core/store/redis_limits.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <vector>

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

}  // namespace
}  // namespace relay
