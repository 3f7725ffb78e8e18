// SPDX-License-Identifier: MIT
// Too many at once on a pool with too few places: in which order who waits is served, and that
// nobody starves. The accounts are well all the time, so that it is known who could use which
// place.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/async/event.h"
#include "tests/upstreams/pool_fixture.h"

namespace relay {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr int kSessions = 40;
constexpr int kBoundSessions = 5;  // of these, to the one account that has the fewest places
constexpr const char* kBoundTo = "small";
constexpr Duration kLongest = seconds(10);  // that a request holds its place
constexpr Duration kOwnWait = seconds(2);   // for the session's account, where its prompt is cached
constexpr Duration kPeak = minutes(30);
constexpr Duration kPatience = minutes(5);

class Crowd {
 public:
  explicit Crowd(unsigned seed) : random_(seed) {
    std::vector<Account> accounts = {MakeAccount("large", 50, 5), MakeAccount("mid", 50, 3),
                                     MakeAccount(kBoundTo, 50, 2)};
    for (const Account& account : accounts) places_.push_back(account.concurrency);
    accounts_ = accounts;
    pool_ = std::make_shared<AccountPool>(ShareAccounts(std::move(accounts)), clock_);
  }

  void Run() {
    const TimePoint end = clock_.Now() + kPeak;
    std::vector<Task<Unit>> people;
    for (int who = 0; who < kSessions; ++who) {
      // Who sends in parallel, and what counts tokens beside it.
      for (int lane = 0; lane < (who % 8 == 0 ? 3 : 1); ++lane) {
        people.push_back(Work(who, true, end));
      }
      if (who % 4 == 0) people.push_back(Work(who, false, end));
    }
    for (Task<Unit>& each : people) each.Start([](void*) noexcept {}, nullptr);
    while (clock_.Now() < end + kPatience) {
      for (int i = 0; i < 4; ++i) loop_.Turn();
      Check();
      clock_.Advance(seconds(1));
    }
    EXPECT_TRUE(waiting_.empty());
    EXPECT_EQ(pool_->in_flight(), 0);
  }

  std::map<int, int> served;  // by session
  int waited = 0;             // requests that did
  int waited_for_own = 0;     // though another account had room
  int refused = 0;
  int overtaken = 0;       // by one that came later, for a place that it could have used
  int idle = 0;            // seconds that one waited though there was such a place
  int later_than_due = 0;  // by what stood before it
  Duration longest{};

 private:
  struct Asking {
    uint64_t number = 0;
    std::string bound;
    std::optional<size_t> own;  // waits for that account alone until `own_until`
    TimePoint own_until{};
    TimePoint since{};
    TimePoint due{};
  };
  struct Given {
    uint64_t number = 0;
    size_t index = 0;
  };

  Duration Some(int least, int most) {
    return seconds(least + static_cast<int>(random_() % static_cast<uint32_t>(most - least + 1)));
  }

  Wish WishOf(int who, bool generates) {
    Wish wish = Sticky("session " + std::to_string(who));
    wish.generates = generates;
    wish.sure = who % 5 == 1;
    if (who < kBoundSessions) wish.bound = kBoundTo;
    if (who % 2 == 0) wish.own_until = clock_.Now() + kOwnWait;
    return wish;
  }

  Task<Unit> Work(int who, bool generates, TimePoint end) {
    while (clock_.Now() < end) {
      Wish wish = WishOf(who, generates);
      auto asking = Enter(wish);
      AccountPool::Taken taken = co_await pool_->Take(loop_, wish, clock_.Now() + kPatience);
      Leave(asking, taken);
      if (taken) {
        Duration length = Some(1, static_cast<int>(kLongest / seconds(1)));
        co_await Sleep(loop_, length);
        Usage usage;
        usage.model = "m";
        usage.cache_write_5m = 5000;
        if (generates) (*taken)->NoteUsage(usage, clock_.Now());
        taken->reset();
      }
      Duration thought = Some(0, 4);
      co_await Sleep(loop_, thought);
    }
    co_return Unit{};
  }

