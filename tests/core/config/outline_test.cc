// SPDX-License-Identifier: MIT
#include "core/config/outline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/config/root.h"

namespace relay {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::string_view kFile = R"(
listeners: [{address: "127.0.0.1:3000", limits: {connections: 100}}]
keys:
  - {name: alice, key: "${ALICE}", services: [claude], limits: {concurrency: 40}}
  - {name: bob, key: "${BOB:=}"}
clusters:
  claude:
    provider: claude
    accounts: [{name: a, api-key: "${ACCOUNT}", priority: 10}, {name: b, api-key: sk-b}]
routes:
  - name: one
    match: {prefix: /one}
    filters: [{auth: {service: claude}}, {rewrite: {set-headers: {x-token: "${ACCOUNT}"}}}]
    cluster: claude
  - {name: two, match: {prefix: /two}, filters: [{auth: {service: claude}}], cluster: claude}
)";

Outline OutlineOf(std::string_view text, const std::string& account = "sk-a",
                  const std::string& bob = "") {
  Problems problems;
  auto config = LoadConfigText(
      text, "relay.yaml", "",
      [&](std::string_view name) -> std::optional<std::string> {
        if (name == "ALICE") return "cr_alice_0123456789";
        if (name == "BOB" && !bob.empty()) return bob;
        if (name == "ACCOUNT") return account;
        return std::nullopt;
      },
      problems);
  for (const std::string& line : problems.ErrorLines()) ADD_FAILURE() << line;
  return config->outline;
}

std::string With(std::string_view old, std::string_view fresh) {
  std::string text(kFile);
  size_t at = text.find(old);
  EXPECT_NE(at, std::string::npos) << old;
  return text.replace(at, old.size(), fresh);
}

std::vector<std::string> Changes(const Outline& after) {
  std::vector<std::string> texts;
  for (const OutlineChange& change : DiffOutlines(OutlineOf(kFile), after)) {
    texts.push_back(change.text);
  }
  return texts;
}

TEST(Outline, TheSameFileHasNoChanges) {
  EXPECT_THAT(Changes(OutlineOf(kFile)), IsEmpty());
}

TEST(Outline, TellsWhatCameAndWentAsOneThing) {
  EXPECT_THAT(Changes(OutlineOf(kFile, "sk-a", "cr_bob_0123456789")),
              ElementsAre("key 'bob' is added"));
  EXPECT_THAT(Changes(OutlineOf(With("{name: b, api-key: sk-b}", "{name: c, api-key: sk-b}"))),
              ElementsAre("account 'claude/b' is removed", "account 'claude/c' is added"));
  EXPECT_THAT(
      Changes(OutlineOf(With("127.0.0.1:3000", "127.0.0.1:4000"))),
      ElementsAre("listener 127.0.0.1:3000 is removed", "listener 127.0.0.1:4000 is added"));
  EXPECT_THAT(Changes(OutlineOf(With(", {rewrite: {set-headers: {x-token: \"${ACCOUNT}\"}}}", ""))),
              ElementsAre("filter 'rewrite' of route 'one' is removed"));
}

TEST(Outline, TellsValuesFromAndTo) {
  EXPECT_THAT(Changes(OutlineOf(With("concurrency: 40", "concurrency: 20, cost-per-day: 5"))),
              ElementsAre("key 'alice': limits.concurrency 40 -> 20",
                          "key 'alice': limits.cost-per-day none -> 5"));
  EXPECT_THAT(Changes(OutlineOf(With("[claude]", "[claude, gemini]"))),
              ElementsAre("key 'alice': services claude -> claude, gemini"));
  EXPECT_THAT(Changes(OutlineOf(With("priority: 10", "priority: 11"))),
              ElementsAre("account 'claude/a': priority 10 -> 11"));
  EXPECT_THAT(Changes(OutlineOf(With("limits: {connections: 100}", "limits: {streams: 7}"))),
              ElementsAre("listener 127.0.0.1:3000: limits.connections 100 -> 9000",
                          "listener 127.0.0.1:3000: limits.streams 100 -> 7"));
}

