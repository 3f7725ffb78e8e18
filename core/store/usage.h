// SPDX-License-Identifier: MIT
// What an exchange used, in the vendor's own units.
#pragma once

#include <cstdint>
#include <string>

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
  bool estimated = false;      // some count is a guess: cut off, or not readable
  std::string model;           // as the answer names it; the request's where it does not

  int64_t total() const { return input + output + cache_read + cache_write_5m + cache_write_1h; }
  // What the model read, from wherever: decides the long-context tier.
  int64_t prompt() const { return input + cache_read + cache_write_5m + cache_write_1h; }
};

}  // namespace relay
