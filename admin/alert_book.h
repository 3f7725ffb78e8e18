// SPDX-License-Identifier: MIT
// What one receiver of alerts has been told, and what to tell it next. An alert is a condition that
// begins and ends: looked at again and again, told once each way. So nothing is missed between two
// looks that still matters, and nothing that flaps is told each time.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "admin/alert.h"
#include "core/base/clock.h"
#include "core/config/alerts.h"

namespace relay {

// What is the case now.
struct AlertCondition {
  std::string id;  // the same for as long as it is the same trouble
  AlertEvent event{};
  std::string thing;  // whose it is, as AlertLook has it
  std::string subject;
  std::string what;
  std::string details = {};
  std::optional<WallTime> until = {};
  int percent = 0;  // kBudget: of the limit
};

// All that was looked at.
struct AlertLook {
  std::vector<AlertCondition> conditions;
  // What is there and in use: trouble of anything else is neither the case nor over.
  std::set<std::string, std::less<>> things;
};

class AlertBook {
 public:
  // So long a condition may be absent without having ended: an account that is probed and fails
  // again was never well.
  static Duration GapOf(AlertEvent event);
  // How long a condition must be the case before it is told. What may cure itself in a moment is
  // given the moment.
  static Duration HoldOf(AlertEvent event);

  // What `config` wants to be told now.
  std::vector<Alert> Update(const AlertConfig& config, const AlertLook& look, TimePoint now,
                            WallTime wall);
  size_t size() const { return entries_.size(); }

  // What outlives the process of a condition that was told.
  struct Kept {
    std::string id;
    AlertEvent event{};
    std::string thing;
    std::string subject;
    WallTime told_at{};
    bool told = false;  // that it began, and not yet that it ended
    int percent = 0;    // kBudget: the share that was told
  };
  struct Change {
    std::string id;
    std::optional<Kept> kept;  // nothing: it is forgotten
  };
  // What has changed of it since the last call.
  std::vector<Change> TakeChanged(const Instant& at);
  // Forgets all. What was kept of it is to be dropped.
  std::vector<Change> Clear();
  // What an earlier run had told. What this one knows already counts more.
  void Restore(const Kept& kept, const Instant& at);

 private:
  struct Entry {
    AlertCondition condition;
    TimePoint began{};
    TimePoint seen{};
    std::optional<TimePoint> told_at;
    int told_percent = 0;
    bool told = false;  // that it began, and not yet that it ended
    bool over = false;  // absent for longer than it may be
  };
  void EndLost(const AlertConfig& config, const AlertLook& look, TimePoint now, WallTime wall,
               std::vector<Alert>& alerts);
  static bool Due(const Entry& entry, int percent, const AlertConfig& config, TimePoint now);

  std::map<std::string, Entry, std::less<>> entries_;
  std::set<std::string> changed_;  // what Kept has of these entries
};

}  // namespace relay
