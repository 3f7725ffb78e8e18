// SPDX-License-Identifier: MIT
// The rules of limits are written twice: for the limiter in memory, and in Lua for relays that
// share them in Redis. Random histories, told to both by one clock, end in the same verdicts.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/async/loop.h"
#include "core/store/redis_limit_calls.h"
#include "core/store/redis_limit_script.h"
#include "tests/core/store/redis_server.h"
#include "tests/support/long_form.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using Denied = Limiter::Denied;

constexpr size_t kRelays = 3;
constexpr int kSteps = 250;

// The script of relays, by a clock that is told to it behind its other words.
RedisScript ByToldTime() {
  std::string text = redis_scripts::Limits().text;
  constexpr std::string_view kTime = "redis.call('TIME')";
  size_t at = text.find(kTime);
  EXPECT_NE(at, std::string::npos);
  text.replace(at, kTime.size(), "{ARGV[#ARGV - 1], ARGV[#ARGV]}");
  EXPECT_EQ(text.find(kTime), std::string::npos);
  return RedisScript(text);
}

// Gathers what the limiter in memory tells of uses, and never answers who asks.
class Gathering final : public SharedLimits {
 public:
  explicit Gathering(Loop& loop) : never_(loop) {}
  Task<Verdict> Reserve(Loop&, Limiter::Ask) override {
    while (true) co_await never_.Wait();
  }
  void Settle(Settlement settlement) override {
    for (std::optional<Use>& use : settlement.uses) {
      if (use) uses.push_back(std::move(*use));
    }
  }
  Status status() const override { return {}; }
  std::vector<Use> uses;

 private:
  Event never_;
};

// One limiter in memory, and some relays that ask Redis, step by step.
class Histories {
 public:
  Histories(const RedisServer& server, uint64_t seed)
      : dice_(seed), server_(server), zone_(*Zone::Load("Europe/Berlin")), limiter_(clock_, zone_) {
    server_.Ask({"FLUSHALL"});
    // A moment of any month, a little before midnight at times.
    clock_.Advance(std::chrono::hours(Roll(24 * 60)) + std::chrono::milliseconds(Roll(3'600'000)));
    limiter_.ShareBy(&gathering_);
    for (const char* name : {"key alice", "key bob", "route all", "route all key alice"}) {
      scopes_.push_back({limiter_.Scope(name), SomeLimits()});
    }
    int32_t today = zone_.DayOf(clock_.Wall());
    for (int i = 0; i < 3; ++i) {
      Spending past(today);
      past.AddPast(today - static_cast<int32_t>(Roll(40)), Roll(300));
      limiter_.AddPast("key alice", past);
    }
  }

