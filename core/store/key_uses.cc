// SPDX-License-Identifier: MIT
#include "core/store/key_uses.h"

#include <charconv>
#include <chrono>

namespace relay {

using std::chrono::milliseconds;

WallTime FirstUse::Note(WallTime now) {
  int64_t millis = millis_.load(std::memory_order_relaxed);
  if (millis == 0) {
    int64_t fresh = std::chrono::duration_cast<milliseconds>(now.time_since_epoch()).count();
    if (millis_.compare_exchange_strong(millis, fresh)) {
      millis = fresh;
      changed_ = true;
      bell_.Ring();
    }
  }
  return WallTime(milliseconds(millis));
}

WallTime FirstUse::Look(WallTime now) const {
  int64_t millis = millis_.load(std::memory_order_relaxed);
  return millis == 0 ? now : WallTime(milliseconds(millis));
}

std::shared_ptr<FirstUse> KeyUses::Of(std::string_view key) {
  std::lock_guard lock(mutex_);
  auto at = keys_.find(key);
  if (at == keys_.end()) at = keys_.emplace(key, std::make_shared<FirstUse>(bell_)).first;
  return at->second;
}

void KeyUses::Forget(std::string_view key) {
  std::lock_guard lock(mutex_);
  auto at = keys_.find(key);
  if (at == keys_.end()) return;
  at->second->millis_ = 0;
  at->second->changed_ = true;
  bell_.Ring();
}

void KeyUses::TakeChanged(std::vector<StateBlob>& to) {
  std::lock_guard lock(mutex_);
  for (const auto& [key, use] : keys_) {
    if (!use->changed_.exchange(false)) continue;
    int64_t millis = use->millis_.load();
    to.push_back({std::string(kind()), key, millis == 0 ? "" : std::to_string(millis)});
  }
}

std::vector<std::string> KeyUses::Restore(const std::vector<StateBlob>& blobs) {
  std::vector<std::string> gone;
  for (const StateBlob& blob : blobs) {
    int64_t millis = 0;
    const char* end = blob.value.data() + blob.value.size();
    auto read = std::from_chars(blob.value.data(), end, millis);
    if (read.ec != std::errc() || read.ptr != end || millis <= 0) {
      gone.push_back(blob.id);
      continue;
    }
    // It is older than a use of this run, and that was no first one.
    std::shared_ptr<FirstUse> use = Of(blob.id);
    use->millis_ = millis;
    use->changed_ = false;
  }
  return gone;
}

}  // namespace relay
