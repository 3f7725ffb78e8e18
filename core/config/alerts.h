// SPDX-License-Identifier: MIT
// `alerts:` of relay.yaml: who is told, over a webhook, when something needs a person.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/secret.h"
#include "core/config/fields.h"
#include "core/config/proxy_url.h"
#include "core/config/units.h"

namespace relay {

// What may begin and end.
enum class AlertEvent : uint8_t {
  kRefused,     // a vendor does not accept an account's credential
  kLimited,     // an account is at its limit
  kExpired,     // an account's token has ended, and no new one is to be had
  kBroken,      // an account's requests fail
  kOverloaded,  // a vendor is short of capacity
  kUnserved,    // no account of a cluster can serve
  kBudget,      // a key, or a route, has spent a share of what it may
  kStore,       // the store or the journal fails
  kConfig,      // a changed relay.yaml was refused
};
std::span<const Word<AlertEvent>> WordsOf(AlertEvent);
std::string_view NameOf(AlertEvent event);

enum class AlertFormat : uint8_t { kJson, kSlack, kTelegram };

struct AlertConfig {
  std::string name;
  Secret url;  // all of it, for what it says often is a password; see Split
  AlertFormat format = AlertFormat::kJson;
  std::string text;  // a template of what is sent, instead of a format; "": none
  std::string chat;  // telegram
  Secret secret;     // empty: what is sent is not signed
  std::vector<AlertEvent> on = {AlertEvent::kRefused, AlertEvent::kLimited,  AlertEvent::kExpired,
                                AlertEvent::kBroken,  AlertEvent::kUnserved, AlertEvent::kBudget,
                                AlertEvent::kStore,   AlertEvent::kConfig};
  std::vector<int64_t> budget_percent = {80, 100};
  Duration quiet = std::chrono::minutes(15);
  ProxyUrl proxy;
  std::string emptied_by;  // the variable whose lack leaves it without its URL
  Place place;
};
void Bind(Fields& f, AlertConfig& a);

struct AlertUrl {
  Url url;
  std::string query;  // without '?'
};
// Of a URL that was read without complaint.
AlertUrl SplitAlertUrl(const Secret& url);

// What stands in a template as {{name}}.
inline constexpr std::string_view kAlertWords[] = {"summary", "event",   "phase", "severity",
                                                   "subject", "details", "time"};
using AlertValues = std::vector<std::pair<std::string_view, std::string>>;
// The template with {{name}} replaced, as JSON strings are written, without quotes. The error names
// what it cannot replace.
std::expected<std::string, std::string> FillAlertTemplate(std::string_view text,
                                                          const AlertValues& values);

}  // namespace relay
