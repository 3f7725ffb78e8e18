// SPDX-License-Identifier: MIT
// The directory of the store as two relays have it that share a Redis.
#include "admin/objects.h"

#include <gtest/gtest.h>

#include "admin/account_book.h"
#include "admin/stored_key.h"
#include "core/store/redis_store.h"
#include "tests/admin/relay_fixture.h"
#include "tests/core/net/net_test.h"
#include "tests/core/store/redis_server.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

SecretsConfig Secrets() {
  SecretsConfig secrets;
  secrets.encryption_key = Secret("one encryption key of 32 bytes or more");
  return secrets;
}

Objects::Edit To(std::optional<std::string> value) {
  return [value = std::move(value)](const StoredObject*) { return value; };
}

struct Replica {
  explicit Replica(const RedisServer& server) : store(OptionsOf(server)) {
    auto config = ConfigOf(RelayConfig(1), {{"RELAY_KEY", "cr_a-replica-of-two"},
                                            {"ACCOUNT_KEY", "sk-ant-a-replica"}});
    services = *Services::Make(config, SystemClock::Get(), uint64_t{1} << 30);
    keyring = *Keyring::Load(Secrets(), "");
    objects = std::make_unique<Objects>(
        loop, door, *services, &store, keyring.get(),
        [this](const StoredObject& object) { heard.push_back(object.id); });
    auto met = MeetStore(store, *keyring);
    EXPECT_TRUE(met) << met.error().what;
    objects->Meet(std::move(*met));
  }
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;
  ~Replica() {
    door->Close();
    loop.Turn();
  }
  static RedisStore::Options OptionsOf(const RedisServer& server) {
    return {.redis = server.options(), .replicas = 2};
  }
  // What came of a change, when it is over.
  ApiResult<Unit> Change(const std::string& kind, const std::string& id, Objects::Edit edit) {
    std::optional<ApiResult<Unit>> done;
    auto run = [&]() -> Task<Unit> {
      done = co_await objects->Change(kind, id, std::move(edit));
      co_return Unit{};
    };
    Task<Unit> task = run();
    Waiter start;
    task.StartOn(loop, start, [](void*) noexcept {}, nullptr);
    EXPECT_TRUE(TurnUntil(loop, [&] { return done.has_value(); }));
    loop.Turn();
    return std::move(*done);
  }
  template <class F>
  bool Until(F holds) {
    return TurnUntil(loop, [&] { return holds(*services->current()->stored); });
  }
  bool UntilDisabled(const std::string& id) {
    return Until([&](const StoredObjects& stored) { return stored.disabled.contains(id); });
  }
  int64_t version() const { return objects->directory()->version; }

  Loop loop;
  std::shared_ptr<LoopDoor> door = std::make_shared<LoopDoor>(loop);
  std::vector<std::string> heard;
  RedisStore store;
  std::unique_ptr<Services> services;
  std::unique_ptr<Keyring> keyring;
  std::unique_ptr<Objects> objects;
};

constexpr const char* kDisabled = R"({"disabled":true})";

std::string Commands(const RedisServer& server, const std::string& name) {
  std::string info = server.Ask({"INFO", "commandstats"})[0];
  size_t at = info.find("cmdstat_" + name + ":");
  return at == std::string::npos ? "" : info.substr(at, info.find(',', at) - at);
}

TEST(Objects, WhatOneReplicaChangesIsInForceOnTheOther) {
  RedisServer server;
  Replica one(server);
  Replica two(server);
  ASSERT_TRUE(one.Change("overlay", "key:alice", To(kDisabled)));
  EXPECT_TRUE(two.UntilDisabled("key:alice"));
  ASSERT_TRUE(two.Change("overlay", "key:alice", To(std::nullopt)));
  EXPECT_TRUE(one.Until([](const StoredObjects& stored) { return stored.disabled.empty(); }));
}

