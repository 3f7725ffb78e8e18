// SPDX-License-Identifier: MIT
// Alerts: looks every second at what relay.yaml wants to be told of, while it wants to be told of
// anything, and tells it. Requests neither wait for it nor know of it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/alert_target.h"
#include "admin/reload.h"
#include "admin/services.h"
#include "core/async/task.h"
#include "core/async/timer.h"
#include "upstreams/vendor_call.h"

namespace relay {

class Alerts {
 public:
  static constexpr Duration kLookEvery = std::chrono::seconds(1);

  // Both outlive this. For the thread of the calls' loop.
  Alerts(VendorCalls& calls, Services& services);
  Alerts(const Alerts&) = delete;
  Alerts& operator=(const Alerts&) = delete;
  ~Alerts();

  // Takes up what the snapshot in force says of alerts.
  void Reconfigure();
  // What came of a changed relay.yaml.
  void OnReload(const ReloadOutcome& outcome);

  const std::vector<std::shared_ptr<AlertTarget>>& targets() const { return targets_; }
  // Null: there is none of that name. Whoever waits for a target keeps it: a reload may end it.
  std::shared_ptr<AlertTarget> Find(std::string_view name) const;
  WallTime Wall() const { return services_.clock.Wall(); }

 private:
  void OnLook();

  VendorCalls& calls_;
  Services& services_;
  std::vector<std::shared_ptr<AlertTarget>> targets_;
  std::string refused_;  // what is wrong with a newer relay.yaml
  MethodTimer<Alerts, &Alerts::OnLook> look_;
};

}  // namespace relay
