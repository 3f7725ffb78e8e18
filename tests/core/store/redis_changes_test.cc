// SPDX-License-Identifier: MIT
// Relays that share a database tell each other of changed objects.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <mutex>

#include "core/store/late_store.h"
#include "core/store/redis_store.h"
#include "tests/core/store/redis_server.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

// A relay's store that listens, and the versions that it was told.
struct Replica {
  explicit Replica(const RedisServer& server, int replicas = 2)
      : Replica(RedisStore::Options{.redis = server.options(), .replicas = replicas}) {}
  explicit Replica(RedisStore::Options options) : store(std::move(options)) {
    store.WatchObjects([this](int64_t version) {
      std::lock_guard lock(mutex);
      told.push_back(version);
      changed.notify_all();
    });
  }
  template <class F>
  bool Until(F holds) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, 20s, [&] { return holds(); });
  }
  bool Hears(int64_t version) {
    return Until([&] { return std::ranges::find(told, version) != told.end(); });
  }
  bool HearsMoreThan(size_t count) {
    return Until([&] { return told.size() > count; });
  }
  size_t count() {
    std::lock_guard lock(mutex);
    return told.size();
  }
  Result<ObjectWritten> Write(const std::string& id) {
    return Await<ObjectWritten>(
        [&](auto done) { store.WriteObject({"key", id, 0, "value"}, std::move(done)); });
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<int64_t> told;
  RedisStore store;  // last: it tells of the above
};

TEST(RedisChanges, AreToldToEveryReplica) {
  RedisServer server;
  Replica one(server);
  Replica two(server);
  ASSERT_TRUE(one.Hears(0) && two.Hears(0)) << "both listen";
  ASSERT_EQ(one.Write("alice")->directory, 1);
  EXPECT_TRUE(one.Hears(1) && two.Hears(1));
  ASSERT_EQ(two.Write("bob")->directory, 2);
  EXPECT_TRUE(one.Hears(2) && two.Hears(2));
}

TEST(RedisChanges, CostNothingWhereThereIsOneReplica) {
  RedisServer server;
  Replica alone(server, 1);
  ASSERT_TRUE(alone.Write("alice"));
  EXPECT_EQ(server.Ask({"PUBSUB", "NUMSUB", "relay:changed"})[1], "0");
  EXPECT_EQ(server.Ask({"INFO", "commandstats"})[0].find("publish"), std::string::npos);
  EXPECT_EQ(alone.store.status().month_idle, 0);
  EXPECT_EQ(alone.count(), 0U);
}

TEST(RedisChanges, OfAnotherDatabaseAreNotHeard) {
  RedisServer server;
  RedisStore::Options options{.redis = server.options(), .replicas = 2};
  options.redis.database = 3;
  Replica other(options);
  Replica one(server);
  ASSERT_TRUE(one.Hears(0) && other.Hears(0));
  ASSERT_TRUE(other.Write("alice"));
  ASSERT_TRUE(other.Write("bob"));
  ASSERT_TRUE(one.Write("carol"));
  ASSERT_TRUE(other.Hears(2) && one.Hears(1));
  EXPECT_EQ(std::ranges::count(one.told, 2), 0);
}

TEST(RedisChanges, ThatWereMissedShowWhenTheSubscriptionIsBack) {
  RedisServer server;
  Replica one(server);
  ASSERT_TRUE(one.Hears(0));
  server.Ask({"SET", "relay:directory", "7"});  // nothing is published
  server.Ask({"CLIENT", "KILL", "TYPE", "pubsub"});
  EXPECT_TRUE(one.Hears(7));
}

TEST(RedisChanges, ThatWereMissedShowWhenTheServerIsBack) {
  RedisServer server;
  Replica one(server);
  ASSERT_TRUE(one.Hears(0));
  server.Stop();
  server.Start();
  server.Ask({"SET", "relay:directory", "7"});
  EXPECT_TRUE(one.Hears(7));
}

