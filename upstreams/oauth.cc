// SPDX-License-Identifier: MIT
#include "upstreams/oauth.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/base/json.h"
#include "core/base/percent.h"
#include "upstreams/provider.h"

namespace relay {
namespace {

constexpr size_t kVerifierBytes = 32;  // RFC 7636 §4.1: 43 characters
constexpr size_t kMostPasted = 8192;
constexpr size_t kMostToken = 8192;
constexpr int64_t kSetupTokenSeconds = 31'536'000;
constexpr Duration kLeastLife = std::chrono::seconds(1);
constexpr Duration kMostLife = std::chrono::hours(24 * 366);
constexpr Duration kMostRetryAfter = std::chrono::hours(1);

// Claude Code's client, asking for no more than is used here.
OauthClient ClaudeClient(const Url& endpoint) {
  OauthClient client;
  client.provider = ProviderKind::kClaude;
  client.authorize_url = {true, "claude.ai", 443, "/oauth/authorize"};
  client.token_url = {true, "platform.claude.com", 443, "/v1/oauth/token"};
  client.profile_url = endpoint;
  client.profile_url.path += "/api/oauth/profile";
  client.redirect_url = "https://platform.claude.com/oauth/code/callback";
  client.client_id = "9d1c250a-e61b-44d9-88ed-5944d1962f5e";
  client.scopes = {"user:profile", "user:inference"};
  return client;
}

// Gemini CLI's client and scopes.
OauthClient GoogleClient() {
  OauthClient client;
  client.provider = ProviderKind::kGemini;
  client.authorize_url = {true, "accounts.google.com", 443, "/o/oauth2/v2/auth"};
  client.token_url = {true, "oauth2.googleapis.com", 443, "/token"};
  client.profile_url = {true, "www.googleapis.com", 443, "/oauth2/v2/userinfo"};
  client.redirect_url = "https://codeassist.google.com/authcode";
  client.client_id = "681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j.apps.googleusercontent.com";
  for (const char* scope : {"cloud-platform", "userinfo.email", "userinfo.profile"}) {
    client.scopes.push_back("https://www.googleapis.com/auth/" + std::string(scope));
  }
  return client;
}

// Of a query: "+" is a space there.
std::string DecodeQuery(std::string_view text) {
  std::string spaced(text);
  std::ranges::replace(spaced, '+', ' ');
  return PercentDecode(spaced);
}

using Pairs = std::vector<std::pair<std::string_view, std::string_view>>;

std::string FormOf(const Pairs& fields) {
  std::string text;
  for (const auto& [name, value] : fields) {
    if (!text.empty()) text += '&';
    text += PercentEncode(name);
    text += '=';
    text += PercentEncode(value);
  }
  return text;
}

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// Anthropic takes JSON, Google a form with the client's secret (what RFC 6749 §2.3.1 allows).
VendorRequest TokenRequest(const OauthClient& client, Pairs fields, bool setup_token = false) {
  VendorRequest request;
  request.url = client.token_url;
  request.method = "POST";
  fields.emplace_back("client_id", client.client_id);
  if (client.provider == ProviderKind::kGemini) {
    fields.emplace_back("client_secret", client.client_secret.Reveal());
    request.fields.emplace_back("content-type", "application/x-www-form-urlencoded");
    request.body = FormOf(fields);
    return request;
  }
  request.fields.emplace_back("content-type", "application/json");
  JsonText json;
  json.BeginObject();
  for (const auto& [name, value] : fields) json.Key(name).String(value);
  if (setup_token) json.Field("expires_in", kSetupTokenSeconds);
  request.body = json.EndObject().Take();
  return request;
}

bool IsToken(std::string_view text) {
  return !text.empty() && text.size() <= kMostToken &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

// A text of a vendor's that people see: one line, printable, short.
std::string Shown(std::string text) {
  constexpr size_t kMost = 200;
  for (char& c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte == 0x7f) c = ' ';
  }
  if (text.size() > kMost) {
    size_t end = kMost;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    text.resize(end);
  }
  return text;
}

// "error" of RFC 6749 §5.2, or the type of Anthropic's own errors; "" for anything else.
std::string ErrorWord(std::string_view body) {
  Result<JsonIndex> json = JsonIndex::Parse(body);
  if (!json) return "";
  std::string word = json->Find("error").String().value_or("");
  if (word.empty()) word = ValueAt(*json, {"error", "type"}).String().value_or("");
  bool plain = word.size() <= 64 && std::all_of(word.begin(), word.end(), [](char c) {
                 return (c >= 'a' && c <= 'z') || c == '_';
               });
  return plain ? word : "";
}

TokenRefusal RefusalOfAnswer(const VendorAnswer& answer, WallTime wall) {
  using Why = TokenRefusal::Why;
  TokenRefusal refusal;
  std::string word = ErrorWord(answer.body);
  refusal.what = "the vendor's token endpoint answers " + std::to_string(answer.status);
  if (!word.empty()) refusal.what += " " + word;
  bool final = answer.status >= 400 && answer.status < 500 && answer.status != 429;
  constexpr std::string_view kClientWords[] = {"invalid_client", "unauthorized_client",
                                               "invalid_scope", "unsupported_grant_type",
                                               "invalid_request"};
  if (final && word == "invalid_grant") {
    refusal.why = Why::kRevoked;
  } else if (final && std::find(std::begin(kClientWords), std::end(kClientWords), word) !=
                          std::end(kClientWords)) {
    refusal.why = Why::kClient;
  } else if (std::optional<Duration> after = RetryAfter(answer.head, wall)) {
    refusal.retry_after = std::min(*after, kMostRetryAfter);
  }
  return refusal;
}

std::vector<std::string> WordsOfText(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty() && words.size() < 64) {
    size_t space = std::min(text.find(' '), text.size());
    if (space > 0) words.emplace_back(text.substr(0, space));
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return words;
}

Result<JsonIndex> BodyOf(const Result<VendorAnswer>& answer) {
  if (!answer) return std::unexpected(answer.error());
  if (answer->status != 200) {
    return Fail(Party::kUpstream, Fault::kUnauthenticated,
                "the vendor answers " + std::to_string(answer->status));
  }
  Result<JsonIndex> json = JsonIndex::Parse(answer->body);
  if (!json) return Fail(Party::kUpstream, Fault::kMalformed, "the vendor's answer is no JSON");
  return json;
}

}  // namespace

OauthClient OauthClientOf(const ClusterConfig& cluster) {
  const OauthConfig& from = cluster.oauth;
  OauthClient client =
      cluster.provider == ProviderKind::kClaude ? ClaudeClient(cluster.endpoint) : GoogleClient();
  if (from.authorize_url) client.authorize_url = *from.authorize_url;
  if (from.token_url) client.token_url = *from.token_url;
  if (from.profile_url) client.profile_url = *from.profile_url;
  if (!from.redirect_url.empty()) client.redirect_url = from.redirect_url;
  if (!from.client_id.empty()) client.client_id = from.client_id;
  client.client_secret = from.client_secret;
  if (!from.scopes.empty()) client.scopes = from.scopes;
  return client;
}

std::string Base64UrlEncode(std::string_view bytes) {
  std::string text = Base64Encode(bytes);
  while (text.ends_with('=')) text.pop_back();
  for (char& c : text) {
    if (c == '+') c = '-';
    if (c == '/') c = '_';
  }
  return text;
}

LoginSecrets LoginSecrets::Make() {
  LoginSecrets secrets;
  std::string verifier = Base64UrlEncode(RandomBytes(kVerifierBytes));
  secrets.verifier = Secret::Take(verifier);
  secrets.state = Base64UrlEncode(RandomBytes(kVerifierBytes));
  return secrets;
}

std::string ChallengeOf(std::string_view verifier) {
  Digest256 digest = Sha256(verifier);
  return Base64UrlEncode(BytesOf(digest));
}

std::string AuthorizeUrl(const OauthClient& client, LoginKind kind, const LoginSecrets& secrets) {
  bool google = client.provider == ProviderKind::kGemini;
  std::string scopes = kind == LoginKind::kSetupToken ? "user:inference" : Joined(client.scopes);
  std::string challenge = ChallengeOf(secrets.verifier.Reveal());
  Pairs fields;
  if (!google) fields.emplace_back("code", "true");  // the page shows the code
  fields.insert(fields.end(), {{"client_id", client.client_id},
                               {"response_type", "code"},
                               {"redirect_uri", client.redirect_url},
                               {"scope", scopes},
                               {"code_challenge", challenge},
                               {"code_challenge_method", "S256"},
                               {"state", secrets.state}});
  if (google) {
    // Only so Google gives a refresh token, and anew to who has had one.
    fields.emplace_back("access_type", "offline");
    fields.emplace_back("prompt", "consent");
  }
  return FormatUrl(client.authorize_url) + "?" + FormOf(fields);
}

Result<std::string> CodeOf(std::string_view pasted, const LoginSecrets& secrets) {
  auto fail = [](std::string what) {
    return Fail(Party::kClient, Fault::kMalformed, std::move(what));
  };
  auto space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!pasted.empty() && space(pasted.front())) pasted.remove_prefix(1);
  while (!pasted.empty() && space(pasted.back())) pasted.remove_suffix(1);
  if (pasted.size() > kMostPasted) return fail("that is too long to be a code");
  bool address = pasted.starts_with("http://") || pasted.starts_with("https://");
  size_t hash = pasted.find('#');
  std::string_view fragment = hash == std::string_view::npos ? "" : pasted.substr(hash + 1);
  pasted = pasted.substr(0, hash);
  std::string code;
  std::string state;
  bool has_state = false;
  if (address) {
    size_t question = pasted.find('?');
    std::string_view query = question == std::string_view::npos ? "" : pasted.substr(question + 1);
    if (std::string error = DecodeQuery(QueryValue(query, "error")); !error.empty()) {
      return fail("the vendor's page says: " + Shown(std::move(error)));
    }
    code = DecodeQuery(QueryValue(query, "code"));
    state = DecodeQuery(QueryValue(query, "state"));
    has_state = true;
  } else {
    code = PercentDecode(pasted);
    state = fragment;
    has_state = hash != std::string_view::npos;
  }
  if (!IsToken(code)) return fail("there is no code in it; paste what the vendor's page shows");
  if (has_state && !SecretEquals(state, secrets.state)) {
    return fail("it belongs to another login; open the address that was shown last");
  }
  return code;
}

