// SPDX-License-Identifier: MIT
#include "core/exchange/dialect.h"

#include <algorithm>

#include "core/base/json.h"

namespace relay {
namespace {

int64_t WholeSeconds(Duration duration) {
  return std::max<int64_t>(std::chrono::ceil<std::chrono::seconds>(duration).count(), 1);
}

std::string_view AnthropicType(const Refusal& refusal) {
  if (refusal.fault == Fault::kBudgetSpent) return "billing_error";
  switch (StatusOf(refusal)) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 408:
    case 504: return "timeout_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 500:
    case 502: return "api_error";
    case 503: return "overloaded_error";
    default: return "invalid_request_error";
  }
}

std::string AnthropicBody(const Refusal& refusal, std::string_view request_id) {
  return JsonText()
      .BeginObject()
      .Field("type", "error")
      .Key("error")
      .BeginObject()
      .Field("type", AnthropicType(refusal))
      .Field("message", refusal.message)
      .EndObject()
      .Field("request_id", request_id)
      .EndObject()
      .Take();
}

// google.rpc.Code by HTTP status (google/rpc/code.proto).
std::string_view GoogleStatus(int status) {
  switch (status) {
    case 401: return "UNAUTHENTICATED";
    case 403: return "PERMISSION_DENIED";
    case 404: return "NOT_FOUND";
    case 405: return "UNIMPLEMENTED";
    case 408:
    case 504: return "DEADLINE_EXCEEDED";
    case 429: return "RESOURCE_EXHAUSTED";
    case 500: return "INTERNAL";
    case 502:
    case 503: return "UNAVAILABLE";
    default: return "INVALID_ARGUMENT";
  }
}

// Gemini CLI waits as RetryInfo says, and stops at once for a quota that is exhausted, but only
// where an ErrorInfo of this domain says which of them it is.
void AddGoogleDetails(JsonText& json, const Refusal& refusal) {
  constexpr std::string_view kType = "@type";
  json.Key("details").BeginArray();
  json.BeginObject()
      .Field(kType, "type.googleapis.com/google.rpc.ErrorInfo")
      .Field("reason", refusal.final ? "QUOTA_EXHAUSTED" : "RATE_LIMIT_EXCEEDED")
      .Field("domain", "cloudcode-pa.googleapis.com")
      .EndObject();
  if (refusal.retry_after) {
    json.BeginObject()
        .Field(kType, "type.googleapis.com/google.rpc.RetryInfo")
        .Field("retryDelay", std::to_string(WholeSeconds(*refusal.retry_after)) + "s")
        .EndObject();
  }
  json.EndArray();
}

std::string GoogleBody(const Refusal& refusal) {
  int status = StatusOf(refusal);
  JsonText json;
  json.BeginObject().Key("error").BeginObject();
  json.Field("code", int64_t{status})
      .Field("message", refusal.message)
      .Field("status", GoogleStatus(status));
  if (status == 429) AddGoogleDetails(json, refusal);
  return json.EndObject().EndObject().Take();
}

std::string_view OpenaiType(int status) {
  switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    default: return status < 500 ? "invalid_request_error" : "server_error";
  }
}

std::string OpenaiBody(const Refusal& refusal) {
  JsonText json;
  json.BeginObject().Key("error").BeginObject();
  json.Field("message", refusal.message).Field("type", OpenaiType(StatusOf(refusal)));
  json.Key("param").Null().Key("code");
  if (refusal.fault == Fault::kUnauthenticated) {
    json.String("invalid_api_key");
  } else if (refusal.fault == Fault::kBudgetSpent) {
    json.String("insufficient_quota");
  } else {
    json.Null();
  }
  return json.EndObject().EndObject().Take();
}

std::string PlainBody(const Refusal& refusal, std::string_view request_id) {
  return JsonText()
      .BeginObject()
      .Field("error", refusal.message)
      .Field("request_id", request_id)
      .EndObject()
      .Take();
}

std::string BodyOf(Dialect dialect, const Refusal& refusal, std::string_view request_id) {
  switch (dialect) {
    case Dialect::kAnthropic: return AnthropicBody(refusal, request_id);
    case Dialect::kGemini:
    case Dialect::kCodeAssist: return GoogleBody(refusal);
    case Dialect::kOpenai: return OpenaiBody(refusal);
    case Dialect::kPlain: break;
  }
  return PlainBody(refusal, request_id);
}

}  // namespace

std::string_view ErrorType(Dialect dialect, const Refusal& refusal) {
  switch (dialect) {
    case Dialect::kAnthropic: return AnthropicType(refusal);
    case Dialect::kGemini:
    case Dialect::kCodeAssist: return GoogleStatus(StatusOf(refusal));
    case Dialect::kOpenai: return OpenaiType(StatusOf(refusal));
    case Dialect::kPlain: break;
  }
  return "";
}

int StatusOf(const Refusal& refusal) {
  bool upstream = refusal.party == Party::kUpstream;
  switch (refusal.fault) {
    case Fault::kMalformed: return upstream ? 502 : 400;
    case Fault::kUnauthenticated: return 401;
    case Fault::kForbidden: return 403;
    case Fault::kNotFound: return 404;
    case Fault::kMethod: return 405;
    case Fault::kBodyTooLarge: return upstream ? 502 : 413;
    case Fault::kTargetTooLong: return 414;
    case Fault::kExpectation: return 417;
    case Fault::kHeadTooLarge: return upstream ? 502 : 431;
    case Fault::kRateLimited:
    case Fault::kBudgetSpent: return 429;
    case Fault::kNoAccount:
    case Fault::kOverloaded:
    case Fault::kCancelled: return 503;
    case Fault::kConnect:
    case Fault::kProxy:
    case Fault::kTls:
    case Fault::kReset:
    case Fault::kTruncated:
    case Fault::kUnprocessed: return 502;
    case Fault::kTimeout: return refusal.party == Party::kClient ? 408 : 504;
    case Fault::kInternal: return 500;
  }
  return 500;
}

Refusal ToRefusal(const Error& error) {
  Refusal refusal{error.fault, error.what, {}, false, error.party};
  // A request that breaks the rules breaks them again; what is short now may not be in a moment.
  int status = StatusOf(refusal);
  refusal.final = status >= 400 && status < 500 && status != 408;
  if (error.fault == Fault::kOverloaded) refusal.retry_after = std::chrono::seconds(1);
  return refusal;
}

Reply RefusalReply(Dialect dialect, const Refusal& refusal, std::string_view request_id) {
  Reply reply;
  reply.status = StatusOf(refusal);
  reply.body = BodyOf(dialect, refusal, request_id);
  if (refusal.retry_after) {
    reply.headers.emplace_back("retry-after", std::to_string(WholeSeconds(*refusal.retry_after)));
  }
  if (refusal.final) reply.headers.emplace_back("x-should-retry", "false");
  return reply;
}

std::string ErrorEvent(Dialect dialect, const Refusal& refusal, std::string_view request_id) {
  if (dialect == Dialect::kPlain) return "";
  std::string data = "data: " + BodyOf(dialect, refusal, request_id) + "\n\n";
  return dialect == Dialect::kAnthropic ? "event: error\n" + data : data;
}

std::string_view KeepAlive(Dialect dialect) {
  switch (dialect) {
    case Dialect::kAnthropic: return "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    case Dialect::kOpenai: return ": keep-alive\n\n";
    default: return "";
  }
}

bool EarlyEndLooksWhole(Dialect dialect) {
  // @google/genai takes any end for the answer's, and openai does not miss its [DONE].
  return dialect != Dialect::kAnthropic;
}

}  // namespace relay
