// SPDX-License-Identifier: MIT
#include "admin/explain.h"

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "admin/ask.h"
#include "admin/control.h"
#include "admin/endpoints.h"
#include "admin/load.h"
#include "admin/rehearsal.h"
#include "admin/services.h"
#include "admin/table.h"
#include "core/base/json.h"

namespace relay {
namespace {

constexpr Duration kPatience = std::chrono::seconds(20);
constexpr uint64_t kMemory = uint64_t{1} << 30;

// --- The text ----------------------------------------------------------------------------------

// "route claude, key alice, model claude-opus-5-5": what is known of it.
std::string KnownOf(const JsonIndex& json) {
  std::string known;
  for (std::string_view name : {"route", "key", "model"}) {
    std::string value = TextIn(json, name);
    if (value.empty()) continue;
    known += (known.empty() ? "" : ", ") + std::string(name) + " " + value;
  }
  return known.empty() ? "" : " (" + known + ")";
}

// 0: it was not refused.
int64_t StatusIn(const JsonIndex& explanation) {
  Result<JsonIndex> refusal = JsonIndex::Object(explanation.Find("refusal"));
  return refusal ? refusal->Find("status").Int().value_or(0) : 0;
}

std::string OutcomeText(const JsonIndex& json) {
  Result<JsonIndex> refusal = JsonIndex::Object(json.Find("refusal"));
  if (!refusal) {
    std::string account = TextIn(json, "account");
    std::optional<int64_t> status = json.Find("answered").Int();
    return (status ? "answered by the relay itself with " + std::to_string(*status)
                   : "served by " + account) +
           KnownOf(json) + "\n";
  }
  std::string type = TextIn(*refusal, "type");
  std::string by = TextIn(*refusal, "by");
  std::string text = "refused" + (by.empty() ? "" : " by " + by) + " with " +
                     std::to_string(refusal->Find("status").Int().value_or(0));
  if (!type.empty()) text += " " + type;
  text += KnownOf(json) + ":\n  " + TextIn(*refusal, "message");
  if (std::optional<int64_t> after = refusal->Find("retry-after").Int()) {
    text += "; again in " + std::to_string(*after) + " s";
  }
  return text + "\n";
}

// A step's name stands before its first line only.
void AddStep(const JsonIndex& step, std::string& text) {
  constexpr size_t kWidth = 16;
  std::string name = TextIn(step, "name");
  for (JsonArray notes(step.Find("notes")); JsonValue item = notes.Next();) {
    Result<JsonIndex> note = JsonIndex::Object(item);
    if (!note) continue;
    name.resize(std::max(kWidth, name.size() + 1), ' ');
    text += name + TextIn(*note, "text") + "\n";
    name.clear();
  }
}

void AddHead(const JsonIndex& request, std::string& text) {
  for (JsonArray fields(request.Find("headers")); JsonValue item = fields.Next();) {
    JsonArray pair(item);
    std::string name = pair.Next().String().value_or("");
    std::string value = pair.Next().String().value_or("");
    text += "  " + Printable(name) + ": " + Printable(value) + "\n";
  }
  int64_t bytes = request.Find("body-bytes").Int().value_or(0);
  text += bytes == 0 ? "  no body\n" : "  and a body of " + std::to_string(bytes) + " bytes\n";
}

// --- The request -------------------------------------------------------------------------------

std::expected<std::string, std::string> ReadBody(const std::string& file) {
  if (file == "-") {
    return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::unexpected("the body " + file + " cannot be read");
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

// The error is for people.
std::expected<RehearsedRequest, std::string> RequestOf(const Options& options,
                                                       const Environment& environment) {
  RehearsedRequest request;
  request.method = options.names[0];
  request.target = options.names[1];
  if (!request.target.starts_with('/')) {
    return std::unexpected("the path must begin with '/': relay explain POST /api/v1/messages");
  }
  for (const std::string& header : options.headers) {
    size_t colon = header.find(':');
    if (colon == 0 || colon == std::string::npos) {
      return std::unexpected("--header must be like 'name: value'");
    }
    size_t begin = std::min(header.find_first_not_of(' ', colon + 1), header.size());
    std::string name = header.substr(0, colon);
    std::string value = header.substr(begin);
    Result<Unit> good = RehearsedRequest::CheckHeader(name, value);
    if (!good) return std::unexpected("--header: " + good.error().what);
    request.headers.emplace_back(std::move(name), std::move(value));
  }
  if (!options.key.empty() && !options.key_env.empty()) {
    return std::unexpected("--key and --key-env exclude each other");
  }
  request.key = options.key;
  if (!options.key_env.empty()) {
    std::optional<std::string> secret = environment(options.key_env);
    if (!secret || secret->empty()) {
      return std::unexpected("the variable " + options.key_env + " of --key-env is not set");
    }
    request.headers.emplace_back("x-api-key", *secret);
  }
  if (!options.body.empty()) {
    std::expected<std::string, std::string> body = ReadBody(options.body);
    if (!body) return std::unexpected(body.error());
    request.body = std::move(*body);
  }
  if (options.offline) return request;
  // It goes to the relay as a text.
  const std::string json = request.Json();
  if (json.size() > ControlSocket::kBodyBytes) {
    return std::unexpected("the body " + options.body +
                           " is too large to ask a relay of; --offline takes any");
  }
  Result<RehearsedRequest> read = RehearsedRequest::Parse(json);
  if (!read) return std::unexpected(read.error().what);
  if (*read != request) {
    std::string what = read->body != request.body ? "the body " + options.body : "a header";
    return std::unexpected(what + " is no text of UTF-8; --offline takes any bytes");
  }
  return request;
}

// --- Who is asked ------------------------------------------------------------------------------

std::expected<std::string, int> ExplainByFile(const Options& options,
                                              const Environment& environment,
                                              const RehearsedRequest& request) {
  Problems problems;
  std::shared_ptr<const Config> config = LoadChecked(options.config, environment, problems);
  if (problems.failed()) {
    Report(*config, problems);
    return std::unexpected(kExitUsage);
  }
  auto services = Services::Make(config, SystemClock::Get(), kMemory);
  if (!services) return std::unexpected(Complain(services.error().what));
  ProcessEndpoints endpoints(**services);
  Explanation explanation(request.key);
  Result<Unit> done = Rehearse(**services, endpoints, request, explanation);
  if (!done) return std::unexpected(Complain("not explained: " + done.error().what));
  return explanation.Json();
}

// Nothing: no relay runs there.
std::optional<std::expected<std::string, int>> ExplainByRelay(const Options& options,
                                                              const Environment& environment,
                                                              const RehearsedRequest& request) {
  std::expected<RelayTarget, int> target = FindTarget(options, environment);
  if (!target) return std::unexpected(target.error());
  Result<Fetched> fetched = FetchUnix(
      target->socket(), {.method = "POST", .target = "/admin/v1/explain", .body = request.Json()},
      kPatience);
  if (!fetched && fetched.error().fault == Fault::kConnect && options.data.empty()) return {};
  return AnswerOf(*target, std::move(fetched));
}

}  // namespace

Result<std::string> ExplanationText(std::string_view json) {
  Result<JsonIndex> explanation = JsonIndex::Parse(json);
  if (!explanation) return std::unexpected(explanation.error());
  std::string text = OutcomeText(*explanation);
  for (JsonArray steps(explanation->Find("steps")); JsonValue item = steps.Next();) {
    if (Result<JsonIndex> step = JsonIndex::Object(item)) AddStep(*step, text);
  }
  if (Result<JsonIndex> request = JsonIndex::Object(explanation->Find("request"))) {
    AddHead(*request, text);
  }
  return text;
}

int RunExplain(const Options& options, const Environment& environment) {
  std::expected<RehearsedRequest, std::string> request = RequestOf(options, environment);
  if (!request) {
    std::fprintf(stderr, "relay: %s\n", request.error().c_str());
    return kExitUsage;
  }
  std::optional<std::expected<std::string, int>> asked;
  if (!options.offline) asked = ExplainByRelay(options, environment, *request);
  if (!asked) {
    std::fprintf(stderr, "relay: by %s alone: %s\n", options.config.c_str(),
                 options.offline ? "nothing is in use, and no key or account of a store is seen"
                                 : "no relay runs with its data folder");
    asked = ExplainByFile(options, environment, *request);
  }
  if (!*asked) return asked->error();
  const std::string& json = **asked;
  Result<std::string> text = ExplanationText(json);
  if (!text) return NotUnderstood(text.error());
  std::fputs(options.json ? (json + "\n").c_str() : text->c_str(), stdout);
  Result<JsonIndex> explanation = JsonIndex::Parse(json);
  if (explanation && explanation->Find("served").Bool().value_or(false)) return kExitOk;
  if (request->body.empty() && explanation && StatusIn(*explanation) == 400) {
    std::fputs("relay: what was explained has no body; --body FILE names one\n", stderr);
  }
  return kExitFailed;
}

}  // namespace relay
