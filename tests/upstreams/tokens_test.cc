// SPDX-License-Identifier: MIT
#include "upstreams/tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/store/memory_store.h"
#include "tests/upstreams/vendor.h"
#include "upstreams/stored_account.h"
#include "upstreams/token_keeper.h"

namespace relay {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;
using Phase = TokenSource::View::Phase;

// A store that fails or waits when it is told to.
class TestStore final : public Store {
 public:
  std::string_view kind() const override { return "test"; }
  void Load(Done<LedgerImage> done) override { inner.Load(std::move(done)); }
  void Flush(std::vector<LedgerFlush> flushes, Done<Flushed> done) override {
    inner.Flush(std::move(flushes), std::move(done));
  }
  void Fold(std::string epoch, Done<Unit> done) override {
    inner.Fold(std::move(epoch), std::move(done));
  }
  void Expire(Period kept_from, Done<Unit> done) override {
    inner.Expire(kept_from, std::move(done));
  }
  void LoadStates(std::string of, Done<std::vector<StateBlob>> done) override {
    inner.LoadStates(std::move(of), std::move(done));
  }
  void PutStates(std::vector<StateBlob> blobs, Done<Unit> done) override {
    inner.PutStates(std::move(blobs), std::move(done));
  }
  void LoadObjects(Done<Directory> done) override {
    ++loads;
    if (fails_reads) {
      done(Fail(Party::kRelay, Fault::kInternal, "no such disk"));
      return;
    }
    inner.LoadObjects(std::move(done));
  }
  void WriteObject(ObjectWrite write, Done<ObjectWritten> done) override {
    ++writes;
    if (failing_writes > 0) {
      --failing_writes;
      done(Fail(Party::kRelay, Fault::kInternal, "the disk is full"));
    } else if (holds_writes) {
      held.emplace_back(std::move(write), std::move(done));
    } else {
      inner.WriteObject(std::move(write), std::move(done));
    }
  }
  void Release() {
    auto [write, done] = std::move(held.front());
    held.pop_front();
    inner.WriteObject(std::move(write), std::move(done));
  }
  std::vector<StoredObject> objects() {
    return Await<Directory>([&](auto done) { inner.LoadObjects(std::move(done)); })->objects;
  }

