// SPDX-License-Identifier: MIT
#include "upstreams/oauth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace relay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Why = TokenRefusal::Why;

OauthClient Client(ProviderKind kind) {
  ClusterConfig cluster;
  cluster.provider = kind;
  cluster.endpoint = *ParseUrl("https://api.anthropic.com");
  cluster.oauth.client_secret = Secret("the-secret");
  return OauthClientOf(cluster);
}

LoginSecrets Secrets() {
  LoginSecrets secrets;
  // The example of RFC 7636, appendix B.
  secrets.verifier = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
  secrets.state = "our-state";
  return secrets;
}

Result<VendorAnswer> Answer(int status, std::string body, const std::string& retry_after = "") {
  VendorAnswer answer;
  answer.status = status;
  answer.head.status = status;
  if (!retry_after.empty()) answer.head.Add("retry-after", retry_after);
  answer.body = std::move(body);
  return answer;
}

std::expected<TokenAnswer, TokenRefusal> Tokens(int status, std::string body,
                                                const std::string& retry_after = "") {
  return ReadTokenAnswer(Answer(status, std::move(body), retry_after), WallTime());
}

TEST(Oauth, ChallengesAsTheStandardsExample) {
  EXPECT_EQ(ChallengeOf(Secrets().verifier.Reveal()),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
  EXPECT_EQ(Base64UrlEncode("\xfb\xff\xfe"), "-__-");
  EXPECT_EQ(Base64UrlEncode("a"), "YQ");
}

TEST(Oauth, MakesSecretsThatNobodyGuesses) {
  LoginSecrets one = LoginSecrets::Make();
  LoginSecrets two = LoginSecrets::Make();
  EXPECT_EQ(one.verifier.size(), 43U);
  EXPECT_EQ(one.state.size(), 43U);
  EXPECT_FALSE(one.verifier == two.verifier);
  EXPECT_NE(one.state, two.state);
}

TEST(Oauth, SendsThePersonToTheVendorsPage) {
  EXPECT_EQ(AuthorizeUrl(Client(ProviderKind::kClaude), LoginKind::kLogin, Secrets()),
            "https://claude.ai/oauth/authorize?code=true"
            "&client_id=9d1c250a-e61b-44d9-88ed-5944d1962f5e&response_type=code"
            "&redirect_uri=https%3A%2F%2Fplatform.claude.com%2Foauth%2Fcode%2Fcallback"
            "&scope=user%3Aprofile%20user%3Ainference"
            "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
            "&code_challenge_method=S256&state=our-state");
  EXPECT_THAT(AuthorizeUrl(Client(ProviderKind::kClaude), LoginKind::kSetupToken, Secrets()),
              HasSubstr("&scope=user%3Ainference&"));
  std::string google = AuthorizeUrl(Client(ProviderKind::kGemini), LoginKind::kLogin, Secrets());
  EXPECT_THAT(google, StartsWith("https://accounts.google.com/o/oauth2/v2/auth?client_id="));
  EXPECT_THAT(google, HasSubstr("&access_type=offline&prompt=consent"));
  EXPECT_THAT(google, Not(HasSubstr("the-secret")));
}

TEST(Oauth, TakesWhatTheConfigurationNames) {
  ClusterConfig cluster;
  cluster.provider = ProviderKind::kGemini;
  cluster.oauth.authorize_url = *ParseUrl("http://127.0.0.1:9/page");
  cluster.oauth.token_url = *ParseUrl("http://127.0.0.1:9/token");
  cluster.oauth.profile_url = *ParseUrl("http://127.0.0.1:9/me");
  cluster.oauth.redirect_url = "http://127.0.0.1:9/back";
  cluster.oauth.client_id = "mine";
  cluster.oauth.scopes = {"a", "b"};
  OauthClient client = OauthClientOf(cluster);
  EXPECT_THAT(AuthorizeUrl(client, LoginKind::kLogin, Secrets()),
              StartsWith("http://127.0.0.1:9/page?client_id=mine&response_type=code"
                         "&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fback&scope=a%20b&"));
  EXPECT_EQ(client.token_url.path, "/token");
  EXPECT_EQ(client.profile_url.path, "/me");
}

TEST(Oauth, FindsTheCodeInWhateverIsPasted) {
  const std::string back = "https://platform.claude.com/oauth/code/callback";
  const std::pair<std::string, std::string> kPasted[] = {
      {"abc-123", "abc-123"},
      {"  abc-123\r\n", "abc-123"},
      {"abc-123#our-state", "abc-123"},
      {back + "?code=abc-123&state=our-state", "abc-123"},
      {back + "?state=our-state&code=4%2F0Ab%2Bc#fragment", "4/0Ab+c"},
      {"4/0Ab+c", "4/0Ab+c"},
      {"4%2F0Abc", "4/0Abc"},
      {"abc%", "abc%"},
  };
  for (const auto& [pasted, code] : kPasted) {
    Result<std::string> found = CodeOf(pasted, Secrets());
    ASSERT_TRUE(found) << pasted << ": " << found.error().what;
    EXPECT_EQ(*found, code) << pasted;
  }
}

TEST(Oauth, TakesNoCodeOfAnotherLogin) {
  const std::string back = "https://platform.claude.com/oauth/code/callback";
  const std::pair<std::string, std::string> kPasted[] = {
      {"abc#another", "another login"},
      {"abc#", "another login"},
      {back + "?code=abc&state=another", "another login"},
      {back + "?code=abc", "another login"},
      {back + "?error=access_denied&state=our-state", "access_denied"},
      {back + "?error=a%0d%0ab", "says: a  b"},
      {back, "no code"},
      {"", "no code"},
      {"two words", "no code"},
      {"a%00b", "no code"},
      {std::string(9000, 'a'), "too long"},
  };
  for (const auto& [pasted, what] : kPasted) {
    Result<std::string> found = CodeOf(pasted, Secrets());
    ASSERT_FALSE(found) << pasted;
    EXPECT_EQ(found.error().party, Party::kClient);
    EXPECT_THAT(found.error().what, HasSubstr(what)) << pasted;
  }
}

TEST(Oauth, AsksEachVendorInItsOwnWay) {
  VendorRequest claude =
      CodeRequest(Client(ProviderKind::kClaude), LoginKind::kLogin, "the \"code\"", Secrets());
  EXPECT_EQ(FormatUrl(claude.url), "https://platform.claude.com/v1/oauth/token");
  EXPECT_EQ(claude.method, "POST");
  EXPECT_EQ(claude.body,
            R"({"grant_type":"authorization_code","code":"the \"code\"",)"
            R"("redirect_uri":"https://platform.claude.com/oauth/code/callback",)"
            R"("code_verifier":"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk","state":"our-state",)"
            R"("client_id":"9d1c250a-e61b-44d9-88ed-5944d1962f5e"})");
  VendorRequest setup =
      CodeRequest(Client(ProviderKind::kClaude), LoginKind::kSetupToken, "c", Secrets());
  EXPECT_THAT(setup.body, HasSubstr(R"("expires_in":31536000)"));
  VendorRequest google = RefreshRequest(Client(ProviderKind::kGemini), Secret("1//a b&c"));
  EXPECT_EQ(google.body,
            "grant_type=refresh_token&refresh_token=1%2F%2Fa%20b%26c&client_id="
            "681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j.apps.googleusercontent.com"
            "&client_secret=the-secret");
  EXPECT_THAT(google.fields, ElementsAre(std::pair<std::string, std::string>(
                                 "content-type", "application/x-www-form-urlencoded")));
  VendorRequest refresh = RefreshRequest(Client(ProviderKind::kClaude), Secret("sk-ant-ort01-a"));
  EXPECT_EQ(refresh.body, R"({"grant_type":"refresh_token","refresh_token":"sk-ant-ort01-a",)"
                          R"("client_id":"9d1c250a-e61b-44d9-88ed-5944d1962f5e"})");
}

