// SPDX-License-Identifier: MIT
#include "admin/api/router.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "core/base/json.h"
#include "core/base/percent.h"
#include "core/config/wording.h"

namespace relay {
namespace {

constexpr std::string_view kAny = "{";

std::vector<std::string> Segments(std::string_view path) {
  std::vector<std::string> segments;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    size_t end = std::min(path.find('/'), path.size());
    segments.emplace_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return segments;
}

// The names in a path that fits the pattern.
std::optional<std::vector<std::string>> Match(const std::vector<std::string>& pattern,
                                              const std::vector<std::string>& path) {
  if (pattern.size() != path.size()) return std::nullopt;
  std::vector<std::string> names;
  for (size_t i = 0; i < path.size(); ++i) {
    if (!pattern[i].starts_with(kAny)) {
      if (pattern[i] != path[i]) return std::nullopt;
      continue;
    }
    std::optional<std::string> name = PercentDecodeStrictly(path[i]);
    if (!name || name->empty()) return std::nullopt;
    names.push_back(std::move(*name));
  }
  return names;
}

}  // namespace

std::string ApiRequest::Query(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    size_t end = std::min(rest.find('&'), rest.size());
    std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    size_t equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) != name) continue;
    return PercentDecodeStrictly(pair.substr(std::min(equals + 1, pair.size()))).value_or("");
  }
  return "";
}

Reply ApiError(int status, std::string_view message) {
  JsonText body;
  body.BeginObject().Key("error").BeginObject();
  body.Field("message", message).EndObject().EndObject();
  return Reply{.status = status, .body = body.Take()};
}

Reply ReplyOf(const ApiFault& fault) {
  return ApiError(fault.status, fault.message);
}

ApiFault FaultOf(const Error& error) {
  if (error.party == Party::kClient) {
    return {error.fault == Fault::kForbidden ? 409 : 400, error.what};
  }
  return {error.party == Party::kUpstream ? 502 : 503, error.what};
}

void ApiRouter::Add(std::string_view method, std::string_view pattern, Handler handler) {
  entries_.push_back({std::string(method), Segments(pattern), std::move(handler)});
}

Task<Reply> ApiRouter::Answer(ApiRequest& request) const {
  std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  std::vector<std::string> path = Segments(request.path);
  std::string allowed;
  for (const Entry& entry : entries_) {
    std::optional<std::vector<std::string>> names = Match(entry.segments, path);
    if (!names) continue;
    if (entry.method == method) {
      request.names = std::move(*names);
      return entry.handler(request);
    }
    allowed += (allowed.empty() ? "" : ", ") + entry.method;
  }
  if (allowed.empty()) {
    return ApiError(404, "there is nothing at " + Quote(request.path));
  }
  Reply reply = ApiError(405, Quote(request.path) + " takes " + allowed);
  reply.headers.emplace_back("allow", allowed);
  return reply;
}

}  // namespace relay
