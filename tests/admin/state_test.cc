// SPDX-License-Identifier: MIT
#include "admin/state.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "admin/endpoints.h"
#include "core/store/crc32c.h"
#include "tests/admin/fixture.h"
#include "tests/admin/temporary_folder.h"
#include "tests/core/store/redis_server.h"

namespace relay {
namespace {

std::string ConfigText(const std::string& store) {
  return "listeners: [{address: '127.0.0.1:0'}]\nstore: " + store + R"(
clusters: {claude: {provider: claude}}
routes:
  - {name: claude, match: {prefix: /api}, filters: [{auth: {service: claude}}, {account-select: {}}], cluster: claude}
)";
}

LedgerEntry EntryOf(const std::string& id, int64_t input) {
  LedgerEntry entry{.id = id, .when = SystemClock::Get().Wall(), .key = "alice"};
  entry.model = "claude-opus-5-5";
  entry.usage.input = input;
  return entry;
}

// What one process has of it.
struct OneRun {
  explicit OneRun(const std::string& path, const std::string& store = "auto") {
    auto config = ConfigOf(ConfigText(store));
    services = std::move(*Services::Make(config, SystemClock::Get(), uint64_t{1} << 30));
    site.workers = 2;
    if (path.empty()) {
      site.no_folder = "the data folder cannot be used";
      return;
    }
    auto opened = DataFolder::Open(path);
    EXPECT_TRUE(opened) << opened.error().what;
    folder = std::move(*opened);
    site.folder = folder.get();
  }
  // The error, or nothing.
  std::string Open() {
    auto state =
        State::Open(*services->current()->config, site, SystemClock::Get(), services->Kept());
    if (!state) return state.error().what;
    services->state = std::move(*state);
    endpoints = std::make_unique<ProcessEndpoints>(*services);
    endpoints->SetPhase(ProcessEndpoints::Phase::kServing);
    return "";
  }
  LedgerTotals Sum() const {
    LedgerTotals sum;
    for (const LedgerRow& row : services->ledger.Sum(LedgerBy::kDay)) sum.Add(row.totals);
    return sum;
  }
  std::string Ask(std::string_view path) const {
    Head head;
    head.method = "GET";
    head.target = path;
    auto reply = endpoints->Answer(head, path);
    EXPECT_EQ(reply->status, 200);
    return reply->body;
  }

