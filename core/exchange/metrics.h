// SPDX-License-Identifier: MIT
// What is counted and logged of every exchange. One for the process; all workers use it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "core/metrics/metrics.h"

namespace relay {

class Exchange;

class ExchangeMetrics {
 public:
  explicit ExchangeMetrics(Metrics& metrics);
  void OnStart();
  // Counts the exchange and writes its one line of the log.
  void OnFinish(const Exchange& exchange) noexcept;
  void OnInternalError(std::string_view what) noexcept;
  int64_t active() const { return active_count_; }

 private:
  // The series of one (route, code class, outcome).
  struct Series {
    Counter requests;
    Histogram duration;
  };
  Series& SeriesOf(const Exchange& exchange);

  Metrics& metrics_;
  Gauge active_;
  Counter internal_errors_;
  Counter client_gone_;
  Histogram first_byte_;
  std::atomic<int64_t> active_count_{0};
  std::mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<Series>> series_;
};

}  // namespace relay
