// SPDX-License-Identifier: MIT
// A cluster whose accounts change while it serves: connections, exchanges that run, metrics.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/upstreams/claude_answers.h"
#include "upstreams/cluster.h"

namespace relay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

AccountConfig With(AccountConfig account, int priority) {
  account.priority = priority;
  return account;
}

std::string Begun() {
  return "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + kStart;
}

TEST(ClusterChange, AnAccountThatDidNotChangeKeepsItsConnection) {
  ClusterWorld world({KeyAccount("a", "sk-a"), With(KeyAccount("b", "sk-b"), 90)});
  world.AskClaude(false);
  EXPECT_EQ(world.vendor.accepted, 1);
  world.Reconfigure({KeyAccount("a", "sk-a"), With(KeyAccount("c", "sk-c"), 90)});
  world.Settle();
  EXPECT_EQ(world.vendor.open(), 1);
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 200);
  EXPECT_EQ(world.vendor.accepted, 1) << "no second one was needed";
}

TEST(ClusterChange, IdleConnectionsOfAChangedOrRemovedAccountAreClosed) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.AskClaude(false);
  EXPECT_EQ(world.vendor.open(), 1);
  world.Reconfigure({KeyAccount("a", "sk-new")});
  world.Settle();
  EXPECT_EQ(world.vendor.open(), 0);
  world.AskClaude(false);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-new"));
  EXPECT_EQ(world.vendor.accepted, 2);
  world.Reconfigure({});
  world.Settle();
  EXPECT_EQ(world.vendor.open(), 0);
  world.AskClaude(false);
  EXPECT_EQ(world.status(), 503);
}

TEST(ClusterChange, AConnectionThatIsOpenedWhileItsAccountGoesIsNotKept) {
  bool served = false;
  for (int turns = 0; turns < 12; ++turns) {
    ClusterWorld world({KeyAccount("a", "sk-a")});
    world.Begin("POST /v1/messages", ClusterWorld::kWhole);
    for (int i = 0; i < turns; ++i) {
      world.client->Move();
      world.loop.Turn();
    }
    world.Reconfigure({KeyAccount("b", "sk-b")});
    world.Settle();
    EXPECT_EQ(world.status(), 200);
    bool by_old = world.asked() == std::vector<std::string>{"sk-a"};
    EXPECT_EQ(world.vendor.open(), by_old ? 0 : 1) << "after " << turns << " turns";
    served = served || by_old;
  }
  EXPECT_TRUE(served) << "the test shows nothing";
}

TEST(ClusterChange, AStreamOfARemovedAccountRunsToItsEnd) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.vendor.otherwise = {Begun(), Then::kStay};
  world.AskClaude(true);
  EXPECT_EQ(world.status(), 200);
  world.Reconfigure({KeyAccount("b", "sk-b")});
  world.Settle();
  EXPECT_EQ(world.vendor.open(), 1) << "it carries the stream";
  world.vendor.Say(kStop);
  world.vendor.CloseAll();
  world.Settle();
  EXPECT_THAT(world.body(), HasSubstr("message_stop"));
  EXPECT_EQ(world.vendor.open(), 0);
}

TEST(ClusterChange, AConnectionOfARemovedAccountEndsWithItsLastAnswer) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.vendor.otherwise = {
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
      Then::kStay};
  auto chunk = [](const std::string& text) {
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", text.size());
    return size + text + "\r\n";
  };
  world.AskClaude(true);
  world.vendor.Say(chunk(kStart));
  world.Settle();
  world.Reconfigure({KeyAccount("b", "sk-b")});
  world.Settle();
  world.vendor.Say(chunk(kStop) + "0\r\n\r\n");
  world.Settle();
  EXPECT_THAT(world.body(), HasSubstr("message_stop"));
  EXPECT_EQ(world.vendor.open(), 0);
  EXPECT_EQ(world.vendor.abandoned, 1) << "the relay ended it, not the vendor";
}

TEST(ClusterChange, ARequestUnderWayFailsOverToAnAccountThatCame) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.vendor.Answer("sk-a", Silence());
  world.AskClaude(false);
  world.Reconfigure({KeyAccount("b", "sk-b")});
  world.Settle();
  world.vendor.CloseAll();  // the silent one breaks off
  world.Settle();
  EXPECT_EQ(world.status(), 200);
  EXPECT_THAT(world.asked(), ElementsAre("sk-a", "sk-b"));
}

TEST(ClusterChange, MetricsOfARemovedAccountStayAndItIsInNoState) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  world.AskClaude(false);
  world.Reconfigure({KeyAccount("b", "sk-b")});
  std::string text = world.metrics.Text(true);
  EXPECT_THAT(text, HasSubstr(R"(relay_upstream_attempts_total{account="main/a",reason="ok"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(relay_account_state{account="main/a",state="ready"} 0)"));
  EXPECT_THAT(text, HasSubstr(R"(relay_account_state{account="main/b",state="ready"} 1)"));
  EXPECT_THAT(text, Not(HasSubstr(R"(account="main/a",state="ready"} 1)")));
}

TEST(ClusterChange, AnotherProviderHasAPoolOfItsOwn) {
  ClusterWorld world({KeyAccount("a", "sk-a")});
  ClusterConfig other = world.config;
  other.provider = ProviderKind::kGemini;
  auto shared = ShareCluster(other, nullptr, world.metrics, world.clock, world.shared.get());
  EXPECT_NE(shared->pool, world.shared->pool);
}

}  // namespace
}  // namespace relay
