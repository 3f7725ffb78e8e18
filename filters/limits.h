// SPDX-License-Identifier: MIT
// Limits between relay.yaml, the limiter, and what a client is told of them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/config/root.h"
#include "core/store/limiter.h"

namespace relay {

RateLimits LimitsOf(const LimitsConfig& config);

// What a route's rate-limit has of its own, beside what stands at the keys.
struct RouteLimits {
  RateLimits limits;
  bool each_key = false;  // has them on this route; else all keys share them
};
// Nothing: it has none. Of a configuration that was found good.
std::optional<RouteLimits> LimitsOf(const RouteConfig& route);

// As relay.yaml calls it: "requests-per-minute", "cost-per-day".
std::string_view NameOf(Limiter::Denied::What what, CostWindow window);

// "requests-per-minute: 3 of 60 used, 57 left"
std::string Describe(const Limiter::Use& use);

// "key 'alice' is at its limit of 5 requests at once": `who` is over it.
std::string Explain(std::string_view who, const Limiter::Denied& denied);

}  // namespace relay
