// SPDX-License-Identifier: MIT
#include "upstreams/code_assist_project.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/async/event.h"
#include "core/base/json.h"
#include "core/http/message.h"
#include "upstreams/provider.h"

namespace relay {
namespace {

constexpr Duration kPollPeriod = std::chrono::seconds(5);
constexpr std::string_view kFreeTier = "free-tier";
constexpr std::string_view kLegacyTier = "legacy-tier";

VendorRequest RequestFor(const Url& endpoint, std::string_view path, const Secret& access) {
  VendorRequest request;
  request.url = endpoint;
  request.url.path += std::string(path);
  request.fields.emplace_back("authorization", "Bearer " + std::string(access.Reveal()));
  return request;
}

VendorRequest PostFor(const Url& endpoint, std::string_view path, const Secret& access,
                      std::string body) {
  VendorRequest request = RequestFor(endpoint, path, access);
  request.method = "POST";
  request.fields.emplace_back("content-type", "application/json");
  request.body = std::move(body);
  return request;
}

void AddMetadata(JsonText& json, const std::string& project) {
  json.Key("metadata").BeginObject();
  json.Field("ideType", "IDE_UNSPECIFIED").Field("platform", "PLATFORM_UNSPECIFIED");
  json.Field("pluginType", "GEMINI");
  if (!project.empty()) json.Field("duetProject", project);
  json.EndObject();
}

std::string LoadBody(const std::string& wanted) {
  JsonText json;
  json.BeginObject();
  if (!wanted.empty()) json.Field("cloudaicompanionProject", wanted);
  AddMetadata(json, wanted);
  return json.EndObject().Take();
}

// The free tier's project is the vendor's, and to name one is an error there.
std::string OnboardBody(const std::string& tier, const std::string& wanted) {
  std::string project = tier == kFreeTier ? "" : wanted;
  JsonText json;
  json.BeginObject().Field("tierId", tier);
  if (!project.empty()) json.Field("cloudaicompanionProject", project);
  AddMetadata(json, project);
  return json.EndObject().Take();
}

std::unexpected<Error> Refused(std::string what) {
  return Fail(Party::kUpstream, Fault::kForbidden, std::move(what));
}

// Words of the vendor's for a person: one printable line.
std::string OneLine(std::string text) {
  for (char& c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte == 0x7f) c = ' ';
  }
  return text.substr(0, 300);
}

Result<JsonIndex> Read(const Result<VendorAnswer>& answer, std::string_view call) {
  std::string name(call);
  if (!answer) return std::unexpected(answer.error());
  Result<JsonIndex> json = JsonIndex::Parse(answer->body);
  if (answer->status != 200) {
    std::string message =
        json ? ValueAt(*json, {"error", "message"}).String().value_or("") : std::string();
    return Refused(name + " answers " + std::to_string(answer->status) +
                   (message.empty() ? "" : ": " + OneLine(message)));
  }
  if (!json) return Fail(Party::kUpstream, Fault::kMalformed, name + " answers no JSON");
  return json;
}

// A project as a name, or as an object that has one.
std::string ProjectIn(const JsonIndex& json) {
  JsonValue project = json.Find("cloudaicompanionProject");
  std::string id = project.Is(JsonKind::kObject)
                       ? ValueAt(json, {"cloudaicompanionProject", "id"}).String().value_or("")
                       : project.String().value_or("");
  bool sound = id.size() <= 128 && std::all_of(id.begin(), id.end(), [](char c) {
                 return c > ' ' && c < 0x7f && c != '"' && c != '\\';
               });
  return sound ? id : "";
}

// The tier to join: the default one of those allowed.
std::string TierIn(const JsonIndex& json) {
  JsonArray tiers(json.Find("allowedTiers"));
  while (JsonValue tier = tiers.Next()) {
    Result<JsonIndex> fields = JsonIndex::Object(tier);
    if (fields && fields->Find("isDefault").Bool().value_or(false)) {
      return fields->Find("id").String().value_or("");
    }
  }
  return std::string(kLegacyTier);
}

std::string WhyNot(const JsonIndex& json) {
  std::string reasons;
  JsonArray tiers(json.Find("ineligibleTiers"));
  while (JsonValue tier = tiers.Next()) {
    Result<JsonIndex> fields = JsonIndex::Object(tier);
    if (!fields) continue;
    std::string reason = fields->Find("reasonMessage").String().value_or("");
    if (!reason.empty()) reasons += (reasons.empty() ? "" : " ") + reason;
  }
  return OneLine(reasons);
}

// The path of an operation that the vendor named; nothing where it would lead elsewhere.
std::optional<std::string> OperationPath(const std::string& name) {
  bool sound = name.starts_with("operations/") && name.size() <= 256 &&
               name.find("..") == std::string::npos &&
               std::all_of(name.begin(), name.end(), [](char c) {
                 return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '/' || c == '-' || c == '_' || c == '.';
               });
  if (!sound) return {};
  return "/v1internal/" + name;
}

std::unexpected<Error> NeedsProject() {
  return Fail(Party::kClient, Fault::kForbidden,
              "this Google account needs a Google Cloud project of its own: name it by --project");
}

Task<Result<std::string>> Onboard(VendorCalls& calls, AccountEndpoint endpoint, Secret access,
                                  std::string tier, std::string wanted, TimePoint deadline) {
  if (tier != kFreeTier && wanted.empty()) co_return NeedsProject();
  VendorRequest request =
      PostFor(endpoint.url, "/v1internal:onboardUser", access, OnboardBody(tier, wanted));
  Result<VendorAnswer> answer = co_await calls.Call(std::move(request), endpoint.way, deadline);
  while (true) {
    Result<JsonIndex> json = Read(answer, "onboardUser");
    if (!json) co_return std::unexpected(json.error());
    if (json->Find("done").Bool().value_or(false)) {
      Result<JsonIndex> response = JsonIndex::Object(json->Find("response"));
      std::string project = response ? ProjectIn(*response) : "";
      if (project.empty()) project = wanted;
      if (project.empty()) co_return Refused("onboardUser ended without a project");
      co_return project;
    }
    std::optional<std::string> path = OperationPath(json->Find("name").String().value_or(""));
    if (!path) co_return Refused("onboardUser began nothing");
    if (calls.loop().Now() + kPollPeriod >= deadline) {
      co_return Fail(Party::kUpstream, Fault::kTimeout,
                     "the vendor is still setting the account up; try again in a minute");
    }
    co_await Sleep(calls.loop(), kPollPeriod);
    VendorRequest poll = RequestFor(endpoint.url, *path, access);
    answer = co_await calls.Call(std::move(poll), endpoint.way, deadline);
  }
}

}  // namespace