TEST(Objects, AnAccountPausedOnOneReplicaIsPausedOnTheOther) {
  RedisServer server;
  Replica one(server);
  Replica two(server);
  StoredAccount account;
  account.cluster = "claude";
  account.config.name = "team";
  account.paused = true;
  ASSERT_TRUE(
      one.Change("account", "claude/team", To(WriteStoredAccount(account, one.objects->vault()))));
  EXPECT_TRUE(two.Until([](const StoredObjects& stored) {
    return stored.accounts.size() == 1 && stored.accounts[0].paused;
  }));
  EXPECT_EQ(two.heard, std::vector<std::string>{"claude/team"});
  EXPECT_TRUE(one.heard.empty()) << "its own";
}

TEST(Objects, ChangesOfBothAtOnceReachBoth) {
  RedisServer server;
  Replica one(server);
  Replica two(server);
  // The second writes while it does not know what the first has written.
  ASSERT_TRUE(one.Change("overlay", "key:a", To(kDisabled)));
  ASSERT_TRUE(two.Change("overlay", "key:b", To(kDisabled)));
  ASSERT_TRUE(one.Change("overlay", "key:c", To(kDisabled)));
  for (Replica* replica : {&one, &two}) {
    for (const char* id : {"key:a", "key:b", "key:c"}) EXPECT_TRUE(replica->UntilDisabled(id));
  }
  EXPECT_EQ(one.version(), two.version());
}

TEST(Objects, WhatAConflictBroughtIsInForceAlsoWhenTheChangeIsRefused) {
  RedisServer server;
  Replica one(server);
  Replica two(server);
  ASSERT_TRUE(one.Change("overlay", "key:a", To(kDisabled)));
  ASSERT_TRUE(two.UntilDisabled("key:a"));
  ASSERT_TRUE(one.Change("overlay", "key:b", To(kDisabled)));
  Objects::Edit only_new =
      [](const StoredObject* present) -> ApiResult<std::optional<std::string>> {
    if (present != nullptr) return std::unexpected(ApiFault{409, "it is there"});
    return kDisabled;
  };
  auto refused = two.Change("overlay", "key:b", only_new);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, 409);
  EXPECT_TRUE(two.UntilDisabled("key:b"));
}

TEST(Objects, AreReadOnceForAChangeAndNotByWhoMadeIt) {
  RedisServer server;
  Replica one(server);
  Replica two(server);
  ASSERT_TRUE(one.Change("overlay", "key:a", To(kDisabled)));
  ASSERT_TRUE(two.UntilDisabled("key:a"));
  server.Ask({"CONFIG", "RESETSTAT"});
  ASSERT_TRUE(one.Change("overlay", "key:b", To(kDisabled)));
  ASSERT_TRUE(two.UntilDisabled("key:b"));
  for (int i = 0; i < 50; ++i) {
    one.loop.Turn();
    two.loop.Turn();
    ::poll(nullptr, 0, 1);
  }
  EXPECT_EQ(Commands(server, "evalsha"), "cmdstat_evalsha:calls=2") << "a write and a read";
  EXPECT_EQ(Commands(server, "get"), "cmdstat_get:calls=1") << "the reading script's";
}

TEST(Objects, AreReadAgainUntilTheStoreAnswers) {
  RedisServer server;
  Replica one(server);
  ASSERT_TRUE(TurnUntil(
      one.loop, [&] { return server.Ask({"PUBSUB", "NUMSUB", "relay:changed"})[1] == "1"; }));
  server.Ask({"CONFIG", "RESETSTAT"});
  server.Ask({"HSET", "relay:objects", "garbled", "garbled"});
  server.Ask({"PUBLISH", "relay:changed", "9"});
  ASSERT_TRUE(TurnUntil(one.loop, [&] { return !Commands(server, "evalsha").empty(); }));
  server.Ask({"HSET", "relay:objects", "overlay|key:a", std::string("9 ") + kDisabled});
  server.Ask({"SET", "relay:directory", "9"});
  server.Ask({"HDEL", "relay:objects", "garbled"});
  EXPECT_TRUE(one.UntilDisabled("key:a"));
  EXPECT_EQ(one.version(), 9);
}

}  // namespace
}  // namespace relay
