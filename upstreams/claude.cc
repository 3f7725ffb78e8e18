// SPDX-License-Identifier: MIT
// Anthropic's API. Sources: platform.claude.com/docs/en/api (errors, rate limits, messages), and
// what Claude Code 2.1 and the SDKs send and obey, as captured.
#include <algorithm>
#include <charconv>
#include <utility>

#include "upstreams/oauth.h"
#include "upstreams/provider.h"
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

ErrorBody ReadError(std::string_view body) {
  ErrorBody error;
  Result<JsonIndex> json = JsonIndex::Parse(body);
  if (!json) return error;
  error.type = ValueAt(*json, {"error", "type"}).String().value_or("");
  error.message = ValueAt(*json, {"error", "message"}).String().value_or("");
  return error;
}

bool Says(std::string_view message, std::string_view part) {
  return message.find(part) != std::string_view::npos;
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

  Judgement Judge(const Head& answer, std::string_view body, TimePoint now,
                  WallTime wall) const override {
    ErrorBody error = ReadError(body);
    Judgement judgement = JudgeError(answer.status, error);
    judgement.status = answer.status;
    judgement.cause = std::to_string(answer.status) + " " + error.type;
    if (judgement.kind == Judgement::Kind::kLimited) {
      judgement.until = ResetOf(answer, now, wall);
      judgement.scope = ScopeOf(answer);
    }
    if (judgement.kind == Judgement::Kind::kOverloaded) {
      if (std::optional<Duration> after = RetryAfter(answer, wall)) judgement.until = now + *after;
    }
    return judgement;
  }

  Judgement JudgeEvent(std::string_view event, std::string_view data) const override {
    if (event != "error") return {};
    ErrorBody error = ReadError(data);
    int status = 500;
    if (error.type == "overloaded_error") status = 529;
    if (error.type == "rate_limit_error") status = 429;
    if (error.type == "authentication_error") status = 401;
    if (error.type == "permission_error") status = 403;
    if (error.type == "billing_error") status = 402;
    if (error.type == "invalid_request_error") status = 400;
    if (error.type == "not_found_error") status = 404;
    if (error.type == "request_too_large") status = 413;
    Judgement judgement = JudgeError(status, error);
    judgement.status = status;
    judgement.cause = "event " + error.type;
    judgement.scope = Judgement::Scope::kFamily;  // nothing says that it is of all
    return judgement;
  }

  std::unique_ptr<UsageMeter> Meter(const Exchange& x) const override {
    if (x.ask.operation != Operation::kGenerate) return nullptr;
    return MakeClaudeMeter({.model = x.ask.model,
                            .request_bytes = static_cast<int64_t>(x.body.size()),
                            .generates = true});
  }

 private:
  static Judgement JudgeError(int status, const ErrorBody& error) {
    using Kind = Judgement::Kind;
    // Of the account, though they look like the request's.
    if (Says(error.message, "credit balance is too low") ||
        Says(error.message, "organization has been disabled")) {
      return {.kind = Kind::kRefused};
    }
    if (Says(error.message, "This credential is only authorized for use with Claude Code") ||
        Says(error.message, "OAuth authentication is currently not supported")) {
      return {.kind = Kind::kUnsuited};
    }
    switch (status) {
      case 401:
      case 402: return {.kind = Kind::kRefused};
      // Without the vendor's own words it may be a firewall's, about this request.
      case 403: return {.kind = error.type.empty() ? Kind::kUnsuited : Kind::kRefused};
      case 429: return {.kind = Kind::kLimited};
      case 529: return {.kind = Kind::kOverloaded};
      case 503:
        return {.kind = error.type == "overloaded_error" ? Kind::kOverloaded : Kind::kBroken};
      default: return {.kind = status >= 500 ? Kind::kBroken : Kind::kRequest};
    }
  }
};

}  // namespace

std::unique_ptr<Provider> MakeClaude() {
  return std::make_unique<Claude>();
}

}  // namespace relay
