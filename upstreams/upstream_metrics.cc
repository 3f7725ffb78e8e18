// SPDX-License-Identifier: MIT
#include "upstreams/upstream_metrics.h"

#include <algorithm>
#include <utility>

namespace relay {

static const std::vector<double> kWaitBounds = {0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300};

std::string_view NameOf(UpstreamMetrics::Reason reason) {
  using Reason = UpstreamMetrics::Reason;
  switch (reason) {
    case Reason::kOk: return "ok";
    case Reason::kRequest: return "request";
    case Reason::kUnsuited: return "unsuited";
    case Reason::kLimited: return "limited";
    case Reason::kOverloaded: return "overloaded";
    case Reason::kRefused: return "refused";
    case Reason::kExpired: return "expired";
    case Reason::kBroken: return "broken";
    case Reason::kConnect: return "connect";
    case Reason::kProxy: return "proxy";
    case Reason::kReset: return "reset";
    case Reason::kTimeout: return "timeout";
    case Reason::kLocal: return "local";
    case Reason::kThinking: return "thinking";
  }
  return "broken";
}

UpstreamMetrics::UpstreamMetrics(Metrics& metrics, std::string cluster)
    : metrics_(metrics),
      cluster_(std::move(cluster)),
      queue_depth_(metrics.MakeGauge("relay_queue_depth",
                                     "Requests that wait while all accounts are busy",
                                     {{"cluster", cluster_}})),
      queue_wait_(metrics.MakeHistogram("relay_queue_wait_seconds",
                                        "How long requests waited that found all accounts busy",
                                        kWaitBounds, {{"cluster", cluster_}})),
      spent_budget_(metrics.MakeCounter("relay_failover_budget_spent_total",
                                        "Requests not tried again: too many of the cluster's were",
                                        {{"cluster", cluster_}})),
      lost_cache_(metrics.MakeCounter(
          "relay_cache_lost_tokens_total",
          "Tokens that an account had cached of the prompt of a session that left it",
          {{"cluster", cluster_}})) {}

UpstreamMetrics::Series& UpstreamMetrics::SeriesOf(std::string_view account) {
  auto known = series_.find(account);
  if (known != series_.end()) return known->second;
  std::string id = cluster_ + "/" + std::string(account);
  Series series;
  for (size_t i = 0; i < kReasons; ++i) {
    series.attempts.push_back(metrics_.MakeCounter(
        "relay_upstream_attempts_total", "Attempts by account and what became of them",
        {{"account", id}, {"reason", std::string(NameOf(static_cast<Reason>(i)))}}));
  }
  for (size_t i = 0; i < kHealths; ++i) {
    auto health = static_cast<AccountPool::Health>(i);
    series.states.push_back(
        metrics_.MakeGauge("relay_account_state", "1 for the state that an account is in",
                           {{"account", id}, {"state", std::string(NameOf(health))}}));
  }
  series.in_flight.push_back(metrics_.MakeGauge(
      "relay_account_in_flight", "Requests that an account carries", {{"account", id}}));
  series.cooldown.push_back(metrics_.MakeGauge(
      "relay_account_cooldown_seconds", "Until an account's rest is over", {{"account", id}}));
  series.first_content.push_back(metrics_.MakeGauge(
      "relay_account_first_content_seconds",
      "How long streams of an account took to their first event, a moving average",
      {{"account", id}}));
  for (const char* window : {"5h", "week"}) {
    series.windows.push_back(
        metrics_.MakeGauge("relay_account_window_used",
                           "Share of a subscription's window that is used, as its vendor says",
                           {{"account", id}, {"window", window}}));
  }
  return series_.emplace(account, std::move(series)).first->second;
}

void UpstreamMetrics::Count(std::string_view account, Reason reason) {
  std::lock_guard lock(mutex_);
  SeriesOf(account).attempts[static_cast<size_t>(reason)].Add();
}

void UpstreamMetrics::Set(Series& series, const AccountPool::View* view, TimePoint now) {
  for (size_t health = 0; health < kHealths; ++health) {
    bool is = view != nullptr && static_cast<size_t>(view->health) == health;
    series.states[health].Set(is ? 1 : 0);
  }
  series.in_flight.front().Set(view == nullptr ? 0 : view->in_flight);
  Duration content = view == nullptr ? Duration::zero() : view->first_content;
  series.first_content.front().Set(std::chrono::duration<double>(content).count());
  UsageWindows windows = view == nullptr ? UsageWindows() : view->windows;
  series.windows[0].Set(windows.five_hours.used);
  series.windows[1].Set(windows.week.used);
  bool rests = view != nullptr && view->until > now;
  Duration left = rests ? view->until - now : Duration::zero();
  series.cooldown.front().Set(std::chrono::duration<double>(left).count());
}

void UpstreamMetrics::Waited(Duration wait) {
  if (wait > Duration::zero()) queue_wait_.Observe(std::chrono::duration<double>(wait).count());
}

void UpstreamMetrics::Show(AccountPool& pool, TimePoint now) {
  queue_depth_.Set(static_cast<double>(pool.waiting()));
  std::vector<AccountPool::View> views = pool.Look();
  std::lock_guard lock(mutex_);
  for (const AccountPool::View& view : views) SeriesOf(view.name);
  for (auto& [name, series] : series_) {
    auto view = std::ranges::find(views, name, &AccountPool::View::name);
    Set(series, view == views.end() ? nullptr : &*view, now);
  }
}

}  // namespace relay
