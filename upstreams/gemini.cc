// SPDX-License-Identifier: MIT
// Google's Gemini API with a key, and Code Assist with a login; either serves clients of both.
// Sources: ai.google.dev/api, google/rpc/error_details.proto, Gemini CLI and captures of it.
#include <algorithm>
#include <charconv>
#include <utility>

#include "core/base/percent.h"
#include "upstreams/code_assist.h"
#include "upstreams/provider.h"
#include "upstreams/thinking.h"
#include "upstreams/usage.h"

namespace relay {
namespace {

constexpr std::string_view kInternal = "/v1internal";
// A day's quota ends at midnight in California; asked again after this.
constexpr Duration kDailyRest = std::chrono::hours(1);

// A path taken apart; views into it.
struct Target {
  bool code_assist = false;
  bool known = false;
  std::string_view model;  // as it stands in the path
  std::string_view verb;   // "" for GET of models; "operations"
};

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

Target ParseCodeAssist(std::string_view rest) {
  Target target;
  target.code_assist = true;
  if (rest.starts_with("/operations/")) {
    target.verb = "operations";
  } else if (rest.starts_with(':')) {
    target.verb = rest.substr(1);
  }
  target.known =
      IsOneOf(target.verb, {"generateContent", "streamGenerateContent", "countTokens",
                            "loadCodeAssist", "onboardUser", "operations", "retrieveUserQuota",
                            "listExperiments", "recordCodeAssistMetrics", "fetchAdminControls",
                            "getCodeAssistGlobalUserSetting", "setCodeAssistGlobalUserSetting"});
  return target;
}

// /v1beta/models, /v1beta/models/NAME, /v1beta/models/NAME:verb, and tunedModels alike.
Target ParseTarget(std::string_view path) {
  if (path.starts_with(kInternal)) {
    std::string_view rest = path.substr(kInternal.size());
    if (rest.starts_with(':') || rest.starts_with('/')) return ParseCodeAssist(rest);
  }
  Target target;
  size_t second = path.find('/', 1);
  if (second == std::string_view::npos) return target;
  if (!IsOneOf(path.substr(1, second - 1), {"v1", "v1beta", "v1alpha"})) return target;
  std::string_view rest = path.substr(second + 1);
  std::string_view kind = rest.substr(0, rest.find('/'));
  if (kind != "models" && kind != "tunedModels") return target;
  rest.remove_prefix(std::min(kind.size() + 1, rest.size()));
  if (rest.find('/') != std::string_view::npos) return target;
  size_t colon = rest.rfind(':');
  target.model = rest.substr(0, colon);
  if (colon != std::string_view::npos) target.verb = rest.substr(colon + 1);
  bool verb = IsOneOf(target.verb, {"generateContent", "streamGenerateContent", "countTokens",
                                    "embedContent", "batchEmbedContents"});
  target.known = colon == std::string_view::npos || (verb && !target.model.empty());
  return target;
}

Operation OperationOf(const Target& target) {
  if (IsOneOf(target.verb,
              {"generateContent", "streamGenerateContent", "embedContent", "batchEmbedContents"})) {
    return Operation::kGenerate;
  }
  if (target.verb == "countTokens") return Operation::kCount;
  return target.code_assist ? Operation::kStartup : Operation::kModels;
}

std::string WithoutModels(std::string model) {
  constexpr std::string_view kModels = "models/";
  if (model.starts_with(kModels)) model.erase(0, kModels.size());
  return model;
}

// "2s", "34.5s" (protobuf), "3h27m38.9s" (Go). Nothing when it is neither.
std::optional<Duration> ParseDelay(std::string_view text) {
  double seconds = 0;
  if (text.empty()) return {};
  while (!text.empty()) {
    double number = 0;
    auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || number < 0) return {};
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    double unit = 0;
    size_t length = 1;
    if (text.starts_with("ms")) {
      unit = 1e-3;
      length = 2;
    } else if (text.starts_with('h')) {
      unit = 3600;
    } else if (text.starts_with('m')) {
      unit = 60;
    } else if (text.starts_with('s')) {
      unit = 1;
    } else {
      return {};
    }
    text.remove_prefix(length);
    seconds += number * unit;
  }
  seconds = std::min(seconds, 1e9);
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

// A google.rpc.Status, as far as it matters here.
struct ErrorBody {
  int code = 0;
  std::string status;
  std::string message;
  std::string reason;  // of ErrorInfo
  std::optional<Duration> delay;
  std::optional<WallTime> reset;
  bool daily = false;
  bool per_model = true;  // nothing says that it is of all
};

void ReadDetail(const JsonIndex& detail, ErrorBody& error) {
  std::string type = detail.Find("@type").String().value_or("");
  if (type.ends_with("google.rpc.RetryInfo")) {
    error.delay = ParseDelay(detail.Find("retryDelay").String().value_or(""));
  } else if (type.ends_with("google.rpc.ErrorInfo")) {
    error.reason = detail.Find("reason").String().value_or("");
    error.reset =
        ParseTimestamp(ValueAt(detail, {"metadata", "quotaResetTimeStamp"}).String().value_or(""));
  } else if (type.ends_with("google.rpc.QuotaFailure")) {
    JsonArray violations(detail.Find("violations"));
    while (JsonValue violation = violations.Next()) {
      error.per_model = violation.raw.find("PerModel") != std::string_view::npos;
      error.daily = error.daily || violation.raw.find("PerDay") != std::string_view::npos;
    }
  }
}

// Nothing when the text is no error. A stream that is no SSE has its error in an array.
std::optional<ErrorBody> ParseError(std::string_view body) {
  size_t begin = body.find('{');
  size_t end = body.rfind('}');
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return {};
  Result<JsonIndex> json = JsonIndex::Parse(body.substr(begin, end - begin + 1));
  if (!json || !json->Find("error").Is(JsonKind::kObject)) return {};
  ErrorBody error;
  error.code = static_cast<int>(ValueAt(*json, {"error", "code"}).Int().value_or(0));
  error.status = ValueAt(*json, {"error", "status"}).String().value_or("");
  error.message = ValueAt(*json, {"error", "message"}).String().value_or("");
  JsonArray details(ValueAt(*json, {"error", "details"}));
  while (JsonValue detail = details.Next()) {
    if (Result<JsonIndex> fields = JsonIndex::Object(detail)) ReadDetail(*fields, error);
  }
  return error;
}

TimePoint ResetOf(const ErrorBody& error, TimePoint now, WallTime wall) {
  if (error.reset) return OnClock(*error.reset, now, wall);
  if (error.daily) return now + std::max(error.delay.value_or(kDailyRest), kDailyRest);
  return error.delay ? now + *error.delay : TimePoint();
}

// What the public API takes, in or out of Code Assist's envelope.
JsonIndex RequestOf(const Exchange& x) {
  if (!x.path.starts_with(kInternal)) return x.json;
  return JsonIndex::Object(x.json.Find("request")).value_or(JsonIndex());
}

class Gemini final : public Provider {
 public:
  explicit Gemini(std::vector<AccountRule> rules)
      : Provider(Rules(ProviderKind::kGemini, std::move(rules))) {}
  std::string_view name() const override { return "gemini"; }

