// SPDX-License-Identifier: MIT
// What an exchange used, and the side reader that finds it out. A meter sees every byte of an
// answer, changes and delays none, keeps a bounded state, and its troubles disturb nobody: what it
// cannot read it estimates.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace relay {

// Tokens. The five counts beside `reasoning` have no token in common, so that each has its price.
struct Usage {
  int64_t input = 0;   // read afresh: neither from a cache nor into one
  int64_t output = 0;  // all that was produced, reasoning included
  int64_t cache_read = 0;
  int64_t cache_write_5m = 0;  // kept for five minutes
  int64_t cache_write_1h = 0;  // kept for an hour
  int64_t reasoning = 0;       // the part of `output` that was thinking, where the vendor says it
  int64_t searches = 0;        // web searches the vendor made, which it bills apart
  bool fast = false;           // served in the vendor's dearer fast mode
  bool us_only = false;        // served in the US only, for a surcharge
  std::string model;           // as the answer names it; the request's where it does not
  bool estimated = false;      // some count is a guess: cut off, or not readable

  int64_t total() const { return input + output + cache_read + cache_write_5m + cache_write_1h; }
  // What the model read, from wherever: decides the long-context tier.
  int64_t prompt() const { return input + cache_read + cache_write_5m + cache_write_1h; }
};

// What a meter needs of an answer's head.
struct AnswerInfo {
  int status = 0;
  std::string_view content_type;
  std::string_view content_encoding;  // "" or "identity": plain
};

class UsageMeter {
 public:
  virtual ~UsageMeter() = default;
  // Once, before any byte.
  virtual void OnHead(const AnswerInfo& head) = 0;
  // The body as it came, in any pieces, before they are sent on.
  virtual void OnBytes(std::string_view bytes) noexcept = 0;
  // The sum. `complete`: the answer ended as its framing promised; else it was cut, by whomever.
  // May be called more than once and before the end, for what is known so far. An answer that is
  // not 2xx used nothing.
  virtual Usage Finish(bool complete) const noexcept = 0;
  // The upstream has told some usage.
  virtual bool seen() const = 0;
  // The dialect's own end has come: message_stop, finishReason, a whole JSON text.
  virtual bool ended() const = 0;
  // An error event came inside the answer.
  virtual bool ended_error() const = 0;
};

}  // namespace relay
