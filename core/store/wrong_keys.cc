// SPDX-License-Identifier: MIT
#include "core/store/wrong_keys.h"

#include <algorithm>

namespace relay {

void WrongKeys::ForgetLocked(TimePoint now) {
  while (Place* oldest = by_age_.front()) {
    if (now - oldest->began < kWindow && places_.size() < kMost) return;
    places_.erase(IpAddress(oldest->from));
  }
}

IpAddress WrongKeys::PlaceOf(IpAddress from) {
  if (!from.v4()) std::fill(from.bytes.begin() + 8, from.bytes.end(), uint8_t{0});
  return from;
}

std::optional<Duration> WrongKeys::Look(const IpAddress& from, int allowed, TimePoint now) const {
  std::lock_guard lock(mutex_);
  auto at = places_.find(PlaceOf(from));
  bool runs = at != places_.end() && now - at->second.began < kWindow;
  if (!runs || at->second.count < allowed) return std::nullopt;
  return at->second.began + kWindow - now;
}

std::optional<Duration> WrongKeys::Add(const IpAddress& from, int allowed, TimePoint now) {
  IpAddress place = PlaceOf(from);
  std::lock_guard lock(mutex_);
  auto at = places_.find(place);
  if (at == places_.end() || now - at->second.began >= kWindow) {
    ForgetLocked(now);
    at = places_.try_emplace(place).first;
    at->second.from = place;
    at->second.count = 0;
    at->second.began = now;
    by_age_.PushBack(at->second);
  }
  if (at->second.count < allowed) {
    ++at->second.count;
    return std::nullopt;
  }
  return at->second.began + kWindow - now;
}

size_t WrongKeys::size() const {
  std::lock_guard lock(mutex_);
  return places_.size();
}

}  // namespace relay