  Dialect DialectOf(std::string_view path) const override {
    return path.starts_with(kInternal) ? Dialect::kCodeAssist : Dialect::kGemini;
  }

  std::optional<Ask> Recognise(std::string_view method, std::string_view path) const override {
    Target target = ParseTarget(path);
    if (!target.known) return {};
    bool reads = target.verb.empty() || target.verb == "operations" ||
                 target.verb == "getCodeAssistGlobalUserSetting";
    if (method != (reads ? "GET" : "POST")) return {};
    Ask ask;
    ask.operation = OperationOf(target);
    ask.metered = true;
    ask.model = PercentDecode(target.model);
    return ask;
  }

  Result<Unit> ReadBody(Exchange& x) const override {
    Ask& ask = x.ask;
    Target target = ParseTarget(x.path);
    ask.streams =
        target.verb == "streamGenerateContent" && QueryValue(x.request.query(), "alt") == "sse";
    if (x.method != "POST") return Unit{};
    if (Result<Unit> read = ReadJson(x); !read) return read;
    JsonIndex request;
    if (!target.code_assist) {
      request = x.json;
    } else if (Result<JsonIndex> inside = JsonIndex::Object(x.json.Find("request"))) {
      request = std::move(*inside);
      std::string model = x.json.Find("model").String().value_or("");
      if (model.empty()) model = request.Find("model").String().value_or("");
      ask.model = WithoutModels(std::move(model));
      ask.session = request.Find("session_id").String().value_or("");
      if (ask.session.empty()) ask.session = request.Find("sessionId").String().value_or("");
    }
    JsonValue most = ValueAt(request, {"generationConfig", "maxOutputTokens"});
    ask.max_tokens = std::max<int64_t>(most.Int().value_or(0), 0);
    if (ask.session.empty()) {
      JsonValue system = request.Find("systemInstruction");
      JsonArray contents(request.Find("contents"));
      ask.session =
          PrefixSession(system ? system : request.Find("system_instruction"), contents.Next());
    }
    return Unit{};
  }

  bool IsVendorClient(const Head& request) const override {
    return request.Get("user-agent").starts_with("GeminiCLI");
  }

  // Quotas are the model's own ("Rate limits", ai.google.dev).
  std::string FamilyOf(std::string_view model) const override { return std::string(model); }

  std::optional<Account::Kind> OnlyKind(const Exchange& x) const override {
    Target target = ParseTarget(x.path);
    bool both = x.ask.operation == Operation::kCount || x.ask.operation == Operation::kStartup ||
                IsOneOf(target.verb, {"generateContent", "streamGenerateContent"});
    bool tuned = x.path.find("/tunedModels") != std::string::npos;
    if (both && x.ask.metered && !tuned) return {};
    bool code_assist = x.path.starts_with(kInternal);
    return code_assist ? Account::Kind::kSubscription : Account::Kind::kApiKey;
  }

