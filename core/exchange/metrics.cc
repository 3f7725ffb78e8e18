// SPDX-License-Identifier: MIT
#include "core/exchange/metrics.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/base/log.h"
#include "core/store/keys.h"

namespace relay {
namespace {

const std::vector<double> kSeconds = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                      1,     2.5,   5,    10,    30,   60,  120,  300};

double SecondsOf(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

RouteMetrics::RouteMetrics(Metrics& metrics, std::string route)
    : metrics_(metrics),
      route_(std::move(route)),
      duration_(metrics.MakeHistogram("relay_request_duration_seconds",
                                      "From a request's head to its answer's end", kSeconds,
                                      {{"route", route_}})),
      first_byte_(metrics.MakeHistogram("relay_time_to_first_byte_seconds",
                                        "From a request's head to its answer's first byte",
                                        kSeconds, {{"route", route_}})) {}

Counter& RouteMetrics::RequestsOf(const Outcome& outcome) {
  size_t code = std::min(static_cast<size_t>(outcome.status / 100), kCodeClasses - 1);
  size_t index = code * kEnds + static_cast<size_t>(outcome.end);
  if (Counter* counter = requests_[index].load(std::memory_order_acquire)) return *counter;
  Labels labels = {{"route", route_},
                   {"code_class", code == 0 ? "none" : std::to_string(code) + "xx"},
                   {"outcome", std::string(NameOf(outcome.end))}};
  auto counter = std::make_unique<Counter>(
      metrics_.MakeCounter("relay_requests_total", "Requests by route and outcome", labels));
  std::lock_guard lock(mutex_);
  // Two threads may both have made one: it is the same series.
  made_.push_back(std::move(counter));
  requests_[index].store(made_.back().get(), std::memory_order_release);
  return *made_.back();
}

void RouteMetrics::Count(const Outcome& outcome) {
  RequestsOf(outcome).Add();
  duration_.Observe(SecondsOf(outcome.total));
  if (outcome.first_byte > Duration::zero()) first_byte_.Observe(SecondsOf(outcome.first_byte));
}

ExchangeMetrics::ExchangeMetrics(Metrics& metrics)
    : metrics_(metrics),
      active_(metrics.MakeGauge("relay_active_exchanges", "Requests in flight")),
      internal_errors_(
          metrics.MakeCounter("relay_internal_errors_total", "Exchanges ended by a bug of ours")),
      client_gone_(metrics.MakeCounter("relay_client_disconnects_total",
                                       "Clients that left before their answer's end")),
      no_route_(Route("none")) {}

RouteMetrics& ExchangeMetrics::Route(const std::string& name) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<RouteMetrics>& route = routes_[name];
  if (route == nullptr) route = std::make_unique<RouteMetrics>(metrics_, name);
  return *route;
}

void ExchangeMetrics::OnStart() {
  ++active_count_;
  active_.Add(1);
}

void ExchangeMetrics::OnFinish(const Exchange& x) noexcept {
  try {
    --active_count_;
    active_.Add(-1);
    bool known = x.route != nullptr && x.route->metrics != nullptr;
    (known ? *x.route->metrics : no_route_).Count(x.outcome);
    if (x.outcome.end == Outcome::End::kClientGone) client_gone_.Add();
    if (!LogEnabled(LogLevel::kInfo)) return;
    Log(LogLevel::kInfo, "exchange",
        {{"id", x.id},
         {"method", x.method},
         {"path", x.path},
         {"route", x.route == nullptr ? std::string_view() : std::string_view(x.route->name)},
         {"key", x.facts.key == nullptr ? std::string_view() : std::string_view(x.facts.key->name)},
         {"account", x.facts.lease == nullptr ? std::string_view() : x.facts.lease->account()},
         {"model", x.ask.model},
         {"status", x.outcome.status},
         {"outcome", NameOf(x.outcome.end)},
         {"why", x.outcome.why},
         {"attempts", x.outcome.attempts},
         {"bytes_in", x.outcome.bytes_in},
         {"bytes_out", x.outcome.bytes_out},
         {"ms", SecondsOf(x.outcome.total) * 1e3},
         {"ttfb_ms", SecondsOf(x.outcome.first_byte) * 1e3},
         {"peer", x.peer()}});
  } catch (const std::exception&) {
    // Out of memory while counting: the traffic goes on.
  }
}

void ExchangeMetrics::OnInternalError(std::string_view what) noexcept {
  try {
    internal_errors_.Add();
    Log(LogLevel::kError, "internal error", {{"what", what}});
  } catch (const std::exception&) {
    // As above.
  }
}

}  // namespace relay
