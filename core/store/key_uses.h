// SPDX-License-Identifier: MIT
// When keys were used first, for those that expire some time after it. A state that outlives the
// process.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/store/states.h"

namespace relay {

// Of one key, from any thread.
class FirstUse {
 public:
  explicit FirstUse(StateBell& bell) : bell_(bell) {}
  // The moment of the first use, which is `now` if there was none yet.
  WallTime Note(WallTime now);
  // The same, but `now` is none.
  WallTime Look(WallTime now) const;

 private:
  friend class KeyUses;
  StateBell& bell_;
  std::atomic<int64_t> millis_{0};  // since 1970; 0: not used
  std::atomic<bool> changed_{false};
};

class KeyUses final : public StateOwner {
 public:
  // The bell outlives this and all that it gives.
  explicit KeyUses(StateBell& bell) : bell_(bell) {}
  // Of the key of that name, whatever directory it is in.
  std::shared_ptr<FirstUse> Of(std::string_view key);
  // The key is gone for good: one of that name is a new one.
  void Forget(std::string_view key);

  std::string_view kind() const override { return "key"; }
  void TakeChanged(std::vector<StateBlob>& to) override;
  // Keeps also what it hears of keys that are not there (yet): one that comes back is no new one.
  std::vector<std::string> Restore(const std::vector<StateBlob>& blobs) override;

 private:
  StateBell& bell_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<FirstUse>, std::less<>> keys_;
};

}  // namespace relay
