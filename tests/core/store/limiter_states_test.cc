// SPDX-License-Identifier: MIT
// What limits have counted, from one run to the next.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "core/store/budget_states.h"
#include "core/store/limiter.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using What = Limiter::Denied::What;

// One process. Its steady clock begins where it likes.
struct OneRun {
  explicit OneRun(WallTime wall, Duration up = 1h) {
    clock.Advance(up - 1h);
    clock.SetWall(wall);
    limiter.RingAt(bell);
  }
  Limiter::Ask AskOf(const std::string& scope, const RateLimits& limits) {
    Limiter::Ask ask;
    ask.claims[0] = {limiter.Scope(scope), limits};
    return ask;
  }
  // The limit that is over, or none after having used that.
  std::optional<Limiter::Denied> Use(const std::string& scope, const RateLimits& limits,
                                     const Charge& used) {
    Slot slot;
    auto denied = limiter.Admit(AskOf(scope, limits), clock.Now(), slot);
    if (!denied) limiter.Settle(slot, used);
    return denied;
  }
  std::optional<Limiter::Denied> Look(const std::string& scope, const RateLimits& limits) {
    return limiter.Look(AskOf(scope, limits), clock.Now());
  }
  std::vector<StateBlob> Changed() {
    std::vector<StateBlob> blobs;
    bell.Take();
    states.TakeChanged(blobs);
    return blobs;
  }

  ManualClock clock;
  Limiter limiter{clock};
  StateBell bell;
  std::set<std::string, std::less<>> known = {"key alice", "route claude",
                                              "route claude key alice"};
  BudgetStates states{limiter, [this](std::string_view scope) { return known.contains(scope); }};
};

constexpr WallTime kNoon(std::chrono::seconds(1'795'694'400));  // 2026-11-26, a Thursday
const RateLimits kRequests = {.requests_per_minute = 3};
const RateLimits kTokens = {.tokens_per_minute = 100};
const RateLimits kCosts = {.cost = {10, 0, 0, 50}};

TEST(LimiterStates, CountAMinuteOnByWallTime) {
  OneRun before(kNoon);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(before.Use("key alice", kRequests, {}));
    before.clock.Advance(10s);
  }
  std::vector<StateBlob> blobs = before.Changed();
  ASSERT_EQ(blobs.size(), 1U);
  // 20 s after the last start, on a machine that was started a moment ago.
  OneRun after(kNoon + 40s, 5s);
  EXPECT_THAT(after.states.Restore(blobs), IsEmpty());
  auto denied = after.Look("key alice", kRequests);
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->what, What::kRequests);
  // The clock's zero is the oldest moment that there is.
  EXPECT_LE(*denied->retry_after, 62s);
  after.clock.Advance(*denied->retry_after);
  EXPECT_FALSE(after.Look("key alice", kRequests));

  OneRun longer(kNoon + 40s);
  longer.states.Restore(blobs);
  denied = longer.Look("key alice", kRequests);
  ASSERT_TRUE(denied);
  EXPECT_GE(*denied->retry_after, 20s) << "the first start was 40 s ago";
  EXPECT_LE(*denied->retry_after, 23s);

  OneRun late(kNoon + 3min);
  EXPECT_THAT(late.states.Restore(blobs), ElementsAre("key alice"));
  EXPECT_FALSE(late.Look("key alice", kRequests));
}

TEST(LimiterStates, BelieveNoClockThatWasPutBack) {
  OneRun before(kNoon);
  for (int i = 0; i < 3; ++i) before.Use("key alice", kRequests, {});
  OneRun after(kNoon - 5h);
  after.states.Restore(before.Changed());
  auto denied = after.Look("key alice", kRequests);
  ASSERT_TRUE(denied);
  EXPECT_LE(*denied->retry_after, 61s);
}

