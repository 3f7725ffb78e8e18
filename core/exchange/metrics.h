// SPDX-License-Identifier: MIT
// What is counted and logged of every exchange. One for the process; all workers use it.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/exchange/exchange.h"
#include "core/metrics/metrics.h"

namespace relay {

// The series of one route; those of an outcome are made when it first happens.
class RouteMetrics {
 public:
  RouteMetrics(Metrics& metrics, std::string route);
  void Count(const Outcome& outcome);

 private:
  static constexpr size_t kCodeClasses = 6;  // none, 1xx … 5xx
  static constexpr size_t kEnds = static_cast<size_t>(Outcome::End::kDrained) + 1;

  Counter& RequestsOf(const Outcome& outcome);

  Metrics& metrics_;
  const std::string route_;
  Histogram duration_;
  Histogram first_byte_;
  std::array<std::atomic<Counter*>, kCodeClasses * kEnds> requests_{};
  std::mutex mutex_;  // guards `made_`
  std::vector<std::unique_ptr<Counter>> made_;
};

class ExchangeMetrics {
 public:
  explicit ExchangeMetrics(Metrics& metrics);
  // The series of a route, the same for the same name, and
  // lives as long as this.
  RouteMetrics& Route(const std::string& name);

  void OnStart();
  // Counts the exchange and writes its one line of the log.
  void OnFinish(const Exchange& exchange) noexcept;
  void OnInternalError(std::string_view what) noexcept;
  int64_t active() const { return active_count_; }

 private:
  Metrics& metrics_;
  Gauge active_;
  Counter internal_errors_;
  Counter client_gone_;
  std::atomic<int64_t> active_count_{0};
  std::mutex mutex_;  // guards `routes_`
  std::map<std::string, std::unique_ptr<RouteMetrics>> routes_;
  RouteMetrics& no_route_;
};

}  // namespace relay
