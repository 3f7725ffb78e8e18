// SPDX-License-Identifier: MIT
// The bodies of errors, as the vendors write them.
#pragma once

#include <string>
#include <string_view>

namespace relay {

// {"type": "error", …} as Claude says it.
inline std::string Anthropic(std::string_view type, std::string_view message) {
  return R"({"type":"error","error":{"type":")" + std::string(type) + R"(","message":")" +
         std::string(message) + R"("}})";
}

// google.rpc.Status in JSON; `details`: its members, by commas.
inline std::string Google(int code, std::string_view status, std::string_view details = "",
                          std::string_view message = "m") {
  return R"({"error":{"code":)" + std::to_string(code) + R"(,"message":")" + std::string(message) +
         R"(","status":")" + std::string(status) + R"(","details":[)" + std::string(details) +
         "]}}";
}

}  // namespace relay
