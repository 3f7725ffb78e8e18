// SPDX-License-Identifier: MIT
#include "core/store/redis_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/net/tls_context.h"
#include "core/store/redis_errors.h"
#include "core/store/redis_scripts.h"
#include "tests/core/net/certificates.h"
#include "tests/core/store/entries.h"
#include "tests/core/store/redis_server.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

LedgerFlush FlushOf(int64_t sequence, int64_t n) {
  LedgerRows rows;
  LedgerEntry entry = TestEntry(std::to_string(sequence), n);
  rows.Add(entry, TestPeriod(entry));
  return {"a", sequence, rows.All(), {entry}};
}

Result<LedgerImage> Load(Store& store) {
  return Await<LedgerImage>([&](auto done) { store.Load(std::move(done)); });
}
Result<Flushed> Flush(Store& store, int64_t sequence, int64_t n = 1) {
  return Await<Flushed>([&](auto done) { store.Flush({FlushOf(sequence, n)}, std::move(done)); });
}
// Why a store with these options cannot be read.
std::string Refusal(RedisOptions options) {
  RedisStore store({std::move(options)});
  auto image = Load(store);
  return image ? "none" : image.error().what;
}
bool Becomes(const RedisStore& store, StoreStatus::Link link) {
  for (int i = 0; i < 1000 && store.status().link != link; ++i) ::poll(nullptr, 0, 10);
  return store.status().link == link;
}

TEST(RedisStore, LogsInAsAnAclUserOfAnotherDatabase) {
  RedisServer server(
      {"--user", "default", "off", "--user", "alice", "on", ">se cret", "~relay:*", "+@all"});
  RedisOptions options = server.options();
  EXPECT_THAT(Refusal(options), HasSubstr("wants a password"));
  options.username = "alice";
  options.password = Secret("wrong");
  EXPECT_THAT(Refusal(options), HasSubstr("refuses user name and password"));
  options.password = Secret("se cret");
  options.database = 3;
  RedisStore store({options});
  EXPECT_TRUE(Flush(store, 1));
  EXPECT_EQ(Load(store)->epochs.size(), 1U);
  options.database = 0;
  RedisStore other({options});
  EXPECT_TRUE(Load(other)->epochs.empty());
  options.database = 99;
  EXPECT_THAT(Refusal(options), HasSubstr("no database of that number"));
}

TEST(RedisStore, LogsInByPasswordAlone) {
  RedisServer server({"--requirepass", "secret"});
  RedisOptions options = server.options();
  options.password = Secret("secret");
  EXPECT_EQ(Refusal(options), "none");
  options.password = Secret("secret2");
  std::string why = Refusal(options);
  EXPECT_THAT(why, HasSubstr("set REDIS_PASSWORD"));
  EXPECT_EQ(why.find("secret2"), std::string::npos);
}

TEST(RedisStore, SaysThatThePasswordIsOneTooMany) {
  RedisServer server;
  RedisOptions options = server.options();
  options.password = Secret("secret");
  EXPECT_THAT(Refusal(options), HasSubstr("one is configured here; leave it out"));
}

TEST(RedisStore, SpeaksTlsAndChecksWhomWith) {
  TempFolder folder;
  Authority authority(folder);
  auto pair = authority.Issue("redis", "DNS:localhost");
  RedisServer server({"--tls-cert-file", pair.certificate, "--tls-key-file", pair.key,
                      "--tls-ca-cert-file", authority.file(), "--tls-auth-clients", "no"});
  RedisOptions options = server.options();
  EXPECT_THAT(Refusal(options), HasSubstr("TLS")) << "plain to a TLS port";
  options.tls = *TlsClientContext::Make();
  EXPECT_THAT(Refusal(options), HasSubstr("certificate verify failed"));
  options.tls = *TlsClientContext::Make(authority.file());
  EXPECT_THAT(Refusal(options), HasSubstr("certificate verify failed")) << "the name is another";
  options.host = "localhost";
  RedisStore store({options});
  EXPECT_TRUE(Flush(store, 1));
  EXPECT_EQ(store.status().link, StoreStatus::Link::kConnected);

  RedisServer plain;
  options.port = plain.port();
  options.connect_timeout = 300ms;
  EXPECT_THAT(Refusal(options), HasSubstr("if this port does not speak TLS"));
}

