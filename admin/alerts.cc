// SPDX-License-Identifier: MIT
#include "admin/alerts.h"

#include <algorithm>
#include <utility>

#include "admin/alert_watch.h"

namespace relay {

Alerts::Alerts(VendorCalls& calls, Services& services)
    : calls_(calls), services_(services), look_(calls.loop().timers(), *this) {
  Reconfigure();
}

Alerts::~Alerts() = default;

void Alerts::Reconfigure() {
  std::vector<std::unique_ptr<AlertTarget>> before = std::exchange(targets_, {});
  for (const AlertConfig& config : services_.current()->config->alerts) {
    auto known = std::ranges::find_if(before, [&](const auto& target) {
      return target != nullptr && target->config().name == config.name;
    });
    if (known == before.end()) {
      targets_.push_back(std::make_unique<AlertTarget>(calls_, services_.metrics, config));
      continue;
    }
    (*known)->Reconfigure(config);
    targets_.push_back(std::move(*known));
  }
  for (auto& gone : before) {
    if (gone != nullptr) calls_.loop().Bury(std::move(gone));
  }
  if (targets_.empty()) {
    look_.Disarm();
  } else if (!look_.armed()) {
    look_.ArmIn(kLookEvery);
  }
}

void Alerts::OnReload(const ReloadOutcome& outcome) {
  refused_ = outcome.good() ? "" : outcome.problems.front();
  if (outcome.good()) Reconfigure();
}

AlertTarget* Alerts::Find(std::string_view name) const {
  auto found = std::ranges::find_if(
      targets_, [&](const auto& target) { return target->config().name == name; });
  return found == targets_.end() ? nullptr : found->get();
}

void Alerts::OnLook() {
  std::vector<AlertCondition> now_true = AlertConditions(services_, refused_);
  for (const auto& target : targets_) target->Update(now_true);
  look_.ArmIn(kLookEvery);
}

}  // namespace relay
