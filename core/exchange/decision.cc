// SPDX-License-Identifier: MIT
#include "core/exchange/decision.h"

#include <chrono>

#include "core/exchange/exchange.h"
#include "core/store/keys.h"

namespace relay {

std::string DecisionOf(const Exchange& x) {
  if (x.facts.key == nullptr || !x.facts.key->decisions) return "";
  std::string text;
  auto add = [&](std::string_view name, std::string_view value) {
    if (value.empty()) return;
    if (!text.empty()) text += "; ";
    text.append(name).append("=").append(value);
  };
  if (x.route != nullptr) add("route", x.route->name);
  if (x.outcome.end == Outcome::End::kRefused) {
    add("refused", x.step());
  } else if (x.facts.lease != nullptr) {
    add("account", x.facts.lease->account());
  }
  const Way& way = x.facts.way;
  add("sticky", way.sticky);
  if (x.outcome.attempts > 0) add("attempts", std::to_string(x.outcome.attempts));
  add("tried", way.tried);
  if (way.cache_lost > 0) add("cache-lost", std::to_string(way.cache_lost));
  int64_t millis = std::chrono::floor<std::chrono::milliseconds>(way.waited).count();
  if (millis > 0) add("wait", std::to_string(millis) + "ms");
  return text;
}

}  // namespace relay
