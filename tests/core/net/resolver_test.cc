// SPDX-License-Identifier: MIT
#include "core/net/resolver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "tests/core/net/net_test.h"

namespace relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Found = Result<std::vector<Address>>;

// Answers for the system; `held` stops the answers on the pool's threads.
struct ResolverTest : NetTest {
  std::mutex mutex;
  Found answer = std::vector<Address>{*Address::FromLiteral("192.0.2.1", 0)};
  std::mutex gate;
  std::atomic<int> calls{0};
  Resolver resolver{loop, [this](const std::string&) {
                      ++calls;
                      std::lock_guard wait(gate);
                      std::lock_guard lock(mutex);
                      return answer;
                    }};

  void Answer(Found next) {
    std::lock_guard lock(mutex);
    answer = std::move(next);
  }
  Running<Found> Begin(std::string host, Duration limit = seconds(5)) {
    return Running<Found>(loop, resolver.Resolve(std::move(host), 443, loop.Now() + limit));
  }
  Found Await(std::string host) {
    auto running = Begin(std::move(host));
    EXPECT_TRUE(TurnUntil(loop, [&] { return running.done(); }));
    return running.result();
  }
  static Found Refusal() { return Fail(Party::kUpstream, Fault::kConnect, "no such name", true); }
};

TEST_F(ResolverTest, GivesTheAddressesWithThePort) {
  Found found = Await("api.test");
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ((*found)[0].ToString(), "192.0.2.1:443");
}

TEST_F(ResolverTest, ALiteralNeedsNoLookUp) {
  auto running = Begin("2001:db8::1");
  ASSERT_TRUE(running.done());
  EXPECT_EQ((*running.result())[0].ToString(), "[2001:db8::1]:443");
  EXPECT_EQ(resolver.lookups(), 0U);
}

TEST_F(ResolverTest, WaitersForOneNameShareALookUp) {
  auto first = Begin("api.test");
  auto second = Begin("api.test");
  auto other = Begin("other.test");
  ASSERT_TRUE(TurnUntil(loop, [&] { return first.done() && second.done() && other.done(); }));
  EXPECT_EQ(resolver.lookups(), 2U);
  EXPECT_TRUE(second.result());
}

TEST_F(ResolverTest, AFreshAnswerIsKept) {
  ASSERT_TRUE(Await("api.test"));
  clock.Advance(seconds(29));
  loop.Turn();
  auto running = Begin("api.test");
  EXPECT_TRUE(running.done());
  EXPECT_EQ(resolver.lookups(), 1U);
}

TEST_F(ResolverTest, AnOldAnswerServesWhileANewOneIsLookedUp) {
  ASSERT_TRUE(Await("api.test"));
  After(seconds(31));
  Answer(std::vector<Address>{*Address::FromLiteral("192.0.2.2", 0)});
  auto running = Begin("api.test");
  ASSERT_TRUE(running.done());
  EXPECT_EQ((*running.result())[0].HostString(), "192.0.2.1");
  EXPECT_EQ(resolver.lookups(), 2U);
  ASSERT_TRUE(TurnUntil(loop, [&] { return (*Await("api.test"))[0].HostString() == "192.0.2.2"; }));
}

TEST_F(ResolverTest, AVeryOldAnswerDoesNotServe) {
  ASSERT_TRUE(Await("api.test"));
  After(minutes(11));
  Answer(std::vector<Address>{*Address::FromLiteral("192.0.2.2", 0)});
  Found found = Await("api.test");
  ASSERT_TRUE(found);
  EXPECT_EQ((*found)[0].HostString(), "192.0.2.2");
}

TEST_F(ResolverTest, AFailedRefreshLeavesTheOldAnswerInService) {
  ASSERT_TRUE(Await("api.test"));
  After(seconds(31));
  Answer(Refusal());
  ASSERT_TRUE(Await("api.test"));
  ASSERT_TRUE(TurnUntil(loop, [&] { return calls == 2; }));
  TurnFor(loop, 20);
  EXPECT_TRUE(Await("api.test"));
}

TEST_F(ResolverTest, AFailureIsRememberedForASecond) {
  Answer(Refusal());
  Found found = Await("api.test");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().what, "no such name");
  EXPECT_FALSE(Await("api.test"));
  EXPECT_EQ(resolver.lookups(), 1U);
  After(milliseconds(1100));
  Answer(std::vector<Address>{Loopback()});
  EXPECT_TRUE(Await("api.test"));
  EXPECT_EQ(resolver.lookups(), 2U);
}

TEST_F(ResolverTest, ANameWithoutAddressesIsAFailure) {
  Answer(std::vector<Address>{});
  Found found = Await("api.test");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().what, "cannot resolve the name 'api.test': it has no address");
}

TEST_F(ResolverTest, AWaiterGivesUpAtItsDeadline) {
  std::unique_lock held(gate);
  auto running = Begin("api.test", seconds(5));
  TurnFor(loop, 5);
  EXPECT_FALSE(running.done());
  After(seconds(6));
  ASSERT_TRUE(running.done());
  EXPECT_EQ(running.result().error().fault, Fault::kTimeout);
  held.unlock();
  EXPECT_TRUE(TurnUntil(loop, [&] { return Begin("api.test").done(); }));
}

TEST_F(ResolverTest, AWaiterMayDieWhileTheLookUpGoesOn) {
  std::unique_lock held(gate);
  auto dies = Begin("api.test");
  auto lives = Begin("api.test");
  dies.Cancel();
  held.unlock();
  ASSERT_TRUE(TurnUntil(loop, [&] { return lives.done(); }));
  EXPECT_TRUE(lives.result());
}

TEST_F(ResolverTest, ItMayDieWhileALookUpGoesOn) {
  std::unique_lock held(gate);
  {
    Resolver mortal(loop, [this](const std::string&) {
      std::lock_guard wait(gate);
      return Found(std::vector<Address>{});
    });
    Running<Found> running(loop, mortal.Resolve("api.test", 443, loop.Now() + seconds(5)));
    TurnFor(loop, 5);
  }
  held.unlock();
  TurnFor(loop, 20);
}

TEST_F(ResolverTest, RemembersABoundedNumberOfNames) {
  for (size_t i = 0; i < Resolver::kNames; ++i) ASSERT_TRUE(Await("n" + std::to_string(i)));
  ASSERT_EQ(resolver.lookups(), Resolver::kNames);
  ASSERT_TRUE(Await("n0"));
  EXPECT_EQ(resolver.lookups(), Resolver::kNames);
  ASSERT_TRUE(Await("one-more"));
  ASSERT_TRUE(Await("n0"));
  EXPECT_EQ(resolver.lookups(), Resolver::kNames + 2);
}

TEST(SystemLookup, FindsThisMachine) {
  Found found = SystemLookup("localhost");
  ASSERT_TRUE(found) << found.error().what;
  EXPECT_FALSE((*found)[0].IsPublic());
}

TEST(SystemLookup, SaysWhichNameItDidNotFind) {
  Found found = SystemLookup("no.such.name.invalid");
  ASSERT_FALSE(found);
  EXPECT_TRUE(found.error().what.starts_with("cannot resolve the name 'no.such.name.invalid': "));
  EXPECT_TRUE(found.error().retryable);
}

}  // namespace
}  // namespace relay