TEST(RedisStore, SaysWhyItIsNotThere) {
  RedisOptions options;
  options.host = "nowhere.invalid";
  EXPECT_THAT(Refusal(options), HasSubstr("nowhere.invalid"));
  options.host = "127.0.0.1";
  options.port = RedisServer::FreePort();
  EXPECT_THAT(Refusal(options), HasSubstr("connection refused"));
}

TEST(RedisStore, RefusesWhatANewerRelayOrSomebodyElseHasWritten) {
  RedisServer server;
  server.Ask({"SET", "relay:schema", "relay 2"});
  RedisStore newer({server.options()});
  auto image = Load(newer);
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().what, HasSubstr("newer relay (schema 2, this one knows 1)"));
  EXPECT_FALSE(image.error().retryable);
  for (const auto& words :
       std::vector<std::vector<std::string>>{{"SET", "relay:schema", "postfix"},
                                             {"HSET", "relay:schema", "a", "b"},
                                             {"SET", "relay:epochs", "somebody's"}}) {
    server.Ask({"FLUSHALL"});
    server.Ask(words);
    EXPECT_THAT(Refusal(server.options()), HasSubstr("give the relay a database of its own"));
    EXPECT_EQ(server.Ask({"DBSIZE"})[0], "1") << "nothing was written";
  }
}

TEST(RedisStore, ExplainsWhatAServerCannotDo) {
  RedisServer primary;
  RedisServer replica({"--replicaof", "127.0.0.1", std::to_string(primary.port())});
  EXPECT_THAT(Refusal(replica.options()), HasSubstr("is a read-only replica"));
  RedisServer full({"--maxmemory", "1"});
  EXPECT_THAT(Refusal(full.options()), HasSubstr("has no memory left"));
  auto says = [](const std::string& text) {
    RespReply reply{RespReply::Kind::kError, 0, text, {}};
    return ExplainRedis(reply, RedisOptions{.host = "r", .port = 1}).what;
  };
  EXPECT_EQ(says("LOADING Redis is loading the dataset in memory"),
            "Redis at r:1 is still loading its data");
  EXPECT_THAT(says("ERR max requests limit exceeded. Limit: 500000, Usage: 500000."),
              HasSubstr("all the commands that its plan allows"));
  EXPECT_EQ(says("ERR unknown command `FOO`, with args beginning with: `se`"),
            "Redis at r:1 does not know a command that relay needs (Redis 6 or newer does)");
  EXPECT_EQ(says("ODD thing 'secret'"), "Redis at r:1 answers 'ODD thing '");
}

// Commands the server has done, but for those that asked.
int CommandsDone(const RedisServer& server) {
  std::string info = server.Ask({"INFO", "commandstats"})[0];
  int done = 0;
  std::stringstream lines(info);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("cmdstat_") || line.starts_with("cmdstat_info")) continue;
    // What scripts do is theirs.
    for (std::string_view own : {"eval", "evalsha", "hgetall", "auth", "select", "ping"}) {
      std::string mark = "cmdstat_" + std::string(own) + ":calls=";
      if (line.starts_with(mark)) done += std::stoi(line.substr(mark.size()));
    }
  }
  return done;
}

TEST(RedisStore, AFlushIsOneCommandAndIdlingNone) {
  RedisServer server;
  RedisStore store({server.options()});
  ASSERT_TRUE(Flush(store, 1));
  server.Ask({"CONFIG", "RESETSTAT"});
  for (int i = 2; i < 12; ++i) ASSERT_TRUE(Flush(store, i));
  EXPECT_EQ(CommandsDone(server), 10);
  EXPECT_EQ(store.status().commands, 14U) << "the greeting and the first flush, each twice";
  EXPECT_EQ(store.status().month_used, 14);
  server.Ask({"CONFIG", "RESETSTAT"});
  ::poll(nullptr, 0, 300);
  EXPECT_EQ(CommandsDone(server), 0);
}