TEST(LimiterStates, KeepTokensAndWhatARouteSpentButNotWhatTheLedgerHas) {
  OneRun before(kNoon);
  before.Use("key alice", kTokens, {.tokens = 101});
  before.Use("route claude", kCosts, {.nanodollars = 10});
  before.Use("route claude key alice", kCosts, {.nanodollars = 7});
  std::vector<StateBlob> blobs = before.Changed();
  ASSERT_EQ(blobs.size(), 3U);
  before.Use("key alice", kCosts, {.nanodollars = 5});
  EXPECT_THAT(before.Changed(), IsEmpty());

  OneRun after(kNoon + 30s);
  EXPECT_THAT(after.states.Restore(blobs), IsEmpty());
  EXPECT_EQ(after.Look("key alice", kTokens)->what, What::kTokens);
  EXPECT_TRUE(after.Look("route claude", kCosts)->spent);
  EXPECT_FALSE(after.Look("route claude key alice", kCosts));
  after.Use("route claude key alice", kCosts, {.nanodollars = 3});
  EXPECT_TRUE(after.Look("route claude key alice", kCosts)->spent);

  OneRun tomorrow(kNoon + 24h);
  EXPECT_THAT(tomorrow.states.Restore(blobs), ElementsAre("key alice"));
  EXPECT_FALSE(tomorrow.Look("route claude", kCosts));
  tomorrow.Use("route claude", kCosts, {.nanodollars = 40});
  auto denied = tomorrow.Look("route claude", {.cost = {0, 0, 0, 50}});
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->window, CostWindow::kTotal);
}

TEST(LimiterStates, CountFiveHoursOn) {
  const RateLimits limits = {.cost_per_5h = 10};
  OneRun before(kNoon);
  before.Use("key alice", limits, {.nanodollars = 10});
  auto denied = before.Look("key alice", limits);
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->what, What::kFiveHours);
  EXPECT_TRUE(denied->spent);
  EXPECT_EQ(denied->retry_after, Duration(5h));
  std::vector<StateBlob> blobs = before.Changed();
  ASSERT_EQ(blobs.size(), 1U);
  OneRun after(kNoon + 4h);
  EXPECT_THAT(after.states.Restore(blobs), IsEmpty());
  EXPECT_EQ(after.Look("key alice", limits)->retry_after, Duration(1h));
  after.clock.Advance(1h);
  EXPECT_FALSE(after.Look("key alice", limits));
  OneRun late(kNoon + 5h);
  EXPECT_THAT(late.states.Restore(blobs), ElementsAre("key alice"));
}

TEST(LimiterStates, AreAddedToWhatIsThere) {
  OneRun before(kNoon);
  before.Use("route claude", kCosts, {.nanodollars = 6});
  before.Use("key alice", kTokens, {.tokens = 60});
  OneRun after(kNoon + 10s);
  after.Use("route claude", kCosts, {.nanodollars = 5});
  after.Use("key alice", kTokens, {.tokens = 50});
  EXPECT_FALSE(after.Look("route claude", kCosts));
  after.states.Restore(before.Changed());
  EXPECT_TRUE(after.Look("route claude", kCosts)->spent);
  EXPECT_EQ(after.Look("key alice", kTokens)->what, What::kTokens);
}

TEST(LimiterStates, AreNoneWhereThereIsNoLimit) {
  OneRun run(kNoon);
  run.Use("key alice", {}, {.tokens = 100, .nanodollars = 100});
  run.Use("key alice", {.concurrency = 5}, {});
  EXPECT_TRUE(run.bell.rung());
  EXPECT_THAT(run.Changed(), IsEmpty());
  run.Use("key alice", kRequests, {});
  EXPECT_THAT(run.Changed(), testing::SizeIs(1));
  EXPECT_THAT(run.Changed(), IsEmpty()) << "told once";
}

TEST(LimiterStates, OfWhatIsGoneOrDamagedAreDropped) {
  OneRun run(kNoon);
  std::vector<StateBlob> blobs = {
      {"budget", "route gone", R"({"day":20783,"spent":[1,1,1,1]})"},
      {"budget", "key alice", "no json"},
      {"budget", "route claude", "{}"},
      {"budget", "route claude key alice", R"({"starts":[[1],"x",7]})"}};
  EXPECT_THAT(run.states.Restore(blobs),
              ElementsAre("route gone", "key alice", "route claude", "route claude key alice"));
}

}  // namespace
}  // namespace relay
