// SPDX-License-Identifier: MIT
// Anthropic's API. Sources: platform.claude.com/docs/en/api (errors, rate limits, messages), and
// what Claude Code 2.1 and the SDKs send and obey, as captured.
#include <algorithm>
#include <charconv>
#include <utility>

#include "upstreams/oauth.h"
#include "upstreams/provider.h"
#include "upstreams/thinking.h"
#include "upstreams/usage.h"

namespace relay {
namespace {

// A bearer of a subscription is taken only with this beta; a client on a base URL does not send
// it. Betas may stand in several fields.
void RequireOauthBeta(Head& head) {
  Field* last = nullptr;
  bool there = false;
  for (Field& field : head.fields) {
    if (!EqualsIgnoreCase(field.name, "anthropic-beta")) continue;
    last = &field;
    ForEachToken(field.value, [&](std::string_view beta) { there = there || beta == kOauthBeta; });
  }
  if (there) return;
  if (last == nullptr) {
    head.Add("anthropic-beta", kOauthBeta);
    return;
  }
  std::string value(last->value);
  if (value.find_first_not_of(" ,\t") != std::string::npos) value += ',';
  value += kOauthBeta;
  last->value = head.Keep(value);
}

// metadata.user_id is itself a JSON text that has the session's id.
std::string SessionOfUserId(const JsonIndex& json) {
  std::optional<std::string> user = ValueAt(json, {"metadata", "user_id"}).String();
  if (!user) return "";
  Result<JsonIndex> inner = JsonIndex::Parse(*user);
  if (!inner) return "";
  return inner->Find("session_id").String().value_or("");
}

struct ErrorBody {
  std::string type;
  std::string message;
};

ErrorBody ParseError(std::string_view body) {
  ErrorBody error;
  Result<JsonIndex> json = JsonIndex::Parse(body);
  if (!json) return error;
  error.type = ValueAt(*json, {"error", "type"}).String().value_or("");
  error.message = ValueAt(*json, {"error", "message"}).String().value_or("");
  return error;
}

// The status that the vendor answers with where no stream has begun ("Errors").
int StatusOf(std::string_view type) {
  constexpr std::pair<std::string_view, int> kStatuses[] = {
      {"invalid_request_error", 400}, {"authentication_error", 401},
      {"billing_error", 402},         {"permission_error", 403},
      {"not_found_error", 404},       {"request_too_large", 413},
      {"rate_limit_error", 429},      {"api_error", 500},
      {"timeout_error", 504},         {"overloaded_error", 529}};
  for (const auto& [name, status] : kStatuses) {
    if (name == type) return status;
  }
  return 500;
}

// When a limit ends: the subscription's reset, retry-after, or the latest reset of a key's budget
// of which nothing remains. Nothing where none is given.
TimePoint ResetOf(const Head& answer, TimePoint now, WallTime wall) {
  if (answer.Get("anthropic-ratelimit-unified-status") == "rejected") {
    std::string_view text = answer.Get("anthropic-ratelimit-unified-reset");
    int64_t seconds = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    bool whole = error == std::errc() && !text.empty() && end == text.data() + text.size();
    if (whole && seconds > 0 && seconds < int64_t{1} << 33) {
      return OnClock(WallTime(std::chrono::seconds(seconds)), now, wall);
    }
  }
  if (std::optional<Duration> after = RetryAfter(answer, wall)) return now + *after;
  TimePoint latest{};
  for (std::string_view kind : {"requests", "tokens", "input-tokens", "output-tokens"}) {
    std::string name = "anthropic-ratelimit-" + std::string(kind);
    if (answer.Get(name + "-remaining") != "0") continue;
    std::optional<WallTime> reset = ParseTimestamp(answer.Get(name + "-reset"));
    if (reset) latest = std::max(latest, OnClock(*reset, now, wall));
  }
  return latest;
}

// A key's limits are kept by classes of models ("Rate limits"); a subscription's are the account's,
// but for a week's share of one class, which the claim names: "seven_day_opus".
Judgement::Scope ScopeOf(const Head& answer) {
  constexpr std::string_view kWeek = "seven_day_";
  if (answer.Get("anthropic-ratelimit-unified-status").empty()) return Judgement::Scope::kFamily;
  bool family = answer.Get("anthropic-ratelimit-unified-representative-claim").starts_with(kWeek);
  return family ? Judgement::Scope::kFamily : Judgement::Scope::kAccount;
}

class Claude final : public Provider {
 public:
  explicit Claude(std::vector<AccountRule> rules)
      : Provider(Rules(ProviderKind::kClaude, std::move(rules))) {}
  std::string_view name() const override { return "claude"; }
  Dialect DialectOf(std::string_view) const override { return Dialect::kAnthropic; }

