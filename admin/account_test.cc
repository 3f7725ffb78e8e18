// SPDX-License-Identifier: MIT
#include "admin/account_test.h"

#include <optional>
#include <utility>

#include "core/base/json.h"
#include "upstreams/provider.h"
#include "upstreams/tokens.h"

namespace relay {
namespace {

constexpr Duration kPatience = std::chrono::seconds(30);
constexpr std::string_view kAnthropicVersion = "2023-06-01";

// The steps so far, and the clock of the one that runs.
class Steps {
 public:
  Steps(Loop& loop, std::function<void(const AccountTestStep&)> tell)
      : loop_(loop), tell_(std::move(tell)), begun_(loop.clock().Now()) {}
  void Add(std::string what, bool good, std::string detail) {
    TimePoint now = loop_.clock().Now();
    steps_.push_back({std::move(what), good, std::move(detail), now - begun_});
    begun_ = now;
    if (tell_) tell_(steps_.back());
  }
  std::vector<AccountTestStep> Take() { return std::move(steps_); }

 private:
  Loop& loop_;
  const std::function<void(const AccountTestStep&)> tell_;
  TimePoint begun_;
  std::vector<AccountTestStep> steps_;
};

// What a refused request is told as; "" for an answer that is good.
std::string Trouble(const Result<VendorAnswer>& answer) {
  if (!answer) return answer.error().what;
  if (answer->status == 200) return "";
  std::string text = "the vendor answers " + std::to_string(answer->status);
  Result<JsonIndex> json = JsonIndex::Parse(answer->body);
  if (!json) return text;
  std::string message = ValueAt(*json, {"error", "message"}).String().value_or("");
  for (char& c : message) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  return message.empty() ? text : text + ": " + message.substr(0, 300);
}

void AddKey(VendorRequest& request, ProviderKind provider, const Account& account) {
  std::string key(account.credential.Reveal());
  if (provider == ProviderKind::kClaude) {
    request.fields.emplace_back("x-api-key", std::move(key));
    request.fields.emplace_back("anthropic-version", kAnthropicVersion);
  } else {
    request.fields.emplace_back("x-goog-api-key", std::move(key));
  }
}

VendorRequest ModelsRequest(ProviderKind provider, const Account& account) {
  VendorRequest request;
  request.url = account.endpoint.url;
  bool claude = provider == ProviderKind::kClaude;
  request.url.path += claude ? "/v1/models" : "/v1beta/models";
  request.query = claude ? "limit=100" : "pageSize=100";
  AddKey(request, provider, account);
  return request;
}

VendorRequest MessageRequest(ProviderKind provider, const Account& account,
                             const std::string& model) {
  VendorRequest request;
  request.url = account.endpoint.url;
  request.method = "POST";
  request.fields.emplace_back("content-type", "application/json");
  if (provider == ProviderKind::kClaude) {
    request.url.path += "/v1/messages";
    request.body = R"({"model":)" + JsonString(model) +
                   R"(,"max_tokens":1,"messages":[{"role":"user","content":"Hi"}]})";
  } else {
    request.url.path += "/v1beta/models/" + model + ":generateContent";
    request.body = R"({"contents":[{"role":"user","parts":[{"text":"Hi"}]}],)"
                   R"("generationConfig":{"maxOutputTokens":1}})";
  }
  AddKey(request, provider, account);
  return request;
}

bool IsModelName(std::string_view name) {
  return !name.empty() && name.size() <= 128 &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") ==
             std::string_view::npos;
}

// The cheapest looking one of those that the vendor lists.
std::string PickModel(ProviderKind provider, const std::string& body) {
  Result<JsonIndex> json = JsonIndex::Parse(body);
  if (!json) return "";
  bool claude = provider == ProviderKind::kClaude;
  std::string first;
  JsonArray models(json->Find(claude ? "data" : "models"));
  while (JsonValue model = models.Next()) {
    Result<JsonIndex> fields = JsonIndex::Object(model);
    if (!fields) continue;
    std::string name = fields->Find(claude ? "id" : "name").String().value_or("");
    if (!claude && name.starts_with("models/")) name.erase(0, 7);
    bool generates =
        claude || fields->Find("supportedGenerationMethods").raw.find("\"generateContent\"") !=
                      std::string_view::npos;
    if (!generates || !IsModelName(name)) continue;
    if (name.find(claude ? "haiku" : "flash-lite") != std::string::npos) return name;
    if (first.empty()) first = std::move(name);
  }
  return first;
}

Task<Unit> TestKey(VendorCalls& calls, const Account& account, ProviderKind provider,
                   std::string model, Steps& steps) {
  VendorRequest list = ModelsRequest(provider, account);
  Result<VendorAnswer> models =
      co_await calls.Call(std::move(list), account.endpoint.way, calls.loop().Now() + kPatience);
  std::string trouble = Trouble(models);
  if (trouble.empty() && model.empty()) {
    model = PickModel(provider, models->body);
    if (model.empty()) trouble = "the vendor lists no model; name one by --model";
  }
  steps.Add("models", trouble.empty(), trouble.empty() ? "the key is accepted" : trouble);
  if (!trouble.empty()) co_return Unit{};
  VendorRequest message = MessageRequest(provider, account, model);
  Result<VendorAnswer> answer =
      co_await calls.Call(std::move(message), account.endpoint.way, calls.loop().Now() + kPatience);
  trouble = Trouble(answer);
  steps.Add("message", trouble.empty(), trouble.empty() ? model + " answers" : trouble);
  co_return Unit{};
}

Task<Unit> TestClaudeLogin(VendorCalls& calls, const Account& account, OauthClient client,
                           Secret access, Steps& steps) {
  VendorRequest ask = ProfileRequest(client, access);
  Result<VendorAnswer> answer =
      co_await calls.Call(std::move(ask), account.oauth_way, calls.loop().Now() + kPatience);
  // A setup token may do nothing but work: that it is refused for lack of a scope shows it good.
  bool narrow =
      answer && answer->status == 403 && answer->body.find("user:profile") != std::string::npos;
  Result<Profile> profile = ReadProfile(ProviderKind::kClaude, answer);
  if (narrow) {
    steps.Add("profile", true, "the token is accepted; it is a setup token, which tells nothing");
    co_return Unit{};
  }
  steps.Add("profile", profile.has_value(),
            profile ? profile->who + (profile->plan.empty() ? "" : ", " + profile->plan)
                    : Trouble(answer));
  if (!profile) co_return Unit{};
  VendorRequest windows = UsageRequest(account.endpoint.url, access);
  answer =
      co_await calls.Call(std::move(windows), account.endpoint.way, calls.loop().Now() + kPatience);
  Result<std::vector<UsageWindow>> usage = ReadUsage(answer);
  std::string text;
  if (usage) {
    for (const UsageWindow& window : *usage) {
      text += (text.empty() ? "" : ", ") + window.name + " " +
              std::to_string(static_cast<int>(window.used_percent)) + " %";
    }
  }
  steps.Add("usage", usage.has_value(), usage ? text : Trouble(answer));
  co_return Unit{};
}

Task<Unit> TestGoogleLogin(VendorCalls& calls, const Account& account, Secret access,
                           Steps& steps) {
  VendorRequest request;
  request.url = account.code_assist_endpoint.url;
  request.url.path += "/v1internal:retrieveUserQuota";
  request.method = "POST";
  request.fields.emplace_back("authorization", "Bearer " + std::string(access.Reveal()));
  request.fields.emplace_back("content-type", "application/json");
  request.body = R"({"project":)" + JsonString(account.project) + "}";
  Result<VendorAnswer> answer = co_await calls.Call(
      std::move(request), account.code_assist_endpoint.way, calls.loop().Now() + kPatience);
  std::string trouble = Trouble(answer);
  steps.Add("quota", trouble.empty(),
            trouble.empty() ? "project " + account.project + " has quota" : trouble);
  co_return Unit{};
}

}  // namespace

Task<std::vector<AccountTestStep>> TestAccount(VendorCalls& calls,
                                               std::shared_ptr<const Account> account,
                                               ProviderKind provider, OauthClient client,
                                               std::string model,
                                               std::function<void(const AccountTestStep&)> tell) {
  Steps steps(calls.loop(), std::move(tell));
  if (account->kind == Account::Kind::kApiKey) {
    if (!model.empty() && !IsModelName(model)) {
      steps.Add("models", false, "that is no name of a model");
      co_return steps.Take();
    }
    co_await TestKey(calls, *account, provider, std::move(model), steps);
    co_return steps.Take();
  }
  Secret access = account->credential;
  if (account->tokens != nullptr) {
    TokenSource::Taken token =
        co_await account->tokens->Take(calls.loop(), calls.loop().Now() + kPatience);
    steps.Add("token", token.has_value(), token ? "there is one" : token.error().cause);
    if (!token) co_return steps.Take();
    access = std::move(token->value);
  }
  if (provider == ProviderKind::kClaude) {
    co_await TestClaudeLogin(calls, *account, std::move(client), std::move(access), steps);
  } else {
    co_await TestGoogleLogin(calls, *account, std::move(access), steps);
  }
  co_return steps.Take();
}

}  // namespace relay