// A ledger of which no reply may hold more than a part.
struct LargeLedger : testing::Test {
  static constexpr int kDays = 100;
  static constexpr int kKeys = 40;
  static RedisOptions Bounded(const RedisServer& server) {
    RedisOptions options = server.options();
    options.replies.items = 5000;  // 500 rows and what stands around them are asked for at once
    return options;
  }
  // Folded ones of many buckets, one bucket with very many, and those of an epoch that goes on.
  LargeLedger() {
    auto day = [](const std::string& key, int day, int64_t requests) {
      DayRow row{kTestDay + day, key, "model", "claude/team", {}};
      row.totals.requests = requests;
      return row;
    };
    LedgerFlush folded{"folded", 1, {}, {}};
    LedgerFlush live{"live", 7, {}, {}};
    for (int i = 0; i < kDays; ++i) {
      for (int key = 0; key < kKeys; ++key) {
        folded.rows.days.push_back(day("key" + std::to_string(key), i, i + key + 1));
      }
    }
    for (int i = 0; i < 1200; ++i)
      live.rows.days.push_back(day("of " + std::to_string(i), i % 7, 1));
    for (int i = 0; i < 600; ++i) {
      HourRow row{kTestDay * 24 + i, "alice", {}};
      row.totals.requests = 1;
      live.rows.hours.push_back(row);
    }
    EXPECT_TRUE(Await<Flushed>([&](auto done) { writer.Flush({folded, live}, std::move(done)); }));
    EXPECT_TRUE(Await<Unit>([&](auto done) { writer.Fold("folded", std::move(done)); }));
  }
  RedisServer server;
  RedisStore writer{{server.options()}};
};

TEST(RedisStore, AFlushWithStatesIsOneCommandAndAnErrorOfOneLeavesTheOther) {
  RedisServer server;
  RedisStore store({server.options()});
  auto flush = [&](int64_t sequence, const std::string& kind) {
    std::vector<StateBlob> blobs{{kind, "it", "value"}};
    return Await<Flushed>([&](auto done) {
      store.FlushWithStates({FlushOf(sequence, sequence)}, blobs, std::move(done));
    });
  };
  ASSERT_TRUE(flush(1, "health"));
  uint64_t before = store.status().commands;
  ASSERT_TRUE(flush(2, "health"));
  EXPECT_EQ(store.status().commands, before + 1);
  EXPECT_EQ(store.status().month_used, static_cast<int64_t>(before) + 1);
  EXPECT_EQ(server.Ask({"HGET", "relay:states:health", "it"})[0], "value");
  server.Ask({"SET", "relay:states:other", "somebody's"});
  auto failed = flush(3, "other");
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().what, HasSubstr("something else under relay's names"));
  EXPECT_EQ(SumOf(Load(store)->epochs.at(0).rows).input, 3) << "the flush was taken";
}

TEST_F(LargeLedger, ComesInPartsOfWhichNoneIsTooLarge) {
  RedisStore reader({Bounded(server)});
  auto image = Load(reader);
  ASSERT_TRUE(image) << image.error().what;
  auto whole = Load(writer);
  ASSERT_TRUE(whole);
  EXPECT_EQ(image->folded.days.size(), size_t{kDays * kKeys});
  EXPECT_EQ(image->folded.days, whole->folded.days);
  EXPECT_EQ(image->folded.hours, whole->folded.hours);
  ASSERT_EQ(image->epochs.size(), 1U);
  EXPECT_EQ(image->epochs[0].sequence, 7);
  EXPECT_EQ(image->epochs[0].rows.days, whole->epochs[0].rows.days);
  EXPECT_EQ(image->epochs[0].rows.hours, whole->epochs[0].rows.hours);
  EXPECT_EQ(image->ended, whole->ended);
  EXPECT_LE(reader.status().commands, 5 + 5800U / 250) << "it asks for about 500 rows at once";
}

