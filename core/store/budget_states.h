// SPDX-License-Identifier: MIT
// What limits have counted, as states in the store: one for each scope that has limits.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/store/limiter.h"
#include "core/store/states.h"

namespace relay {

class BudgetStates final : public StateOwner {
 public:
  // `knows`: whether there still is what a scope of that name counts for; from any thread. The
  // limiter outlives this.
  BudgetStates(Limiter& limiter, std::function<bool(std::string_view scope)> knows)
      : limiter_(limiter), knows_(std::move(knows)) {}

  std::string_view kind() const override { return "budget"; }
  void TakeChanged(std::vector<StateBlob>& to) override;
  std::vector<std::string> Restore(const std::vector<StateBlob>& blobs) override;

 private:
  Limiter& limiter_;
  const std::function<bool(std::string_view scope)> knows_;
};

}  // namespace relay
