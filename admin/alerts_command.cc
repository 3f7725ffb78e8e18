// SPDX-License-Identifier: MIT
#include "admin/alerts_command.h"

#include <cstdio>
#include <string>
#include <vector>

#include "admin/ask.h"
#include "admin/table.h"
#include "core/base/json.h"
#include "core/base/percent.h"

namespace relay {
namespace {

// A test waits for each receiver in turn.
constexpr Duration kPatience = std::chrono::minutes(2);

TableLine LineOf(const JsonIndex& alert) {
  std::string on;
  for (JsonArray events(alert.Find("on")); JsonValue event = events.Next();) {
    on += (on.empty() ? "" : ",") + event.String().value_or("");
  }
  std::string last = "never";
  if (Result<JsonIndex> its = JsonIndex::Object(alert.Find("last"))) {
    last = TextIn(*its, "time") + " " + TextIn(*its, "detail");
  }
  return {TextIn(alert, "name"), TextIn(alert, "host"), on,
          std::to_string(alert.Find("waiting").Int().value_or(0)), last};
}

int TellList(const JsonIndex& answer) {
  std::vector<TableLine> lines{{"alert", "host", "on", "waiting", "last"}};
  for (JsonArray alerts(answer.Find("alerts")); JsonValue item = alerts.Next();) {
    if (Result<JsonIndex> alert = JsonIndex::Object(item)) lines.push_back(LineOf(*alert));
  }
  if (lines.size() == 1) {
    std::puts("nobody is told of alerts; see 'alerts' in relay.yaml");
    return kExitOk;
  }
  std::fputs(TextTable(lines).c_str(), stdout);
  return kExitOk;
}

int TellTests(const JsonIndex& answer) {
  int code = kExitOk;
  for (JsonArray alerts(answer.Find("alerts")); JsonValue item = alerts.Next();) {
    Result<JsonIndex> alert = JsonIndex::Object(item);
    if (!alert) continue;
    bool sent = alert->Find("sent").Bool().value_or(false);
    if (!sent) code = kExitFailed;
    std::printf("alert '%s': %s (%s)\n", TextIn(*alert, "name").c_str(), sent ? "sent" : "not sent",
                TextIn(*alert, "detail").c_str());
  }
  return code;
}

}  // namespace

int RunAlerts(const Options& options, const Environment& environment) {
  bool test = options.action == "test";
  FetchRequest request{.target = "/admin/v1/alerts"};
  if (test) {
    request.method = "POST";
    request.target += "/test";
    if (!options.names.empty()) request.target += "?name=" + PercentEncode(options.names[0]);
  }
  std::expected<std::string, int> body = AskRelay(options, environment, request, kPatience);
  if (!body) return body.error();
  if (options.json) {
    std::puts(body->c_str());
    return kExitOk;
  }
  Result<JsonIndex> answer = JsonIndex::Parse(*body);
  if (!answer) return NotUnderstood(answer.error());
  return test ? TellTests(*answer) : TellList(*answer);
}

}  // namespace relay
