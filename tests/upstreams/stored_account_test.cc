// SPDX-License-Identifier: MIT
#include "upstreams/stored_account.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace relay {
namespace {

using testing::HasSubstr;
using testing::Not;

const Vault& TheVault() {
  static const Vault vault{Secret("0123456789abcdef0123456789abcdef")};
  return vault;
}

TEST(StoredAccount, KeepsAKeyAndTellsItToNobody) {
  StoredAccount account;
  account.cluster = "claude";
  account.config.name = "team";
  account.config.api_key = Secret("sk-ant-api03-secret");
  account.config.priority = 7;
  account.config.concurrency = 3;
  account.config.weight = 4;
  account.config.tags = {"team", "eu"};
  account.paused = true;
  std::string text = WriteStoredAccount(account, TheVault());
  EXPECT_THAT(text, Not(HasSubstr("secret")));
  Result<StoredAccount> read = ReadStoredAccount("claude/team", text, TheVault());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->id(), "claude/team");
  EXPECT_EQ(read->config.api_key.Reveal(), "sk-ant-api03-secret");
  EXPECT_EQ(read->config.priority, 7);
  EXPECT_EQ(read->config.concurrency, 3);
  EXPECT_EQ(read->config.weight, 4);
  EXPECT_EQ(read->config.tags, (std::vector<std::string>{"team", "eu"}));
  EXPECT_TRUE(read->paused);
  EXPECT_TRUE(read->serves());
  EXPECT_FALSE(read->config.login);
}

TEST(StoredAccount, KeepsALoginAndWhoItIs) {
  StoredAccount account;
  account.cluster = "gemini";
  account.config.name = "me";
  account.config.login = true;
  account.config.project = "my-project";
  account.who = "me@example.com";
  account.terms = WallTime(std::chrono::seconds(1'795'000'000));
  Result<StoredAccount> read =
      ReadStoredAccount("gemini/me", WriteStoredAccount(account, TheVault()), TheVault());
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->config.login);
  EXPECT_TRUE(read->serves());
  EXPECT_EQ(read->config.project, "my-project");
  EXPECT_EQ(read->who, "me@example.com");
  EXPECT_EQ(read->terms, account.terms);
}

TEST(StoredAccount, APauseAloneServesNobody) {
  Result<StoredAccount> read = ReadStoredAccount("claude/team", R"({"paused":true})", TheVault());
  ASSERT_TRUE(read);
  EXPECT_FALSE(read->serves());
  EXPECT_TRUE(read->paused);
}

TEST(StoredAccount, RefusesWhatIsNone) {
  std::string sealed = TheVault().Seal({"account", "claude/other", "api-key"}, "sk-ant");
  for (const auto& [id, text] : std::initializer_list<std::pair<std::string, std::string>>{
           {"claude/team", "nonsense"},
           {"claude", "{}"},
           {"claude/Team", "{}"},
           {"claude/team", R"({"api-key":"plain"})"},
           {"claude/team", R"({"api-key":")" + sealed + R"("})"},
           {"claude/team", R"({"project":"two words"})"},
       }) {
    EXPECT_FALSE(ReadStoredAccount(id, text, TheVault())) << id << " " << text;
  }
  Result<StoredAccount> odd = ReadStoredAccount(
      "claude/team", R"({"priority":-5,"concurrency":99999999999,"terms":-1})", TheVault());
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->config.priority, 0);
  EXPECT_EQ(odd->config.concurrency, 1'000'000);
}

}  // namespace
}  // namespace relay
