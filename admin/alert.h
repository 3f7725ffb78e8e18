// SPDX-License-Identifier: MIT
// What is told over a webhook, in the words of who is told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/clock.h"
#include "core/config/alerts.h"

namespace relay {

struct Alert {
  enum class Phase : uint8_t { kBegan, kEnded, kTest };
  enum class Severity : uint8_t { kInfo, kWarning, kCritical };

  std::string id = {};  // the same for each try to tell it, so that twice can be told from two
  AlertEvent event{};
  Phase phase = Phase::kBegan;
  Severity severity = Severity::kInfo;
  WallTime when{};
  std::string subject;              // "account claude/alice-max"
  std::string what;                 // "is at its limit"; follows the subject
  std::string details = {};         // "429 rate_limit_error"; may be empty
  std::optional<WallTime> until{};  // nothing: not known
};

// What somebody is told who asks whether it works.
Alert TestAlert(WallTime now);

// The JSON that the receiver wants.
std::string AlertBody(const AlertConfig& config, const Alert& alert);
// The value of x-relay-signature for a body: "t=1764211200,v1=…", the HMAC-SHA-256 in hex of the
// seconds, a dot and the body. A receiver that compares the seconds with its clock cannot be told
// the same twice by a stranger.
std::string AlertSignature(const Secret& secret, std::string_view body, WallTime now);

}  // namespace relay
