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
  account.config.pause_at = PauseAt{90, 0};
  account.config.models = {"claude-sonnet-*"};
  account.config.endpoint = *ParseUrl("https://claude.example/base");
  account.config.proxy = *ParseProxyUrl("socks5://al%40ice:p%3Asecret@proxy.example:1080");
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
  EXPECT_EQ(read->config.pause_at, (PauseAt{90, 0}));
  EXPECT_EQ(read->config.models, account.config.models);
  EXPECT_EQ(read->config.endpoint, account.config.endpoint);
  EXPECT_EQ(read->config.proxy, account.config.proxy);
  EXPECT_TRUE(read->paused);
  EXPECT_TRUE(read->serves());
  EXPECT_FALSE(read->config.login);
}

Result<AccountTerms> Patched(const AccountTerms& terms, std::string_view json) {
  return PatchTerms(terms, *JsonIndex::Parse(json));
}

TEST(StoredAccount, IsChangedInWhatIsNamedAlone) {
  AccountTerms terms;
  terms.weight = 4;
  terms.pause_at = PauseAt{90, 95};
  terms.proxy = *ParseProxyUrl("http://alice:password@proxy.example:3128");
  Result<AccountTerms> changed =
      Patched(terms, R"({"pause-at":{"week":null},"models":["claude-*"],"priority":3})");
  ASSERT_TRUE(changed) << changed.error().what;
  EXPECT_EQ(changed->weight, 4);
  EXPECT_EQ(changed->pause_at, (PauseAt{90, 0}));
  EXPECT_EQ(changed->models, std::vector<std::string>{"claude-*"});
  EXPECT_EQ(changed->priority, 3);
  EXPECT_EQ(changed->proxy, terms.proxy) << "with its password";
  EXPECT_TRUE(Patched(terms, R"({"proxy":"direct"})")->proxy->direct());
  Result<AccountTerms> bare =
      Patched(*changed, R"({"weight":null,"pause-at":null,"models":null,"proxy":null})");
  ASSERT_TRUE(bare);
  EXPECT_EQ(WriteStruct(*bare), R"({"priority":3})");
  EXPECT_FALSE(bare->proxy);
}

TEST(StoredAccount, SaysWhatIsWrongWithAChange) {
  for (const auto& [json, what] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"({"weight":0})", "'weight' must be 1..1000"},
           {R"({"pause-at":{"5h":"95"}})", "'5h' must be 1% to 100%"},
           {R"({"pause-at":{"month":"1%"}})", "unknown key 'month'"},
           {R"({"proxy":"proxy.example"})", "'proxy'"},
           {R"({"tags":"Team"})", "'tags' must be"},
           {R"({"wieght":2})", "did you mean 'weight'?"}}) {
    Result<AccountTerms> changed = Patched({}, json);
    ASSERT_FALSE(changed) << json;
    EXPECT_EQ(changed.error().party, Party::kClient);
    EXPECT_THAT(changed.error().what, HasSubstr(what));
  }
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

TEST(StoredAccount, ReadsWhatAnOlderRelayWrote) {
  Result<StoredAccount> read = ReadStoredAccount(
      "claude/team", R"({"priority":50,"concurrency":0,"paused":true,"terms":0})", TheVault());
  ASSERT_TRUE(read) << read.error().what;
  EXPECT_TRUE(read->paused);
  EXPECT_EQ(read->config.priority, 50);
  // As it is written now, too.
  ASSERT_TRUE(ReadStoredAccount("claude/team", WriteStoredAccount(*read, TheVault()), TheVault()));
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
           {"claude/team", R"({"priority":-5})"},
           {"claude/team", R"({"proxy":"http://proxy.example:1"})"},
       }) {
    EXPECT_FALSE(ReadStoredAccount(id, text, TheVault())) << id << " " << text;
  }
  EXPECT_TRUE(ReadStoredAccount("claude/team", R"({"terms":-1})", TheVault()));
}

}  // namespace
}  // namespace relay