  MemoryStore inner;
  int loads = 0;
  int writes = 0;
  int failing_writes = 0;
  bool fails_reads = false;
  bool holds_writes = false;
  std::deque<std::pair<ObjectWrite, Done<ObjectWritten>>> held;
};

// One who asks for a token on a loop.
struct Asker {
  Task<Unit> root;
  std::optional<TokenSource::Taken> taken;
  bool has(std::string_view token) const {
    return taken && *taken && (*taken)->value.Reveal() == token;
  }
};

class TokensTest : public ::testing::Test {
 protected:
  TokensTest() { StartKeeper(); }
  ~TokensTest() override {
    askers.clear();
    keeper.reset();
    Settle();
  }
  void StartKeeper(bool alone = true, std::string run = "run-1") {
    keeper = std::make_unique<TokenKeeper>(
        calls, tokens, &store, [this] { return &vault; }, clock,
        TokenKeeper::Options{std::move(run), alone});
  }
  void Settle() {
    for (int i = 0; i < 40; ++i) loop.Turn();
  }
  void Advance(Duration by) {
    clock.Advance(by);
    Settle();
  }
  TokenSpec SpecOf(std::string_view seed) const {
    TokenSpec spec;
    spec.id = "claude/alice";
    spec.client.token_url = *ParseUrl("http://127.0.0.1:" + std::to_string(vendor.port()) + "/t");
    spec.client.client_id = "client";
    spec.seed = Secret(seed);
    return spec;
  }
  // The vendor's next answer: tokens that live for so long.
  static Scripted Gives(const std::string& access, const std::string& refresh,
                        int seconds = 28800) {
    return Json(200, R"({"access_token":")" + access + R"(","refresh_token":")" + refresh +
                         R"(","expires_in":)" + std::to_string(seconds) + "}");
  }
  void Will(Scripted answer) { vendor.Answer("", std::move(answer)); }
  Asker& Ask(const std::shared_ptr<TokenSource>& source, uint64_t rejected = 0,
             Duration patience = 20s) {
    auto story = [](std::shared_ptr<TokenSource> from, Loop& its_loop, TimePoint deadline,
                    uint64_t number, Asker& to) -> Task<Unit> {
      to.taken = co_await from->Take(its_loop, deadline, number);
      co_return Unit{};
    };
    Asker& asker = *askers.emplace_back(std::make_unique<Asker>());
    asker.root = story(source, loop, loop.Now() + patience, rejected, asker);
    asker.root.Start([](void*) noexcept {}, nullptr);
    Settle();
    return asker;
  }
  // The refresh tokens that the vendor was asked with.
  std::vector<std::string> sent() const {
    std::vector<std::string> seen;
    for (const SeenRequest& request : vendor.requests) {
      Result<JsonIndex> json = JsonIndex::Parse(request.body);
      seen.push_back(json->Find("refresh_token").String().value_or(""));
    }
    return seen;
  }
  TokenRecord Stored() {
    std::vector<StoredObject> objects = store.objects();
    EXPECT_EQ(objects.size(), 1U);
    return *ReadTokenRecord(objects.at(0).value, "claude/alice", vault);
  }
  template <class T>
  Result<T> RunPut(Task<Result<T>> task) {
    std::optional<Result<T>> result;
    auto story = [](Task<Result<T>> inner, std::optional<Result<T>>& to) -> Task<Unit> {
      to = co_await std::move(inner);
      co_return Unit{};
    };
    Task<Unit> root = story(std::move(task), result);
    root.Start([](void*) noexcept {}, nullptr);
    Settle();
    return std::move(*result);
  }
  // Somebody else's write of an object of alice's.
  void Overwrite(std::string_view kind, std::optional<std::string> value) {
    ObjectWrite write{std::string(kind), "claude/alice", 0, std::move(value)};
    for (const StoredObject& object : store.objects()) {
      if (object.kind == kind) write.expected = object.version;
    }
    ASSERT_TRUE(Await<ObjectWritten>(
        [&](auto done) { store.WriteObject(std::move(write), std::move(done)); }));
  }

  ManualClock clock;
  Loop loop{clock};
  Resolver resolver{loop};
  Vendor vendor{loop};
  VendorCalls calls{loop, resolver, nullptr};
  Vault vault{Secret("0123456789abcdef0123456789abcdef")};
  TestStore store;
  Tokens tokens{clock};
  std::unique_ptr<TokenKeeper> keeper;
  std::vector<std::unique_ptr<Asker>> askers;
};

TEST_F(TokensTest, RefreshesTheSeedAndStoresWhatItGot) {
  Will(Gives("at-1", "rt-1"));
  auto source = tokens.Source(SpecOf("seed"), {});
  EXPECT_EQ(source->Look().phase, Phase::kUnread);
  Asker& asker = Ask(source);
  EXPECT_TRUE(asker.has("at-1"));
  EXPECT_THAT(sent(), ::testing::ElementsAre("seed"));
  TokenRecord record = Stored();
  EXPECT_EQ(record.refresh.Reveal(), "rt-1");
  EXPECT_EQ(record.access.Reveal(), "at-1");
  EXPECT_EQ(record.seed, FingerprintOf(Secret("seed")));
  EXPECT_EQ(source->Look().phase, Phase::kReady);
  EXPECT_EQ(source->Look().expires, clock.Wall() + 8h);
  // The next one is served at once.
  EXPECT_TRUE(Ask(source).has("at-1"));
  EXPECT_EQ(vendor.requests.size(), 1U);
  EXPECT_EQ(store.objects().at(0).value.find("at-1"), std::string::npos);
}

TEST_F(TokensTest, StoresANewTokenBeforeItIsUsed) {
  Will(Gives("at-1", "rt-1"));
  store.holds_writes = true;
  auto source = tokens.Source(SpecOf("seed"), {});
  Asker& asker = Ask(source);
  // The claim comes first.
  ASSERT_EQ(store.held.size(), 1U);
  EXPECT_TRUE(vendor.requests.empty());
  store.Release();
  Settle();
  EXPECT_EQ(vendor.requests.size(), 1U);
  ASSERT_EQ(store.held.size(), 1U);
  EXPECT_FALSE(asker.taken);
  store.Release();
  Settle();
  EXPECT_TRUE(asker.has("at-1"));
}