TEST(Outline, CallsWhatHasNoNameByItsNumber) {
  std::string rules =
      "provider: claude\n    rules: [{match: {status: 404}, action: next},"
      " {match: {status: 418}, action: limited, for: 1h}]";
  Outline ruled = OutlineOf(With("provider: claude", rules));
  EXPECT_THAT(Changes(ruled), ElementsAre("cluster 'claude': rules.1 is added",
                                          "cluster 'claude': rules.2 is added"));
  Outline other = OutlineOf(With("provider: claude", rules.replace(rules.find("1h"), 2, "2h")));
  std::vector<OutlineChange> changes = DiffOutlines(ruled, other);
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].text, "cluster 'claude': rules.2.for 1h -> 2h");
}

TEST(Outline, WhatIsSpelledDifferentlyOrByDefaultIsNoChange) {
  EXPECT_THAT(Changes(OutlineOf(With("services: [claude]", "services: claude"))), IsEmpty());
  EXPECT_THAT(Changes(OutlineOf(With("keys:", "drain-timeout: 30s\nworkers: auto\nkeys:"))),
              IsEmpty());
  EXPECT_THAT(Changes(OutlineOf(With("{name: b, api-key: sk-b}", "{api-key: sk-b, name: b}"))),
              IsEmpty());
}

TEST(Outline, NeverTellsASecretOrWhatMayBeOne) {
  EXPECT_THAT(Changes(OutlineOf(kFile, "sk-new")),
              ElementsAre("account 'claude/a': api-key changes",
                          "filter 'rewrite' of route 'one': set-headers.x-token changes"));
  EXPECT_THAT(Changes(OutlineOf(With("sk-b", "sk-c"))),
              ElementsAre("account 'claude/b': api-key changes"));
  EXPECT_THAT(Changes(OutlineOf(With("keys:", "admin: {metrics-token: 0123456789}\nkeys:"))),
              ElementsAre("admin.metrics-token is set"));
  EXPECT_THAT(Changes(OutlineOf(
                  With("api-key: sk-b}", "api-key: sk-b, proxy: \"http://u:sk-p@p.test:1\"}"))),
              ElementsAre("account 'claude/b': proxy is set"));
  for (const auto& [path, entry] : OutlineOf(kFile, "sk-planted").entries()) {
    EXPECT_EQ(entry.shown.find("sk-"), std::string::npos) << path.back();
    EXPECT_EQ(entry.shown.find("cr_alice"), std::string::npos) << path.back();
  }
}

TEST(Outline, TellsOfAnOrderOnlyWhereItMattersAndNothingElseChanged) {
  std::string text(kFile);
  size_t one = text.find("  - name: one");
  size_t two = text.find("  - {name: two");
  std::string swapped = text.substr(0, one) + text.substr(two) + text.substr(one, two - one);
  EXPECT_THAT(Changes(OutlineOf(swapped)), ElementsAre("order of routes one, two -> two, one"));
  std::string three = text +
                      "  - {name: three, match: {prefix: /three}, filters: [{auth: "
                      "{service: claude}}], cluster: claude}\n";
  EXPECT_THAT(Changes(OutlineOf(three)), ElementsAre("route 'three' is added"));
  std::string accounts = With(
      "[{name: a, api-key: \"${ACCOUNT}\", priority: 10}, {name: b, "
      "api-key: sk-b}]",
      "[{name: b, api-key: sk-b}, {name: a, api-key: \"${ACCOUNT}\", "
      "priority: 10}]");
  EXPECT_THAT(Changes(OutlineOf(accounts)), IsEmpty());
}

TEST(Outline, TestsOfTheFileAreNoPartOfIt) {
  EXPECT_THAT(Changes(OutlineOf(std::string(kFile) +
                                "tests: [{request: {path: /x}, expect: {status: 404}}]\n")),
              IsEmpty());
}

TEST(Outline, CopiesAndRemovesWhatStandsAtAPath) {
  Outline outline = OutlineOf(With("concurrency: 40", "concurrency: 20"));
  outline.Copy({"keys", "alice"}, OutlineOf(kFile));
  EXPECT_THAT(Changes(outline), IsEmpty());
  outline.Remove({"clusters", "claude", "accounts", "a"});
  EXPECT_THAT(Changes(outline), ElementsAre("account 'claude/a' is removed"));
}

}  // namespace
}  // namespace relay
