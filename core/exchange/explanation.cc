// SPDX-License-Identifier: MIT
#include "core/exchange/explanation.h"

#include <algorithm>
#include <chrono>

#include "core/base/text.h"
#include "core/http/message.h"

namespace relay {

void Explanation::Begin(std::string_view step) {
  steps_.push_back({std::string(step), {}});
}

Explanation::Note& Explanation::Say(std::string_view text) {
  if (steps_.empty()) Begin("request");
  return steps_.back().notes.emplace_back(text);
}

void Explanation::Set(std::string_view name, std::string_view value) {
  auto at = std::find_if(results_.begin(), results_.end(),
                         [&](const auto& result) { return result.first == name; });
  if (at == results_.end()) at = results_.emplace(at, name, "");
  at->second = value;
}

std::string Explanation::Get(std::string_view name) const {
  auto at = std::find_if(results_.begin(), results_.end(),
                         [&](const auto& result) { return result.first == name; });
  return at == results_.end() ? "" : at->second;
}

void Explanation::Refuse(Dialect dialect, const Refusal& refusal) {
  refusal_ = refusal;
  error_type_ = ErrorType(dialect, refusal);
  refused_by_ = steps_.empty() ? "" : steps_.back().name;
}

void Explanation::Answer(int status) {
  answered_ = status;
  Say("answered here with " + std::to_string(status) + ": nothing is sent");
}

std::string Explanation::Json() const {
  JsonText json;
  json.BeginObject().Field("served", status() < 400);
  for (const auto& [name, value] : results_) json.Field(name, value);
  if (waited_ > Duration::zero()) {
    json.Field("wait-ms", int64_t{std::chrono::ceil<std::chrono::milliseconds>(waited_).count()});
  }
  if (answered_ != 0) json.Field("answered", answered_);
  if (refusal_) {
    json.Key("refusal").BeginObject().Field("by", refused_by_).Field("status", status());
    json.Field("type", error_type_).Field("message", refusal_->message);
    if (refusal_->retry_after) {
      json.Field("retry-after",
                 int64_t{std::chrono::ceil<std::chrono::seconds>(*refusal_->retry_after).count()});
    }
    json.Field("final", refusal_->final).EndObject();
  }
  json.Key("steps").BeginArray();
  for (const Step& step : steps_) {
    json.BeginObject().Field("name", step.name).Key("notes").BeginArray();
    for (const Note& note : step.notes) json.Raw(note.Json());
    json.EndArray().EndObject();
  }
  json.EndArray();
  if (sent_) {
    json.Key("request").BeginObject().Field("method", sent_->method).Field("url", sent_->url);
    json.Key("headers").BeginArray();
    for (const auto& [name, value] : sent_->fields) {
      json.BeginArray().String(name).String(value).EndArray();
    }
    json.EndArray().Field("body-bytes", uint64_t{sent_->body_bytes}).EndObject();
  }
  return json.EndObject().Take();
}

bool Explanation::Hides(std::string_view field) const {
  auto same = [&](const std::string& name) { return EqualsIgnoreCase(name, field); };
  if (std::any_of(hidden_.begin(), hidden_.end(), same)) return true;
  constexpr std::string_view kMarks[] = {"auth", "key", "token", "secret", "cookie", "password"};
  const std::string lower = LowerOf(field);
  return std::any_of(std::begin(kMarks), std::end(kMarks),
                     [&](std::string_view mark) { return lower.find(mark) != std::string::npos; });
}

}  // namespace relay