TEST_F(TokensTest, RefreshesOnceForAllWhoWait) {
  Will(Gives("at-1", "rt-1"));
  store.holds_writes = true;
  auto source = tokens.Source(SpecOf("seed"), {});
  for (int i = 0; i < 100; ++i) Ask(source);
  store.holds_writes = false;
  store.Release();
  Settle();
  for (const auto& asker : askers) EXPECT_TRUE(asker->has("at-1"));
  EXPECT_EQ(vendor.requests.size(), 1U);
}

TEST_F(TokensTest, PrefersTheStoredTokenUntilTheSeedChanges) {
  Will(Gives("at-1", "rt-1", 60));
  Ask(tokens.Source(SpecOf("seed"), {}));
  askers.clear();
  keeper.reset();
  StartKeeper();
  // The same seed: the stored access token serves, and then the stored refresh token.
  auto source = tokens.Source(SpecOf("seed"), {});
  EXPECT_TRUE(Ask(source).has("at-1"));
  EXPECT_EQ(vendor.requests.size(), 1U);
  Will(Gives("at-2", "rt-2"));
  Advance(61s);
  EXPECT_TRUE(Ask(source).has("at-2"));
  EXPECT_THAT(sent(), ::testing::ElementsAre("seed", "rt-1"));
  // Another seed: it begins anew.
  Will(Gives("at-3", "rt-3"));
  EXPECT_TRUE(Ask(tokens.Source(SpecOf("another"), {})).has("at-3"));
  EXPECT_THAT(sent(), ::testing::ElementsAre("seed", "rt-1", "another"));
  EXPECT_EQ(Stored().seed, FingerprintOf(Secret("another")));
  // Whoever still has the old one does not take the account back. The new one's own refresh may be
  // due by then, and one at a time is asked for.
  Will(Gives("at-4", "rt-4"));
  Advance(9h);
  Asker& late = Ask(source);
  Advance(2s);
  ASSERT_TRUE(late.taken && !*late.taken);
  EXPECT_EQ(late.taken->error().why, NoToken::Why::kRefused);
  EXPECT_THAT(sent(), ::testing::Not(::testing::Contains("rt-2")));
}

TEST_F(TokensTest, RefreshesBeforeTheEndOfATokenThatIsUsed) {
  Will(Gives("at-1", "rt-1", 3600));
  Will(Gives("at-2", "rt-2", 3600));
  auto source = tokens.Source(SpecOf("seed"), {});
  Ask(source);
  Advance(10min);
  Ask(source);
  Advance(46min);  // within the five minutes, and the jitter
  EXPECT_EQ(vendor.requests.size(), 2U);
  EXPECT_TRUE(Ask(source).has("at-2"));
  EXPECT_EQ(vendor.requests.size(), 2U);
}

TEST_F(TokensTest, LeavesAnIdleAccountAlone) {
  Will(Gives("at-1", "rt-1", 3600));
  auto source = tokens.Source(SpecOf("seed"), {});
  // Nobody takes the token for which it was refreshed.
  Asker& impatient = Ask(source, 0, 0s);
  EXPECT_FALSE(*impatient.taken);
  EXPECT_EQ(vendor.requests.size(), 1U);
  int writes = store.writes;
  for (int i = 0; i < 5; ++i) Advance(59min);
  EXPECT_EQ(vendor.requests.size(), 1U);
  EXPECT_EQ(store.writes, writes);
  Will(Gives("at-2", "rt-2", 3600));
  EXPECT_TRUE(Ask(source).has("at-2"));
}

TEST_F(TokensTest, ServesTheOldTokenWhileANewOneIsFetchedAhead) {
  Will(Gives("at-1", "rt-1", 3600));
  auto source = tokens.Source(SpecOf("seed"), {});
  Ask(source);
  Will(Silence());
  Advance(57min);
  Asker& asker = Ask(source);
  EXPECT_TRUE(asker.has("at-1"));
  EXPECT_TRUE(source->Look().refreshing);
}

