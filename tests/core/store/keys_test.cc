// SPDX-License-Identifier: MIT
#include "core/store/keys.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

struct KeysTest : testing::Test {
  Limiter limiter;
  StateBell bell;
  KeyUses uses{bell};
  KeyDirectory keys{Secret("a pepper of the test"), limiter, uses};
};

TEST_F(KeysTest, FindsAKeyByItsExactBytes) {
  ASSERT_TRUE(keys.Add("cr_alice", {.name = "alice"}));
  ASSERT_TRUE(keys.Add("cr_bob", {.name = "bob"}));
  ASSERT_NE(keys.Find("cr_bob"), nullptr);
  EXPECT_EQ(keys.Find("cr_bob")->name, "bob");
  EXPECT_EQ(keys.Find("CR_BOB"), nullptr);
  EXPECT_EQ(keys.Find("cr_bob "), nullptr);
  EXPECT_EQ(keys.Find("cr_bo"), nullptr);
  EXPECT_EQ(keys.Find(std::string_view("cr_bob\0", 7)), nullptr);
  EXPECT_EQ(keys.Find(""), nullptr);
}

TEST_F(KeysTest, RefusesASecretTwice) {
  EXPECT_TRUE(keys.Add("cr_alice", {.name = "alice"}));
  EXPECT_FALSE(keys.Add("cr_alice", {.name = "mallory"}));
  EXPECT_EQ(keys.Find("cr_alice")->name, "alice");
  EXPECT_EQ(keys.size(), 1U);
}

TEST_F(KeysTest, FindsAmongMany) {
  for (int i = 0; i < 1000; ++i) {
    std::string n = std::to_string(i);
    ASSERT_TRUE(keys.Add("cr_" + n, {.name = n}));
  }
  for (int i = 0; i < 1000; ++i) {
    std::string n = std::to_string(i);
    ASSERT_EQ(keys.Find("cr_" + n)->name, n);
    ASSERT_EQ(keys.FindByName(n)->name, n);
  }
  EXPECT_EQ(keys.Find("cr_1000"), nullptr);
  EXPECT_EQ(keys.FindByName("1000"), nullptr);
}

TEST_F(KeysTest, KeepsACountAcrossDirectories) {
  keys.Add("cr_alice", {.name = "alice"});
  KeyDirectory next(Secret("another pepper"), limiter, uses);
  next.Add("cr_new", {.name = "alice"});
  next.Add("cr_bob", {.name = "bob"});
  EXPECT_EQ(keys.Find("cr_alice")->scope, next.Find("cr_new")->scope);
  EXPECT_NE(next.Find("cr_bob")->scope, next.Find("cr_new")->scope);
}

