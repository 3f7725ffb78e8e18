// SPDX-License-Identifier: MIT
#include "core/exchange/metrics.h"

#include <exception>

#include "core/base/log.h"
#include "core/exchange/exchange.h"
#include "core/store/keys.h"

namespace relay {
namespace {

const std::vector<double> kSeconds = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                      1,     2.5,   5,    10,    30,   60,  120,  300};

double SecondsOf(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

ExchangeMetrics::ExchangeMetrics(Metrics& metrics)
    : metrics_(metrics),
      active_(metrics.MakeGauge("relay_active_exchanges", "Requests in flight")),
      internal_errors_(
          metrics.MakeCounter("relay_internal_errors_total", "Exchanges ended by a bug of ours")),
      client_gone_(metrics.MakeCounter("relay_client_disconnects_total",
                                       "Clients that left before their answer's end")),
      first_byte_(metrics.MakeHistogram("relay_time_to_first_byte_seconds",
                                        "From a request's head to its answer's first byte",
                                        kSeconds)) {}

void ExchangeMetrics::OnStart() {
  ++active_count_;
  active_.Add(1);
}

ExchangeMetrics::Series& ExchangeMetrics::SeriesOf(const Exchange& x) {
  std::string route = x.route == nullptr ? "none" : x.route->name;
  std::string code = x.outcome.status == 0 ? "none" : std::to_string(x.outcome.status / 100) + "xx";
  std::string end(NameOf(x.outcome.end));
  std::string id = route + '\n' + code + '\n' + end;
  std::lock_guard lock(mutex_);
  std::unique_ptr<Series>& series = series_[id];
  if (series == nullptr) {
    Labels labels = {{"route", route}, {"code_class", code}, {"outcome", end}};
    series = std::make_unique<Series>(Series{
        metrics_.MakeCounter("relay_requests_total", "Requests by route and outcome", labels),
        metrics_.MakeHistogram("relay_request_duration_seconds",
                               "From a request's head to its answer's end", kSeconds,
                               {{"route", route}})});
  }
  return *series;
}

void ExchangeMetrics::OnFinish(const Exchange& x) noexcept {
  try {
    --active_count_;
    active_.Add(-1);
    Series& series = SeriesOf(x);
    series.requests.Add();
    series.duration.Observe(SecondsOf(x.outcome.total));
    if (x.outcome.end == Outcome::End::kClientGone) client_gone_.Add();
    if (x.outcome.first_byte > Duration::zero()) {
      first_byte_.Observe(SecondsOf(x.outcome.first_byte));
    }
    if (!LogEnabled(LogLevel::kInfo)) return;
    Log(LogLevel::kInfo, "exchange",
        {{"id", x.id},
         {"method", x.request.method},
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
