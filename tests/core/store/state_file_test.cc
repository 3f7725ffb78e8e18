// SPDX-License-Identifier: MIT
#include "core/store/state_file.h"

#include <gtest/gtest.h>

#include "core/base/json.h"
#include "core/store/memory_store.h"
#include "core/store/sqlite_store.h"
#include "tests/core/store/entries.h"
#include "tests/core/store/keeper_world.h"
#include "tests/core/store/redis_server.h"
#include "tests/core/store/temp_folder.h"

namespace relay {
namespace {

constexpr ScryptCost kCheap{1 << 4, 8, 1};
const Secret kPassphrase("correct horse battery staple");
const Secret kOne("one encryption key of 32 bytes or more");
const Secret kTwo("two encryption keys of 32 bytes or more");

template <class T, class F>
T Take(F call) {
  Result<T> result = Await<T>(call);
  EXPECT_TRUE(result) << result.error().what;
  return std::move(*result);
}

void Write(Store& store, const std::string& kind, const std::string& id, const std::string& value) {
  ObjectWrite write{kind, id, 0, value};
  auto call = [&](auto done) { store.WriteObject(write, std::move(done)); };
  EXPECT_FALSE(Take<ObjectWritten>(call).conflict);
}

std::string TokenJson(const Vault& vault) {
  JsonText json;
  json.BeginObject().Field("seed", "s");
  json.Field("refresh", vault.Seal({"token", "claude/max", "refresh"}, "rt-planted-\x01\xff"));
  return json.EndObject().Take();
}

// Two objects, two epochs of which one was folded, an exchange, a state.
void Fill(Store& store, const Vault& vault) {
  Write(store, "key", "alice", R"({"terms":{}})");
  Write(store, "token", "claude/max", TokenJson(vault));
  for (const char* epoch : {"a", "b"}) {
    LedgerFlush flush{epoch, 1, {}, {}};
    LedgerTotals totals;
    totals.requests = 3;
    totals.nanodollars = 1'234'567'890'123;
    flush.rows.days.push_back({20'000, "alice", "claude-x \"y\"", "claude/max", totals});
    flush.rows.hours.push_back({480'000, "alice", totals});
    LedgerEntry entry;
    entry.id = std::string("req_") + epoch;
    entry.when = WallTime(std::chrono::seconds(1'790'000'000));
    entry.key = "alice";
    flush.recent.push_back(entry);
    std::vector<LedgerFlush> flushes{flush};
    auto call = [&](auto done) { store.Flush(flushes, std::move(done)); };
    Take<Flushed>(call);
  }
  auto fold = [&](auto done) { store.Fold("a", std::move(done)); };
  Take<Unit>(fold);
  std::vector<StateBlob> blobs{{"health", "claude/max", std::string("\0\xff resting", 10)}};
  auto put = [&](auto done) { store.PutStates(blobs, std::move(done)); };
  Take<Unit>(put);
}

StateImage Read(Store& store, const Vault& vault) {
  auto image = ReadState(store, vault);
  EXPECT_TRUE(image) << image.error().what;
  return image ? std::move(*image) : StateImage();
}

// What two stores must have in common, whatever they were sealed with.
void ExpectSame(const StateImage& a, const StateImage& b) {
  EXPECT_EQ(a.rows.days, b.rows.days);
  EXPECT_EQ(a.rows.hours, b.rows.hours);
  EXPECT_EQ(a.states, b.states);
  ASSERT_EQ(a.objects.size(), b.objects.size());
  for (size_t i = 0; i < a.objects.size(); ++i) {
    EXPECT_EQ(a.objects[i].id, b.objects[i].id);
    EXPECT_TRUE(a.objects[i].secrets == b.objects[i].secrets);
  }
  ASSERT_EQ(a.recent.size(), b.recent.size());
  EXPECT_EQ(a.recent.back().id, b.recent.back().id);
}

TEST(StateFile, CarriesAllOfAStoreToAnother) {
  TempFolder folder;
  Vault one(kOne);
  Vault two(kTwo);
  MemoryStore from;
  Fill(from, one);
  StateImage image = Read(from, one);
  EXPECT_EQ(image.rows.days.at(0).totals.requests, 6) << "both epochs in sum";
  auto opened = OpenState(SealState(image, kPassphrase, kCheap), kPassphrase);
  ASSERT_TRUE(opened) << opened.error().what;
  auto to = SqliteStore::Open(folder.path() + "/relay.db");
  ASSERT_TRUE(to);
  EXPECT_TRUE(*IsFresh(**to));
  auto written = WriteState(**to, two, *opened);
  ASSERT_TRUE(written) << written.error().what;
  EXPECT_FALSE(*IsFresh(**to));
  ExpectSame(Read(**to, two), image);
  EXPECT_FALSE(ReadState(**to, one)) << "it is sealed with the other key now";
}

TEST(StateFile, TakesThePlaceOfWhatIsThereAsOftenAsItIsDone) {
  Vault vault(kOne);
  MemoryStore from;
  Fill(from, vault);
  StateImage image = Read(from, vault);
  MemoryStore to;
  Fill(to, vault);
  Write(to, "key", "mallory", "{}");
  for (int i = 0; i < 2; ++i) {
    auto written = WriteState(to, vault, image);
    ASSERT_TRUE(written) << written.error().what;
    ExpectSame(Read(to, vault), image);
  }
}

TEST(StateFile, SettlesJournalsButMakesNoRunThatIsOverSeemAlive) {
  World world;
  world.clock.Advance(std::chrono::hours(24 * 100));
  RedisServer server;
  RedisStore redis({server.options()}, world.clock);
  Vault vault(kOne);
  // Of another machine, which was killed long ago and had no journal.
  std::vector<LedgerFlush> flushes{{"elsewhere", 5, {}, {}}};
  flushes[0].rows.days.push_back({20'000, "alice", "model", "claude/max", {.requests = 2}});
  Take<Flushed>([&](auto done) { redis.Flush(flushes, std::move(done)); });
  world.clock.Advance(std::chrono::hours(24 * 9));
  {
    Process killed(world);
    killed.Close("a", 1);
  }
  for (int i = 0; i < 2; ++i) {
    auto settled = SettleJournals(redis, world.journals());
    ASSERT_TRUE(settled) << settled.error().what;
    auto image = Take<LedgerImage>([&](auto done) { redis.Load(std::move(done)); });
    ASSERT_EQ(image.epochs.size(), 1U) << "the journal's is folded";
    EXPECT_EQ(image.epochs[0].epoch, "elsewhere");
    EXPECT_EQ(image.epochs[0].sequence, 5);
    EXPECT_FALSE(image.epochs[0].may_live);
    EXPECT_EQ(SumOf(image.folded).requests, 1);
    StateImage exported = Read(redis, vault);
    EXPECT_EQ(exported.rows.days.size(), 2U);
    EXPECT_EQ(exported.recent.size(), 1U);
  }
}

TEST(StateFile, TakesThePlaceOfWhatRelaysCountedTogetherOfTheirLimits) {
  RedisServer server;
  Vault vault(kOne);
  auto ask = [&](const std::string& relay, int64_t nanodollars) {
    RedisStore::Options options{server.options()};
    options.limits = RedisLimits::Options{.relay = relay};
    RedisStore store(std::move(options), SystemClock::Get());
    Limiter limiter;
    limiter.ShareBy(store.limits());
    store.limits()->Open();
    Loop loop;
    Limiter::Ask ask;
    RateLimits limits{.requests_per_minute = 1};
    limits.cost[static_cast<size_t>(CostWindow::kTotal)] = 100;
    ask.claims[0] = {limiter.Scope("route all"), limits};
    std::optional<Limiter::Everywhere> admitted;
    auto run = [&]() -> Task<Unit> {
      Limiter::Everywhere got = co_await limiter.AdmitEverywhere(loop, ask, loop.Now(), 0);
      admitted = std::move(got);
      co_return Unit{};
    };
    Task<Unit> task = run();
    task.Start([](void*) noexcept {}, nullptr);
    for (int i = 0; i < 1000 && !admitted; ++i) {
      loop.Turn();
      ::poll(nullptr, 0, 1);
    }
    bool in = admitted && admitted->slot != nullptr;
    if (in) limiter.Settle(*admitted->slot, {.nanodollars = nanodollars});
    return in;
  };
  EXPECT_TRUE(ask("first", 100));
  EXPECT_FALSE(ask("second", 0)) << "it is spent, and the minute has its start";
  MemoryStore from;
  Fill(from, vault);
  StateImage image = Read(from, vault);
  {
    RedisStore store({server.options()});
    ASSERT_TRUE(WriteState(store, vault, image));
  }
  EXPECT_TRUE(ask("third", 100));
  EXPECT_FALSE(ask("fourth", 0));
  EXPECT_EQ(server.Ask({"EXISTS", "relay:limit:1:route all"})[0], "1");
}

TEST(StateFile, ShowsNothingOfWhatIsInIt) {
  Vault vault(kOne);
  MemoryStore from;
  Fill(from, vault);
  std::string file = SealState(Read(from, vault), kPassphrase, kCheap);
  for (const char* text : {"rt-planted", "alice", "claude", "health"}) {
    EXPECT_EQ(file.find(text), std::string::npos) << text;
  }
}

TEST(StateFile, OpensWithItsPassphraseOnlyAndUnchanged) {
  std::string file = SealState(StateImage(), kPassphrase, kCheap);
  EXPECT_TRUE(OpenState(file, kPassphrase));
  auto wrong = OpenState(file, Secret("another passphrase"));
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().what.find("passphrase"), std::string::npos);
  for (size_t at = 0; at < file.size(); ++at) {
    std::string changed = file;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(OpenState(changed, kPassphrase)) << at;
  }
  EXPECT_FALSE(OpenState(file.substr(0, file.size() - 1), kPassphrase));
  EXPECT_FALSE(OpenState("", kPassphrase));
}

TEST(StateFile, OfANewerRelayIsRefusedByName) {
  std::string file = SealState(StateImage(), kPassphrase, kCheap);
  file.replace(file.find(":1,"), 3, ":2,");
  auto newer = OpenState(file, kPassphrase);
  ASSERT_FALSE(newer);
  EXPECT_NE(newer.error().what.find("newer relay (format 2"), std::string::npos);
}

TEST(StateFile, MayNotAskForAllTheMemoryThereIs) {
  std::string file = SealState(StateImage(), kPassphrase, kCheap);
  file.replace(file.find(R"("n":16)"), 6, R"("n":1073741824)");
  EXPECT_FALSE(OpenState(file, kPassphrase));
}

}  // namespace
}  // namespace relay