TEST_F(LargeLedger, IsReadFromTheStartWhenAnotherRelayFoldsMeanwhile) {
  RedisOptions options = Bounded(server);
  int pages = 0;
  RedisClient client(server.port());
  // Between two parts of the first reading.
  FakeRedis wire([&](const std::vector<std::string>& command) {
    bool page = command[0] == "EVALSHA" && command[1] == redis_scripts::LoadRows().sha;
    if (page && ++pages == 3) {
      EXPECT_TRUE(Await<Unit>([&](auto done) { writer.Fold("live", std::move(done)); }));
    }
    return client.Raw(command);
  });
  options.port = wire.options().port;
  RedisStore reader({options});
  auto image = Load(reader);
  ASSERT_TRUE(image) << image.error().what;
  auto whole = Load(writer);
  EXPECT_TRUE(image->epochs.empty());
  EXPECT_EQ(image->folded.days, whole->folded.days);
  EXPECT_EQ(image->folded.hours, whole->folded.hours);
  EXPECT_GT(pages, 15) << "it began once more";
}

TEST(RedisStore, LoadsItsScriptsAgainWhenTheServerForgotThem) {
  RedisServer server;
  RedisStore store({server.options()});
  ASSERT_TRUE(Flush(store, 1));
  server.Ask({"SCRIPT", "FLUSH"});
  ASSERT_TRUE(Flush(store, 2, 20));
  EXPECT_EQ(SumOf(Load(store)->epochs.at(0).rows).input, 20);
}

TEST(RedisStore, ComesBackByItselfAndTellsAgainWhatAKilledServerLost) {
  RedisServer server;
  RedisStore store({server.options()});
  ASSERT_TRUE(Flush(store, 1, 10));
  server.Stop();  // nothing of it is on a disk
  EXPECT_TRUE(Becomes(store, StoreStatus::Link::kDisconnected));
  EXPECT_FALSE(Flush(store, 2, 20)) << "at once";
  server.Start();
  EXPECT_TRUE(Becomes(store, StoreStatus::Link::kConnected));
  auto image = Load(store);
  ASSERT_TRUE(image) << image.error().what;
  ASSERT_EQ(image->epochs.size(), 1U);
  EXPECT_EQ(SumOf(image->epochs[0].rows).input, 10);
}

TEST(RedisStore, R37_AFrozenServerIsGivenUpWithinSeconds) {
  RedisServer server;
  RedisOptions options = server.options();
  options.command_timeout = 100ms;
  options.connect_timeout = 200ms;
  RedisStore store({options});
  ASSERT_TRUE(Flush(store, 1));
  server.Signal(SIGSTOP);
  auto failed = Flush(store, 2);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().what, HasSubstr("has not answered"));
  EXPECT_TRUE(Becomes(store, StoreStatus::Link::kDisconnected));
  server.Signal(SIGCONT);
  EXPECT_TRUE(Becomes(store, StoreStatus::Link::kConnected));
  EXPECT_TRUE(Flush(store, 3));
}

TEST(RedisStore, CountsTheCommandsOfTheMonthOverRuns) {
  RedisServer server;
  {
    RedisStore store({server.options(), 1s, 1000});
    for (int i = 1; i <= 100; ++i) ASSERT_TRUE(Flush(store, i));
    EXPECT_FALSE(store.status().month_used < 100);
  }
  RedisStore store({server.options(), 1s, 1000});
  ASSERT_TRUE(Load(store));
  StoreStatus status = store.status();
  EXPECT_GE(status.month_used, 100);
  EXPECT_EQ(status.month_budget, 1000);
}

TEST(RedisStore, AsksRarelyOnceThePlanIsUsedUp) {
  FakeRedis server([](const std::vector<std::string>& command) -> std::string {
    if (command[0] == "EVAL") return "$7\r\nrelay 1\r\n";
    if (command.size() == 10) return "-NOSCRIPT No matching script\r\n";  // the greeting's
    return "-ERR max requests limit exceeded. Limit: 500000, Usage: 500000.\r\n";
  });
  RedisStore store({server.options()});
  EXPECT_EQ(store.status().flush_every, 1s);
  auto failed = Flush(store, 1);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().what, HasSubstr("all the commands that its plan allows"));
  EXPECT_EQ(store.status().flush_every, RedisBudget::kMaxInterval);
  EXPECT_TRUE(store.status().stretched);
}

