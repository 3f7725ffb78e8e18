// SPDX-License-Identifier: MIT
#include "admin/alert_book.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace relay {
namespace {

using namespace std::chrono_literals;

class AlertBookTest : public ::testing::Test {
 protected:
  static AlertCondition Of(AlertEvent event, std::string subject = "account claude/max") {
    return {.id = std::string(NameOf(event)) + " " + subject,
            .event = event,
            .thing = subject,
            .subject = subject,
            .what = "is so"};
  }
  static AlertCondition Budget(int percent) {
    AlertCondition condition = Of(AlertEvent::kBudget, "key alice");
    condition.percent = percent;
    return condition;
  }
  // What is told, as "subject phase".
  std::vector<std::string> Look(const std::vector<AlertCondition>& now_true) {
    std::vector<std::string> told;
    AlertLook look{now_true, things};
    for (const AlertCondition& condition : now_true) things.insert(condition.thing);
    for (const Alert& alert : book.Update(config, look, clock.Now(), clock.Wall())) {
      told.push_back(alert.subject + (alert.phase == Alert::Phase::kEnded ? " ended" : " began"));
      last = alert;
    }
    return told;
  }
  // Looks every second.
  std::vector<std::string> LookFor(Duration time, const std::vector<AlertCondition>& now_true) {
    std::vector<std::string> told;
    for (Duration passed{}; passed < time; passed += 1s) {
      std::ranges::copy(Look(now_true), std::back_inserter(told));
      clock.Advance(1s);
    }
    return told;
  }
  using Told = std::vector<std::string>;
  // What is kept of the book, as the store has it: what was forgotten is dropped.
  void Save() {
    for (const AlertBook::Change& change : book.TakeChanged(Instant(clock))) {
      if (change.kept) {
        kept[change.id] = *change.kept;
      } else {
        kept.erase(change.id);
      }
    }
  }
  void Restart(Duration away) {
    Save();
    clock.Advance(away);
    book = AlertBook();
    for (const auto& [id, one] : kept) book.Restore(one, Instant(clock));
  }

