// SPDX-License-Identifier: MIT
// Streams that take long to begin: who takes their place, and what is known of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/upstreams/claude_answers.h"

namespace relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kHead = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";

std::function<void(ClusterConfig&)> FirstContent(int content, int byte = 600, int attempts = 3) {
  return [=](ClusterConfig& config) {
    config.timeouts.first_content = seconds(content);
    config.timeouts.first_byte = seconds(byte);
    config.failover.attempts = attempts;
  };
}

TEST(FirstContent, MovesASlowStreamToAnotherAccount) {
  const Scripted kHeadOnly = {kHead + "\r\nevent: mess", Then::kWait};
  for (const Scripted& slow : {Silence(), kHeadOnly}) {
    SCOPED_TRACE(slow.bytes);
    ClusterWorld world(Three(), ProviderKind::kClaude, FirstContent(10));
    world.vendor.Answer("sk-a", slow);
    world.vendor.otherwise = Events(kStart + kStop);
    world.AskClaude(true);
    world.Advance(seconds(9));
    EXPECT_THAT(world.asked(), ElementsAre("sk-a"));
    world.Advance(seconds(2));
    EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b"));
    EXPECT_EQ(world.status(), 200);
    EXPECT_THAT(world.body(), HasSubstr("message_stop"));
    EXPECT_EQ(world.vendor.abandoned, 1);
    EXPECT_THAT(world.metrics.Text(true),
                HasSubstr(R"(relay_upstream_attempts_total{account="main/a",reason="timeout"} 1)"));
  }
}

// What is late may yet come.
TEST(FirstContent, WaitsOnWhereNoOtherAccountIsSureToServe) {
  enum class Others : uint8_t { kNone, kBusy, kFailing, kTriedEnough };
  for (Others others : {Others::kNone, Others::kBusy, Others::kFailing, Others::kTriedEnough}) {
    SCOPED_TRACE(static_cast<int>(others));
    std::vector<AccountConfig> accounts = Three();
    accounts.resize(others == Others::kNone ? 1 : 2);
    accounts.back().concurrency = others == Others::kBusy ? 1 : 0;
    ClusterWorld world(std::move(accounts), ProviderKind::kClaude,
                       FirstContent(2, 12, others == Others::kTriedEnough ? 1 : 3));
    AccountPool& pool = *world.shared->pool;
    AccountPool::Taken held = std::unexpected(NoAccount());
    Wish second;
    second.tried = {0};
    if (others == Others::kBusy) held = pool.TryTake(second);
    if (others == Others::kFailing) {
      Judgement overloaded{.kind = Judgement::Kind::kOverloaded, .status = 529};
      overloaded.until = world.clock.Now() + seconds(60);
      pool.Report(1, overloaded);
    }
    world.vendor.otherwise = Silence();
    world.AskClaude(true);
    world.Advance(seconds(9));
    EXPECT_THAT(world.asked(), ElementsAre("sk-a"));
    EXPECT_EQ(world.vendor.abandoned, 0);
    EXPECT_EQ(world.client->text, "");
    // Its head comes, and then, again late, its first event.
    world.vendor.Say(kHead + "\r\n");
    world.Settle();
    world.Advance(seconds(3));
    EXPECT_EQ(world.vendor.abandoned, 0);
    world.vendor.Say(kStart);
    world.Settle();
    EXPECT_EQ(world.status(), 200);
    EXPECT_THAT(world.body(), HasSubstr("message_start"));
    EXPECT_THAT(world.asked(), ElementsAre("sk-a"));
    EXPECT_EQ(world.Look(0).first_content, seconds(12));
    if (held) held->reset();
  }
}

TEST(FirstContent, IsOfStreamsAlone) {
  ClusterWorld world(Three(), ProviderKind::kClaude, FirstContent(2));
  world.vendor.Answer("sk-a", Silence());
  world.AskClaude(false);
  world.Advance(seconds(50));
  EXPECT_THAT(world.asked(), ElementsAre("sk-a"));
}

TEST(FirstContent, IsKeptAsAMovingAverageOfEachAccount) {
  ClusterWorld world(Three());
  for (int wait : {2, 10}) {
    world.vendor.Answer("sk-a", Silence());
    world.AskClaude(true);
    world.Advance(seconds(wait));
    world.vendor.Say(kHead + "connection: close\r\n\r\n" + kStart + kStop);
    world.vendor.CloseAll();
    world.Settle();
    EXPECT_EQ(world.status(), 200);
  }
  // 2 s, then a sixteenth of the way to 10 s.
  EXPECT_EQ(world.Look(0).first_content, milliseconds(2500));
  EXPECT_EQ(world.Look(1).first_content, Duration::zero());
  world.shared->metrics->Show(*world.shared->pool, world.clock.Now());
  EXPECT_THAT(world.metrics.Text(true),
              HasSubstr(R"(relay_account_first_content_seconds{account="main/a"} 2.5)"));
}

}  // namespace
}  // namespace relay