Task<Result<std::string>> DiscoverProject(VendorCalls& calls, AccountEndpoint endpoint,
                                          Secret access, std::string wanted, TimePoint deadline) {
  VendorRequest request =
      PostFor(endpoint.url, "/v1internal:loadCodeAssist", access, LoadBody(wanted));
  Result<VendorAnswer> answer = co_await calls.Call(std::move(request), endpoint.way, deadline);
  Result<JsonIndex> json = Read(answer, "loadCodeAssist");
  if (!json) co_return std::unexpected(json.error());
  bool known = json->Find("currentTier").Is(JsonKind::kObject);
  if (known) {
    std::string project = ProjectIn(*json);
    if (project.empty()) project = wanted;
    if (project.empty()) co_return NeedsProject();
    co_return project;
  }
  bool allowed = json->Find("allowedTiers").Is(JsonKind::kArray) &&
                 JsonArray(json->Find("allowedTiers")).Next();
  if (!allowed) {
    std::string why = WhyNot(*json);
    if (!why.empty()) co_return Refused("the vendor will not have this account: " + why);
  }
  std::string tier = TierIn(*json);
  Result<std::string> project = co_await Onboard(calls, std::move(endpoint), std::move(access),
                                                 std::move(tier), std::move(wanted), deadline);
  co_return project;
}

}  // namespace relay
