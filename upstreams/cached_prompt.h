// SPDX-License-Identifier: MIT
// What of a session's prompt the vendor keeps in an account's cache, as the usage of its answers
// says, and what it costs to lose it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/clock.h"
#include "core/store/usage.h"

namespace relay {

struct CachedPrompt {
  // Less is worth no wait: Claude caches no shorter prompt of most models (its documentation).
  static constexpr int64_t kLeastTokens = 1024;

  // What comes of an answer to a request of `since`. The vendor counts from when it reads the
  // prompt, which is later, so that this is no promise too much. No tokens: nothing is cached.
  static CachedPrompt Of(const Usage& usage, TimePoint since);

  bool LivesAt(TimePoint now) const { return tokens > 0 && now < until(); }
  TimePoint until() const { return since + life; }
  // An answer came later, and left `newer` behind.
  void Renew(CachedPrompt& newer, TimePoint now) noexcept;

  std::string model;   // each has its own cache
  std::string family;  // of the request's model; "": not known
  int64_t tokens = 0;
  TimePoint since{};
  Duration life{};  // zero: as long as what it was read from
};

// Nanodollars that it costs more to read that afresh than from the cache. `vendor` as a provider's
// name. That it is written into another cache, for a surcharge, is not counted.
int64_t PriceOfLoss(const CachedPrompt& lost, std::string_view vendor, WallTime when);

}  // namespace relay