TEST_F(TokensTest, ReplacesATokenThatTheVendorRefused) {
  Will(Gives("at-1", "rt-1"));
  Will(Gives("at-2", "rt-2"));
  auto source = tokens.Source(SpecOf("seed"), {});
  Asker& first = Ask(source);
  uint64_t number = (*first.taken)->number;
  // Two were refused with the same token; a third asks for any.
  EXPECT_TRUE(Ask(source, number).has("at-2"));
  EXPECT_TRUE(Ask(source, number).has("at-2"));
  EXPECT_TRUE(Ask(source).has("at-2"));
  EXPECT_EQ(vendor.requests.size(), 2U);
}

TEST_F(TokensTest, NeedsAPersonWhenTheVendorTookTheTokenBack) {
  Will(Json(400, R"({"error":"invalid_grant"})"));
  auto source = tokens.Source(SpecOf("seed"), {});
  Asker& asker = Ask(source);
  ASSERT_TRUE(asker.taken && !*asker.taken);
  EXPECT_EQ(asker.taken->error().why, NoToken::Why::kRefused);
  EXPECT_THAT(asker.taken->error().cause, HasSubstr("log in"));
  EXPECT_EQ(source->Look().phase, Phase::kRefused);
  // It is not asked again and again.
  Ask(source);
  Advance(5min);
  Ask(source);
  EXPECT_EQ(vendor.requests.size(), 1U);
}

TEST_F(TokensTest, ServesWhileTheTokenLivesThoughItCannotBeRefreshed) {
  Will(Gives("at-1", "rt-1", 3600));
  Will(Json(400, R"({"error":"invalid_grant"})"));
  auto source = tokens.Source(SpecOf("seed"), {});
  Ask(source);
  Advance(57min);
  Ask(source);
  EXPECT_EQ(vendor.requests.size(), 2U);
  EXPECT_TRUE(Ask(source).has("at-1"));
  EXPECT_EQ(source->Look().phase, Phase::kReady);
  EXPECT_THAT(source->Look().cause, HasSubstr("invalid_grant"));
  Advance(4min);
  Asker& late = Ask(source);
  EXPECT_EQ(late.taken->error().why, NoToken::Why::kRefused);
}

TEST_F(TokensTest, TriesAgainWhatPasses) {
  Will(Json(503, "{}"));
  Will(Json(429, "{}", {"retry-after: 40"}));
  Will(Nothing());
  Will(Gives("at-1", "rt-1"));
  auto source = tokens.Source(SpecOf("seed"), {});
  Asker& first = Ask(source);
  ASSERT_TRUE(first.taken && !*first.taken);
  EXPECT_EQ(first.taken->error().why, NoToken::Why::kExpired);
  EXPECT_FALSE(*Ask(source).taken);  // at once: not asked
  EXPECT_EQ(vendor.requests.size(), 1U);
  Advance(2s);
  EXPECT_THAT(Ask(source).taken->error().cause, HasSubstr("429"));
  Advance(39s);
  Ask(source);
  EXPECT_EQ(vendor.requests.size(), 2U);
  Advance(2s);
  EXPECT_FALSE(*Ask(source).taken);
  Advance(8s);
  EXPECT_TRUE(Ask(source).has("at-1"));
  EXPECT_THAT(sent(), ::testing::Each("seed"));
}

TEST_F(TokensTest, ASilentVendorHoldsNobodyBeyondHisDeadline) {
  Will(Silence());
  auto source = tokens.Source(SpecOf("seed"), {});
  Asker& asker = Ask(source, 0, 5s);
  EXPECT_FALSE(asker.taken);
  Advance(6s);
  ASSERT_TRUE(asker.taken);
  EXPECT_EQ(asker.taken->error().why, NoToken::Why::kExpired);
  Advance(25s);
  EXPECT_FALSE(source->Look().refreshing);
}

TEST_F(TokensTest, NeverUsesTheSeedBeforeTheStoreWasRead) {
  store.fails_reads = true;
  auto source = tokens.Source(SpecOf("seed"), {});
  Asker& asker = Ask(source);
  ASSERT_TRUE(asker.taken && !*asker.taken);
  EXPECT_EQ(asker.taken->error().why, NoToken::Why::kExpired);
  EXPECT_THAT(asker.taken->error().cause, HasSubstr("no such disk"));
  EXPECT_TRUE(vendor.requests.empty());
  store.fails_reads = false;
  Will(Gives("at-1", "rt-1"));
  Advance(2s);
  EXPECT_TRUE(Ask(source).has("at-1"));
}

