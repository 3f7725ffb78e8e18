// SPDX-License-Identifier: MIT
// The only file that sees prometheus-cpp.
#include "core/metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>

namespace relay {

struct Metrics::Registry {
  prometheus::Registry registry;
};

void Counter::Add(double amount) {
  static_cast<prometheus::Counter*>(series_)->Increment(amount);
}
void Gauge::Set(double value) {
  static_cast<prometheus::Gauge*>(series_)->Set(value);
}
void Gauge::Add(double amount) {
  static_cast<prometheus::Gauge*>(series_)->Increment(amount);
}
void Histogram::Observe(double value) {
  static_cast<prometheus::Histogram*>(series_)->Observe(value);
}

Metrics::Metrics() : registry_(std::make_unique<Registry>()) {}
Metrics::~Metrics() = default;

Counter Metrics::MakeCounter(const std::string& name, const std::string& help,
                             const Labels& labels) {
  auto& family = prometheus::BuildCounter().Name(name).Help(help).Register(registry_->registry);
  return Counter(&family.Add(labels));
}

Gauge Metrics::MakeGauge(const std::string& name, const std::string& help, const Labels& labels) {
  auto& family = prometheus::BuildGauge().Name(name).Help(help).Register(registry_->registry);
  return Gauge(&family.Add(labels));
}

Histogram Metrics::MakeHistogram(const std::string& name, const std::string& help,
                                 const std::vector<double>& bounds, const Labels& labels) {
  auto& family = prometheus::BuildHistogram().Name(name).Help(help).Register(registry_->registry);
  return Histogram(&family.Add(labels, prometheus::Histogram::BucketBoundaries(bounds)));
}

std::string Metrics::Text(bool detailed) const {
  std::vector<prometheus::MetricFamily> families = registry_->registry.Collect();
  if (!detailed) {
    for (auto& family : families) {
      std::erase_if(family.metric, [](const prometheus::ClientMetric& metric) {
        return std::any_of(metric.label.begin(), metric.label.end(), [](const auto& label) {
          return label.name == "key" || label.name == "account";
        });
      });
    }
    std::erase_if(families, [](const auto& family) { return family.metric.empty(); });
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace relay