TEST(RedisStore, SurvivesAServerThatTalksNonsense) {
  FakeRedis server([](const std::vector<std::string>& command) -> std::string {
    return command.size() == 10 ? "$7\r\nrelay 1\r\n" : "*1\r\n:1\r\n";
  });
  RedisStore store({server.options()});
  auto image = Load(store);
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().what, HasSubstr("does not understand"));
  FakeRedis web([](const std::vector<std::string>&) { return "HTTP/1.1 400 Bad Request\r\n\r\n"; });
  EXPECT_THAT(Refusal(web.options()), HasSubstr("does not speak RESP"));
}

TEST(RedisStore, TellsWhichRunsMayStillGoOn) {
  RedisServer server;
  ManualClock clock;
  RedisStore store({server.options()}, clock);
  ASSERT_TRUE(Flush(store, 7));
  clock.Advance(7 * 24h);
  EXPECT_EQ(Load(store)->epochs.at(0).sequence, 7);
  EXPECT_TRUE(Load(store)->epochs.at(0).may_live);
  clock.Advance(24h);
  EXPECT_FALSE(Load(store)->epochs.at(0).may_live);
}

TEST(RedisStore, KnowsWhatWasFoldedAsLongAsRowsAreKept) {
  RedisServer server;
  ManualClock clock;
  RedisStore store({server.options()}, clock);
  auto fold = [&](auto done) { store.Fold("a", std::move(done)); };
  auto expire = [&](int32_t kept_from) {
    return Await<Unit>([&](auto done) { store.Expire({kept_from, 0}, std::move(done)); });
  };
  int32_t today = Zone().DayOf(clock.Wall());
  ASSERT_TRUE(Flush(store, 3));
  ASSERT_TRUE(Await<Unit>(fold));
  ASSERT_TRUE(expire(today));
  auto told = Flush(store, 4);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->ended, (std::vector<EndedEpoch>{{"a", 3}}));
  // As relays wrote it that did not note the sequence.
  server.Ask({"HSET", "relay:ended", "a", std::to_string(today)});
  told = Flush(store, 4);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->ended, (std::vector<EndedEpoch>{{"a", 0}}));
  ASSERT_TRUE(expire(today));
  EXPECT_EQ(Load(store)->ended.size(), 1U);
  ASSERT_TRUE(expire(today + 1));
  EXPECT_TRUE(Load(store)->ended.empty());
}

TEST(RedisStore, NamesAnEpochOnceThatWasToldInSeveralCommands) {
  RedisServer server;
  RedisStore store({server.options()});
  ASSERT_TRUE(Await<Unit>([&](auto done) { store.Fold("a", std::move(done)); }));
  LedgerFlush flush = FlushOf(1, 1);
  for (int i = 0; i < 5000; ++i) {
    flush.rows.days.push_back({kTestDay + i, "alice", "model", "claude/team", {}});
  }
  auto told = Await<Flushed>([&](auto done) { store.Flush({flush}, std::move(done)); });
  ASSERT_TRUE(told);
  EXPECT_EQ(told->ended, (std::vector<EndedEpoch>{{"a", 0}}));
}

TEST(RedisStore, DiesInTimeAlthoughNobodyAnswers) {
  RedisOptions options;
  options.host = "127.0.0.1";
  options.port = RedisServer::FreePort();
  std::atomic<int> failed{0};
  {
    RedisStore store({options});
    for (int i = 0; i < 2000; ++i) {
      store.Flush({FlushOf(i, 1)}, [&failed](const Result<Flushed>& result) { failed += !result; });
    }
  }
  EXPECT_EQ(failed, 2000);
}

}  // namespace
}  // namespace relay