TEST(RedisChanges, AServerThatIsSilentIsMissed) {
  RedisServer server;
  RedisStore::Options options{.redis = server.options(), .replicas = 2, .ping_every = 50ms};
  options.redis.command_timeout = 100ms;
  options.redis.connect_timeout = 200ms;
  Replica one(options);
  ASSERT_TRUE(one.Hears(0));
  server.Signal(SIGSTOP);
  uint64_t commands = one.store.status().commands;
  ::poll(nullptr, 0, 500);
  server.Signal(SIGCONT);
  EXPECT_TRUE(one.HearsMoreThan(1)) << "it has subscribed anew, and compared";
  EXPECT_GT(one.store.status().commands, commands);
}

TEST(RedisChanges, TheSubscriptionIsAskedWhenTheOtherConnectionWasLost) {
  RedisServer server;
  RedisStore::Options options{.redis = server.options(), .replicas = 2, .ping_every = 1h};
  Replica one(options);
  ASSERT_TRUE(one.Hears(0));
  EXPECT_EQ(server.Ask({"INFO", "commandstats"})[0].find("cmdstat_ping"), std::string::npos);
  server.Ask({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  for (int i = 0; i < 1000; ++i) {
    if (server.Ask({"INFO", "commandstats"})[0].contains("cmdstat_ping")) return;
    ::poll(nullptr, 0, 10);
  }
  ADD_FAILURE() << "the subscription was not asked";
}

TEST(RedisChanges, AreNotMadeByWhoMayNotTellOfThem) {
  RedisServer server({"--user", "alice", "on", ">secret", "~relay:*", "resetchannels", "+@all"});
  RedisStore::Options options{.redis = server.options(), .replicas = 2};
  options.redis.username = "alice";
  options.redis.password = Secret("secret");
  Replica denied(options);
  auto written = denied.Write("alice");
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().what, HasSubstr("&relay:*"));
  EXPECT_EQ(server.Ask({"EXISTS", "relay:objects"})[0], "0");
  server.Ask({"ACL", "SETUSER", "alice", "&relay:*"});
  EXPECT_TRUE(denied.Write("alice"));
}

TEST(RedisChanges, WhoMayNotHearOfThemIsDeaf) {
  RedisServer server({"--user", "alice", "on", ">secret", "~relay:*", "resetchannels", "+@all"});
  RedisStore::Options options{.redis = server.options(), .replicas = 2};
  Replica hears(options);
  ASSERT_TRUE(hears.Hears(0));
  EXPECT_FALSE(hears.store.status().deaf);
  options.redis.username = "alice";
  options.redis.password = Secret("secret");
  Replica denied(options);
  for (int i = 0; i < 2000 && !denied.store.status().deaf; ++i) ::poll(nullptr, 0, 5);
  EXPECT_TRUE(denied.store.status().deaf);
  EXPECT_EQ(denied.count(), 0U);
}

TEST(RedisChanges, AreToldByAStoreThatIsThereLate) {
  RedisServer server;
  bool there = false;
  LateStore store([&]() -> Result<std::unique_ptr<Store>> {
    if (!there) return Fail(Party::kRelay, Fault::kInternal, "away", true);
    return std::make_unique<RedisStore>(
        RedisStore::Options{.redis = server.options(), .replicas = 2});
  });
  std::promise<int64_t> told;
  store.WatchObjects([&told](int64_t version) { told.set_value(version); });
  auto load = [&] {
    return Await<LedgerImage>([&](auto done) { store.Load(std::move(done)); }).has_value();
  };
  EXPECT_FALSE(load());
  there = true;
  EXPECT_TRUE(load());
  EXPECT_EQ(told.get_future().get(), 0);
}

TEST(RedisChanges, ListeningHasItsPriceToldBeforehand) {
  RedisServer server;
  Replica one(server);
  EXPECT_EQ(one.store.status().month_idle, 30 * 24 * 120);
}

}  // namespace
}  // namespace relay