  std::unique_ptr<DataFolder> folder;
  State::Site site;
  std::unique_ptr<Services> services;
  std::unique_ptr<ProcessEndpoints> endpoints;
};

void CopyJournal(const std::string& from, const std::string& to) {
  std::filesystem::create_directories(to);
  std::filesystem::copy(from + "/journal", to + "/journal");
}

bool Has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

class NoRoom final : public JournalFiles {
 public:
  int Create(const char*) override { return errno = ENOSPC, -1; }
};

TEST(State, KeepsWhatWasUsedAcrossRestarts) {
  TemporaryFolder temp;
  for (int64_t run = 0; run < 3; ++run) {
    OneRun relay(temp.File("data"));
    ASSERT_EQ(relay.Open(), "");
    EXPECT_EQ(relay.Sum().requests, run);
    EXPECT_EQ(relay.services->ledger.Recent(10).size(), static_cast<size_t>(run));
    relay.services->ledger.Close(EntryOf("req_" + std::to_string(run), 10));
  }
  EXPECT_TRUE(std::filesystem::exists(temp.File("data/relay.db")));
  EXPECT_TRUE(std::filesystem::is_empty(temp.File("data/journal")));
}

TEST(State, R38_LosesNothingWhenItIsKilled) {
  TemporaryFolder temp;
  OneRun killed(temp.File("data"));
  ASSERT_EQ(killed.Open(), "");
  killed.services->ledger.Open(EntryOf("a", 1));
  killed.services->ledger.Close(EntryOf("a", 2));
  killed.services->ledger.Open(EntryOf("b", 4));
  killed.services->ledger.Write();
  // What a disk would have of it, had it ended here.
  CopyJournal(temp.File("data"), temp.File("left"));
  OneRun next(temp.File("left"));
  ASSERT_EQ(next.Open(), "");
  EXPECT_EQ(next.Sum().requests, 2);
  EXPECT_EQ(next.Sum().input, 2 + 4);
  EXPECT_EQ(next.Sum().estimated, 1);
}

TEST(State, LiesWhereRelayYamlSays) {
  TemporaryFolder temp;
  OneRun relay(temp.File("data"), "{embedded: {path: " + temp.File("data/usage.db") + "}}");
  ASSERT_EQ(relay.Open(), "");
  EXPECT_TRUE(std::filesystem::exists(temp.File("data/usage.db")));
  EXPECT_FALSE(std::filesystem::exists(temp.File("data/relay.db")));
}

TEST(State, IsNoneForAStoreInMemory) {
  TemporaryFolder temp;
  OneRun relay(temp.File("data"), "memory");
  ASSERT_EQ(relay.Open(), "");
  EXPECT_EQ(relay.services->state, nullptr);
  EXPECT_FALSE(std::filesystem::exists(temp.File("data/relay.db")));
  EXPECT_TRUE(Has(relay.Ask("/health"), R"("status":"ok")"));
  EXPECT_TRUE(Has(relay.Ask("/ready"), R"("store":"memory")"));
  EXPECT_TRUE(Has(relay.Ask("/metrics"), "relay_state_degraded 0\n"));
}

TEST(State, ServesWithoutAFolderAndSaysSo) {
  OneRun relay("");
  ASSERT_EQ(relay.Open(), "");
  relay.services->ledger.Close(EntryOf("a", 1));
  EXPECT_EQ(relay.Sum().requests, 1);
  EXPECT_TRUE(Has(relay.Ask("/health"), R"("status":"degraded")"));
  EXPECT_TRUE(Has(relay.Ask("/ready"), R"("store":"memory")"));
  EXPECT_TRUE(Has(relay.Ask("/metrics"), "relay_state_degraded 1\n"));
}

TEST(State, KeepsTheJournalWhileTheDiskDoesNotGiveTheStore) {
  TemporaryFolder temp;
  {
    OneRun relay(temp.File("data"));
    ASSERT_EQ(relay.Open(), "");
    relay.services->ledger.Close(EntryOf("a", 1));
  }
  std::filesystem::rename(temp.File("data/relay.db"), temp.File("relay.db"));
  std::filesystem::create_directories(temp.File("data/relay.db"));
  for (int run = 0; run < 2; ++run) {
    OneRun relay(temp.File("data"));
    ASSERT_EQ(relay.Open(), "");
    EXPECT_TRUE(Has(relay.Ask("/ready"), R"("store":"memory")"));
    EXPECT_TRUE(Has(relay.Ask("/health"), R"("status":"degraded")"));
    relay.services->ledger.Close(EntryOf("b" + std::to_string(run), 2));
    EXPECT_EQ(relay.Sum().requests, 1) << "what was before cannot be read";
  }
  std::filesystem::remove(temp.File("data/relay.db"));
  std::filesystem::rename(temp.File("relay.db"), temp.File("data/relay.db"));
  OneRun relay(temp.File("data"));
  ASSERT_EQ(relay.Open(), "");
  EXPECT_EQ(relay.Sum().requests, 3);
  EXPECT_EQ(relay.Sum().input, 5);
}

TEST(State, RefusesAStoreThatAnotherTryDoesNotMend) {
  TemporaryFolder temp;
  std::string path = temp.Write("data/relay.db", std::string(8192, 'x'));
  {
    OneRun relay(temp.File("data"));
    std::string why = relay.Open();
    EXPECT_TRUE(Has(why, path)) << why;
  }
  EXPECT_EQ(std::filesystem::file_size(path), 8192U) << "nothing was overwritten";
}

TEST(State, RefusesTheJournalOfANewerRelay) {
  TemporaryFolder temp;
  {
    OneRun relay(temp.File("data"));
    ASSERT_EQ(relay.Open(), "");
    CopyJournal(temp.File("data"), temp.File("next"));
  }
  std::string json = R"({"line":"segment","version":9,"epoch":"newer-0"})";
  std::array<char, 32> frame{};
  std::snprintf(frame.data(), frame.size(), "%08zx %08x ", json.size(), Crc32c(json));
  temp.Write("next/journal/newer-0.1", frame.data() + json + "\n");
  OneRun relay(temp.File("next"));
  std::string why = relay.Open();
  EXPECT_TRUE(Has(why, "newer relay")) << why;
}

TEST(State, TellsThatTheJournalFailsAndServesOn) {
  TemporaryFolder temp;
  NoRoom disk;
  {
    OneRun relay(temp.File("data"));
    relay.site.files = &disk;
    ASSERT_EQ(relay.Open(), "");
    EXPECT_TRUE(Has(relay.Ask("/health"), R"("status":"degraded")"));
    EXPECT_TRUE(Has(relay.Ask("/ready"), R"("store":"embedded")"));
    std::string metrics = relay.Ask("/metrics");
    EXPECT_TRUE(Has(metrics, "relay_state_degraded 1\n"));
    EXPECT_FALSE(Has(metrics, "relay_state_errors_total{op=\"journal\"} 0\n"));
    EXPECT_TRUE(Has(metrics, "relay_state_errors_total{op=\"flush\"} 0\n"));
    relay.endpoints->SetPhase(ProcessEndpoints::Phase::kDraining);
    EXPECT_TRUE(Has(relay.endpoints->HealthText(), R"("status":"draining")"));
    relay.services->ledger.Close(EntryOf("a", 1));
  }
  OneRun next(temp.File("data"));
  ASSERT_EQ(next.Open(), "");
  EXPECT_EQ(next.Sum().requests, 1) << "the store has it";
}

TEST(State, CountsWhatIsNotSettled) {
  TemporaryFolder temp;
  OneRun relay(temp.File("data"));
  ASSERT_EQ(relay.Open(), "");
  relay.services->ledger.Open(EntryOf("a", 1));
  EXPECT_TRUE(Has(relay.Ask("/metrics"), "relay_usage_unsettled 1\n"));
  relay.services->ledger.Close(EntryOf("a", 1));
  EXPECT_TRUE(Has(relay.Ask("/metrics"), "relay_usage_unsettled 0\n"));
}

// A key with a budget, a route that has one too, and two accounts.
struct StatesOfARun : OneRun {
  explicit StatesOfARun(const std::string& path) : OneRun(path, Settings()) {}
  static std::string Settings() {
    return "auto\nkeys: [{name: alice, key: cr_alice_0123456789, limits: {cost-total: 5}}]";
  }
  // Whether the budget of `dollars` in all of that scope is spent.
  bool Spent(const std::string& scope, int64_t dollars) const {
    Limiter::Ask ask;
    ask.claims[0].scope = services->limiter.Scope(scope);
    ask.claims[0].limits.cost.back() = dollars * 1'000'000'000;
    return services->limiter.Look(ask, SystemClock::Get().Now()).has_value();
  }
  void Spend(const std::string& scope, int64_t dollars) const {
    Limiter::Ask ask;
    ask.claims[0].scope = services->limiter.Scope(scope);
    ask.claims[0].limits.cost.back() = 1'000'000'000'000;
    Slot slot;
    ASSERT_FALSE(services->limiter.Admit(ask, SystemClock::Get().Now(), slot));
    services->limiter.Settle(slot, {.nanodollars = dollars * 1'000'000'000});
  }
  void CloseWorth(const std::string& id, int64_t dollars) const {
    LedgerEntry entry = EntryOf(id, 1);
    entry.nanodollars = dollars * 1'000'000'000;
    services->ledger.Close(entry);
  }
};

TEST(State, KeepsBudgetsAcrossRestarts) {
  TemporaryFolder temp;
  {
    StatesOfARun relay(temp.File("data"));
    ASSERT_EQ(relay.Open(), "");
    relay.CloseWorth("a", 3);
    relay.Spend("route claude", 3);
    relay.Spend("route gone", 3);
  }
  StatesOfARun relay(temp.File("data"));
  ASSERT_EQ(relay.Open(), "");
  EXPECT_TRUE(relay.Spent("key alice", 3));
  EXPECT_FALSE(relay.Spent("key alice", 4));
  EXPECT_TRUE(relay.Spent("route claude", 3));
  EXPECT_FALSE(relay.Spent("route claude", 4));
  EXPECT_FALSE(relay.Spent("route gone", 3));
}

TEST(State, AddsWhatAStoreHasThatIsThereLate) {
  TemporaryFolder temp;
  {
    StatesOfARun relay(temp.File("data"));
    ASSERT_EQ(relay.Open(), "");
    relay.CloseWorth("a", 2);
    relay.Spend("route claude", 2);
  }
  std::filesystem::rename(temp.File("data/relay.db"), temp.File("relay.db"));
  std::filesystem::create_directories(temp.File("data/relay.db"));
  {
    StatesOfARun relay(temp.File("data"));
    ASSERT_EQ(relay.Open(), "");
    relay.CloseWorth("b", 1);
    relay.Spend("key alice", 1);
    relay.Spend("route claude", 1);
    EXPECT_FALSE(relay.Spent("key alice", 2));
    std::filesystem::remove(temp.File("data/relay.db"));
    std::filesystem::rename(temp.File("relay.db"), temp.File("data/relay.db"));
    // At the latest when it ends.
    relay.services->state.reset();
    EXPECT_TRUE(relay.Spent("key alice", 3));
    EXPECT_FALSE(relay.Spent("key alice", 4));
    EXPECT_TRUE(relay.Spent("route claude", 3));
    EXPECT_FALSE(relay.Spent("route claude", 4));
    EXPECT_EQ(relay.Sum().requests, 2);
  }
  StatesOfARun relay(temp.File("data"));
  ASSERT_EQ(relay.Open(), "");
  EXPECT_EQ(relay.Sum().requests, 2);
  EXPECT_TRUE(relay.Spent("key alice", 3));
  EXPECT_FALSE(relay.Spent("key alice", 4));
  EXPECT_TRUE(relay.Spent("route claude", 3));
  EXPECT_FALSE(relay.Spent("route claude", 4));
}

TEST(State, HasSeriesForWhatIsLostAndForWhoWaits) {
  OneRun relay("");
  ASSERT_EQ(relay.Open(), "");
  EXPECT_TRUE(Has(relay.Ask("/metrics"), "relay_usage_lost_total 0\n"));
  EXPECT_TRUE(Has(relay.Ask("/metrics"), "relay_queue_depth{cluster=\"claude\"} 0\n"));
}

// A block of relay.yaml for the server.
std::string RedisBlock(const RedisServer& server, const std::string& more = "") {
  return "{redis: {address: '127.0.0.1:" + std::to_string(server.port()) + "'" + more +
         "}}\nsecrets: {encryption-key: 0123456789abcdef0123456789abcdef}";
}

TEST(State, KeepsWhatWasUsedInRedisWithoutAFolder) {
  RedisServer server;
  for (int64_t run = 0; run < 3; ++run) {
    OneRun relay("", RedisBlock(server));
    ASSERT_EQ(relay.Open(), "");
    EXPECT_EQ(relay.Sum().requests, run);
    EXPECT_TRUE(Has(relay.Ask("/health"), R"("status":"ok")"));
    EXPECT_TRUE(Has(relay.Ask("/health"), R"("redis":"connected")"));
    EXPECT_TRUE(Has(relay.Ask("/ready"), R"("store":"redis")"));
    relay.services->ledger.Close(EntryOf("req_" + std::to_string(run), 10));
  }
}

// A host starts the next relay before it stops the last one.
TEST(State, LeavesToARunThatGoesOnWhatIsItsOwn) {
  RedisServer server;
  OneRun last("", RedisBlock(server, ", flush-interval: 100ms"));
  ASSERT_EQ(last.Open(), "");
  last.services->ledger.Close(EntryOf("a", 1));
  while (server.Ask({"HLEN", "relay:epochs"})[0] == "0") ::poll(nullptr, 0, 10);
  {
    OneRun next("", RedisBlock(server));
    ASSERT_EQ(next.Open(), "");
    EXPECT_EQ(next.Sum().requests, 1);
  }
  last.services->ledger.Close(EntryOf("b", 2));
  last.services->state.reset();
  OneRun later("", RedisBlock(server));
  ASSERT_EQ(later.Open(), "");
  EXPECT_EQ(later.Sum().input, 1 + 2);
}

TEST(State, BringsTheJournalOfAKilledRunToRedis) {
  RedisServer server;
  TemporaryFolder temp;
  OneRun killed(temp.File("data"), RedisBlock(server, ", flush-interval: 10m"));
  ASSERT_EQ(killed.Open(), "");
  killed.services->ledger.Close(EntryOf("a", 2));
  killed.services->ledger.Open(EntryOf("b", 4));
  killed.services->ledger.Write();
  CopyJournal(temp.File("data"), temp.File("left"));
  OneRun next(temp.File("left"), RedisBlock(server));
  ASSERT_EQ(next.Open(), "");
  EXPECT_EQ(next.Sum().requests, 2);
  EXPECT_EQ(next.Sum().input, 2 + 4);
  EXPECT_TRUE(std::filesystem::exists(temp.File("left/journal")));
  EXPECT_FALSE(std::filesystem::exists(temp.File("left/relay.db")));
}

TEST(State, ServesWithoutRedisAndSaysSo) {
  RedisServer server;
  server.Stop();
  OneRun open("", RedisBlock(server));
  ASSERT_EQ(open.Open(), "");
  EXPECT_TRUE(Has(open.Ask("/health"), R"("status":"degraded")"));
  EXPECT_TRUE(Has(open.Ask("/health"), R"("redis":"disconnected")"));
  EXPECT_TRUE(Has(open.Ask("/metrics"), "relay_state_connected 0"));
  EXPECT_EQ(open.endpoints->Closed(), std::nullopt);
  OneRun closed("", RedisBlock(server, ", on-outage: fail-closed"));
  ASSERT_EQ(closed.Open(), "");
  EXPECT_TRUE(closed.endpoints->Closed().has_value());
}

TEST(State, SaysThatItDoesNotHearWhatOtherRelaysChange) {
  RedisServer server({"--user", "alice", "on", ">secret", "~relay:*", "resetchannels", "+@all"});
  auto may_hear = [&](bool may) {
    std::string user = may ? "" : ", username: alice, password: secret";
    OneRun relay("", RedisBlock(server, ", replicas: 2" + user));
    EXPECT_EQ(relay.Open(), "");
    std::atomic<bool> heard{false};
    relay.services->state->store()->WatchObjects([&heard](int64_t) { heard = true; });
    auto told = [&] { return heard || Has(relay.Ask("/health"), R"("status":"degraded")"); };
    for (int i = 0; i < 2000 && !told(); ++i) ::poll(nullptr, 0, 5);
    EXPECT_EQ(Has(relay.Ask("/health"), R"("status":"ok")"), may);
    EXPECT_TRUE(Has(relay.Ask("/health"), R"("redis":"connected")"));
    EXPECT_TRUE(Has(relay.Ask("/ready"),
                    may ? R"("store_changes":"heard")" : R"("store_changes":"not heard")"));
    EXPECT_TRUE(
        Has(relay.Ask("/metrics"), may ? "relay_state_subscribed 1" : "relay_state_subscribed 0"));
    relay.services->state.reset();  // it tells of what is above
  };
  may_hear(true);
  may_hear(false);
  OneRun alone("", RedisBlock(server));
  ASSERT_EQ(alone.Open(), "");
  EXPECT_FALSE(Has(alone.Ask("/ready"), "store_changes"));
}

TEST(State, TellsOfTheCommandsThatItMaySend) {
  RedisServer server;
  OneRun relay("", RedisBlock(server, ", budget: {commands-per-month: 500000}"));
  ASSERT_EQ(relay.Open(), "");
  EXPECT_TRUE(Has(relay.Ask("/ready"), R"("budget":500000,"flush_seconds":1)"));
  EXPECT_TRUE(Has(relay.Ask("/metrics"), "relay_state_commands_month_budget 500000"));
  EXPECT_TRUE(Has(relay.Ask("/metrics"), "relay_state_flush_interval_seconds 1"));
}

TEST(State, DoesNotStartOnTheRedisOfAnotherProgram) {
  RedisServer server;
  server.Ask({"SET", "relay:schema", "relay 99"});
  OneRun relay("", RedisBlock(server));
  EXPECT_TRUE(Has(relay.Open(), "was written by a newer relay"));
}

}  // namespace
}  // namespace relay
