// SPDX-License-Identifier: MIT
#include "upstreams/cached_prompt.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "upstreams/prices.h"

namespace relay {

// Anthropic's documentation of prompt caching names both, each counted anew with every use. Google
// promises no time for what Gemini caches by itself: the shorter one is a guess there.
static constexpr Duration kShortLife = std::chrono::minutes(5);
static constexpr Duration kLongLife = std::chrono::hours(1);

CachedPrompt CachedPrompt::Of(const Usage& usage, TimePoint since) {
  CachedPrompt cached;
  cached.model = usage.model;
  cached.tokens = usage.cache_read + usage.cache_write_5m + usage.cache_write_1h;
  cached.since = since;
  // Of both the shorter: what is left after that is the beginning alone.
  if (usage.cache_write_5m > 0) {
    cached.life = kShortLife;
  } else if (usage.cache_write_1h > 0) {
    cached.life = kLongLife;
  }
  return cached;
}

void CachedPrompt::Renew(CachedPrompt& newer, TimePoint now) noexcept {
  if (newer.tokens == 0) return;
  const bool lives = LivesAt(now);
  const bool same = lives && model == newer.model;
  if (newer.life == Duration::zero()) newer.life = same ? life : kShortLife;
  // A session's small side requests go to another model.
  if (lives && !same && newer.tokens < tokens) return;
  if (same && newer.since < since) return;
  std::swap(*this, newer);
}

int64_t PriceOfLoss(const CachedPrompt& lost, std::string_view vendor, WallTime when) {
  Usage afresh;
  afresh.model = lost.model;
  afresh.input = lost.tokens;
  Usage cached;
  cached.model = lost.model;
  cached.cache_read = lost.tokens;
  const Prices& prices = Prices::Builtin();
  int64_t more =
      prices.Of(afresh, vendor, when).nanodollars - prices.Of(cached, vendor, when).nanodollars;
  return std::max<int64_t>(more, 0);
}

}  // namespace relay
