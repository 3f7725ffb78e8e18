// SPDX-License-Identifier: MIT
// relay.yaml read anew, with two workers that serve meanwhile.
#include "admin/reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/admin/relay_fixture.h"
#include "tests/admin/temporary_folder.h"

namespace relay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::vector<std::string> TextsOf(const ReloadOutcome& outcome) {
  std::vector<std::string> texts;
  for (const ReloadOutcome::Change& change : outcome.changes) {
    texts.push_back(change.text + (change.needs_restart ? " (restart)" : ""));
  }
  return texts;
}

struct ReloadTest : testing::Test {
  ReloadTest() { temp.Write("relay.yaml", RelayConfig(1)); }
  static std::string With(std::string_view old, std::string_view fresh) {
    std::string text = RelayConfig(1);
    size_t at = text.find(old);
    EXPECT_NE(at, std::string::npos) << old;
    return text.replace(at, old.size(), fresh);
  }
  static std::string WithBob() {
    return With("keys: [", "keys: [{name: bob, key: cr_bob-of-the-reload}, ");
  }
  // Turns until `count` outcomes were told of.
  void Await(size_t count) {
    while (told.size() < count) loop.Turn();
  }
  ReloadOutcome Reload(const std::string& text) {
    temp.Write("relay.yaml", text);
    size_t before = told.size();
    reloader->Reload("a test");
    Await(before + 1);
    return told.back();
  }
  ReloadOutcome Compare(const std::string& path) {
    std::optional<ReloadOutcome> outcome;
    reloader->Compare(path, [&](const ReloadOutcome& what) { outcome = what; });
    while (!outcome) loop.Turn();
    return *outcome;
  }
  std::string MetricsText() const { return relay.services->metrics.Text(true); }

  TemporaryFolder temp;
  Relay relay;
  ManualClock clock;
  Loop loop{clock};
  std::vector<ReloadOutcome> told;
  std::unique_ptr<Reloader> reloader =
      std::make_unique<Reloader>(loop, *relay.services, temp.File("relay.yaml"),
                                 EnvironmentOf({{"RELAY_KEY", "cr_worker-thread-test"},
                                                {"ACCOUNT_KEY", "sk-ant-worker-test"}}),
                                 [this](const ReloadOutcome& outcome) { told.push_back(outcome); });
};

TEST_F(ReloadTest, PutsAGoodFileInForce) {
  ReloadOutcome outcome = Reload(WithBob());
  EXPECT_TRUE(outcome.good());
  EXPECT_THAT(TextsOf(outcome), ElementsAre("key 'bob' is added"));
  EXPECT_NE(relay.services->current()->keys->Find("cr_bob-of-the-reload"), nullptr);
  EXPECT_THAT(MetricsText(), HasSubstr("relay_config_reloads_total{result=\"applied\"} 1\n"));
  EXPECT_THAT(MetricsText(), HasSubstr("relay_config_last_reload_successful 1\n"));
  EXPECT_THAT(TextsOf(Reload(WithBob())), IsEmpty()) << "it is in force already";
}

TEST_F(ReloadTest, ABadFileChangesNothingAndSaysWhy) {
  auto before = relay.services->current();
  ReloadOutcome outcome = Reload(With("provider: claude", "provder: claude"));
  EXPECT_THAT(outcome.problems,
              ElementsAre(HasSubstr("/relay.yaml:6:5: unknown key 'provder' in cluster 'claude' "
                                    "(did you mean 'provider'?)")));
  EXPECT_FALSE(outcome.tests_failed);
  EXPECT_EQ(relay.services->current(), before);
  EXPECT_THAT(MetricsText(), HasSubstr("relay_config_reloads_total{result=\"refused\"} 1\n"));
  EXPECT_THAT(MetricsText(), HasSubstr("relay_config_last_reload_successful 0\n"));
  EXPECT_TRUE(Reload(RelayConfig(1)).good());
  EXPECT_THAT(MetricsText(), HasSubstr("relay_config_last_reload_successful 1\n"));
}

TEST_F(ReloadTest, AFileWhoseTestsFailChangesNothing) {
  auto before = relay.services->current();
  ReloadOutcome outcome = Reload(RelayConfig(1) + R"(
tests:
  - {request: {path: /api/v1/models, key: nobody}, expect: {status: 401}}
  - {request: {path: /api/v1/models, key: alice}, expect: {status: 401}}
)");
  EXPECT_TRUE(outcome.tests_failed);
  ASSERT_EQ(outcome.problems.size(), 1U);
  EXPECT_THAT(outcome.problems[0], HasSubstr("FAILED: GET /api/v1/models (key alice): status is"));
  EXPECT_EQ(relay.services->current(), before);
}

TEST_F(ReloadTest, AFileThatIsNotThereChangesNothing) {
  auto before = relay.services->current();
  std::filesystem::remove(temp.File("relay.yaml"));
  reloader->Reload("a test");
  Await(1);
  EXPECT_THAT(told[0].problems, ElementsAre(HasSubstr("cannot be read")));
  EXPECT_EQ(relay.services->current(), before);
}