TEST_F(TokensTest, AsksNothingWhileTheStoreCannotBeWritten) {
  store.failing_writes = 1;
  auto source = tokens.Source(SpecOf("seed"), {});
  EXPECT_THAT(Ask(source).taken->error().cause, HasSubstr("the disk is full"));
  EXPECT_TRUE(vendor.requests.empty());
}

TEST_F(TokensTest, KeepsATokenThatCannotBeStoredUntilItCan) {
  Will(Gives("at-1", "rt-1", 3600));
  store.holds_writes = true;
  auto source = tokens.Source(SpecOf("seed"), {});
  Asker& asker = Ask(source);
  store.holds_writes = false;
  store.failing_writes = 2;
  store.Release();  // the claim
  Settle();
  // The access token spends nothing.
  EXPECT_TRUE(asker.has("at-1"));
  EXPECT_TRUE(source->Look().refreshing);
  EXPECT_TRUE(Stored().access.empty());
  Advance(2s);
  EXPECT_TRUE(Stored().access.empty());
  Advance(4s);
  EXPECT_EQ(Stored().refresh.Reveal(), "rt-1");
  EXPECT_FALSE(source->Look().refreshing);
}

TEST_F(TokensTest, ADeadRunsClaimIsNoneWhereNobodyElseUsesTheStore) {
  Will(Silence());
  Ask(tokens.Source(SpecOf("seed"), {}));
  EXPECT_EQ(Stored().claim, "run-1");
  askers.clear();
  keeper.reset();
  StartKeeper(true, "run-2");
  Will(Gives("at-1", "rt-1"));
  EXPECT_TRUE(Ask(tokens.Source(SpecOf("seed"), {})).has("at-1"));
}

TEST_F(TokensTest, OneReplicaRefreshesForAll) {
  keeper.reset();
  StartKeeper(false, "replica-1");
  relay::Tokens others(clock);
  TokenKeeper other(calls, others, &store, [this] { return &vault; }, clock, {"replica-2", false});
  Will({"", Then::kWait});
  auto mine = tokens.Source(SpecOf("seed"), {});
  auto theirs = others.Source(SpecOf("seed"), {});
  Asker& one = Ask(mine);
  Asker& two = Ask(theirs);
  Advance(3s);
  EXPECT_EQ(vendor.requests.size(), 1U);
  vendor.Say(Gives("at-1", "rt-1").bytes);
  Settle();
  EXPECT_TRUE(one.has("at-1"));
  Advance(1s);
  EXPECT_TRUE(two.has("at-1"));
  EXPECT_EQ(vendor.requests.size(), 1U);
  // And the other way round, by a 401 at both.
  Will(Gives("at-2", "rt-2"));
  EXPECT_TRUE(Ask(theirs, (*two.taken)->number).has("at-2"));
  EXPECT_TRUE(Ask(mine, (*one.taken)->number).has("at-2"));
  EXPECT_THAT(sent(), ::testing::ElementsAre("seed", "rt-1"));
  askers.clear();
}

TEST_F(TokensTest, WhatAReplicaStoredIsUsedOnceItIsTold) {
  keeper.reset();
  StartKeeper(false, "replica-1");
  relay::Tokens others(clock);
  TokenKeeper other(calls, others, &store, [this] { return &vault; }, clock, {"replica-2", false});
  Will(Gives("at-1", "rt-1"));
  auto mine = tokens.Source(SpecOf("seed"), {});
  EXPECT_TRUE(Ask(mine).has("at-1"));
  auto theirs = others.Source(SpecOf("seed"), {});
  EXPECT_TRUE(Ask(theirs).has("at-1"));
  Will(Gives("at-2", "rt-2"));
  EXPECT_TRUE(Ask(theirs, 1).has("at-2"));
  EXPECT_TRUE(Ask(mine).has("at-1")) << "nobody has told";
  keeper->Changed(store.objects().at(0));
  Settle();
  EXPECT_TRUE(Ask(mine).has("at-2"));
  EXPECT_EQ(vendor.requests.size(), 2U);
  int loads = store.loads;
  keeper->Changed(store.objects().at(0));
  Settle();
  EXPECT_EQ(store.loads, loads) << "it is known";
  askers.clear();
}

