// SPDX-License-Identifier: MIT
// What the receivers of alerts were told last, as states in the store: a restart neither repeats it
// nor forgets that its end is still to be told.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "admin/alert_book.h"
#include "core/store/states.h"

namespace relay {

// Ids are "receiver/condition". Thread-safe.
class AlertStates final : public StateOwner {
 public:
  // `knows`: whether relay.yaml has a receiver of that name; from any thread. The bell outlives
  // this.
  AlertStates(StateBell& bell, std::function<bool(std::string_view receiver)> knows)
      : bell_(bell), knows_(std::move(knows)) {}

  // What has changed of a receiver's book.
  void Put(std::string_view receiver, const std::vector<AlertBook::Change>& changes);
  // What an earlier run had told it; nothing after the first call, until more is restored.
  std::vector<AlertBook::Kept> TakeRestored(std::string_view receiver);

  std::string_view kind() const override { return "alert"; }
  void TakeChanged(std::vector<StateBlob>& to) override;
  std::vector<std::string> Restore(const std::vector<StateBlob>& blobs) override;

 private:
  StateBell& bell_;
  const std::function<bool(std::string_view receiver)> knows_;
  std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> changed_;                    // id -> value
  std::map<std::string, std::vector<AlertBook::Kept>, std::less<>> restored_;  // by receiver
};

}  // namespace relay
