// SPDX-License-Identifier: MIT
#include "admin/endpoints.h"

#include <map>
#include <utility>

#include "admin/api/router.h"
#include "admin/machine.h"
#include "core/base/json.h"
#include "core/base/secret.h"
#include "core/base/text.h"

namespace relay {
namespace {

constexpr std::string_view kPrometheusText = "text/plain; version=0.0.4; charset=utf-8";

double SecondsOf(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

bool FailsClosed(const StoreConfig& store) {
  return store.kind == StoreConfig::Kind::kRedis && store.redis.on_outage != OnOutage::kFailOpen;
}

std::string_view NameOf(ProcessEndpoints::Phase phase) {
  switch (phase) {
    case ProcessEndpoints::Phase::kStarting: return "starting";
    case ProcessEndpoints::Phase::kServing: return "ready";
    case ProcessEndpoints::Phase::kDraining: return "draining";
  }
  return "";
}

// As /health has it: a store on this machine has nothing to connect to, but may fail.
std::string_view NameOf(StoreStatus::Link link, bool fails) {
  switch (link) {
    case StoreStatus::Link::kLocal: return fails ? "disconnected" : "embedded";
    case StoreStatus::Link::kConnecting: return "connecting";
    case StoreStatus::Link::kConnected: return "connected";
    case StoreStatus::Link::kDisconnected: return "disconnected";
  }
  return "";
}

}  // namespace

ProcessEndpoints::ProcessEndpoints(Services& services)
    : services_(services),
      started_(services.clock.Now()),
      fails_closed_(FailsClosed(services.current()->config->store)),
      loaded_(services.clock.Wall()),
      resident_(services.metrics.MakeGauge("process_resident_memory_bytes", "Memory in use")),
      descriptors_(services.metrics.MakeGauge("process_open_fds", "Open descriptors")),
      buffered_(services.metrics.MakeGauge("relay_buffered_body_bytes",
                                           "Bytes of request bodies in memory")),
      uptime_(services.metrics.MakeGauge("relay_uptime_seconds", "Since the relay was started")),
      cpu_(services.metrics.MakeCounter("process_cpu_seconds_total", "User and system time")),
      unsettled_(services.metrics.MakeGauge(
          "relay_usage_unsettled", "Exchanges that have used something and have not ended")),
      degraded_(services.metrics.MakeGauge(
          "relay_state_degraded", "1 while the store or the journal fails or is not there")),
      connected_(services.metrics.MakeGauge("relay_state_connected",
                                            "1 unless the store is to be reached and is not")),
      subscribed_(services.metrics.MakeGauge(
          "relay_state_subscribed",
          "1 unless what other relays change in the store is to be heard of and is not")),
      commands_(services.metrics.MakeCounter("relay_state_commands_total",
                                             "Commands sent to the store, where it has any")),
      month_used_(services.metrics.MakeGauge(
          "relay_state_commands_month", "Commands of this month (UTC), of earlier runs as well")),
      month_forecast_(
          services.metrics.MakeGauge("relay_state_commands_month_forecast",
                                     "What the month comes to if it goes on like this")),
      month_budget_(services.metrics.MakeGauge("relay_state_commands_month_budget",
                                               "What relay.yaml allows for a month; 0: no bound")),
      month_idle_(services.metrics.MakeGauge(
          "relay_state_commands_month_idle",
          "What a month costs in which nothing is asked of this relay; 0 with one replica")),
      flush_interval_(services.metrics.MakeGauge(
          "relay_state_flush_interval_seconds",
          "How often the store is told; longer than configured while commands run low")),
      limits_shared_(services.metrics.MakeGauge(
          "relay_limits_shared",
          "1 while several relays hold limits together; 0: this one holds them alone")),
      alone_(services.metrics.MakeCounter("relay_limits_alone_total",
                                          "Requests with limits that were decided without the "
                                          "other relays, who could not be asked")),
      lost_(services.metrics.MakeCounter("relay_usage_lost_total",
                                         "Exchanges that found no memory to be recorded in")) {
  for (size_t op = 0; op < LedgerKeeper::kOps; ++op) {
    std::string name(LedgerKeeper::NameOf(static_cast<LedgerKeeper::Op>(op)));
    errors_.push_back(services.metrics.MakeCounter(
        "relay_state_errors_total", "Failures of the store and the journal", {{"op", name}}));
  }
  services.metrics
      .MakeGauge("relay_build_info", "Which relay this is", {{"version", RELAY_VERSION}})
      .Set(1);
  services.metrics
      .MakeGauge("relay_buffered_body_limit_bytes", "Bytes that request bodies may take together")
      .Set(static_cast<double>(services.bodies.bound()));
}

std::optional<Reply> ProcessEndpoints::Answer(const Head& request, std::string_view path) {
  bool health = path == "/health";
  bool ready = path == "/ready";
  bool metrics = path == "/metrics";
  if (!health && !ready && !metrics) return std::nullopt;
  if (request.method != "GET" && request.method != "HEAD") {
    Reply reply = ApiError(405, "only GET and HEAD are answered here");
    reply.headers.emplace_back("allow", "GET, HEAD");
    return reply;
  }
  Reply reply = health ? Reply{.body = HealthText()} : ready ? Ready() : MetricsText(request);
  reply.headers.emplace_back("cache-control", "no-store");
  return reply;
}

std::string ProcessEndpoints::HealthText() const {
  JsonText body;
  body.BeginObject();
  std::string_view well = Degraded() ? "degraded" : "ok";
  body.Field("status", phase_ == Phase::kDraining ? "draining" : well);
  body.Field("timestamp", IsoTime(services_.clock.Wall()));
  body.Field(
      "uptime",
      std::chrono::duration_cast<std::chrono::seconds>(services_.clock.Now() - started_).count());
  body.Field("version", RELAY_VERSION);
  body.Key("services").BeginObject();
  body.Field("redis", NameOf(Store().link, StateStatus().store_fails));
  body.EndObject();
  return body.EndObject().Take();
}

// Counts, no names: whoever reaches the port may ask.
Reply ProcessEndpoints::Ready() const {
  JsonText body;
  body.BeginObject().Field("status", NameOf(phase_.load()));
  body.Key("accounts").BeginObject();
  std::shared_ptr<const Snapshot> snapshot = services_.current();
  for (const auto& cluster : snapshot->clusters) {
    std::map<std::string_view, int64_t> states;
    for (const AccountPool::View& view : cluster->pool->Look()) {
      ++states[NameOf(view.health)];
    }
    body.Key(cluster->config.name).BeginObject();
    for (const auto& [state, count] : states) body.Field(state, count);
    body.EndObject();
  }
  body.EndObject();
  body.Field("store", services_.state == nullptr ? "memory" : services_.state->kind());
  // Where other relays change what this one must know.
  if (Shared() != nullptr) body.Field("store_changes", Store().deaf ? "not heard" : "heard");
  {
    std::lock_guard lock(reload_mutex_);
    body.Key("config").BeginObject().Field("loaded", IsoTime(loaded_));
    if (refused_at_) body.Field("refused", *refused_at_);
    body.EndObject();
  }
  if (StoreStatus store = Store(); store.month_budget > 0) {
    body.Key("store_commands").BeginObject();
    body.Field("month", store.month_used).Field("forecast", store.month_forecast);
    body.Field("budget", store.month_budget);
    body.Field("flush_seconds", SecondsOf(store.flush_every));
    body.EndObject();
  }
  body.EndObject();
  return Reply{.status = phase_ == Phase::kServing ? 200 : 503, .body = body.Take()};
}

void ProcessEndpoints::SetReload(const ReloadOutcome& outcome) {
  std::lock_guard lock(reload_mutex_);
  if (outcome.good()) {
    loaded_ = services_.clock.Wall();
    refused_at_.reset();
    return;
  }
  // Where the first problem is, without the folder; what it says is for the log, since it may name
  // keys and accounts.
  std::string_view problem = outcome.problems.front();
  std::string_view place = problem.substr(0, problem.find(": "));
  refused_at_ = place.substr(place.rfind('/') + 1);
}

LedgerKeeper::Status ProcessEndpoints::StateStatus() const {
  return services_.state == nullptr ? LedgerKeeper::Status() : services_.state->status();
}

StoreStatus ProcessEndpoints::Store() const {
  return services_.state == nullptr ? StoreStatus() : services_.state->store_status();
}

const SharedLimits* ProcessEndpoints::Shared() const {
  return services_.state == nullptr ? nullptr : services_.state->shared_limits();
}

SharedLimits::Status ProcessEndpoints::SharedLimitsStatus() const {
  const SharedLimits* limits = Shared();
  return limits == nullptr ? SharedLimits::Status{.away = true} : limits->status();
}

bool ProcessEndpoints::Degraded() const {
  const SharedLimits* limits = Shared();
  bool alone = limits != nullptr && limits->status().away;
  StoreStatus store = Store();
  return alone || StateStatus().degraded() || store.deaf ||
         store.link == StoreStatus::Link::kDisconnected;
}

std::optional<std::string> ProcessEndpoints::Closed() {
  if (!fails_closed_) return std::nullopt;
  if (!StateStatus().store_fails && Store().link != StoreStatus::Link::kDisconnected) {
    return std::nullopt;
  }
  return "the relay cannot reach its store, and is set to serve nothing without it; try again";
}

void ProcessEndpoints::UpdateStateSeries() {
  LedgerKeeper::Status status = StateStatus();
  unsettled_.Set(static_cast<double>(services_.ledger.unsettled()));
  degraded_.Set(Degraded() ? 1 : 0);
  StoreStatus store = Store();
  bool away = store.link == StoreStatus::Link::kConnecting ||
              store.link == StoreStatus::Link::kDisconnected;
  connected_.Set(away ? 0 : 1);
  subscribed_.Set(store.deaf ? 0 : 1);
  commands_.Add(
      static_cast<double>(store.commands - std::exchange(commands_told_, store.commands)));
  month_used_.Set(static_cast<double>(store.month_used));
  month_forecast_.Set(static_cast<double>(store.month_forecast));
  month_budget_.Set(static_cast<double>(store.month_budget));
  month_idle_.Set(static_cast<double>(store.month_idle));
  flush_interval_.Set(SecondsOf(store.flush_every));
  SharedLimits::Status limits = SharedLimitsStatus();
  limits_shared_.Set(limits.away ? 0 : 1);
  alone_.Add(static_cast<double>(limits.alone - std::exchange(alone_told_, limits.alone)));
  int64_t lost = services_.ledger.lost();
  lost_.Add(static_cast<double>(lost - std::exchange(lost_told_, lost)));
  for (size_t op = 0; op < errors_.size(); ++op) {
    uint64_t fresh = status.errors[op] - std::exchange(errors_told_[op], status.errors[op]);
    if (fresh > 0) errors_[op].Add(static_cast<double>(fresh));
  }
}

void ProcessEndpoints::UpdateProcessSeries() {
  std::shared_ptr<const Snapshot> snapshot = services_.current();
  for (const auto& cluster : snapshot->clusters) {
    cluster->metrics->Show(*cluster->pool, services_.clock.Now());
  }
  ProcessUsage usage = ReadProcessUsage();
  resident_.Set(static_cast<double>(usage.resident_bytes));
  descriptors_.Set(static_cast<double>(usage.open_descriptors));
  buffered_.Set(static_cast<double>(services_.bodies.used()));
  uptime_.Set(SecondsOf(services_.clock.Now() - started_));
  cpu_.Add(usage.cpu_seconds - std::exchange(cpu_seconds_, usage.cpu_seconds));
}

Reply ProcessEndpoints::MetricsText(const Head& request) {
  std::shared_ptr<const Snapshot> snapshot = services_.current();
  const Secret& token = snapshot->config->admin.metrics_token;
  if (!token.empty() &&
      !SecretEquals(token.Reveal(), BearerOf(request.Get("authorization")).value_or(""))) {
    Reply reply = ApiError(401, "send the metrics token as a bearer");
    reply.headers.emplace_back("www-authenticate", "Bearer realm=\"metrics\"");
    return reply;
  }
  std::lock_guard lock(mutex_);
  UpdateProcessSeries();
  UpdateStateSeries();
  return Reply{.content_type = std::string(kPrometheusText),
               .body = services_.metrics.Text(/*detailed=*/!token.empty())};
}

}  // namespace relay
