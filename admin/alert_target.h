// SPDX-License-Identifier: MIT
// One receiver of alerts: what it is to be told waits in order, and is tried until it has it or is
// given up. A receiver that is slow or away holds up nobody.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "admin/alert.h"
#include "admin/alert_book.h"
#include "admin/alert_states.h"
#include "core/async/event.h"
#include "core/async/task.h"
#include "core/metrics/metrics.h"
#include "upstreams/vendor_call.h"

namespace relay {

// What came of one try.
struct AlertOutcome {
  bool sent = false;
  bool passes = false;  // another try may go well
  std::string detail;   // for people: "200", "404: no_service", why it was not reached
  Duration wait{};      // before another try, as the receiver says; zero: it does not
};

class AlertTarget {
 public:
  // More than these are not kept: the oldest are dropped.
  static constexpr size_t kMostWaiting = 100;
  static constexpr int kTries = 6;
  static constexpr Duration kPatience = std::chrono::seconds(10);  // of one try
  static constexpr Duration kMostWait = std::chrono::minutes(10);
  // Before try number `failed` + 1, where the receiver does not say.
  static Duration WaitAfter(int failed);

  // All of them outlive this. Dies in the loop's own phase.
  AlertTarget(VendorCalls& calls, Metrics& metrics, AlertStates& states, AlertConfig config);
  AlertTarget(const AlertTarget&) = delete;
  AlertTarget& operator=(const AlertTarget&) = delete;

  // What it has been told stays told.
  void Reconfigure(AlertConfig config) { config_ = std::move(config); }
  const AlertConfig& config() const { return config_; }
  // Nobody of that name is to be told any more, and what was told is forgotten.
  void Leave() { states_.Put(config_.name, book_.Clear()); }
  // Tells what is new of what is the case.
  void Update(const AlertLook& look);
  void Tell(Alert alert);
  // One try, beside what waits.
  Task<AlertOutcome> Post(Alert alert);

  size_t waiting() const { return waiting_.size(); }
  // Of the last try; nothing before the first.
  struct Last {
    WallTime when{};
    AlertOutcome outcome;
  };
  const std::optional<Last>& last() const { return last_; }

 private:
  Task<Unit> Run();
  void Note(const Alert& alert, const AlertOutcome& outcome, bool given_up);

  // What still waits is not told, and so told again after a restart.
  void Keep();

  VendorCalls& calls_;
  AlertStates& states_;
  AlertConfig config_;
  AlertBook book_;
  std::deque<Alert> waiting_;  // the first is being sent
  std::optional<Last> last_;
  Counter sent_;
  Counter failed_;
  Counter dropped_;
  Event wake_;
  Waiter start_;
  Task<Unit> task_;
};

}  // namespace relay