TEST_F(TokensTest, AnothersClaimForgivesNothing) {
  Will(Json(400, R"({"error":"invalid_grant"})"));
  auto source = tokens.Source(SpecOf("seed"), {});
  EXPECT_EQ(Ask(source).taken->error().why, NoToken::Why::kRefused);
  StoredObject object = store.objects().at(0);
  TokenRecord record = Stored();
  record.claim = "replica-2";
  record.claimed = clock.Wall();
  object.value = WriteTokenRecord(record, object.id, vault);
  keeper->Changed(object);
  Settle();
  EXPECT_EQ(Ask(source).taken->error().why, NoToken::Why::kRefused);
  EXPECT_EQ(vendor.requests.size(), 1U);
}

TEST_F(TokensTest, AClaimOfAReplicaThatDiedLapses) {
  keeper.reset();
  StartKeeper(false, "replica-1");
  Will(Silence());
  Ask(tokens.Source(SpecOf("seed"), {}));
  askers.clear();
  keeper.reset();
  StartKeeper(false, "replica-2");
  Will(Gives("at-1", "rt-1"));
  Asker& asker = Ask(tokens.Source(SpecOf("seed"), {}), 0, 300s);
  for (int i = 0; i < 58; ++i) Advance(1s);
  EXPECT_FALSE(asker.taken);
  for (int i = 0; i < 5; ++i) Advance(1s);
  EXPECT_TRUE(asker.has("at-1"));
}

TEST_F(TokensTest, ALoginReplacesWhatWasRefused) {
  Will(Json(400, R"({"error":"invalid_grant"})"));
  auto source = tokens.Source(SpecOf(""), {});
  EXPECT_THAT(Ask(source).taken->error().cause, HasSubstr("log in"));
  EXPECT_TRUE(vendor.requests.empty());
  TokenAnswer answer;
  answer.access = Secret("at-1");
  answer.refresh = Secret("rt-1");
  EXPECT_TRUE(RunPut(keeper->Put("claude/alice", Secret(), std::move(answer))));
  EXPECT_TRUE(Ask(source).has("at-1"));
  EXPECT_EQ(source->Look().phase, Phase::kReady);
  EXPECT_TRUE(RunPut(keeper->Drop("claude/alice")));
  EXPECT_TRUE(store.objects().empty());
}

TEST_F(TokensTest, ALoginDuringARefreshWins) {
  Will({"", Then::kWait});
  auto source = tokens.Source(SpecOf("seed"), {});
  Asker& asker = Ask(source);
  clock.Advance(1s);
  TokenAnswer answer;
  answer.access = Secret("at-login");
  answer.refresh = Secret("rt-login");
  EXPECT_TRUE(RunPut(keeper->Put("claude/alice", Secret("seed"), std::move(answer))));
  vendor.Say(Gives("at-old", "rt-old").bytes);
  Settle();
  EXPECT_TRUE(asker.has("at-login"));
  EXPECT_EQ(Stored().refresh.Reveal(), "rt-login");
}

TEST_F(TokensTest, AClockThatIsBehindDoesNotHideALogin) {
  Will({"", Then::kWait});
  auto source = tokens.Source(SpecOf("seed"), {});
  Asker& asker = Ask(source);
  TokenRecord login = Stored();
  login.refresh = Secret("rt-login");
  login.access = Secret("at-login");
  login.refreshed = clock.Wall() - 1h;  // the other replica's clock
  login.expires = clock.Wall() + 1h;
  StoredObject object = store.objects().at(0);
  ASSERT_TRUE(Await<ObjectWritten>([&](auto done) {
    store.WriteObject(
        {object.kind, object.id, object.version, WriteTokenRecord(login, object.id, vault)},
        std::move(done));
  }));
  vendor.Say(Gives("at-old", "rt-old").bytes);
  Settle();
  EXPECT_TRUE(asker.has("at-login"));
  EXPECT_EQ(Stored().refresh.Reveal(), "rt-login");
}

TEST_F(TokensTest, ARecordThatIsLostDuringARefreshIsWrittenAnew) {
  Will({"", Then::kWait});
  auto source = tokens.Source(SpecOf("seed"), {});
  Asker& asker = Ask(source);
  StoredObject object = store.objects().at(0);
  ASSERT_TRUE(Await<ObjectWritten>([&](auto done) {
    store.WriteObject({object.kind, object.id, object.version, std::nullopt}, std::move(done));
  }));
  vendor.Say(Gives("at-1", "rt-1").bytes);
  Settle();
  EXPECT_TRUE(asker.has("at-1"));
  EXPECT_EQ(Stored().refresh.Reveal(), "rt-1");
}

