// SPDX-License-Identifier: MIT
// The relay's own answers: /health, /ready and /metrics (design §10). They ask nobody else.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "admin/services.h"
#include "core/exchange/worker.h"

namespace relay {

class ProcessEndpoints final : public Endpoints {
 public:
  enum class Phase : uint8_t { kStarting, kServing, kDraining };

  // `services` outlives this.
  explicit ProcessEndpoints(Services& services);
  std::optional<Reply> Answer(const Head& request, std::string_view path) override;

  void SetPhase(Phase phase) { phase_ = phase; }
  Phase phase() const { return phase_; }
  // The body of /health, for the control socket as well.
  std::string HealthText() const;

 private:
  Reply Ready() const;
  Reply MetricsText(const Head& request);
  void UpdateProcessSeries();

  Services& services_;
  const TimePoint started_;
  std::atomic<Phase> phase_{Phase::kStarting};

  std::mutex mutex_;  // one scrape at a time
  double cpu_seconds_ = 0;
  Gauge resident_;
  Gauge descriptors_;
  Gauge buffered_;
  Gauge uptime_;
  Counter cpu_;
};

}  // namespace relay