VendorRequest CodeRequest(const OauthClient& client, LoginKind kind, std::string_view code,
                          const LoginSecrets& secrets) {
  Pairs fields = {{"grant_type", "authorization_code"},
                  {"code", code},
                  {"redirect_uri", client.redirect_url},
                  {"code_verifier", secrets.verifier.Reveal()}};
  if (client.provider == ProviderKind::kClaude) fields.emplace_back("state", secrets.state);
  return TokenRequest(client, std::move(fields), kind == LoginKind::kSetupToken);
}

VendorRequest RefreshRequest(const OauthClient& client, const Secret& refresh_token) {
  return TokenRequest(client,
                      {{"grant_type", "refresh_token"}, {"refresh_token", refresh_token.Reveal()}});
}

std::expected<TokenAnswer, TokenRefusal> ReadTokenAnswer(const Result<VendorAnswer>& answer,
                                                         WallTime wall) {
  TokenRefusal senseless{
      TokenRefusal::Why::kTemporary, "the vendor's token endpoint answers 200 without a token", {}};
  if (!answer) {
    // Where there is no answer only a proxy has asked who we are.
    bool person = answer.error().fault == Fault::kUnauthenticated;
    return std::unexpected(
        TokenRefusal{person ? TokenRefusal::Why::kProxy : TokenRefusal::Why::kTemporary,
                     "the vendor's token endpoint: " + answer.error().what,
                     {}});
  }
  if (answer->status != 200) return std::unexpected(RefusalOfAnswer(*answer, wall));
  Result<JsonIndex> json = JsonIndex::Parse(answer->body);
  if (!json) return std::unexpected(senseless);
  std::string access = json->Find("access_token").String().value_or("");
  std::string refresh = json->Find("refresh_token").String().value_or("");
  std::string type = json->Find("token_type").String().value_or("Bearer");
  bool sound =
      IsToken(access) && (refresh.empty() || IsToken(refresh)) && EqualsIgnoreCase(type, "bearer");
  TokenAnswer tokens;
  tokens.access = Secret::Take(access);
  tokens.refresh = Secret::Take(refresh);
  if (!sound) return std::unexpected(senseless);
  // RFC 6749 §5.1: a life is recommended, not sure.
  if (std::optional<int64_t> seconds = json->Find("expires_in").Int()) {
    int64_t most = std::chrono::duration_cast<std::chrono::seconds>(kMostLife).count();
    tokens.life = std::max<Duration>(std::chrono::seconds(std::clamp<int64_t>(*seconds, 0, most)),
                                     kLeastLife);
  }
  tokens.scopes = WordsOfText(json->Find("scope").String().value_or(""));
  return tokens;
}

