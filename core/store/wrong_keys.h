// SPDX-License-Identifier: MIT
// How many wrong keys came from where, in the last minute.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>

#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/network.h"

namespace relay {

// Process-wide, from any thread. Counts by IPv4 address or by the /64 of an IPv6 one, which is what
// one customer has.
class WrongKeys {
 public:
  // Of more places than this, those that began longest ago are forgotten.
  static constexpr size_t kMost = 10'000;
  static constexpr Duration kWindow = std::chrono::minutes(1);

  // One more. Nothing while there were no more than `allowed` in the minute that began with the
  // first of them; else the time until that minute ends.
  std::optional<Duration> Add(const IpAddress& from, int allowed, TimePoint now);
  // What Add would say, counting nothing.
  std::optional<Duration> Look(const IpAddress& from, int allowed, TimePoint now) const;
  size_t size() const;

 private:
  struct Tag {};
  struct Place : ListNode<Tag> {
    IpAddress from;
    TimePoint began{};
    int count = 0;
  };
  // What is counted as one.
  static IpAddress PlaceOf(IpAddress from);
  void ForgetLocked(TimePoint now);

  mutable std::mutex mutex_;
  std::map<IpAddress, Place> places_;
  List<Place, Tag> by_age_;  // all of places_, the oldest window first
};

}  // namespace relay
