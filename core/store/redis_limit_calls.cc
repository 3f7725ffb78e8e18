// SPDX-License-Identifier: MIT
#include "core/store/redis_limit_calls.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/store/redis_limit_script.h"

namespace relay::redis_limit_calls {
namespace {

using What = Limiter::Denied::What;
using std::chrono::milliseconds;

constexpr std::string_view kLeases = "relay:lease:";
constexpr std::string_view kScopes = "relay:limit:";
constexpr char kSeparator = '\x1f';

void Put(std::vector<std::string>& to, int64_t number) {
  to.push_back(std::to_string(number));
}

std::string CalendarText(const Zone& zone, WallTime now) {
  int32_t today = zone.DayOf(now);
  std::string text = std::to_string(today);
  for (int32_t day = today; day <= today + 2; ++day) {
    auto start = std::chrono::floor<std::chrono::seconds>(zone.StartOf(day).time_since_epoch());
    text += " " + std::to_string(start.count());
  }
  return text;
}

// Claims that say nothing are not told.
bool Counts(const Limiter::Claim& claim) {
  return claim.scope != nullptr && claim.limits.any();
}

void PutBatch(std::vector<std::string>& to, const LimitBatch& batch, const Zone& zone,
              WallTime now) {
  Put(to, batch.sequence);
  to.emplace_back(batch.anew ? "1" : "0");
  Put(to, static_cast<int64_t>(batch.ends.size()));
  for (const LimitBatch::End& end : batch.ends) {
    to.push_back(std::to_string(end.reservation));
    to.emplace_back(end.begun ? "0" : "1");
  }
  Put(to, static_cast<int64_t>(batch.held.size()));
  for (const LimitBatch::Held& held : batch.held) {
    to.push_back(std::to_string(held.reservation));
    to.push_back(held.text);
  }
  Put(to, static_cast<int64_t>(batch.uses.size()));
  for (const auto& [use, at] : batch.uses) {
    auto age = std::chrono::floor<std::chrono::seconds>(now - std::min(at, now));
    to.push_back(use.scope);
    Put(to, use.charge.tokens);
    Put(to, use.charge.nanodollars);
    to.push_back(use.past.Text());
    Put(to, age.count());
    Put(to, zone.DayOf(at));
  }
}

void PutReserve(std::vector<std::string>& to, const LimitReserve& reserve) {
  const Limiter::Ask& ask = reserve.ask;
  to.push_back(std::to_string(reserve.id));
  to.emplace_back(ask.shadow ? "1" : "0");
  Charge charge = Clamp(ask.reserve);
  Put(to, charge.tokens);
  Put(to, charge.nanodollars);
  Put(to, std::ranges::count_if(ask.claims, Counts));
  for (const Limiter::Claim& claim : ask.claims) {
    if (!Counts(claim)) continue;
    const RateLimits& limits = claim.limits;
    to.push_back(claim.scope->name());
    Put(to, limits.requests_per_minute);
    Put(to, limits.tokens_per_minute);
    Put(to, limits.concurrency);
    Put(to, limits.cost_per_5h);
    for (int64_t cap : limits.cost) Put(to, cap);
    to.push_back(claim.scope->Past().Text());
  }
}

// Beyond it a clock of nanoseconds overflows.
constexpr int64_t kMostMs = int64_t{1} << 43;

// Of an answer's seven numbers.
constexpr size_t kEntry = 7;
struct Entry {
  What what;
  size_t claim;
  CostWindow window;
  bool spent;
  Duration wait;
  Duration earliest;
  bool passes;
};

std::optional<Entry> ReadEntry(const RespReply& list, size_t at, const Limiter::Ask& ask) {
  std::array<int64_t, kEntry> n{};
  for (size_t i = 0; i < n.size(); ++i) {
    std::optional<int64_t> number = list.items[at + i].Int();
    if (!number) return std::nullopt;
    n[i] = *number;
  }
  bool known = n[0] >= 0 && n[0] <= static_cast<int64_t>(What::kCost) && n[2] >= 0 &&
               n[2] < static_cast<int64_t>(kCostWindows);
  if (!known) return std::nullopt;
  // The script counts those that it was told.
  size_t claim = 0;
  for (int64_t told = n[1]; claim < ask.claims.size(); ++claim) {
    if (Counts(ask.claims[claim]) && told-- == 0) break;
  }
  if (claim == ask.claims.size()) return std::nullopt;
  return Entry{static_cast<What>(n[0]),
               claim,
               static_cast<CostWindow>(n[2]),
               n[3] == 1,
               milliseconds(n[4]),
               milliseconds(n[5]),
               n[6] == 1};
}

int64_t LimitOf(const RateLimits& limits, const Entry& entry) {
  switch (entry.what) {
    case What::kRequests: return limits.requests_per_minute;
    case What::kTokens: return limits.tokens_per_minute;
    case What::kConcurrency: return limits.concurrency;
    case What::kFiveHours: return limits.cost_per_5h;
    case What::kCost: return limits.cost[static_cast<size_t>(entry.window)];
    case What::kAway: break;
  }
  return 0;
}

// False: nobody understands them.
bool ReadDenials(const RespReply& list, const Limiter::Ask& ask, const Zone& zone, TimePoint now,
                 WallTime wall, SharedLimits::Verdict& verdict) {
  if (list.items.size() % kEntry != 0) return false;
  Denials denials(now);
  for (size_t at = 0; at < list.items.size(); at += kEntry) {
    std::optional<Entry> entry = ReadEntry(list, at, ask);
    if (!entry) return false;
    Limiter::Denied denied{.what = entry->what,
                           .claim = entry->claim,
                           .limit = LimitOf(ask.claims[entry->claim].limits, *entry),
                           .window = entry->window,
                           .spent = entry->spent};
    std::optional<Duration> wait = entry->wait;
    if (entry->what == What::kCost && entry->spent) {
      wait = TimeToEndOf(entry->window, verdict.common.day, zone, wall);
    }
    std::optional<Duration> passes;
    if (entry->passes) passes = entry->earliest;
    if (entry->earliest > Duration::zero()) {
      MinuteBar bar{denied.limit, now + entry->earliest};
      if (entry->what == What::kRequests) verdict.common.starts[entry->claim] = bar;
      if (entry->what == What::kTokens) verdict.common.tokens[entry->claim] = bar;
    }
    denials.Add(denied, wait, passes);
    denials.NotBefore(now + entry->earliest);
  }
  verdict.denied = denials.denied();
  verdict.again = denials.again();
  verdict.earliest = denials.earliest();
  return true;
}

// An exchange that was admitted before it is asked again is not judged again: the list is empty.
bool ReadFiveHours(const RespReply& list, const Limiter::Ask& ask, SharedLimits::Verdict& verdict) {
  size_t at = 0;
  for (size_t i = 0; i < ask.claims.size() && at < list.items.size(); ++i) {
    if (!Counts(ask.claims[i]) || ask.claims[i].limits.cost_per_5h == 0) continue;
    if (list.items.size() - at < 2) return false;
    std::optional<int64_t> began = list.items[at].Int();
    std::optional<int64_t> spent = list.items[at + 1].Int();
    if (!began || !spent || *began < 0 || *began > kMostMs) return false;
    verdict.common.five_hours[i] = FiveHours(WallTime(milliseconds(*began)), *spent);
    at += 2;
  }
  return at == list.items.size();
}

}  // namespace

SharedRequest Make(const LimitSpeaker& speaker, const Zone& zone, WallTime now,
                   const LimitBatch* batch, const LimitReserve* reserve) {
  auto made = std::make_shared<RedisRequest>();
  made->script = &redis_scripts::Limits();
  std::vector<std::string>& words = made->arguments;
  words = {"4",
           std::string(kLeases) + speaker.relay,
           "relay:replicas",
           "relay:heard:" + speaker.relay,
           "relay:limits",
           std::string(kLeases),
           std::string(kScopes),
           speaker.relay,
           std::to_string(std::chrono::ceil<milliseconds>(speaker.lease).count()),
           CalendarText(zone, now),
           speaker.holds ? "1" : "0",
           std::to_string(speaker.fence)};
  PutBatch(words, batch != nullptr ? *batch : LimitBatch(), zone, now);
  if (reserve != nullptr) {
    PutReserve(words, *reserve);
  } else {
    words.emplace_back();
  }
  for (const std::string& word : words) made->bytes += word.size();
  return made;
}

// It is no start of this minute that could be taken back: "-".
std::string HeldText(const Limiter::Ask& ask) {
  Charge charge = Clamp(ask.reserve);
  std::string text =
      "0 " + std::to_string(charge.tokens) + " " + std::to_string(charge.nanodollars);
  for (const Limiter::Claim& claim : ask.claims) {
    if (!Counts(claim)) continue;
    text += kSeparator;
    text += "-" + claim.scope->name();
  }
  return text;
}

std::optional<Answer> Read(const RespReply& reply, const Limiter::Ask* ask, const Zone& zone,
                           TimePoint now, WallTime wall) {
  if (reply.items.empty()) return std::nullopt;
  int64_t outcome = reply.items[0].Int().value_or(-1);
  if (outcome < 0 || outcome > static_cast<int64_t>(LimitOutcome::kLapsed)) return std::nullopt;
  Answer answer{static_cast<LimitOutcome>(outcome), {}};
  answer.verdict.earliest = now;
  bool admitted = answer.outcome == LimitOutcome::kAdmitted;
  bool judged = admitted || answer.outcome == LimitOutcome::kDenied;
  if (!judged) {
    bool settled = answer.outcome == LimitOutcome::kSettled;
    return settled && ask != nullptr ? std::nullopt : std::optional(answer);
  }
  if (ask == nullptr || reply.items.size() < 4) return std::nullopt;
  std::optional<int64_t> day = reply.items[2].Int();
  if (!day || !std::in_range<int32_t>(*day)) return std::nullopt;
  answer.verdict.common.day = static_cast<int32_t>(*day);
  if (!ReadDenials(reply.items[1], *ask, zone, now, wall, answer.verdict)) return std::nullopt;
  if (!admitted && !answer.verdict.denied) return std::nullopt;
  if (!ReadFiveHours(reply.items[3], *ask, answer.verdict)) return std::nullopt;
  return answer;
}

}  // namespace relay::redis_limit_calls