TEST_F(TokensTest, NothingIsStoredForAnAccountThatIsGone) {
  Will({"", Then::kWait});
  auto source = tokens.Source(SpecOf("seed"), {});
  Ask(source);
  EXPECT_TRUE(RunPut(keeper->Drop("claude/alice")));
  askers.clear();
  source.reset();
  bool idle = false;
  keeper->Finish([&] { idle = true; });
  vendor.Say(Gives("at-1", "rt-1").bytes);
  Settle();
  EXPECT_TRUE(idle);
  EXPECT_TRUE(store.objects().empty());
}

TEST_F(TokensTest, NothingIsStoredForARemovedAccountThatARequestStillHolds) {
  Will({"", Then::kWait});
  auto source = tokens.Source(SpecOf("seed"), {});
  Asker& asker = Ask(source);
  EXPECT_TRUE(RunPut(keeper->Drop("claude/alice")));
  vendor.Say(Gives("at-1", "rt-1").bytes);
  Settle();
  EXPECT_TRUE(asker.has("at-1"));
  EXPECT_TRUE(store.objects().empty());
}

TEST_F(TokensTest, NothingIsStoredForALoginThatAnotherReplicaHasRemoved) {
  for (bool removed : {false, true}) {
    TokenAnswer login;
    login.access = Secret("at-1");
    login.refresh = Secret("rt-1");
    login.life = 1h;
    EXPECT_TRUE(RunPut(keeper->Put("claude/alice", Secret(), std::move(login))));
    Overwrite(StoredAccount::kKind, "{}");
    Advance(2h);
    Will({"", Then::kWait});
    auto source = tokens.Source(SpecOf(""), {});
    Asker& asker = Ask(source);
    // As the other one does it: the account first, then its tokens.
    if (removed) Overwrite(StoredAccount::kKind, std::nullopt);
    Overwrite(TokenRecord::kKind, std::nullopt);
    vendor.Say(Gives("at-2", "rt-2").bytes);
    Settle();
    EXPECT_TRUE(asker.has("at-2"));
    EXPECT_EQ(store.objects().size(), removed ? 0U : 2U);
    askers.clear();
  }
}

TEST_F(TokensTest, TwoSourcesOfAnAccountSpendOneToken) {
  Will({"", Then::kWait});
  TokenSpec changed = SpecOf("seed");
  changed.client.client_id = "another";
  auto one = tokens.Source(SpecOf("seed"), {});
  auto two = tokens.Source(changed, {});
  ASSERT_NE(one, two);
  Asker& first = Ask(one);
  Asker& second = Ask(two);
  Advance(2s);
  EXPECT_EQ(vendor.requests.size(), 1U);
  vendor.Say(Gives("at-1", "rt-1").bytes);
  Settle();
  EXPECT_TRUE(first.has("at-1"));
  Advance(1s);
  EXPECT_TRUE(second.has("at-1"));
  EXPECT_EQ(vendor.requests.size(), 1U);
}

TEST_F(TokensTest, WhatAnotherKeySealedIsNotOverwritten) {
  Will(Gives("at-1", "rt-1"));
  Ask(tokens.Source(SpecOf("seed"), {}));
  std::string before = store.objects().at(0).value;
  askers.clear();
  keeper.reset();
  Vault wrong{Secret("ffffffffffffffffffffffffffffffff")};
  keeper = std::make_unique<TokenKeeper>(
      calls, tokens, &store, [&] { return &wrong; }, clock, TokenKeeper::Options{"run-2", true});
  Asker& asker = Ask(tokens.Source(SpecOf("seed"), {}));
  EXPECT_FALSE(*asker.taken);
  EXPECT_EQ(store.objects().at(0).value, before);
  EXPECT_EQ(vendor.requests.size(), 1U);
}

TEST_F(TokensTest, ASourceIsTheSameAsLongAsItsSpecIs) {
  auto one = tokens.Source(SpecOf("seed"), {});
  EXPECT_EQ(tokens.Source(SpecOf("seed"), {}), one);
  EXPECT_NE(tokens.Source(SpecOf("other"), {}), one);
  EXPECT_EQ(tokens.All().size(), 1U);
}

