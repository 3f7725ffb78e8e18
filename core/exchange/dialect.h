// SPDX-License-Identifier: MIT
// The shapes in which clients expect refusals, stream errors and keep-alives. Sources: Anthropic
// "Errors" (platform.claude.com/docs/en/api/errors), google.rpc.Status with ErrorInfo and RetryInfo
// (google/rpc/error_details.proto), OpenAI "Error codes".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"

namespace relay {

enum class Dialect : uint8_t { kPlain, kAnthropic, kGemini, kCodeAssist, kOpenai };

// A "no" of our own.
struct Refusal {
  Fault fault = Fault::kInternal;
  std::string message;  // English, short, says what to do; may hold bytes of a client, no secret
  std::optional<Duration> retry_after = {};  // only where it is true
  bool final = false;                        // repeating cannot cure it: x-should-retry: false
  Party party = Party::kRelay;               // whose doing: tells 400 from 502, 408 from 504
};

// An answer made here, body and all.
struct Reply {
  int status = 200;
  std::string content_type = "application/json";  // "": no such field
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
};

int StatusOf(const Refusal& refusal);
// The dialect's word for it, as its bodies have it: "rate_limit_error"; "" where it has none.
std::string_view ErrorType(Dialect dialect, const Refusal& refusal);
// What an error of ours or of the way to the upstream means for the client.
Refusal ToRefusal(const Error& error);
Reply RefusalReply(Dialect dialect, const Refusal& refusal, std::string_view request_id);
// The error event of a stream that has begun; "" where the dialect has none.
std::string ErrorEvent(Dialect dialect, const Refusal& refusal, std::string_view request_id);
// Bytes that keep a silent stream alive; "" where any would do harm: a comment line ends Gemini
// CLI.
std::string_view KeepAlive(Dialect dialect);
// True where a clean early end would pass for a whole answer, so that the connection must break.
bool EarlyEndLooksWhole(Dialect dialect);

}  // namespace relay