  ManualClock clock;
  AlertConfig config;
  AlertBook book;
  std::map<std::string, AlertBook::Kept> kept;
  std::set<std::string, std::less<>> things;  // that were ever in trouble, and are there
  Alert last;
};

TEST_F(AlertBookTest, TellsOnceThatItBeganAndOnceThatItEnded) {
  EXPECT_EQ(LookFor(60s, {Of(AlertEvent::kRefused)}), Told{"account claude/max began"});
  EXPECT_EQ(last.severity, Alert::Severity::kCritical);
  EXPECT_EQ(LookFor(60s, {}), Told{"account claude/max ended"});
  EXPECT_EQ(last.what, "is no longer refused");
  EXPECT_EQ(last.severity, Alert::Severity::kInfo);
}

TEST_F(AlertBookTest, LeavesAMomentToWhatMayCureItself) {
  EXPECT_EQ(LookFor(29s, {Of(AlertEvent::kBroken)}), Told{});
  EXPECT_EQ(LookFor(60s, {}), Told{});
  EXPECT_EQ(LookFor(30s, {Of(AlertEvent::kBroken)}), Told{});
  EXPECT_EQ(Look({Of(AlertEvent::kBroken)}), Told{"account claude/max began"});
}

// An account that rests for five seconds, is probed, and fails again.
TEST_F(AlertBookTest, TakesWhatComesAndGoesForOneTrouble) {
  Told told;
  for (int i = 0; i < 20; ++i) {
    std::ranges::copy(LookFor(5s, {Of(AlertEvent::kBroken)}), std::back_inserter(told));
    std::ranges::copy(LookFor(10s, {}), std::back_inserter(told));
  }
  EXPECT_EQ(told, Told{"account claude/max began"});
}

TEST_F(AlertBookTest, IsQuietAboutWhatWasToldJustNow) {
  config.quiet = 10min;
  EXPECT_EQ(LookFor(10s, {Of(AlertEvent::kLimited)}), Told{"account claude/max began"});
  EXPECT_EQ(LookFor(60s, {}), Told{"account claude/max ended"});
  EXPECT_EQ(LookFor(8min, {Of(AlertEvent::kLimited)}), Told{});
  // It still is the case when the quiet is over.
  EXPECT_EQ(LookFor(1min, {Of(AlertEvent::kLimited)}), Told{"account claude/max began"});
}

TEST_F(AlertBookTest, TellsOfABudgetAtEachShareOfIt) {
  EXPECT_EQ(Look({Budget(79)}), Told{});
  EXPECT_EQ(Look({Budget(80)}), Told{"key alice began"});
  EXPECT_EQ(last.severity, Alert::Severity::kWarning);
  EXPECT_EQ(LookFor(60s, {Budget(95)}), Told{});
  EXPECT_EQ(LookFor(60s, {Budget(104)}), Told{"key alice began"});
  EXPECT_EQ(last.severity, Alert::Severity::kCritical);
  // A new day: nobody needs to be told that there is money again.
  EXPECT_EQ(LookFor(1h, {Budget(3)}), Told{});
  EXPECT_EQ(Look({Budget(100)}), Told{"key alice began"});
  EXPECT_EQ(Look({Budget(100)}), Told{});
}

TEST_F(AlertBookTest, TellsOnlyWhatIsWanted) {
  config.on = {AlertEvent::kBudget};
  config.budget_percent = {50};
  EXPECT_EQ(LookFor(60s, {Of(AlertEvent::kRefused), Budget(49)}), Told{});
  EXPECT_EQ(Look({Of(AlertEvent::kRefused), Budget(50)}), Told{"key alice began"});
}

TEST_F(AlertBookTest, DoesNotCallWellWhatIsGoneOrPaused) {
  EXPECT_EQ(Look({Of(AlertEvent::kRefused)}), Told{"account claude/max began"});
  things.clear();
  EXPECT_EQ(LookFor(60s, {}), Told{});
}

TEST_F(AlertBookTest, DoesNotCallWellWhatIsNotWantedAnyMore) {
  EXPECT_EQ(Look({Of(AlertEvent::kLimited)}), Told{"account claude/max began"});
  config.on = {AlertEvent::kRefused};
  EXPECT_EQ(LookFor(60s, {Of(AlertEvent::kLimited)}), Told{});
}

TEST_F(AlertBookTest, ARestartNeitherRepeatsNorForgets) {
  EXPECT_EQ(LookFor(5s, {Of(AlertEvent::kRefused), Budget(80)}),
            (Told{"account claude/max began", "key alice began"}));
  Restart(1h);
  EXPECT_EQ(LookFor(10s, {Of(AlertEvent::kRefused), Budget(85)}), Told{});
  EXPECT_EQ(Look({Of(AlertEvent::kRefused), Budget(100)}), Told{"key alice began"});
  Restart(1h);
  EXPECT_EQ(LookFor(60s, {Budget(100)}), Told{"account claude/max ended"});
  EXPECT_EQ(last.what, "is no longer refused");
}

TEST_F(AlertBookTest, ARestartDoesNotEndTheQuiet) {
  EXPECT_EQ(Look({Of(AlertEvent::kLimited)}), Told{"account claude/max began"});
  EXPECT_EQ(LookFor(60s, {}), Told{"account claude/max ended"});
  Restart(1s);
  EXPECT_EQ(LookFor(5min, {Of(AlertEvent::kLimited)}), Told{});
  EXPECT_EQ(LookFor(10min, {Of(AlertEvent::kLimited)}), Told{"account claude/max began"});
}

TEST_F(AlertBookTest, KeepsNothingOfWhatIsOverAndOfWhatWasNotTold) {
  EXPECT_EQ(LookFor(20s, {Of(AlertEvent::kBroken)}), Told{});
  Save();
  EXPECT_TRUE(kept.empty()) << "it may still cure itself";
  Look({Of(AlertEvent::kLimited)});
  Save();
  EXPECT_EQ(kept.size(), 1U);
  LookFor(config.quiet + 1min, {});
  Save();
  EXPECT_TRUE(kept.empty());
  Look({Of(AlertEvent::kLimited)});
  EXPECT_EQ(book.Clear().size(), 1U);
}

// While a receiver is away nobody takes what changed.
TEST_F(AlertBookTest, KeepsNothingOfWhatCameAnewAndWasNotTold) {
  EXPECT_EQ(LookFor(40s, {Of(AlertEvent::kBroken)}), Told{"account claude/max began"});
  LookFor(config.quiet + 1min, {});
  EXPECT_EQ(book.size(), 0U);
  EXPECT_EQ(LookFor(1s, {Of(AlertEvent::kBroken)}), Told{});
  EXPECT_EQ(book.size(), 1U);
  Save();
  EXPECT_TRUE(kept.empty());
}

TEST_F(AlertBookTest, TrustsNoClockThatWasPutBack) {
  Look({Of(AlertEvent::kLimited)});
  Save();
  clock.SetWall(clock.Wall() - 24h);
  Restart(0s);
  EXPECT_EQ(LookFor(31s, {}), Told{"account claude/max ended"});
  EXPECT_EQ(LookFor(config.quiet, {Of(AlertEvent::kLimited)}), Told{"account claude/max began"});
}

TEST_F(AlertBookTest, ForgetsWhatIsOver) {
  for (int i = 0; i < 100; ++i) {
    Look({Of(AlertEvent::kLimited, "account claude/" + std::to_string(i))});
    clock.Advance(1s);
  }
  EXPECT_EQ(book.size(), 100U);
  LookFor(16min, {});
  EXPECT_EQ(book.size(), 0U);
}

}  // namespace
}  // namespace relay