  std::optional<Ask> Recognise(std::string_view method, std::string_view path) const override {
    Ask ask;
    ask.metered = true;
    // SillyTavern knows a base URL as what stands before /messages.
    bool alias = path == "/messages" || path == "/messages/count_tokens";
    if (alias) ask.path = "/v1" + std::string(path);
    if (method == "POST" && (path == "/v1/messages" || path == "/messages")) {
      ask.operation = Operation::kGenerate;
      return ask;
    }
    if (method == "POST" && path.ends_with("/messages/count_tokens") &&
        (alias || path == "/v1/messages/count_tokens")) {
      ask.operation = Operation::kCount;
      return ask;
    }
    constexpr std::string_view kModels = "/v1/models";
    bool one = path.starts_with("/v1/models/") && path.size() > kModels.size() + 1 &&
               path.find('/', kModels.size() + 1) == std::string_view::npos;
    if (method == "GET" && (path == kModels || one)) {
      ask.operation = Operation::kModels;
      return ask;
    }
    return {};
  }

  Result<Unit> ReadBody(Exchange& x) const override {
    Ask& ask = x.ask;
    ask.session = x.request.Get("x-claude-code-session-id");
    if (ask.operation != Operation::kGenerate && ask.operation != Operation::kCount) return Unit{};
    if (Result<Unit> read = ReadJson(x); !read) return read;
    ask.model = x.json.Find("model").String().value_or("");
    ask.streams = x.json.Find("stream").Bool().value_or(false);
    ask.max_tokens = std::max<int64_t>(x.json.Find("max_tokens").Int().value_or(0), 0);
    if (ask.session.empty()) ask.session = SessionOfUserId(x.json);
    if (ask.session.empty()) {
      JsonArray messages(x.json.Find("messages"));
      ask.session = PrefixSession(x.json.Find("system"), messages.Next());
    }
    return Unit{};
  }

  bool IsVendorClient(const Head& request) const override {
    return request.Get("user-agent").starts_with("claude-cli/");
  }

  // The words of the name: "opus" of claude-opus-5-5, "sonnet" of claude-3-5-sonnet-20241022.
  std::string FamilyOf(std::string_view model) const override {
    std::string family;
    for (std::string_view rest = model; !rest.empty();) {
      std::string_view part = rest.substr(0, rest.find('-'));
      rest.remove_prefix(std::min(part.size() + 1, rest.size()));
      bool word = part.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == std::string_view::npos;
      if (!word || part.empty() || part == "claude" || part == "latest") continue;
      if (!family.empty()) family += '-';
      family += part;
    }
    return family.empty() ? std::string(model) : family;
  }

  Result<Call> Prepare(const Account& account, const Secret& credential,
                       const Exchange& x) const override {
    Call call;
    call.endpoint = &account.endpoint;
    call.head = BaseHead(x, account.endpoint.url);
    call.edits = x.edits;
    call.streams = x.ask.streams;
    if (account.kind == Account::Kind::kApiKey) {
      call.head.Add("x-api-key", credential.Reveal());
    } else {
      call.head.Add("authorization", "Bearer " + std::string(credential.Reveal()));
      RequireOauthBeta(call.head);
    }
    return call;
  }

  bool TakeOutThinking(const Exchange& x, Call& call) const override {
    return TakeOutClaudeThinking(x.json, call.edits);
  }

  UsageWindows WindowsOf(const Head& answer, TimePoint now, WallTime wall) const override {
    return ClaudeWindows(answer, now, wall);
  }

  std::unique_ptr<UsageMeter> Meter(const Exchange& x) const override {
    if (x.ask.operation != Operation::kGenerate) return nullptr;
    return MakeClaudeMeter({.model = x.ask.model,
                            .request_bytes = static_cast<int64_t>(x.body.size()),
                            .generates = true});
  }

 protected:
  VendorError ReadError(const Head& answer, std::string_view body, TimePoint now,
                        WallTime wall) const override {
    VendorError error = ErrorOf(answer.status, ParseError(body), std::to_string(answer.status));
    if (error.message.empty()) error.message = body;
    error.reset = ResetOf(answer, now, wall);
    if (std::optional<Duration> after = RetryAfter(answer, wall)) error.retry = now + *after;
    error.scope = ScopeOf(answer);
    return error;
  }

  std::optional<VendorError> ReadErrorEvent(std::string_view event, std::string_view data,
                                            TimePoint, WallTime) const override {
    if (event != "error") return {};
    ErrorBody body = ParseError(data);
    int status = StatusOf(body.type);
    VendorError error = ErrorOf(status, std::move(body), "event");
    error.scope = Judgement::Scope::kFamily;  // nothing says that it is of all
    return error;
  }

 private:
  static VendorError ErrorOf(int status, ErrorBody body, std::string_view what) {
    VendorError error;
    error.status = status;
    error.cause = std::string(what) + " " + ShownName(body.type);
    if (!body.type.empty()) error.types.push_back(std::move(body.type));
    error.message = std::move(body.message);
    return error;
  }
};

}  // namespace

std::unique_ptr<Provider> MakeClaude(std::vector<AccountRule> rules) {
  return std::make_unique<Claude>(std::move(rules));
}

}  // namespace relay
