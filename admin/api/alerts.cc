// SPDX-License-Identifier: MIT
#include "admin/api/alerts.h"

#include <memory>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/text.h"

namespace relay {
namespace {

void AddTarget(JsonText& json, const AlertTarget& target) {
  const AlertConfig& config = target.config();
  json.BeginObject().Field("name", config.name);
  json.Field("host", SplitAlertUrl(config.url).url.host);
  json.Key("on").BeginArray();
  for (AlertEvent event : config.on) json.String(NameOf(event));
  json.EndArray();
  json.Field("waiting", static_cast<uint64_t>(target.waiting()));
  if (const auto& last = target.last()) {
    json.Key("last").BeginObject().Field("time", IsoTime(last->when));
    json.Field("sent", last->outcome.sent).Field("detail", last->outcome.detail).EndObject();
  }
  json.EndObject();
}

Reply ListOf(const Alerts& alerts) {
  JsonText json;
  json.BeginObject().Key("alerts").BeginArray();
  for (const auto& target : alerts.targets()) AddTarget(json, *target);
  return Reply{.body = json.EndArray().EndObject().Take()};
}

Task<Reply> Test(Alerts& alerts, std::vector<std::string> names, WallTime now) {
  JsonText json;
  json.BeginObject().Key("alerts").BeginArray();
  for (const std::string& name : names) {
    std::shared_ptr<AlertTarget> target = alerts.Find(name);
    if (target == nullptr) continue;
    AlertOutcome outcome = co_await target->Post(TestAlert(now));
    json.BeginObject().Field("name", name).Field("sent", outcome.sent);
    json.Field("detail", outcome.detail).EndObject();
  }
  co_return Reply{.body = json.EndArray().EndObject().Take()};
}

}  // namespace

void AddAlertsApi(ApiRouter& router, Alerts& alerts) {
  router.Add("GET", "/admin/v1/alerts",
             [&alerts](ApiRequest&) -> Task<Reply> { return ListOf(alerts); });
  router.Add("POST", "/admin/v1/alerts/test", [&alerts](ApiRequest& request) -> Task<Reply> {
    std::string name = request.Query("name");
    std::vector<std::string> names;
    for (const auto& target : alerts.targets()) {
      if (name.empty() || target->config().name == name) names.push_back(target->config().name);
    }
    if (names.empty() && !name.empty()) {
      return ApiError(404, "there is no alert '" + name + "' in relay.yaml");
    }
    if (names.empty()) {
      return ApiError(404, "relay.yaml has no 'alerts'; see \"Alerts\" in the README");
    }
    return Test(alerts, std::move(names), alerts.Wall());
  });
}

}  // namespace relay
