// SPDX-License-Identifier: MIT
// How an exchange came to its answer, told to clients whose key may see it: x-relay-decision.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/clock.h"

namespace relay {

class Exchange;

// What the header tells and nobody else knows.
struct Way {
  std::string_view sticky;  // cluster: "new", "kept", "moved"; "": no session. Static texts
  std::string tried;        // cluster: who failed, and by what: "alice-max:429,team:reset"
  int64_t cache_lost = 0;   // cluster: tokens of the prompt that were cached where it left
  Duration waited{};        // for places: rate-limit, cluster
};

inline constexpr std::string_view kDecisionField = "x-relay-decision";

// "route=claude; account=team-api; sticky=moved; attempts=2; tried=alice-max:429; cache-lost=52000;
// wait=12ms", or "route=claude; refused=rate-limit": in this order, without what does not apply.
// Names of relay.yaml, words and numbers only. "": the key may not see it, or is not known.
std::string DecisionOf(const Exchange& x);

}  // namespace relay
