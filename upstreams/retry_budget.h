// SPDX-License-Identifier: MIT
// How many requests of a cluster may be tried again at once where nothing promises that it helps: a
// share of those in flight, and a few whatever their number. A vendor in trouble is then not sent
// several times what it could not bear once. The retry budget of Envoy
// (circuit_breakers.thresholds.retry_budget), whose figures are the defaults.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "core/config/root.h"

namespace relay {

// Process-wide, by any thread; outlives a reload, the bounds of which may change.
class RetryBudget : public std::enable_shared_from_this<RetryBudget> {
 public:
  // One request's leave to be tried again; given back when it dies.
  class Place {
   public:
    explicit Place(std::shared_ptr<RetryBudget> budget) : budget_(std::move(budget)) {}
    Place(Place&& other) noexcept : budget_(std::move(other.budget_)) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(budget_, other.budget_);
      return *this;
    }
    ~Place() {
      if (budget_ != nullptr) --budget_->taken_;
    }

   private:
    std::shared_ptr<RetryBudget> budget_;  // null: moved away
  };

  // Nothing when it is spent. `in_flight`: requests of the cluster, this one too.
  std::optional<Place> Take(const RetryBudgetConfig& bounds, int in_flight) {
    auto share = static_cast<int>(int64_t{in_flight} * bounds.percent / 100);
    int most = std::max(share, bounds.min_concurrency);
    int taken = taken_.load();
    do {
      if (taken >= most) return std::nullopt;
    } while (!taken_.compare_exchange_weak(taken, taken + 1));
    return Place(shared_from_this());
  }
  int taken() const { return taken_.load(); }

 private:
  std::atomic<int> taken_ = 0;
};

}  // namespace relay