TEST_F(KeysTest, ExpiresSoLongAfterItsFirstUseAlsoAfterARestart) {
  using namespace std::chrono_literals;
  WallTime noon(std::chrono::seconds(1'795'694'400));
  keys.Add("cr_alice", {.name = "alice", .expires_after_first_use = 24h});
  auto key = keys.Find("cr_alice");
  EXPECT_FALSE(bell.rung());
  EXPECT_FALSE(key->ExpiredAt(noon));
  EXPECT_TRUE(bell.rung());
  EXPECT_FALSE(key->ExpiredAt(noon + 24h - 1s));
  EXPECT_TRUE(key->ExpiredAt(noon + 24h));
  std::vector<StateBlob> blobs;
  uses.TakeChanged(blobs);
  ASSERT_EQ(blobs.size(), 1U);
  EXPECT_EQ(blobs[0], (StateBlob{"key", "alice", "1795694400000"}));
  uses.TakeChanged(blobs);
  EXPECT_EQ(blobs.size(), 1U) << "told once";

  // The next run hears of it before or after the key is there, and even after it was used again.
  for (bool late : {false, true}) {
    KeyUses next(bell);
    if (!late) EXPECT_TRUE(next.Restore(blobs).empty());
    KeyDirectory directory(Secret("pepper"), limiter, next);
    directory.Add("cr_new", {.name = "alice", .expires_after_first_use = 24h});
    if (late) {
      EXPECT_FALSE(directory.Find("cr_new")->ExpiredAt(noon + 30h));
      next.Restore(blobs);
    }
    EXPECT_FALSE(directory.Find("cr_new")->ExpiredAt(noon + 23h));
    EXPECT_TRUE(directory.Find("cr_new")->ExpiredAt(noon + 24h));
  }
  EXPECT_EQ(uses.Restore({{"key", "bob", "x"}, {"key", "carol", "-1"}}),
            (std::vector<std::string>{"bob", "carol"}));
}

TEST(KeyRecord, ExpiresOnItsDay) {
  WallTime noon(std::chrono::seconds(1'795'694'400));
  KeyRecord key{.name = "k", .expires = noon};
  EXPECT_FALSE(key.ExpiredAt(noon - std::chrono::seconds(1)));
  EXPECT_TRUE(key.ExpiredAt(noon));
  EXPECT_FALSE(KeyRecord{.name = "k"}.ExpiredAt(noon));
}

TEST(KeyRecord, MayBeUsedBySomeClientsFromSomePlaces) {
  KeyRecord any{.name = "any"};
  EXPECT_TRUE(any.MayBeUsedBy(""));
  EXPECT_TRUE(any.MayBeUsedFrom(std::nullopt));
  KeyRecord key{.name = "k",
                .allowed_addresses = {*Network::Parse("10.0.0.0/8")},
                .clients = {ClientGlob("claude-code"), ClientGlob("MyTool/*")}};
  EXPECT_TRUE(key.MayBeUsedBy("claude-cli/2.0.1 (external, cli)"));
  EXPECT_TRUE(key.MayBeUsedBy("MyTool/1"));
  EXPECT_FALSE(key.MayBeUsedBy("not claude-cli/2.0.1"));
  EXPECT_FALSE(key.MayBeUsedBy(""));
  EXPECT_TRUE(key.MayBeUsedFrom(IpAddress::Parse("10.1.2.3")));
  EXPECT_FALSE(key.MayBeUsedFrom(IpAddress::Parse("11.1.2.3")));
  EXPECT_FALSE(key.MayBeUsedFrom(std::nullopt));
  EXPECT_TRUE(KeyRecord({.name = "g", .clients = {ClientGlob("gemini-cli")}})
                  .MayBeUsedBy("GeminiCLI/0.8.1/gemini-2.5-pro (linux; x64)"));
}

TEST(KeyRecord, MayUseAllServicesUnlessSomeAreNamed) {
  KeyRecord any{.name = "any"};
  EXPECT_TRUE(any.MayUse("claude"));
  KeyRecord some{.name = "some", .services = {"claude"}};
  EXPECT_TRUE(some.MayUse("claude"));
  EXPECT_FALSE(some.MayUse("gemini"));
}

TEST(KeyRecord, DeniesWhatIsAllowedAndDenied) {
  KeyRecord key{.name = "k", .models_allow = {"claude-*"}, .models_deny = {"claude-opus-*"}};
  EXPECT_TRUE(key.MayUseModel("claude-haiku-4-5"));
  EXPECT_FALSE(key.MayUseModel("claude-opus-5-5"));
  EXPECT_FALSE(key.MayUseModel("gemini-2.5-pro"));
  EXPECT_FALSE(key.MayUseModel("Claude-haiku-4-5"));
  KeyRecord denied{.name = "d", .models_deny = {"*-pro"}};
  EXPECT_FALSE(denied.MayUseModel("gemini-2.5-pro"));
  EXPECT_TRUE(denied.MayUseModel("gemini-2.5-flash"));
}

TEST(GlobMatch, TakesAStarForAnyRun) {
  EXPECT_TRUE(GlobMatch("*", ""));
  EXPECT_TRUE(GlobMatch("*", "anything"));
  EXPECT_TRUE(GlobMatch("a*b*c", "a-b-b-c"));
  EXPECT_TRUE(GlobMatch("*opus*", "claude-opus-4"));
  EXPECT_TRUE(GlobMatch("a**", "a"));
  EXPECT_TRUE(GlobMatch("", ""));
  EXPECT_FALSE(GlobMatch("", "a"));
  EXPECT_FALSE(GlobMatch("a*b", "a-b-c"));
  EXPECT_FALSE(GlobMatch("abc", "ab"));
  EXPECT_FALSE(GlobMatch("a?c", "abc"));
}

TEST(GlobMatch, TakesNoTimeOnHostileText) {
  // Exponential matchers never come back from this.
  std::string text(20'000, 'a');
  EXPECT_FALSE(GlobMatch("*a*a*a*a*a*a*a*a*a*b", text));
}

}  // namespace
}  // namespace relay
