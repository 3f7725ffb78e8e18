// SPDX-License-Identifier: MIT
// Prometheus series. Each is resolved once, at start or when a route or account is made, and then
// updated by reference. Labels come from config, never from clients. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace relay {

using Labels = std::map<std::string, std::string>;

class Counter {
 public:
  void Add(double amount = 1);

 private:
  friend class Metrics;
  explicit Counter(void* series) : series_(series) {}
  void* series_;
};

class Gauge {
 public:
  void Set(double value);
  void Add(double amount);

 private:
  friend class Metrics;
  explicit Gauge(void* series) : series_(series) {}
  void* series_;
};

class Histogram {
 public:
  void Observe(double value);

 private:
  friend class Metrics;
  explicit Histogram(void* series) : series_(series) {}
  void* series_;
};

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // The same name and labels give the same series. `help` counts at the first call of a name.
  Counter MakeCounter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge MakeGauge(const std::string& name, const std::string& help, const Labels& labels = {});
  Histogram MakeHistogram(const std::string& name, const std::string& help,
                          const std::vector<double>& bounds, const Labels& labels = {});
  // Everything in the text format of Prometheus 0.0.4. `detailed` also gives the series that have
  // a key or account label.
  std::string Text(bool detailed) const;

 private:
  struct Registry;
  std::unique_ptr<Registry> registry_;
};

}  // namespace relay