TEST(Oauth, ReadsTokens) {
  auto tokens = Tokens(200, R"({"token_type":"Bearer","access_token":"at","refresh_token":"rt",)"
                            R"("expires_in":28800,"scope":"user:inference user:profile"})");
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->access.Reveal(), "at");
  EXPECT_EQ(tokens->refresh.Reveal(), "rt");
  EXPECT_EQ(tokens->life, std::chrono::hours(8));
  EXPECT_THAT(tokens->scopes, ElementsAre("user:inference", "user:profile"));
  auto google = Tokens(200, R"({"access_token":"at"})");
  ASSERT_TRUE(google);
  EXPECT_TRUE(google->refresh.empty());
  EXPECT_EQ(google->life, std::chrono::hours(1));
}

TEST(Oauth, ClampsALife) {
  EXPECT_EQ(Tokens(200, R"({"access_token":"at","expires_in":-5})")->life, std::chrono::seconds(1));
  EXPECT_EQ(Tokens(200, R"({"access_token":"at","expires_in":99999999999})")->life,
            std::chrono::hours(24 * 366));
  EXPECT_EQ(Tokens(200, R"({"access_token":"at","expires_in":"soon"})")->life,
            std::chrono::hours(1));
}

TEST(Oauth, TakesNoSenseForTrouble) {
  for (const char* body : {
           "",
           "<html>",
           "[]",
           "{}",
           R"({"access_token":""})",
           R"({"access_token":7})",
           R"({"access_token":"a b"})",
           R"({"access_token":"a\r\nx: y"})",
           R"({"access_token":"at","refresh_token":"a b"})",
           R"({"access_token":"at","token_type":"mac"})",
       }) {
    auto tokens = Tokens(200, body);
    ASSERT_FALSE(tokens) << body;
    EXPECT_EQ(tokens.error().why, Why::kTemporary) << body;
  }
  std::string long_one = R"({"access_token":")" + std::string(9000, 'a') + R"("})";
  EXPECT_FALSE(Tokens(200, long_one));
}

