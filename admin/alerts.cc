// SPDX-License-Identifier: MIT
#include "admin/alerts.h"

#include <algorithm>
#include <utility>

#include "admin/alert_watch.h"

namespace relay {
namespace {

// Ends a target in the loop's own phase, unless somebody holds it still.
class Grave final : public Mortal {
 public:
  explicit Grave(std::shared_ptr<AlertTarget> target) : target_(std::move(target)) {}

 private:
  std::shared_ptr<AlertTarget> target_;
};

}  // namespace

Alerts::Alerts(VendorCalls& calls, Services& services)
    : calls_(calls), services_(services), look_(calls.loop().timers(), *this) {
  Reconfigure();
}

Alerts::~Alerts() = default;

void Alerts::Reconfigure() {
  std::vector<std::shared_ptr<AlertTarget>> before = std::exchange(targets_, {});
  for (const AlertConfig& config : services_.current()->config->alerts) {
    auto known = std::ranges::find_if(before, [&](const auto& target) {
      return target != nullptr && target->config().name == config.name;
    });
    if (known == before.end()) {
      targets_.push_back(
          std::make_shared<AlertTarget>(calls_, services_.metrics, services_.alerts, config));
      continue;
    }
    (*known)->Reconfigure(config);
    targets_.push_back(std::move(*known));
  }
  for (auto& gone : before) {
    if (gone == nullptr) continue;
    gone->Leave();
    calls_.loop().Bury(std::make_unique<Grave>(std::move(gone)));
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

std::shared_ptr<AlertTarget> Alerts::Find(std::string_view name) const {
  auto found = std::ranges::find_if(
      targets_, [&](const auto& target) { return target->config().name == name; });
  return found == targets_.end() ? nullptr : *found;
}

void Alerts::OnLook() {
  AlertLook look = LookForAlerts(services_, refused_);
  for (const auto& target : targets_) target->Update(look);
  look_.ArmIn(kLookEvery);
}

}  // namespace relay