  std::list<Asking>::iterator Enter(const Wish& wish) {
    Asking asking{.number = next_++, .bound = wish.bound, .own = {}, .since = clock_.Now()};
    Decision decision = pool_->Explain(wish, clock_.Now());
    if (decision.waits_for_own) {
      ++waited_for_own;
      asking.own_until = wish.own_until;
      for (size_t i = 0; i < accounts_.size(); ++i) {
        if (accounts_[i].name == decision.session_account) asking.own = i;
      }
    }
    asking.due = clock_.Now() + LongestWait(asking);
    waiting_.push_back(asking);
    return std::prev(waiting_.end());
  }

  // Each place gets free within kLongest and is given to the first who can use it: so who can use
  // any is served when all before it had one; who is bound, when in the worst case those before it
  // that are not had a place of others, and those that are one of the account's.
  Duration LongestWait(const Asking& asking) const {
    int all = 0;
    for (int places : places_) all += places;
    int bound = 0;
    for (const Asking& before : waiting_) bound += before.bound.empty() ? 0 : 1;
    int others = static_cast<int>(waiting_.size()) - bound;
    int rounds = (others + bound) / all + 1;
    if (!asking.bound.empty())
      rounds = others / (all - places_.back()) + bound / places_.back() + 2;
    // Who stands before it may wait for its own first.
    return kLongest * rounds + kOwnWait * 2;
  }

  void Leave(std::list<Asking>::iterator asking, const AccountPool::Taken& taken) {
    Duration wait = clock_.Now() - asking->since;
    longest = std::max(longest, wait);
    if (wait > Duration::zero()) ++waited;
    if (clock_.Now() > asking->due) ++later_than_due;
    if (taken) {
      given_.push_back({asking->number, (*taken)->index()});
      ++served[std::stoi((*taken)->sticky().substr(std::string("session ").size()))];
    } else {
      ++refused;
    }
    waiting_.erase(asking);
  }

  bool CouldUse(const Asking& asking, size_t index) const {
    if (!asking.bound.empty() && asking.bound != accounts_[index].name) return false;
    return !asking.own || asking.own == index || asking.own_until < clock_.Now();
  }

  // At the end of each second, when all that was given has arrived.
  void Check() {
    std::vector<AccountPool::View> views = pool_->Look();
    for (const Asking& asking : waiting_) {
      for (size_t i = 0; i < views.size(); ++i) {
        if (views[i].in_flight < places_[i] && CouldUse(asking, i)) ++idle;
      }
      for (const Given& given : given_) {
        if (given.number > asking.number && CouldUse(asking, given.index)) ++overtaken;
      }
    }
    given_.clear();
  }

  ManualClock clock_;
  Loop loop_{clock_};
  std::mt19937 random_;
  std::vector<Account> accounts_;
  std::vector<int> places_;
  std::shared_ptr<AccountPool> pool_;
  std::list<Asking> waiting_;
  std::vector<Given> given_;  // in this second
  uint64_t next_ = 0;
};

TEST(CrowdedPool, ServesEachInItsTurnAndStarvesNobody) {
  for (unsigned seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Crowd crowd(seed);
    crowd.Run();
    EXPECT_GT(crowd.waited, 1000);
    EXPECT_GT(crowd.waited_for_own, 50);
    EXPECT_EQ(crowd.refused, 0);
    EXPECT_EQ(crowd.overtaken, 0);
    EXPECT_EQ(crowd.idle, 0);
    EXPECT_EQ(crowd.later_than_due, 0)
        << "the longest wait was " << crowd.longest / std::chrono::seconds(1) << " s";
    // Of those that send one by one, and to any account, each gets about as much.
    int least = 1 << 30;
    int most = 0;
    for (int who = kBoundSessions; who < kSessions; ++who) {
      if (who % 4 == 0) continue;
      least = std::min(least, crowd.served[who]);
      most = std::max(most, crowd.served[who]);
    }
    EXPECT_GT(least * 2, most);
    for (int who = 0; who < kBoundSessions; ++who) EXPECT_GT(crowd.served[who], 20) << who;
  }
}

}  // namespace
}  // namespace relay