// Only the vendor's own words in the standard's shape end an account.
TEST(Oauth, TellsWhoNeedsAPersonFromWhatPasses) {
  struct Row {
    int status;
    std::string body;
    Why why;
  };
  const Row kRows[] = {
      {400, R"({"error":"invalid_grant","error_description":"gone"})", Why::kRevoked},
      {401, R"({"error":"invalid_grant"})", Why::kRevoked},
      {400, R"({"type":"error","error":{"type":"invalid_grant","message":"x"}})", Why::kRevoked},
      {401, R"({"error":"invalid_client"})", Why::kClient},
      {400, R"({"error":"unauthorized_client"})", Why::kClient},
      {400, R"({"error":"invalid_scope"})", Why::kClient},
      {400, R"({"error":"invalid_request"})", Why::kClient},
      {403, "<html>blocked</html>", Why::kTemporary},
      {400, "{}", Why::kTemporary},
      {400, R"({"error":"<script>"})", Why::kTemporary},
      {429, R"({"error":"invalid_grant"})", Why::kTemporary},
      {500, R"({"error":"invalid_grant"})", Why::kTemporary},
      {302, "", Why::kTemporary},
  };
  for (const Row& row : kRows) {
    auto tokens = Tokens(row.status, row.body);
    ASSERT_FALSE(tokens);
    EXPECT_EQ(tokens.error().why, row.why) << row.status << " " << row.body;
    EXPECT_THAT(tokens.error().what, Not(HasSubstr("<")));
  }
  auto lost = ReadTokenAnswer(Fail(Party::kUpstream, Fault::kTimeout, "no answer in time"), {});
  EXPECT_EQ(lost.error().why, Why::kTemporary);
  EXPECT_THAT(lost.error().what, HasSubstr("no answer in time"));
}

TEST(Oauth, WaitsAsTheVendorSaysWithinAnHour) {
  EXPECT_EQ(Tokens(429, "{}", "7").error().retry_after, std::chrono::seconds(7));
  EXPECT_EQ(Tokens(503, "{}", "86400").error().retry_after, std::chrono::hours(1));
  EXPECT_EQ(Tokens(429, "{}").error().retry_after, Duration::zero());
}

TEST(Oauth, ReadsWhoLoggedIn) {
  auto claude = ReadProfile(ProviderKind::kClaude,
                            Answer(200, R"({"account":{"uuid":"u","email":"a@example.com"},)"
                                        R"("organization":{"organization_type":"claude_max"}})"));
  ASSERT_TRUE(claude);
  EXPECT_EQ(claude->who, "a@example.com");
  EXPECT_EQ(claude->plan, "claude_max");
  EXPECT_EQ(ReadProfile(ProviderKind::kClaude, Answer(200, R"({"account":{"uuid":"u"}})"))->who,
            "u");
  EXPECT_EQ(ReadProfile(ProviderKind::kGemini, Answer(200, R"({"email":"g@example.com"})"))->who,
            "g@example.com");
  EXPECT_EQ(ReadProfile(ProviderKind::kGemini, Answer(200, R"({"email":"g\u001b[1m"})"))->who,
            "g [1m");
  EXPECT_FALSE(ReadProfile(ProviderKind::kGemini, Answer(200, "{}")));
  EXPECT_FALSE(ReadProfile(ProviderKind::kGemini, Answer(200, "nonsense")));
  auto refused = ReadProfile(ProviderKind::kClaude, Answer(403, "{}"));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what, HasSubstr("403"));
}

TEST(Oauth, ReadsUsageWindows) {
  auto usage =
      ReadUsage(Answer(200, R"({"five_hour":{"utilization":12.5,"resets_at":"2026-01-01"},)"
                            R"("seven_day":{"utilization":34,"resets_at":null},)"
                            R"("seven_day_opus":null,"extra":{"other":1},"word":"x"})"));
  ASSERT_TRUE(usage);
  ASSERT_EQ(usage->size(), 2U);
  EXPECT_EQ((*usage)[0].name, "five_hour");
  EXPECT_EQ((*usage)[0].used_percent, 12.5);
  EXPECT_EQ((*usage)[0].resets_at, "2026-01-01");
  EXPECT_EQ((*usage)[1].used_percent, 34);
  EXPECT_EQ((*usage)[1].resets_at, "");
}

}  // namespace
}  // namespace relay
