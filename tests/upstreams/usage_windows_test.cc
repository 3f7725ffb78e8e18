// SPDX-License-Identifier: MIT
// What a subscription has used of its windows: read, obeyed, kept.
#include "upstreams/usage_windows.h"

#include <gtest/gtest.h>

#include "tests/upstreams/claude_answers.h"
#include "tests/upstreams/pool_fixture.h"
#include "upstreams/pool_states.h"

namespace relay {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using Kind = Judgement::Kind;

constexpr WallTime kWall(seconds(1'795'380'000));

struct Heard {
  Heard() { answer.Add("anthropic-ratelimit-unified-status", "allowed"); }
  void Say(std::string_view name, std::string_view value) {
    std::string full = "anthropic-ratelimit-unified-" + std::string(name);
    answer.Add(answer.Keep(full), answer.Keep(value));
  }
  UsageWindows Windows() const { return ClaudeWindows(answer, clock.Now(), kWall); }
  ManualClock clock;
  Head answer;
};

TEST(UsageWindows, AreReadFromAnAnswersHead) {
  Heard heard;
  heard.Say("5h-utilization", "0.125");
  heard.Say("5h-reset", "1795380801");
  heard.Say("7d-utilization", "1.2");
  heard.Say("7d-reset", "1795780000");
  UsageWindows windows = heard.Windows();
  EXPECT_EQ(windows.five_hours.used, 0.125);
  EXPECT_EQ(windows.five_hours.until, heard.clock.Now() + seconds(801));
  EXPECT_EQ(windows.week.used, 1);
  EXPECT_EQ(windows.week.until, heard.clock.Now() + seconds(400'000));
  EXPECT_EQ(windows.five_hours.UsedAt(heard.clock.Now() + seconds(801)), 0);
}

TEST(UsageWindows, AreNotKnownWhereNothingOrNonsenseIsSaid) {
  EXPECT_FALSE(ClaudeWindows(Head(), TimePoint(), kWall).known());
  constexpr std::pair<const char*, const char*> kWrong[] = {
      {"0.5", ""},  {"", "1795380801"},    {"half", "1795380801"},   {"-0.1", "1795380801"},
      {"0.5", "0"}, {"0.5", "1795379999"}, {"0.5", "99999999999999"}};
  for (const auto& [used, reset] : kWrong) {
    SCOPED_TRACE(std::string(used) + " " + reset);
    Heard heard;
    heard.Say("5h-utilization", used);
    heard.Say("5h-reset", reset);
    EXPECT_FALSE(heard.Windows().known());
  }
  Heard far;
  far.Say("5h-utilization", "0.5");
  far.Say("5h-reset", "1795480801");
  EXPECT_EQ(far.Windows().five_hours.until, far.clock.Now() + hours(5));
}

struct Spared : Pool {
  explicit Spared(int count) : Pool(Accounts(count)) {}
  static std::vector<Account> Accounts(int count) {
    std::vector<Account> accounts;
    for (int i = 0; i < count; ++i) {
      accounts.push_back(MakeAccount(std::string(1, static_cast<char>('a' + i)), 50, 2));
      accounts.back().pause_at = {.five_hours = 90, .week = 95};
    }
    return accounts;
  }
  void Use(size_t index, double five_hours, double week, Duration left = hours(2)) {
    pool->NoteWindows(index, {{five_hours, clock.Now() + left}, {week, clock.Now() + hours(50)}});
  }
};

TEST(UsageWindows, SpareAnAccountForItsSessionsWhileAnotherCanServe) {
  Spared p(2);
  EXPECT_EQ(p.Next(Sticky("old")), "a");
  p.Use(0, 0.9, 0.1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(p.Next(), "b");
  EXPECT_EQ(p.Next(Sticky("old")), "a");
  EXPECT_EQ(p.Next(Sticky("new")), "b");
  EXPECT_EQ(p.pool->Look()[0].health, AccountHealth::kSpared);
  EXPECT_EQ(p.pool->Look()[0].until, p.clock.Now() + hours(2));
  Decision decision = p.pool->Explain({}, p.clock.Now());
  EXPECT_EQ(decision.Find("a")->outcome, Decision::Outcome::kSpared);
  // What uses nothing of it may have it.
  Wish count;
  count.generates = false;
  EXPECT_EQ(p.Next(count), "a");
  // It is spared for nobody's sake where no other can serve.
  auto first = p.pool->TryTake({});
  auto second = p.pool->TryTake({});
  EXPECT_EQ((*second)->account(), "b");
  EXPECT_EQ(p.Next(), "a");
  EXPECT_TRUE(p.pool->Explain({}, p.clock.Now()).Find("a")->spared);
  first->reset();
  p.clock.Advance(hours(2));
  EXPECT_EQ(p.pool->Look()[0].health, AccountHealth::kReady);
  EXPECT_EQ(p.Next(), "a");
}

TEST(UsageWindows, OfAllThatAreSparedTheOneServesThatBeginsAnewFirst) {
  Spared p(3);
  p.Use(0, 0.99, 0.1, hours(3));
  p.Use(1, 0.99, 0.1, hours(1));
  p.Use(2, 0.1, 0.96, hours(1));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(p.Next(), "b");
  // Any of them is surer than one that fails.
  p.pool->Report(1, {.kind = Kind::kOverloaded});
  EXPECT_EQ(p.Next(), "a");
}

TEST(UsageWindows, BreakATieAmongEquals) {
  Pool p({MakeAccount("a"), MakeAccount("b")});
  p.pool->NoteWindows(0, {{0.2, p.clock.Now() + hours(4)}, {}});
  p.pool->NoteWindows(1, {{0.2, p.clock.Now() + hours(3)}, {}});
  EXPECT_EQ(p.Next(), "b");
  EXPECT_EQ(p.Next(), "a");
}

TEST(UsageWindows, BreakNoTieByAnEndThatIsPast) {
  Pool p({MakeAccount("a"), MakeAccount("b")});
  p.pool->NoteWindows(0, {{0.2, p.clock.Now() + hours(4)}, {}});
  p.pool->NoteWindows(1, {{0.2, p.clock.Now() + hours(3)}, {}});
  Decision decision = p.pool->Explain({}, p.clock.Now());
  EXPECT_EQ(decision.chosen, 1U);
  EXPECT_EQ(NameOf(decision.Find("a")->outcome), "window");
  p.clock.Advance(hours(3));
  EXPECT_EQ(p.Next(), "a");
}

TEST(UsageWindows, AreForgottenByAResetAndWithTheCredential) {
  Spared p(2);
  p.Use(0, 0.95, 0.1);
  EXPECT_EQ(p.Next(), "b");
  std::vector<Account> accounts = Spared::Accounts(2);
  accounts[0].priority = 60;
  p.pool->Reconfigure(ShareAccounts(accounts));
  EXPECT_EQ(p.pool->Look()[0].health, AccountHealth::kSpared) << "the same subscription";
  accounts[0].credential = Secret("sk-other");
  p.pool->Reconfigure(ShareAccounts(accounts));
  EXPECT_EQ(p.pool->Look()[0].health, AccountHealth::kReady);
  p.Use(0, 0.95, 0.1);
  EXPECT_TRUE(p.pool->Reset("a"));
  EXPECT_EQ(p.pool->Look()[0].health, AccountHealth::kReady);
  EXPECT_FALSE(p.pool->Look()[0].windows.known());
}

TEST(UsageWindows, OutliveTheProcess) {
  StateBell bell;
  Spared before(2);
  before.clock.SetWall(kWall);
  before.pool->RingAt(bell);
  HealthStates kept([&] { return std::vector<NamedPool>{{"main", before.pool}}; });
  before.Use(0, 0.91, 0.2);
  std::vector<StateBlob> blobs;
  kept.TakeChanged(blobs);
  ASSERT_EQ(blobs.size(), 1U);
  // Less than a hundredth is not worth a write.
  before.Use(0, 0.915, 0.2);
  std::vector<StateBlob> none;
  kept.TakeChanged(none);
  EXPECT_TRUE(none.empty());

  Spared after(2);
  after.clock.Advance(hours(7));
  after.clock.SetWall(kWall + minutes(30));
  HealthStates restored([&] { return std::vector<NamedPool>{{"main", after.pool}}; });
  EXPECT_TRUE(restored.Restore(blobs).empty());
  EXPECT_EQ(after.pool->Look()[0].windows.five_hours.used, 0.91);
  EXPECT_EQ(after.pool->Look()[0].until, after.clock.Now() + minutes(90));
  EXPECT_EQ(after.Next(), "b");
  // What is over is of no use.
  Spared late(2);
  late.clock.SetWall(kWall + hours(100));
  HealthStates stale([&] { return std::vector<NamedPool>{{"main", late.pool}}; });
  EXPECT_EQ(stale.Restore(blobs).size(), 1U);
}

TEST(UsageWindows, AreHeardByWhoSends) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  std::string reset = std::to_string(
      std::chrono::duration_cast<seconds>(world.clock.Wall().time_since_epoch()).count() + 3600);
  world.vendor.otherwise = Json(200, "{}",
                                {"anthropic-ratelimit-unified-status: allowed",
                                 "anthropic-ratelimit-unified-5h-utilization: 0.34",
                                 "anthropic-ratelimit-unified-5h-reset: " + reset});
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.Look(0).windows.five_hours.used, 0.34);
}

}  // namespace
}  // namespace relay