  Result<Call> Prepare(const Account& account, const Secret& credential,
                       const Exchange& x) const override {
    Target target = ParseTarget(x.path);
    bool login = account.kind == Account::Kind::kSubscription;
    bool code_assist = x.path.starts_with(kInternal);
    Call call;
    call.endpoint = login ? &account.code_assist_endpoint : &account.endpoint;
    call.head = BaseHead(x, call.endpoint->url);
    call.edits = x.edits;
    call.streams = x.ask.streams;
    Result<Unit> made = Unit{};
    if (code_assist == login) {
      bool generates = x.ask.operation == Operation::kGenerate;
      if (login) SpliceProject(account, x, generates, call.edits);
    } else if (code_assist) {
      call.local = AnswerLocally(target.verb, account, x);
      if (call.local) return call;
      made = Translate(Envelope::kAdd, account, x, target, call);
    } else {
      made = Translate(Envelope::kRemove, account, x, target, call);
    }
    if (!made) return std::unexpected(made.error());
    if (login) {
      call.head.Add("authorization", "Bearer " + std::string(credential.Reveal()));
    } else {
      call.head.Add("x-goog-api-key", credential.Reveal());
    }
    return call;
  }

  bool TakeOutThinking(const Exchange& x, Call& call) const override {
    return !call.body && TakeOutGeminiThinking(RequestOf(x), call.edits);
  }

  std::unique_ptr<UsageMeter> Meter(const Exchange& x) const override {
    if (x.ask.operation != Operation::kGenerate) return nullptr;
    JsonIndex request = RequestOf(x);
    JsonValue candidates = ValueAt(request, {"generationConfig", "candidateCount"});
    return MakeGeminiMeter({.model = x.ask.model,
                            .request_bytes = static_cast<int64_t>(x.body.size()),
                            .generates = true,
                            .candidates = candidates.Int().value_or(1)});
  }

 protected:
  VendorError ReadError(const Head& answer, std::string_view body, TimePoint now,
                        WallTime wall) const override {
    VendorError error = ErrorOf(ParseError(body).value_or(ErrorBody()), now, wall);
    error.status = answer.status;
    error.cause = std::to_string(answer.status) + error.cause;
    if (error.message.empty()) error.message = body;
    if (std::optional<Duration> after = RetryAfter(answer, wall)) {
      error.retry = now + *after;
      if (error.reset == TimePoint()) error.reset = error.retry;
    }
    return error;
  }

  std::optional<VendorError> ReadErrorEvent(std::string_view, std::string_view data, TimePoint now,
                                            WallTime wall) const override {
    // Answers may be large and hold anything in their text; an error stands first.
    std::string_view start = data.substr(0, 64);
    if (start.find("\"error\"") == std::string_view::npos) return {};
    std::optional<ErrorBody> body = ParseError(data);
    if (!body) return {};
    VendorError error = ErrorOf(*body, now, wall);
    error.status = body->code == 0 ? 500 : body->code;
    error.cause = "event" + error.cause;
    return error;
  }

 private:
  static VendorError ErrorOf(const ErrorBody& body, TimePoint now, WallTime wall) {
    VendorError error;
    error.cause = " " + ShownName(body.status) + " " + ShownName(body.reason);
    for (const std::string& type : {body.status, body.reason}) {
      if (!type.empty()) error.types.push_back(type);
    }
    error.message = body.message;
    error.reset = ResetOf(body, now, wall);
    error.scope = body.per_model ? Judgement::Scope::kFamily : Judgement::Scope::kAccount;
    return error;
  }

  // A request of one API for an account of the other. `answers`: what happens to the answers.
  static Result<Unit> Translate(Envelope answers, const Account& account, const Exchange& x,
                                const Target& target, Call& call) {
    bool counts = target.verb == "countTokens";
    bool streams = target.verb == "streamGenerateContent";
    if (x.ask.model.empty()) {
      return Fail(Party::kClient, Fault::kMalformed, "the request names no model");
    }
    bool to_public = answers == Envelope::kAdd;
    Result<Unit> body =
        to_public ? UnwrapRequest(x, counts, call) : WrapRequest(account, x, counts, call);
    if (!body) return body;
    std::string path = call.endpoint->url.path;
    path +=
        to_public ? "/v1beta/models/" + PercentEncode(x.ask.model, "@") : std::string(kInternal);
    path.append(":").append(target.verb);
    if (streams) path += "?alt=sse";
    call.head.target = call.head.Keep(path);
    call.streams = streams;
    // Counts have no envelope.
    if (counts) return Unit{};
    AnswerForm form = AnswerForm::kJson;
    if (streams) form = x.ask.streams ? AnswerForm::kEvents : AnswerForm::kEventsToArray;
    call.transform = MakeEnvelopeTransform(answers, form);
    if (form == AnswerForm::kEventsToArray) call.content_type = "application/json; charset=UTF-8";
    return Unit{};
  }
};

}  // namespace

std::unique_ptr<Provider> MakeGemini(std::vector<AccountRule> rules) {
  return std::make_unique<Gemini>(std::move(rules));
}

}  // namespace relay
