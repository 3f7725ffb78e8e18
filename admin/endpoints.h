// SPDX-License-Identifier: MIT
// The relay's own answers: /health, /ready and /metrics. They ask nobody else.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "admin/reload.h"
#include "admin/services.h"
#include "core/exchange/worker.h"

namespace relay {

class ProcessEndpoints final : public Endpoints {
 public:
  enum class Phase : uint8_t { kStarting, kServing, kDraining };

  // `services` outlives this.
  explicit ProcessEndpoints(Services& services);
  std::optional<Reply> Answer(const Head& request, std::string_view path) override;
  // While the store is away and relay.yaml says fail-closed.
  std::optional<std::string> Closed() override;

  void SetPhase(Phase phase) { phase_ = phase; }
  Phase phase() const { return phase_; }
  // What /ready tells of relay.yaml from now on. From any thread.
  void SetReload(const ReloadOutcome& outcome);
  // The body of /health, for the control socket as well.
  std::string HealthText() const;

 private:
  Reply Ready() const;
  Reply MetricsText(const Head& request);
  LedgerKeeper::Status StateStatus() const;
  StoreStatus Store() const;
  // Of a relay that shares none: as if the others could not be asked.
  const SharedLimits* Shared() const;  // null: this relay shares none
  SharedLimits::Status SharedLimitsStatus() const;
  bool Degraded() const;
  void UpdateProcessSeries();
  void UpdateStateSeries();

  Services& services_;
  const TimePoint started_;
  const bool fails_closed_;  // a store is chosen for the life of the process
  std::atomic<Phase> phase_{Phase::kStarting};

  mutable std::mutex reload_mutex_;  // guards the next two
  WallTime loaded_;
  std::optional<std::string> refused_at_;  // "relay.yaml:4:7": a newer file is not good

  std::mutex mutex_;  // one scrape at a time
  double cpu_seconds_ = 0;
  Gauge resident_;
  Gauge descriptors_;
  Gauge buffered_;
  Gauge uptime_;
  Counter cpu_;
  Gauge unsettled_;
  Gauge degraded_;
  Gauge connected_;
  Gauge subscribed_;
  Counter commands_;
  uint64_t commands_told_ = 0;
  Gauge month_used_;
  Gauge month_forecast_;
  Gauge month_budget_;
  Gauge month_idle_;
  Gauge flush_interval_;
  Gauge limits_shared_;
  Counter alone_;
  uint64_t alone_told_ = 0;
  Counter lost_;
  int64_t lost_told_ = 0;
  std::array<uint64_t, LedgerKeeper::kOps> errors_told_{};
  std::vector<Counter> errors_;  // by operation
};

}  // namespace relay
