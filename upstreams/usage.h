// SPDX-License-Identifier: MIT
// The meters of the vendors' answers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/exchange/usage_meter.h"

namespace relay {

// What is known before the answer, for what the answer leaves open.
struct MeterSeed {
  std::string model;          // of the request
  int64_t request_bytes = 0;  // of its body: what was read is guessed from it
  bool generates = true;      // false: count_tokens and the like, which cost nothing
  int64_t candidates = 1;     // answers that were asked for at once
};

// Anthropic Messages, streamed or not.
std::unique_ptr<UsageMeter> MakeClaudeMeter(MeterSeed seed);
// Gemini generateContent and embedContent: SSE, JSON or a JSON array that comes in pieces, with
// or without Code Assist's `response` around each.
std::unique_ptr<UsageMeter> MakeGeminiMeter(MeterSeed seed);

// Tokens that so many bytes of text are, roughly.
constexpr int64_t TokensOfBytes(uint64_t bytes) {
  return static_cast<int64_t>((bytes + 3) / 4);
}

}  // namespace relay
