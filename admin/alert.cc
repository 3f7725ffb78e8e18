// SPDX-License-Identifier: MIT
#include "admin/alert.h"

#include "core/base/json.h"
#include "core/base/secret.h"
#include "core/base/text.h"

namespace relay {
namespace {

std::string_view NameOf(Alert::Phase phase) {
  switch (phase) {
    case Alert::Phase::kBegan: return "began";
    case Alert::Phase::kEnded: return "ended";
    case Alert::Phase::kTest: return "test";
  }
  return "";
}

std::string_view NameOf(Alert::Severity severity) {
  switch (severity) {
    case Alert::Severity::kInfo: return "info";
    case Alert::Severity::kWarning: return "warning";
    case Alert::Severity::kCritical: return "critical";
  }
  return "";
}

std::string_view EventOf(const Alert& alert) {
  return alert.phase == Alert::Phase::kTest ? "test" : NameOf(alert.event);
}

// One line, all of it.
std::string SummaryOf(const Alert& alert) {
  std::string text = alert.subject + " " + alert.what;
  if (!alert.details.empty()) text += ": " + alert.details;
  if (alert.until) text += ", until " + IsoTime(*alert.until);
  return text;
}

// https://docs.slack.dev/messaging/formatting-message-text: these three are control characters.
std::string SlackText(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string Json(const Alert& alert) {
  JsonText json;
  json.BeginObject().Field("id", alert.id).Field("event", EventOf(alert));
  json.Field("phase", NameOf(alert.phase)).Field("severity", NameOf(alert.severity));
  json.Field("time", IsoTime(alert.when)).Field("subject", alert.subject);
  json.Field("summary", SummaryOf(alert));
  if (!alert.details.empty()) json.Field("details", alert.details);
  if (alert.until) json.Field("until", IsoTime(*alert.until));
  json.Key("relay").BeginObject().Field("version", RELAY_VERSION).EndObject();
  return json.EndObject().Take();
}

std::string Filled(std::string_view text, const Alert& alert) {
  AlertValues values = {{"summary", SummaryOf(alert)},
                        {"event", std::string(EventOf(alert))},
                        {"phase", std::string(NameOf(alert.phase))},
                        {"severity", std::string(NameOf(alert.severity))},
                        {"subject", alert.subject},
                        {"details", alert.details},
                        {"time", IsoTime(alert.when)}};
  // Its words were looked at when relay.yaml was read.
  return FillAlertTemplate(text, values).value_or("{}");
}

}  // namespace

Alert TestAlert(WallTime now) {
  return {.id = RandomHex(8),
          .phase = Alert::Phase::kTest,
          .when = now,
          .subject = "relay",
          .what = "can tell you of alerts: this is a test"};
}

std::string AlertBody(const AlertConfig& config, const Alert& alert) {
  if (!config.text.empty()) return Filled(config.text, alert);
  JsonText json;
  switch (config.format) {
    case AlertFormat::kJson: return Json(alert);
    case AlertFormat::kSlack:
      return json.BeginObject().Field("text", SlackText(SummaryOf(alert))).EndObject().Take();
    case AlertFormat::kTelegram:  // https://core.telegram.org/bots/api#sendmessage
      json.BeginObject().Field("chat_id", config.chat).Field("text", SummaryOf(alert));
      return json.EndObject().Take();
  }
  return "{}";
}

std::string AlertSignature(const Secret& secret, std::string_view body, WallTime now) {
  std::string seconds = std::to_string(
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  std::string signed_text = seconds + "." + std::string(body);
  return "t=" + seconds + ",v1=" + HexEncode(BytesOf(HmacSha256(secret.Reveal(), signed_text)));
}

}  // namespace relay
