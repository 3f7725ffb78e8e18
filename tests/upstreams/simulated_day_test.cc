// SPDX-License-Identifier: MIT
// Days of a team on six accounts: what their vendor does to them, and what nobody notices of it.
// The pool, its choice and the judgement are the real ones; the vendor's limits are modelled.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/async/event.h"
#include "tests/support/long_form.h"
#include "tests/upstreams/pool_fixture.h"
#include "upstreams/provider.h"
#include "upstreams/usage_windows.h"

namespace relay {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Duration kPatience = seconds(5);
constexpr Duration kDay = hours(16);  // of those who work
constexpr int kAttempts = 3;
constexpr size_t kSessions = 40;
constexpr WallTime kMorning(seconds(1'795'680'000));
constexpr Duration kSlot = minutes(15);
constexpr size_t kAccounts = 6;
// Each seed is another day; RELAY_LONG: more of them.
constexpr unsigned kDays = 8;
constexpr unsigned kManyDays = 40;

unsigned Days() {
  return IsLongForm() ? kManyDays : kDays;
}

// A stretch of the day, from its beginning.
struct Span {
  Duration from{};
  Duration to{};
  bool Has(Duration at) const { return from <= at && at < to; }
};

// What the vendor allows an account, and what happens to it.
struct Plan {
  const char* name;
  int weight;
  int in_five_hours;  // requests
  int in_a_minute;    // requests; 0: no such limit
  Duration window{};  // the first ends so long after the morning
  std::vector<Span> overloaded = {};
  Span outage = {};
  Span expired = {};
};

class Vendor {
 public:
  Vendor(Plan plan, TimePoint morning) : plan_(std::move(plan)), morning_(morning) {
    window_end_ = morning_ + plan_.window;
  }
  const Plan& plan() const { return plan_; }

  // Whether a request would be answered well now.
  bool CanServe(TimePoint now) {
    Roll(now);
    return Trouble(now) == 0 && !Down(now);
  }
  bool Down(TimePoint now) const { return plan_.outage.Has(now - morning_); }
  bool Expired(TimePoint now) const { return plan_.expired.Has(now - morning_); }
  TimePoint renewed() const { return morning_ + plan_.expired.to; }

  // The head of its answer to one more request; its body is of the same status.
  Head Answer(TimePoint now, WallTime wall) {
    Roll(now);
    Head head;
    head.status = 200;
    if (int trouble = Trouble(now); trouble != 0) {
      head.status = trouble;
    } else {
      ++used_;
      ++this_minute_;
    }
    bool out = used_ >= plan_.in_five_hours;
    auto say = [&](const char* name, const std::string& value) {
      std::string full = "anthropic-ratelimit-unified-" + std::string(name);
      head.Add(head.Keep(full), head.Keep(value));
    };
    TimePoint reset = out ? window_end_ : minute_end_;
    bool rejected = head.status == 429;
    say("status", rejected ? "rejected" : "allowed");
    say("reset", UnixText(reset, now, wall));
    say("5h-utilization", std::to_string(double(used_) / plan_.in_five_hours));
    say("5h-reset", UnixText(window_end_, now, wall));
    return head;
  }
  static std::string BodyOf(int status) {
    const char* type = status == 429 ? "rate_limit_error" : "overloaded_error";
    return R"({"type":"error","error":{"type":")" + std::string(type) + R"(","message":"no"}})";
  }

 private:
  static std::string UnixText(TimePoint when, TimePoint now, WallTime wall) {
    WallTime then = wall + std::chrono::duration_cast<WallTime::duration>(when - now);
    return std::to_string(std::chrono::ceil<seconds>(then.time_since_epoch()).count());
  }
  void Roll(TimePoint now) {
    for (; now >= window_end_; window_end_ += hours(5)) used_ = 0;
    if (now < minute_end_) return;
    minute_end_ = now + minutes(1);
    this_minute_ = 0;
  }
  int Trouble(TimePoint now) const {
    for (const Span& span : plan_.overloaded) {
      if (span.Has(now - morning_)) return 529;
    }
    bool fast = plan_.in_a_minute > 0 && this_minute_ >= plan_.in_a_minute;
    return fast || used_ >= plan_.in_five_hours ? 429 : 0;
  }

  const Plan plan_;
  const TimePoint morning_;
  TimePoint window_end_;
  TimePoint minute_end_{};
  int used_ = 0;
  int this_minute_ = 0;
};

constexpr size_t kAway = 3;  // "mid-d"
constexpr Duration kAwayFrom = hours(6);

// `away`: how long one of them cannot be reached.
std::vector<Plan> Team(Duration away) {
  return {
      {.name = "max-a", .weight = 4, .in_five_hours = 4400, .in_a_minute = 0, .window = hours(1)},
      {.name = "max-b",
       .weight = 4,
       .in_five_hours = 3150,
       .in_a_minute = 0,
       .window = hours(5),
       .overloaded = {{hours(3), hours(3) + seconds(50)}}},
      {.name = "mid-c", .weight = 2, .in_five_hours = 2200, .in_a_minute = 10, .window = hours(2)},
      {.name = "mid-d",
       .weight = 2,
       .in_five_hours = 2200,
       .in_a_minute = 0,
       .window = hours(4),
       .outage = {kAwayFrom, kAwayFrom + away}},
      {.name = "pro-e",
       .weight = 1,
       .in_five_hours = 1100,
       .in_a_minute = 0,
       .window = hours(3),
       .overloaded = {{hours(3), hours(3) + seconds(50)}, {hours(11), hours(11) + seconds(90)}}},
      {.name = "pro-f",
       .weight = 1,
       .in_five_hours = 1100,
       .in_a_minute = 0,
       .window = hours(2),
       .expired = {hours(9), hours(9) + minutes(10)}},
  };
}

class Day {
 public:
  explicit Day(unsigned seed, Duration away = minutes(15)) : random_(seed) {
    clock_.SetWall(kMorning);
    morning_ = clock_.Now();
    std::vector<Account> accounts;
    for (Plan& plan : Team(away)) {
      Account& account = accounts.emplace_back(MakeAccount(plan.name, 50, plan.weight * 8));
      account.kind = Account::Kind::kSubscription;
      account.weight = plan.weight;
      account.pause_at = {.five_hours = 95, .week = 0};
      vendors_.emplace_back(std::move(plan), morning_);
    }
    pool_ = std::make_shared<AccountPool>(ShareAccounts(std::move(accounts)), clock_);
  }

  void Run() {
    std::vector<Task<Unit>> people;
    for (size_t i = 0; i < kSessions; ++i) {
      people.push_back(Work(i));
      people.back().Start([](void*) noexcept {}, nullptr);
    }
    const TimePoint evening = morning_ + kDay + minutes(30);
    while (clock_.Now() < evening) {
      loop_.Turn();
      clock_.Advance(seconds(1));
    }
    EXPECT_EQ(pool_->in_flight(), 0) << "everybody went home";
  }

  // What became of a session.
  struct Session {
    std::map<size_t, int> served;  // requests, by account
    std::optional<size_t> at;      // that served last
    // Why it left an account: which, and the end of that one's trouble.
    std::set<std::pair<size_t, TimePoint>> left;
    int moves = 0;
    int Most() const {
      return std::ranges::max_element(served, {}, [](const auto& one) { return one.second; })
          ->second;
    }
  };
  std::map<std::string, Session> sessions;
  std::map<Duration, std::array<int, kAccounts>> slots;  // requests that were served, from then on
  int moved_in_vain = 0;                                 // though its account could serve
  int moved_again = 0;                                   // for one trouble
  int begun = 0;                                         // sessions
  int begun_by_window = 0;                               // where the end of a window decided
  std::map<Judgement::Kind, int> judged;
  int asked = 0;
  int failed = 0;           // nobody served it
  int failed_in_vain = 0;   // though somebody could have
  Duration longest_wait{};  // for an account

  // The share of an account in what was served, relative to its share of the weights.
  std::vector<double> Shares() const {
    std::vector<double> counts(vendors_.size());
    double all = 0;
    double weights = 0;
    for (const auto& [name, session] : sessions) {
      for (const auto& [account, count] : session.served) {
        counts[account] += count;
        all += count;
      }
    }
    for (const Vendor& vendor : vendors_) weights += vendor.plan().weight;
    for (size_t i = 0; i < counts.size(); ++i) {
      counts[i] = counts[i] / all / (vendors_[i].plan().weight / weights);
    }
    return counts;
  }

 private:
  // Whole seconds, from the one to the other.
  Duration Some(int least, int most) {
    return seconds(least + static_cast<int>(random_() % static_cast<uint32_t>(most - least + 1)));
  }

  // One conversation after the other, each of about an hour.
  Task<Unit> Work(size_t who) {
    const TimePoint evening = morning_ + kDay;
    Duration late = Some(0, 600);
    co_await Sleep(loop_, late);
    for (int number = 0; clock_.Now() < evening; ++number) {
      std::string session = "team\n" + std::to_string(who) + "." + std::to_string(number);
      const TimePoint end = clock_.Now() + Some(2400, 5400);
      while (clock_.Now() < std::min(end, evening)) {
        co_await Ask(session);
        Duration thought = Some(5, 75);
        co_await Sleep(loop_, thought);
      }
    }
    co_return Unit{};
  }

  // As Sending does it.
  Task<Unit> Ask(std::string session) {
    ++asked;
    Wish wish;
    wish.model = "claude-sonnet-4-5";
    wish.family = "sonnet";
    wish.vendor_client = true;
    wish.sticky = session;
    Session& known = sessions[session];
    Foresee(known, wish);
    const TimePoint since = loop_.Now();
    AccountPool::Taken taken = co_await pool_->Take(loop_, wish, since + kPatience);
    longest_wait = std::max<Duration>(longest_wait, loop_.Now() - since);
    for (int attempt = 0; attempt < kAttempts && taken; ++attempt) {
      size_t index = (*taken)->index();
      Judgement judgement = Try(index);
      ++judged[judgement.kind];
      pool_->Report(index, judgement, wish);
      if (judgement.kind == Judgement::Kind::kFine) {
        Serve(known, index);
        Duration length = Some(4, 40);
        co_await Sleep(loop_, length);
        co_return Unit{};
      }
      wish.tried.push_back(index);
      if (known.at == index) Leave(known);
      taken = pool_->TryTake(wish);
    }
    ++failed;
    TimePoint now = clock_.Now();
    bool any = std::ranges::any_of(vendors_, [now](Vendor& one) { return one.CanServe(now); });
    if (any) ++failed_in_vain;
    co_return Unit{};
  }

  // What the pool will do, while nothing has happened yet.
  void Foresee(Session& session, const Wish& wish) {
    Decision decision = pool_->Explain(wish, clock_.Now());
    if (decision.session == Decision::Session::kMoved) Leave(session);
    if (decision.session != Decision::Session::kNew) return;
    ++begun;
    bool by_window =
        std::ranges::any_of(decision.candidates, [](const Decision::Candidate& candidate) {
          return candidate.outcome == Decision::Outcome::kWindow;
        });
    if (by_window) ++begun_by_window;
  }
  // Its account has failed it, or is known to fail now.
  void Leave(Session& session) {
    AccountPool::View view = pool_->Look()[*session.at];
    bool fails = view.health != AccountHealth::kReady && view.health != AccountHealth::kSpared;
    if (!fails && vendors_[*session.at].CanServe(clock_.Now())) ++moved_in_vain;
    if (!session.left.emplace(*session.at, view.until).second) ++moved_again;
  }
  void Serve(Session& session, size_t index) {
    if (session.at && session.at != index) ++session.moves;
    session.at = index;
    ++session.served[index];
    ++slots[(clock_.Now() - morning_) / kSlot * kSlot][index];
  }

  Judgement Try(size_t index) {
    Vendor& vendor = vendors_[index];
    TimePoint now = clock_.Now();
    if (vendor.Expired(now)) {
      return {.kind = Judgement::Kind::kExpired, .cause = "no token", .until = now + seconds(30)};
    }
    if (vendor.Down(now)) return {.kind = Judgement::Kind::kBroken, .cause = "connect"};
    Head head = vendor.Answer(now, clock_.Wall());
    pool_->NoteWindows(index, provider_->WindowsOf(head, now, clock_.Wall()));
    if (head.status == 200) return {};
    return provider_->Judge(head, Vendor::BodyOf(head.status), now, clock_.Wall());
  }

  ManualClock clock_;
  Loop loop_{clock_};
  TimePoint morning_;
  std::vector<Vendor> vendors_;
  std::shared_ptr<AccountPool> pool_;
  std::unique_ptr<Provider> provider_ = MakeProvider(ProviderKind::kClaude);
  std::mt19937 random_;
};

void ExpectAGoodDay(Day& day) {
  // It was a day with troubles, each of which the pool met.
  EXPECT_GT(day.asked, 20'000);
  for (Judgement::Kind kind : {Judgement::Kind::kLimited, Judgement::Kind::kOverloaded,
                               Judgement::Kind::kBroken, Judgement::Kind::kExpired}) {
    EXPECT_GT(day.judged[kind], 0) << static_cast<int>(kind);
  }
  EXPECT_EQ(day.failed_in_vain, 0) << "of " << day.failed << " that failed";
  EXPECT_LE(day.longest_wait, kPatience);

  // A session stays; it moves where its account cannot serve, and once for each such trouble.
  EXPECT_EQ(day.moved_in_vain, 0);
  EXPECT_EQ(day.moved_again, 0);
  double kept = 0;
  double all = 0;
  int moved = 0;
  for (const auto& [name, session] : day.sessions) {
    EXPECT_LE(static_cast<size_t>(session.moves), session.left.size()) << name;
    if (session.moves == 0) EXPECT_LE(session.served.size(), 1U) << name;
    if (session.moves > 0) ++moved;
    for (const auto& [account, count] : session.served) all += count;
    if (!session.served.empty()) kept += session.Most();
  }
  EXPECT_GT(moved, 10);
  EXPECT_LE(moved * 8, static_cast<int>(day.sessions.size())) << "one in eight";
  EXPECT_GE(kept / all, 0.95);

  std::vector<double> shares = day.Shares();
  for (size_t i = 0; i < shares.size(); ++i) EXPECT_NEAR(shares[i], 1, 0.1) << "account " << i;
  EXPECT_GT(day.begun_by_window * 10, day.begun) << "equals are rare";
}

TEST(SimulatedDay, SixAccountsServeFortySessionsThroughAllThatHappens) {
  for (unsigned seed = 1; seed <= Days(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Day day(seed);
    day.Run();
    ExpectAGoodDay(day);
  }
}

// It has no session left by then, and was used by nobody of late.
TEST(SimulatedDay, FloodsNoAccountThatWasAway) {
  constexpr Duration kBack = kAwayFrom + hours(2);
  std::array<double, 8> shares{};
  for (unsigned seed = 1; seed <= Days(); ++seed) {
    Day day(seed, hours(2));
    day.Run();
    for (size_t i = 0; i < shares.size(); ++i) {
      const auto& served = day.slots[kBack + kSlot * i];
      double all = 0;
      for (int count : served) all += count;
      shares[i] += served[kAway] / all * 14 / 2 / Days();
    }
  }
  EXPECT_GT(shares[2], 0.8) << "it carries its part again, soon";
  for (double share : shares) EXPECT_LT(share, 1.4);
}

}  // namespace
}  // namespace relay