TEST_F(ReloadTest, WhatNeedsARestartStaysAndTheRestIsPutInForce) {
  std::string text = "workers: 3\ntime-zone: Europe/Berlin\nstore: memory\n" + WithBob();
  text.replace(text.find("127.0.0.1:0"), 11, "127.0.0.1:7");
  ReloadOutcome outcome = Reload(text);
  EXPECT_TRUE(outcome.good());
  EXPECT_THAT(
      TextsOf(outcome),
      ElementsAre("key 'bob' is added", "listener 127.0.0.1:0 is removed (restart)",
                  "listener 127.0.0.1:7 is added (restart)", "store auto -> memory (restart)",
                  "time-zone UTC -> Europe/Berlin (restart)", "workers auto -> 3 (restart)"));
  auto now = relay.services->current();
  EXPECT_NE(now->keys->Find("cr_bob-of-the-reload"), nullptr);
  EXPECT_EQ(now->config->workers, 0);
  EXPECT_EQ(now->config->time_zone, "UTC");
  ASSERT_EQ(now->listeners.size(), 1U);
  EXPECT_EQ(now->config->listeners[0].address.port, 0);
  EXPECT_THAT(MetricsText(), HasSubstr("relay_config_restart_needed 1\n"));
  // It is still said by the next one, and not when the file is as what runs.
  EXPECT_EQ(Reload(text).changes.size(), 5U);
  EXPECT_THAT(TextsOf(Reload(RelayConfig(1))), ElementsAre("key 'bob' is removed"));
  EXPECT_THAT(MetricsText(), HasSubstr("relay_config_restart_needed 0\n"));
}

TEST_F(ReloadTest, ListenersTrustWhomTheFileSaysNow) {
  const std::string with =
      With("\"127.0.0.1:0\"", "\"127.0.0.1:0\", trusted-proxies: [192.0.2.0/24]");
  EXPECT_THAT(TextsOf(Reload(with)), ElementsAre(HasSubstr("trusted-proxies")));
  EXPECT_EQ(relay.services->current()->listeners.at(0).trusted_proxies.size(), 1U);
  EXPECT_TRUE(Reload(RelayConfig(1)).good());
  EXPECT_TRUE(relay.services->current()->listeners.at(0).trusted_proxies.empty());
}

TEST_F(ReloadTest, ComparingChangesNothing) {
  auto before = relay.services->current();
  ReloadOutcome outcome = Compare(temp.Write("new.yaml", WithBob()));
  EXPECT_THAT(TextsOf(outcome), ElementsAre("key 'bob' is added"));
  EXPECT_THAT(TextsOf(Compare("")), IsEmpty()) << "the relay's own file";
  EXPECT_THAT(Compare(temp.Write("bad.yaml", "keys: 7\n")).problems, testing::Not(IsEmpty()));
  EXPECT_EQ(relay.services->current(), before);
  EXPECT_THAT(told, IsEmpty());
}

TEST_F(ReloadTest, ThoseWhoAskMeanwhileShareTheNextOne) {
  int done = 0;
  for (int i = 0; i < 5; ++i) {
    reloader->Reload("a test", [&](const ReloadOutcome& outcome) {
      EXPECT_TRUE(outcome.good());
      ++done;
    });
  }
  EXPECT_EQ(done, 0) << "nobody is called back at once";
  while (done < 5) loop.Turn();
  EXPECT_EQ(told.size(), 2U);
}

TEST_F(ReloadTest, AChangedFileIsReadByItself) {
  temp.Write("relay.yaml", WithBob());
  loop.Turn();
  clock.Advance(FileWatch::kQuiet + TimerWheel::kTick);
  Await(1);
  EXPECT_THAT(TextsOf(told[0]), ElementsAre("key 'bob' is added"));
}

TEST_F(ReloadTest, AChangedFileThatItNamesIsReadToo) {
  temp.Write("secrets/bob", "cr_bob-of-the-reload");
  std::string text = With("keys: [", "keys: [{name: bob, key: \"${file:secrets/bob}\"}, ");
  EXPECT_TRUE(Reload(text).good());
  temp.Write("secrets/bob", "cr_bob-of-another-day");
  loop.Turn();
  clock.Advance(FileWatch::kQuiet + TimerWheel::kTick);
  Await(2);
  EXPECT_THAT(TextsOf(told[1]), ElementsAre("key 'bob': key changes"));
  EXPECT_EQ(relay.services->current()->keys->Find("cr_bob-of-the-reload"), nullptr);
}

TEST_F(ReloadTest, AFileThatWasMissingIsReadWhenItComes) {
  std::string text = With("keys: [", "keys: [{name: bob, key: \"${file:bob}\"}, ");
  EXPECT_FALSE(Reload(text).good());
  temp.Write("bob", "cr_bob-of-the-reload");
  loop.Turn();
  clock.Advance(FileWatch::kQuiet + TimerWheel::kTick);
  Await(2);
  EXPECT_THAT(TextsOf(told[1]), ElementsAre("key 'bob' is added"));
}

TEST_F(ReloadTest, EndsWithACheckUnderWay) {
  temp.Write("relay.yaml", WithBob());
  reloader->Reload("a test");
  reloader.reset();
  EXPECT_THAT(told, IsEmpty());
}

TEST_F(ReloadTest, TheOutcomeAsJson) {
  ReloadOutcome outcome;
  outcome.notes = {"a \"note\""};
  outcome.changes = {{"key 'bob' is added", false}, {"workers 1 -> 2", true}};
  EXPECT_EQ(outcome.Json(),
            R"({"good":true,"tests_failed":false,"problems":[],"notes":["a \"note\""],)"
            R"("changes":[{"text":"key 'bob' is added","needs_restart":false},)"
            R"({"text":"workers 1 -> 2","needs_restart":true}]})");
}

}  // namespace
}  // namespace relay
