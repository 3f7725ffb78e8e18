// SPDX-License-Identifier: MIT
// What a Redis or Valkey server says when it refuses, in words that help.
#pragma once

#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/store/resp.h"

namespace relay {

struct RedisOptions;

// How Upstash refuses every command of a month in which the plan's are used up.
inline constexpr std::string_view kPlanSpent = "max requests limit exceeded";

// "Redis at cache.example:6379".
std::string RedisName(const RedisOptions& options);
// What a server's error reply means and what to do about it; every one of them retryable.
Error ExplainRedis(const RespReply& reply, const RedisOptions& options);
// The server refuses it for now; all else wants a person. Of an error reply's text.
bool RedisErrorPasses(std::string_view text);

}  // namespace relay
