// SPDX-License-Identifier: MIT
// Why an account was chosen, or was not: what explains is what serves.
#include "upstreams/account_choice.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/upstreams/pool_fixture.h"

namespace relay {
namespace {

using std::chrono::seconds;
using Kind = Judgement::Kind;
using Outcome = Decision::Outcome;
using Why = NoAccount::Why;

std::string WordOf(const Decision::Candidate& candidate) {
  if (candidate.outcome == Outcome::kBarred) return std::string(NameOf(candidate.why));
  return std::string(NameOf(candidate.outcome));
}

std::map<std::string, std::string> WordsOf(const Decision& decision) {
  std::map<std::string, std::string> words;
  for (const auto& candidate : decision.candidates) words[candidate.name] = WordOf(candidate);
  return words;
}

struct Asked : Pool {
  using Pool::Pool;
  Decision Ask(const Wish& wish = {}) { return pool->Explain(wish, clock.Now()); }
};

TEST(AccountChoice, SaysForEachAccountWhyItWasNotChosen) {
  std::vector<Account> accounts = {MakeAccount("login"),   MakeAccount("haiku"),
                                   MakeAccount("paused"),  MakeAccount("full", 50, 1),
                                   MakeAccount("limited"), MakeAccount("late", 90),
                                   MakeAccount("loaded"),  MakeAccount("used"),
                                   MakeAccount("broken"),  MakeAccount("best")};
  accounts[0].kind = Account::Kind::kSubscription;
  accounts[1].models = {"claude-haiku-*"};
  accounts[2].paused = true;
  Asked p(std::move(accounts));
  Wish wish;
  wish.model = "claude-opus-5";
  auto only = [](std::string name) {
    Wish bound;
    bound.bound = std::move(name);
    return bound;
  };
  auto full = p.pool->TryTake(only("full"));
  auto loaded = p.pool->TryTake(only("loaded"));
  p.Next(only("used"));
  TimePoint reset = p.clock.Now() + seconds(90);
  p.pool->Report(4, {.kind = Kind::kLimited, .until = reset});
  p.pool->Report(8, {.kind = Kind::kOverloaded, .until = p.clock.Now() + seconds(9)});
  Decision decision = p.Ask(wish);
  EXPECT_EQ(WordsOf(decision), (std::map<std::string, std::string>{{"login", "client"},
                                                                   {"haiku", "model"},
                                                                   {"paused", "paused"},
                                                                   {"full", "busy"},
                                                                   {"limited", "limited"},
                                                                   {"late", "priority"},
                                                                   {"loaded", "load"},
                                                                   {"used", "recent"},
                                                                   {"broken", "guess"},
                                                                   {"best", "chosen"}}));
  EXPECT_EQ(decision.chosen, 9U);
  EXPECT_EQ(decision.Find("limited")->until, reset);
  EXPECT_EQ(decision.Find("broken")->until, p.clock.Now() + seconds(9));
  EXPECT_TRUE(decision.Find("broken")->guess);
  EXPECT_EQ(decision.Find("nobody"), nullptr);
  wish.tried = {9};
  decision = p.Ask(wish);
  EXPECT_EQ(WordsOf(decision)["best"], "tried");
  EXPECT_EQ(decision.chosen, 7U);
  EXPECT_EQ(WordsOf(p.Ask(only("used")))["best"], "bound");
}

// Who holds what was taken, by name.
std::map<std::string, int> HeldAfter(Pool& p, int requests) {
  std::vector<AccountPool::Taken> held;
  std::map<std::string, int> counts;
  for (int i = 0; i < requests; ++i) {
    held.push_back(p.pool->TryTake({}));
    ++counts[std::string((*held.back())->account())];
  }
  return counts;
}

TEST(AccountChoice, SpreadsWhatIsInFlightByWeight) {
  std::vector<Account> accounts = {MakeAccount("a"), MakeAccount("b"), MakeAccount("c", 50, 90)};
  accounts[0].weight = 3;
  Pool p(std::move(accounts));
  EXPECT_EQ(HeldAfter(p, 50), (std::map<std::string, int>{{"a", 30}, {"b", 10}, {"c", 10}}));
}

TEST(AccountChoice, CarriesWholeSharesThoughTheirSizeIsNone) {
  std::vector<Account> accounts = {MakeAccount("a"), MakeAccount("b")};
  accounts[0].weight = 9;
  accounts[1].weight = 7;
  Asked p(std::move(accounts));
  std::vector<AccountPool::Taken> held;
  for (int i = 0; i < 16; ++i) {
    Wish only;
    only.bound = i < 9 ? "a" : "b";
    held.push_back(p.pool->TryTake(only));
  }
  for (const auto& [name, word] : WordsOf(p.Ask())) EXPECT_NE(word, "load") << name;
}

TEST(AccountChoice, SpreadsByConcurrencyWhereNoAccountHasAWeightAndEachHasIt) {
  Pool bounded({MakeAccount("a", 50, 40), MakeAccount("b", 50, 10)});
  EXPECT_EQ(HeldAfter(bounded, 25), (std::map<std::string, int>{{"a", 20}, {"b", 5}}));
  Pool mixed({MakeAccount("a", 50, 40), MakeAccount("b")});
  EXPECT_EQ(HeldAfter(mixed, 20), (std::map<std::string, int>{{"a", 10}, {"b", 10}}));
}

TEST(AccountChoice, SpreadsWhatComesOneByOneByWeightAndForgets) {
  std::vector<Account> accounts = {MakeAccount("a"), MakeAccount("b")};
  accounts[0].weight = 3;
  Pool p(std::move(accounts));
  std::map<std::string, int> counts;
  for (int i = 0; i < 40; ++i) ++counts[p.Next()];
  EXPECT_EQ(counts, (std::map<std::string, int>{{"a", 30}, {"b", 10}}));
  // A session counts as its account's use; what it used is forgotten by and by.
  std::string own = p.Next(Sticky("s"));
  for (int i = 0; i < 64; ++i) EXPECT_EQ(p.Next(Sticky("s")), own);
  for (int i = 0; i < 8; ++i) EXPECT_NE(p.Next(), own);
  p.clock.Advance(std::chrono::hours(24 * 300));
  counts.clear();
  for (int i = 0; i < 8; ++i) ++counts[p.Next()];
  EXPECT_EQ(counts, (std::map<std::string, int>{{"a", 6}, {"b", 2}}));
}

TEST(AccountChoice, SpreadsSessionsThatBeginAtOnceByWeight) {
  std::vector<Account> accounts = {MakeAccount("a"), MakeAccount("b"), MakeAccount("c")};
  accounts[0].weight = 3;
  Pool p(std::move(accounts));
  // One after the other: none of them has shown yet what it brings.
  std::map<std::string, int> counts;
  for (int i = 0; i < 50; ++i) ++counts[p.Next(Sticky(std::to_string(i)))];
  EXPECT_EQ(counts, (std::map<std::string, int>{{"a", 30}, {"b", 10}, {"c", 10}}));
}

// Uses of a and b, by sessions that stay, and so how much one that begins is expected to bring.
void UseBy(Asked& p, int sessions, int requests) {
  for (int n = 0; n < requests; ++n) {
    for (int i = 0; i < sessions; ++i) p.Next(Sticky("of old " + std::to_string(i)));
  }
}

TEST(AccountChoice, ExpectsOfASessionWhatOthersBring) {
  Asked p({MakeAccount("a"), MakeAccount("b")});
  UseBy(p, 4, 20);
  // Two on each. One more there is worth many requests.
  EXPECT_EQ(p.Next(Sticky("new")), "a");
  for (int i = 0; i < 12; ++i) EXPECT_EQ(p.Next(), "b");
  EXPECT_EQ(p.Next(Sticky("newer")), "b");
}

TEST(AccountChoice, BeginsNoSessionByWhatHappensToBeInFlight) {
  Asked p({MakeAccount("a"), MakeAccount("b")});
  UseBy(p, 4, 20);
  EXPECT_EQ(p.Next(Sticky("new")), "a");
  Wish on_b;
  on_b.bound = "b";
  std::vector<AccountPool::Taken> held;
  for (int i = 0; i < 3; ++i) held.push_back(p.pool->TryTake(on_b));
  EXPECT_EQ(WordsOf(p.Ask())["b"], "load") << "one request goes where less is in flight";
  EXPECT_EQ(WordsOf(p.Ask(Sticky("newer")))["a"], "recent");
  // Far more is another thing, however long ago it came.
  while (held.size() < 16) held.push_back(p.pool->TryTake(on_b));
  p.clock.Advance(std::chrono::hours(30));
  EXPECT_EQ(WordsOf(p.Ask(Sticky("newer")))["b"], "load");
}

TEST(AccountChoice, TakesOfAboutEqualsWhoseWindowLosesWhatIsLeft) {
  Asked p({MakeAccount("a"), MakeAccount("b"), MakeAccount("c")});
  UseBy(p, 6, 20);
  for (const char* name : {"a", "a", "b"}) {
    Wish only;
    only.bound = name;
    p.Next(only);
  }
  auto note = [&](size_t index, double used, Duration left) {
    p.pool->NoteWindows(index, {.five_hours = {used, p.clock.Now() + left}, .week = {}});
  };
  using std::chrono::hours;
  using std::chrono::minutes;
  const Wish begins = Sticky("new");
  EXPECT_EQ(WordsOf(p.Ask(begins))["c"], "chosen") << "it was used least";
  note(1, 0.5, hours(2));
  note(2, 0.2, hours(3));
  EXPECT_EQ(WordsOf(p.Ask(begins)), (std::map<std::string, std::string>{
                                        {"a", "window"}, {"b", "chosen"}, {"c", "window"}}));
  note(0, 0.5, hours(1));
  EXPECT_EQ(WordsOf(p.Ask(begins))["a"], "chosen");
  // It will be used up in time, whoever comes.
  note(0, 0.85, hours(1));
  EXPECT_EQ(WordsOf(p.Ask(begins))["b"], "chosen");
  // An end that is past says nothing.
  p.clock.Advance(hours(2));
  EXPECT_EQ(WordsOf(p.Ask(begins))["c"], "chosen");
  // Who has a session more is no equal.
  note(0, 0.1, minutes(50));
  EXPECT_EQ(p.Next(begins), "a");
  EXPECT_EQ(
      WordsOf(p.Ask(Sticky("newer"))),
      (std::map<std::string, std::string>{{"a", "recent"}, {"b", "window"}, {"c", "chosen"}}));
}

TEST(AccountChoice, TakesTheTagsOfTheRouteAndOfTheKey) {
  std::vector<Account> accounts = {MakeAccount("a", 1), MakeAccount("b", 2), MakeAccount("c", 3)};
  accounts[1].tags = {"team", "eu"};
  accounts[2].tags = {"team"};
  Asked p(std::move(accounts));
  Wish wish;
  wish.bound = "tag:team";
  EXPECT_EQ(p.Next(wish), "b");
  EXPECT_EQ(WordsOf(p.Ask(wish))["a"], "bound");
  wish.tried = {1};
  EXPECT_EQ(p.Next(wish), "c");
  wish.tags =
      std::make_shared<const std::vector<std::string>>(std::vector<std::string>{"us", "eu"});
  EXPECT_EQ(p.Refusal(wish), Why::kTried);
  EXPECT_EQ(WordsOf(p.Ask(wish))["c"], "tag");
  wish.bound.clear();
  wish.tried.clear();
  EXPECT_EQ(p.Next(wish), "b");
  wish.bound = "c";
  EXPECT_EQ(p.Refusal(wish), Why::kTag);
}

TEST(AccountChoice, SaysWhatBecomesOfTheSession) {
  Asked p({MakeAccount("a"), MakeAccount("b")});
  EXPECT_EQ(p.Ask().session, Decision::Session::kNone);
  Decision decision = p.Ask(Sticky("s"));
  EXPECT_EQ(decision.session, Decision::Session::kNew);
  EXPECT_EQ(decision.session_account, "");
  p.Next(Sticky("s"));
  auto loaded = p.pool->TryTake(Sticky("s"));
  decision = p.Ask(Sticky("s"));
  EXPECT_EQ(decision.session, Decision::Session::kKept);
  EXPECT_EQ(decision.session_account, "a");
  EXPECT_EQ(WordsOf(decision)["b"], "session");
  p.pool->Report(0, {.kind = Kind::kLimited, .until = p.clock.Now() + seconds(60)});
  decision = p.Ask(Sticky("s"));
  EXPECT_EQ(decision.session, Decision::Session::kMoved);
  EXPECT_EQ(decision.session_account, "a");
  EXPECT_EQ(decision.Find("a")->why, Why::kLimited);
  EXPECT_EQ(WordsOf(decision)["b"], "chosen");
}

TEST(AccountChoice, SaysWhenAGuessServesAndWhenNobodyDoes) {
  Asked p({MakeAccount("a", 1), MakeAccount("b", 2)});
  p.pool->Report(0, {.kind = Kind::kOverloaded});
  p.pool->Report(1, {.kind = Kind::kOverloaded});
  // One of two may rest by a guess; the other is left, and known to be one.
  Decision decision = p.Ask();
  EXPECT_EQ(decision.chosen, 1U);
  EXPECT_EQ(WordsOf(decision)["a"], "guess");
  EXPECT_TRUE(decision.Find("b")->guess);
  TimePoint reset = p.clock.Now() + seconds(30);
  p.pool->Report(0, {.kind = Kind::kLimited, .until = reset});
  p.pool->Report(1, {.kind = Kind::kRefused});
  decision = p.Ask(Sticky("s"));
  EXPECT_EQ(decision.chosen, std::nullopt);
  EXPECT_EQ(decision.none.why, Why::kLimited);
  EXPECT_EQ(decision.none.until, reset);
  EXPECT_EQ(decision.session, Decision::Session::kNone);
  EXPECT_EQ(WordsOf(decision),
            (std::map<std::string, std::string>{{"a", "limited"}, {"b", "refused"}}));
}

// A full account holds guesses back only where it is surer than they are.
TEST(AccountChoice, TakesAGuessWhereWhoIsFullIsOneToo) {
  Asked p({MakeAccount("a", 1, 1), MakeAccount("b", 2)});
  p.pool->Report(1, {.kind = Kind::kOverloaded, .until = p.clock.Now() + seconds(600)});
  p.pool->Report(0, {.kind = Kind::kOverloaded});
  p.clock.Advance(seconds(5));
  auto probe = p.pool->TryTake({});
  EXPECT_EQ((*probe)->account(), "a");
  EXPECT_EQ(WordsOf(p.Ask()), (std::map<std::string, std::string>{{"a", "busy"}, {"b", "chosen"}}));
  EXPECT_EQ(p.Next(), "b");
  Wish sure;
  sure.sure = true;
  EXPECT_EQ(p.Refusal(sure), Why::kUntried);
}

TEST(AccountChoice, TakesAGuessWhenItMayWaitNoLongerForWhoIsFull) {
  Queue q({MakeAccount("a", 1, 1), MakeAccount("b", 2)});
  auto held = q.pool->TryTake({});
  q.pool->Report(1, {.kind = Kind::kOverloaded, .until = q.clock.Now() + seconds(600)});
  EXPECT_EQ(q.Refusal(), Why::kBusy);
  EXPECT_EQ(q.Wait({}, {})->name(), "b") << "it may not wait at all";
  auto first = q.Wait();
  auto second = q.Wait();
  q.Turns();
  EXPECT_FALSE(first->done());
  held->reset();
  q.Turns();
  EXPECT_EQ(first->name(), "a") << "surer, and free in time";
  EXPECT_FALSE(second->done());
  q.clock.Advance(seconds(10));
  q.Turns();
  EXPECT_EQ(second->name(), "b");
  // Who wants to be sure is told that there is one.
  Wish sure;
  sure.sure = true;
  auto picky = q.Wait(sure);
  q.clock.Advance(seconds(10));
  q.Turns();
  ASSERT_TRUE(picky->done());
  EXPECT_EQ(picky->taken->error().why, Why::kUntried);
}

// What neither suits nor is barred is compared with nobody where nobody was found.
TEST(AccountChoice, SaysOfWhoFailsBeyondTheShareThatItIsAGuess) {
  Asked p({MakeAccount("a")});
  p.pool->Report(0, {.kind = Kind::kOverloaded});
  Wish sure;
  sure.sure = true;
  Decision decision = p.Ask(sure);
  EXPECT_EQ(decision.none.why, Why::kUntried);
  EXPECT_EQ(WordsOf(decision)["a"], "guess");
}

TEST(AccountChoice, TakesNothingAndLooksAheadToTheTimeItIsGiven) {
  Asked p({MakeAccount("a", 1, 1), MakeAccount("b", 2)});
  p.pool->Report(0, {.kind = Kind::kLimited, .until = p.clock.Now() + seconds(60)});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(p.Ask(Sticky("s")).session, Decision::Session::kNew);
  EXPECT_EQ(p.pool->Explain({}, p.clock.Now() + seconds(60)).chosen, 0U);
  EXPECT_EQ(p.pool->Look()[0].in_flight, 0);
  EXPECT_EQ(p.pool->Look()[1].in_flight, 0);
  EXPECT_TRUE(p.pool->TakeChangedSessions().empty());
}

TEST(AccountChoice, IsToldToWhoTakesAndToWhoWaits) {
  Queue q({MakeAccount("a", 50, 1)});
  Decision decision;
  auto held = q.pool->TryTake({}, &decision);
  ASSERT_TRUE(held);
  EXPECT_EQ(decision.chosen, 0U);
  EXPECT_FALSE(q.pool->TryTake({}, &decision));
  EXPECT_EQ(decision.none.why, Why::kBusy);
  Decision waited;
  auto task = [](Queue& queue, Decision& to) -> Task<Unit> {
    TimePoint deadline = queue.loop.Now() + seconds(10);
    Wish wish;
    auto taken = co_await queue.pool->Take(queue.loop, wish, deadline, &to);
    EXPECT_TRUE(taken);
    co_return Unit{};
  };
  Task<Unit> guest = task(q, waited);
  guest.Start([](void*) noexcept {}, nullptr);
  q.Turns();
  EXPECT_EQ(waited.none.why, Why::kBusy);
  held->reset();
  q.Turns();
  EXPECT_EQ(waited.chosen, 0U);
}

}  // namespace
}  // namespace relay