VendorRequest ProfileRequest(const OauthClient& client, const Secret& access) {
  VendorRequest request;
  request.url = client.profile_url;
  request.fields.emplace_back("authorization", "Bearer " + std::string(access.Reveal()));
  if (client.provider == ProviderKind::kClaude) {
    request.fields.emplace_back("anthropic-beta", kOauthBeta);
  }
  return request;
}

Result<Profile> ReadProfile(ProviderKind provider, const Result<VendorAnswer>& answer) {
  Result<JsonIndex> json = BodyOf(answer);
  if (!json) return std::unexpected(json.error());
  Profile profile;
  if (provider == ProviderKind::kClaude) {
    profile.who = ValueAt(*json, {"account", "email"}).String().value_or("");
    if (profile.who.empty())
      profile.who = ValueAt(*json, {"account", "uuid"}).String().value_or("");
    profile.plan = ValueAt(*json, {"organization", "organization_type"}).String().value_or("");
  } else {
    profile.who = json->Find("email").String().value_or("");
    if (profile.who.empty()) profile.who = json->Find("id").String().value_or("");
  }
  if (profile.who.empty()) {
    return Fail(Party::kUpstream, Fault::kMalformed, "the vendor does not say who that is");
  }
  profile.who = Shown(std::move(profile.who));
  profile.plan = Shown(std::move(profile.plan));
  return profile;
}

VendorRequest UsageRequest(const Url& endpoint, const Secret& access) {
  VendorRequest request;
  request.url = endpoint;
  request.url.path += "/api/oauth/usage";
  request.fields.emplace_back("authorization", "Bearer " + std::string(access.Reveal()));
  request.fields.emplace_back("anthropic-beta", kOauthBeta);
  return request;
}

Result<std::vector<UsageWindow>> ReadUsage(const Result<VendorAnswer>& answer) {
  constexpr size_t kMostWindows = 16;
  Result<JsonIndex> json = BodyOf(answer);
  if (!json) return std::unexpected(json.error());
  std::vector<UsageWindow> windows;
  for (const JsonField& field : json->fields()) {
    Result<JsonIndex> window = JsonIndex::Object(json->Value(field));
    if (!window || windows.size() == kMostWindows) continue;
    std::optional<std::string_view> used = window->Find("utilization").Number();
    if (!used) continue;
    UsageWindow& one = windows.emplace_back();
    one.name = Shown(json->Key(field));
    std::from_chars(used->data(), used->data() + used->size(), one.used_percent);
    one.resets_at = Shown(window->Find("resets_at").String().value_or(""));
  }
  return windows;
}

}  // namespace relay
