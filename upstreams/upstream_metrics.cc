// SPDX-License-Identifier: MIT
#include "upstreams/upstream_metrics.h"

namespace relay {

std::string_view NameOf(UpstreamMetrics::Reason reason) {
  using Reason = UpstreamMetrics::Reason;
  switch (reason) {
    case Reason::kOk: return "ok";
    case Reason::kRequest: return "request";
    case Reason::kUnsuited: return "unsuited";
    case Reason::kLimited: return "limited";
    case Reason::kOverloaded: return "overloaded";
    case Reason::kRefused: return "refused";
    case Reason::kBroken: return "broken";
    case Reason::kConnect: return "connect";
    case Reason::kReset: return "reset";
    case Reason::kTimeout: return "timeout";
    case Reason::kLocal: return "local";
  }
  return "broken";
}

UpstreamMetrics::UpstreamMetrics(Metrics& metrics, const std::vector<Account>& accounts) {
  for (const Account& account : accounts) {
    std::string id = account.cluster + "/" + account.name;
    Series series;
    for (size_t i = 0; i < kReasons; ++i) {
      series.attempts.push_back(metrics.MakeCounter(
          "relay_upstream_attempts_total", "Attempts by account and what became of them",
          {{"account", id}, {"reason", std::string(NameOf(static_cast<Reason>(i)))}}));
    }
    for (size_t i = 0; i < kHealths; ++i) {
      auto health = static_cast<AccountPool::Health>(i);
      series.states.push_back(
          metrics.MakeGauge("relay_account_state", "1 for the state that an account is in",
                            {{"account", id}, {"state", std::string(NameOf(health))}}));
      series.states.back().Set(i == 0 ? 1 : 0);
    }
    series.in_flight.push_back(metrics.MakeGauge(
        "relay_account_in_flight", "Requests that an account carries", {{"account", id}}));
    series.cooldown.push_back(metrics.MakeGauge(
        "relay_account_cooldown_seconds", "Until an account's rest is over", {{"account", id}}));
    series_.push_back(std::move(series));
  }
}

void UpstreamMetrics::Count(size_t account, Reason reason) {
  series_[account].attempts[static_cast<size_t>(reason)].Add();
}

void UpstreamMetrics::Show(AccountPool& pool, TimePoint now) {
  std::vector<AccountPool::View> views = pool.Look();
  for (size_t i = 0; i < views.size(); ++i) {
    for (size_t health = 0; health < kHealths; ++health) {
      series_[i].states[health].Set(static_cast<size_t>(views[i].health) == health ? 1 : 0);
    }
    series_[i].in_flight.front().Set(views[i].in_flight);
    bool rests = views[i].until > now;
    Duration left = rests ? views[i].until - now : Duration::zero();
    series_[i].cooldown.front().Set(std::chrono::duration<double>(left).count());
  }
}

}  // namespace relay
