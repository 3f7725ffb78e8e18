// SPDX-License-Identifier: MIT
// What Claude answers, well or not, and three accounts to ask it with.
#pragma once

#include <string>
#include <vector>

#include "tests/upstreams/cluster_world.h"

namespace relay {

inline const std::string kStart =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{"
    "\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
inline const std::string kStop =
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":8}}\n\n"
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
inline const std::string kOverloadedEvent =
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
    "\"message\":\"Overloaded\"}}\n\n";
inline const std::string kAuthError =
    R"({"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}})";
inline const std::string kLimitError =
    R"({"type":"error","error":{"type":"rate_limit_error","message":"over"}})";
inline const std::string kOverloaded =
    R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})";

// By their priority.
inline std::vector<AccountConfig> Three() {
  std::vector<AccountConfig> accounts = {KeyAccount("a", "sk-a"), KeyAccount("b", "sk-b"),
                                         KeyAccount("c", "sk-c")};
  for (size_t i = 0; i < 3; ++i) accounts[i].priority = static_cast<int>(10 * (i + 1));
  return accounts;
}

}  // namespace relay