TEST_F(TokensTest, FinishWaitsForWhatIsUnderWay) {
  Will({"", Then::kWait});
  auto source = tokens.Source(SpecOf("seed"), {});
  Asker& asker = Ask(source);
  bool idle = false;
  keeper->Finish([&] { idle = true; });
  EXPECT_FALSE(idle);
  vendor.Say(Gives("at-1", "rt-1", 60).bytes);
  Settle();
  EXPECT_TRUE(idle);
  EXPECT_TRUE(asker.has("at-1"));
  EXPECT_EQ(Stored().refresh.Reveal(), "rt-1");
  Advance(61s);
  EXPECT_THAT(Ask(source).taken->error().cause, HasSubstr("stopping"));
}

TEST_F(TokensTest, WithoutAStoreTokensLastAsLongAsTheProcess) {
  keeper.reset();
  keeper =
      std::make_unique<TokenKeeper>(calls, tokens, nullptr, nullptr, clock, TokenKeeper::Options{});
  Will(Gives("at-1", "rt-1", 60));
  Will(Gives("at-2", "rt-2", 60));
  auto source = tokens.Source(SpecOf("seed"), {});
  EXPECT_TRUE(Ask(source).has("at-1"));
  Advance(61s);
  EXPECT_TRUE(Ask(source).has("at-2"));
  EXPECT_THAT(sent(), ::testing::ElementsAre("seed", "rt-1"));
}

// Askers of several loops, on threads of their own.
TEST_F(TokensTest, ServesAskersOfEveryWorker) {
  constexpr int kThreads = 3;
  constexpr int kEach = 20;
  Will(Gives("at-1", "rt-1"));
  auto source = tokens.Source(SpecOf("seed"), {});
  std::atomic<int> served{0};
  std::atomic<int> ended{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      Loop its_loop(clock);
      int left = kEach;
      auto story = [](std::shared_ptr<TokenSource> from, Loop& on, std::atomic<int>& good,
                      int& open) -> Task<Unit> {
        TokenSource::Taken taken = co_await from->Take(on, on.Now() + 20s);
        if (taken && taken->value.Reveal() == "at-1") ++good;
        if (--open == 0) on.Stop();
        co_return Unit{};
      };
      std::vector<Task<Unit>> roots;
      for (int i = 0; i < kEach; ++i) {
        roots.push_back(story(source, its_loop, served, left));
        roots.back().Start([](void*) noexcept {}, nullptr);
      }
      if (left > 0) its_loop.Run();
      ++ended;
    });
  }
  while (ended < kThreads) loop.Turn();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, kThreads * kEach);
  EXPECT_EQ(vendor.requests.size(), 1U);
}

TEST(TokenRecord, KeepsWhatItIsGivenAndNothingReadable) {
  Vault vault{Secret("0123456789abcdef0123456789abcdef")};
  TokenRecord record;
  record.seed = FingerprintOf(Secret("seed"));
  record.refresh = Secret("the-refresh");
  record.expires = WallTime(1'795'000'000'123ms);
  record.refreshed = WallTime(1'794'000'000'456ms);
  record.claim = "run";
  record.claimed = WallTime(1'794'000'000'000ms);
  std::string text = WriteTokenRecord(record, "claude/alice", vault);
  EXPECT_THAT(text, ::testing::Not(HasSubstr("the-refresh")));
  Result<TokenRecord> read = ReadTokenRecord(text, "claude/alice", vault);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->seed, record.seed);
  EXPECT_EQ(read->refresh.Reveal(), "the-refresh");
  EXPECT_TRUE(read->access.empty());
  EXPECT_EQ(read->expires, record.expires);
  EXPECT_EQ(read->refreshed, record.refreshed);
  EXPECT_EQ(read->claim, "run");
  EXPECT_EQ(read->claimed, record.claimed);
  EXPECT_FALSE(ReadTokenRecord(text, "claude/bob", vault));
  EXPECT_FALSE(ReadTokenRecord("nonsense", "claude/alice", vault));
  EXPECT_EQ(FingerprintOf(Secret()), "");
}

}  // namespace
}  // namespace relay
