// SPDX-License-Identifier: MIT
#include "core/store/keys.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

struct KeysTest : testing::Test {
  Limiter limiter;
  KeyDirectory keys{Secret("a pepper of the test"), limiter};
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
  KeyDirectory next(Secret("another pepper"), limiter);
  next.Add("cr_new", {.name = "alice"});
  next.Add("cr_bob", {.name = "bob"});
  EXPECT_EQ(keys.Find("cr_alice")->scope, next.Find("cr_new")->scope);
  EXPECT_NE(next.Find("cr_bob")->scope, next.Find("cr_new")->scope);
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
