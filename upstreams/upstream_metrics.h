// SPDX-License-Identifier: MIT
// What is counted of a cluster's accounts. Process-wide; every series is resolved at start.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/metrics/metrics.h"
#include "upstreams/account_pool.h"

namespace relay {

class UpstreamMetrics {
 public:
  // What became of an attempt: a judgement of the answer, or how the way to it failed.
  enum class Reason : uint8_t {
    kOk,
    kRequest,
    kUnsuited,
    kLimited,
    kOverloaded,
    kRefused,
    kBroken,   // 5xx, or an answer that is none
    kConnect,  // not reached
    kReset,    // broken off before an answer
    kTimeout,  // reached, but silent
    kLocal,    // answered here
  };

  UpstreamMetrics(Metrics& metrics, const std::vector<Account>& accounts);
  void Count(size_t account, Reason reason);
  // Sets relay_account_state and the cooldown. After a report that changed them, and before metrics
  // are read: a rest ends by itself.
  void Show(AccountPool& pool, TimePoint now);

 private:
  static constexpr size_t kReasons = 11;
  static constexpr size_t kHealths = 6;
  struct Series {
    std::vector<Counter> attempts;  // by Reason
    std::vector<Gauge> states;      // by Health
    std::vector<Gauge> in_flight;   // one
    std::vector<Gauge> cooldown;    // one
  };
  std::vector<Series> series_;  // by account
};

std::string_view NameOf(UpstreamMetrics::Reason reason);

}  // namespace relay