  void Run() {
    for (int step = 0; step < kSteps && !testing::Test::HasFailure(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step) + ", at " + std::to_string(Milliseconds()));
      switch (Roll(10)) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4: Reserve(); break;
        case 5:
        case 6: End(); break;
        case 7: Undo(); break;
        case 8: Lapse(); break;
        default: Pass(); break;
      }
    }
  }
  int admitted() const { return admitted_; }
  int denied() const { return denied_; }

 private:
  struct Flying {
    size_t relay = 0;
    std::unique_ptr<Slot> slot;             // null: it is still being asked
    std::unique_ptr<Task<Unit>> task = {};  // of which
    std::string text = {};
    bool held = true;  // Redis knows of it
  };
  struct Speaker {
    int64_t sequence = 0;
    bool lapsed = false;
    std::vector<LimitBatch::End> ends;
    std::vector<LimitBatch::Used> uses;
  };

  int64_t Roll(int64_t below) {
    return std::uniform_int_distribution<int64_t>(0, below - 1)(dice_);
  }
  RateLimits SomeLimits() {
    RateLimits limits;
    auto some = [&](int64_t most) { return Roll(2) == 0 ? 0 : 1 + Roll(most); };
    limits.requests_per_minute = some(12);
    limits.tokens_per_minute = some(2000);
    limits.concurrency = some(5);
    limits.cost_per_5h = some(1500);
    for (int64_t& cap : limits.cost) cap = some(3000);
    // One that says nothing is not told to Redis.
    if (!limits.any()) limits.concurrency = 3;
    return limits;
  }
  int64_t Milliseconds() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(clock_.Wall().time_since_epoch())
        .count();
  }

  // What one relay says. Every now and then the answer gets lost, and it is said again.
  RespReply Say(size_t relay, const LimitReserve* reserve) {
    Speaker& speaker = speakers_[relay];
    LimitBatch batch;
    batch.ends = std::exchange(speaker.ends, {});
    batch.uses = std::exchange(speaker.uses, {});
    for (auto& [id, flying] : flying_) {
      if (flying.relay != relay || flying.held) continue;
      flying.held = true;
      batch.held.push_back({id, flying.text});
    }
    batch.sequence = ++speaker.sequence;
    bool holds = false;
    for (const auto& [id, flying] : flying_) holds = holds || flying.relay == relay;
    LimitSpeaker who{"relay" + std::to_string(relay), 600s, holds && batch.held.empty(), 1};
    SharedRequest request = redis_limit_calls::Make(who, zone_, clock_.Wall(), &batch, reserve);
    std::vector<std::string> words = {"EVAL", script_.text};
    words.insert(words.end(), request->arguments.begin(), request->arguments.end());
    words.push_back(std::to_string(Milliseconds() / 1000));
    words.push_back(std::to_string(Milliseconds() % 1000 * 1000));
    RespReply first = client_.Ask(words);
    EXPECT_FALSE(first.Is(RespReply::Kind::kError)) << first.text;
    if (Roll(5) == 0) client_.Ask(words);
    return first;
  }

  void Reserve() {
    Limiter::Ask ask;
    size_t claim = 0;
    for (const auto& [scope, limits] : scopes_) {
      if (claim < ask.claims.size() && Roll(2) == 0) ask.claims[claim++] = {scope, limits};
    }
    if (claim == 0) return;
    ask.reserve = {Roll(800), Roll(700)};
    ask.shadow = Roll(8) == 0;
    std::optional<Duration> wait = Ask(ask);
    // A moment before it is over, and then.
    if (!wait || *wait > 6h || Roll(2) == 0) return;
    clock_.Advance(*wait - 1ms);
    Ask(ask);
    clock_.Advance(1ms);
    Ask(ask);
  }
  // → the wait of who is denied.
  std::optional<Duration> Ask(const Limiter::Ask& ask) {
    std::optional<Duration> wait;
    AskBoth(ask, wait);
    return wait;
  }
  void AskBoth(const Limiter::Ask& ask, std::optional<Duration>& wait) {
    size_t relay = static_cast<size_t>(Roll(kRelays));
    TimePoint passes;
    std::optional<Denied> here = limiter_.Look(ask, clock_.Now(), &passes);
    LimitReserve reserve{++next_, ask};
    RespReply reply = Say(relay, &reserve);
    auto answer = redis_limit_calls::Read(reply, &ask, zone_, clock_.Now(), clock_.Wall());
    ASSERT_TRUE(answer);
    bool admitted = answer->outcome == LimitOutcome::kAdmitted;
    ASSERT_TRUE(admitted || answer->outcome == LimitOutcome::kDenied);
    EXPECT_EQ(answer->verdict.common.day, zone_.DayOf(clock_.Wall()));
    Compare(here, passes, answer->verdict);
    EXPECT_EQ(admitted, !here || ask.shadow);
    if (!admitted) {
      ++denied_;
      if (here) wait = here->retry_after;
      return;
    }
    ++admitted_;
    Flying& flying = flying_[next_];
    flying.relay = relay;
    flying.text = redis_limit_calls::HeldText(ask);
    if (Roll(4) == 0 && !ask.shadow) {
      // Others are asked until its exchange dies.
      loop_.Turn();
      flying.task = std::make_unique<Task<Unit>>(AskFor(ask));
      flying.task->Start([](void*) noexcept {}, nullptr);
      return;
    }
    flying.slot = std::make_unique<Slot>();
    limiter_.Admit(ask, clock_.Now(), *flying.slot);
  }
  Task<Unit> AskFor(Limiter::Ask ask) {
    Limiter::Everywhere never = co_await limiter_.AdmitEverywhere(loop_, ask, loop_.Now(), 0);
    (void)never;
    co_return Unit{};
  }
  static void Compare(const std::optional<Denied>& here, TimePoint passes,
                      const SharedLimits::Verdict& there) {
    ASSERT_EQ(here.has_value(), there.denied.has_value());
    if (!here) return;
    EXPECT_EQ(here->what, there.denied->what);
    EXPECT_EQ(here->claim, there.denied->claim);
    EXPECT_EQ(here->limit, there.denied->limit);
    EXPECT_EQ(here->window, there.denied->window);
    EXPECT_EQ(here->spent, there.denied->spent);
    EXPECT_EQ(here->retry_after, there.denied->retry_after);
    if (passes != TimePoint::max()) EXPECT_EQ(passes, there.again);
  }

  // Any exchange in flight that was admitted, or was not.
  std::map<uint64_t, Flying>::iterator Any(bool asked) {
    std::vector<std::map<uint64_t, Flying>::iterator> some;
    for (auto at = flying_.begin(); at != flying_.end(); ++at) {
      if ((at->second.task != nullptr) == asked) some.push_back(at);
    }
    return some.empty() ? flying_.end() : some[static_cast<size_t>(Roll(std::ssize(some)))];
  }
  void End() {
    auto at = Any(false);
    if (at == flying_.end()) return;
    auto& [id, flying] = *at;
    if (Roll(4) > 0) limiter_.Settle(*flying.slot, {Roll(900), Roll(800)});
    Over(at, true);
  }
  void Undo() {
    auto at = Any(true);
    if (at == flying_.end()) return;
    Over(at, false);
  }
  void Over(std::map<uint64_t, Flying>::iterator at, bool begun) {
    Speaker& speaker = speakers_[at->second.relay];
    speaker.ends.push_back({at->first, begun});
    for (SharedLimits::Use& use : std::exchange(gathering_.uses, {})) {
      speaker.uses.push_back({std::move(use), clock_.Wall()});
    }
    size_t relay = at->second.relay;
    flying_.erase(at);
    Tell(relay);
  }
  // At once, or when the clock has gone on: by whole seconds, in which ages are told.
  void Tell(size_t relay) {
    static constexpr std::array<Duration, 6> kLater = {0s, 1s, 30s, 70s, 1h, 30h};
    Duration later = Roll(3) == 0 ? kLater[static_cast<size_t>(Roll(kLater.size()))] : 0s;
    clock_.Advance(later);
    Say(relay, nullptr);
  }
  // A relay was away for so long that its lease is gone: it tells again what it holds. What it was
  // still asking for is no start then that could be taken back.
  void Lapse() {
    size_t relay = static_cast<size_t>(Roll(kRelays));
    for (const auto& [id, flying] : flying_) {
      if (flying.relay == relay && flying.task != nullptr) return;
    }
    server_.Ask({"DEL", "relay:lease:relay" + std::to_string(relay)});
    for (auto& [id, flying] : flying_) {
      if (flying.relay == relay) flying.held = false;
    }
    Say(relay, nullptr);
  }
  void Pass() {
    static constexpr std::array<Duration, 8> kPauses = {1ms, 200ms, 999ms, 3s, 20s, 61s, 2h, 26h};
    clock_.Advance(kPauses[static_cast<size_t>(Roll(kPauses.size()))]);
  }

  std::mt19937_64 dice_;
  const RedisServer& server_;
  RedisClient client_{server_.port()};
  const RedisScript script_ = ByToldTime();
  ManualClock clock_;
  const Zone zone_;
  Loop loop_{clock_};
  Gathering gathering_{loop_};
  Limiter limiter_;
  struct Limited {
    std::shared_ptr<LimitScope> scope;
    RateLimits limits;
  };
  std::vector<Limited> scopes_;
  std::array<Speaker, kRelays> speakers_;
  std::map<uint64_t, Flying> flying_;
  uint64_t next_ = 0;
  int admitted_ = 0;
  int denied_ = 0;
};

TEST(LimitsAgree, OfMemoryAndOfRedisThroughRandomHistories) {
  RedisServer server;
  int admitted = 0;
  int denied = 0;
  uint64_t seeds = IsLongForm() ? 2000 : 20;
  for (uint64_t seed = 1; seed <= seeds && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Histories histories(server, seed);
    histories.Run();
    admitted += histories.admitted();
    denied += histories.denied();
  }
  EXPECT_GT(admitted, 20 * 20);
  EXPECT_GT(denied, 20 * 20) << "the limits say nothing";
}

}  // namespace
}  // namespace relay
