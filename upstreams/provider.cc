// SPDX-License-Identifier: MIT
// What the vendors have in common: the head that goes upstream, sessions, and times.
#include "upstreams/provider.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

#include "core/base/secret.h"
#include "core/exchange/path.h"

namespace relay {
namespace {

// Never upstream (R51): relay keys in every place they may stand in, cookies, what proxies and
// platforms add about the client. Lengths and the host are made anew.
constexpr NameSet kStaysHere({
    "accept-encoding",
    "api-key",
    "authorization",
    "cdn-loop",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "true-client-ip",
    "via",
    "x-api-key",
    "x-client-ip",
    "x-direct-url",
    "x-goog-api-key",
    "x-ip-token",
    "x-real-ip",
});
constexpr std::string_view kFamiliesStayHere[] = {"proxy-",   "x-forwarded-", "cf-",
                                                  "x-relay-", "x-amzn-",      "x-hf-"};

bool StartsWithIgnoreCase(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && EqualsIgnoreCase(text.substr(0, prefix.size()), prefix);
}

// Calls f(name, whole) for each part of a query.
template <class F>
void ForEachParameter(std::string_view query, F f) {
  while (!query.empty()) {
    size_t end = std::min(query.find('&'), query.size());
    std::string_view whole = query.substr(0, end);
    f(whole.substr(0, whole.find('=')), whole);
    query.remove_prefix(std::min(end + 1, query.size()));
  }
}

// What stands behind the path, byte by byte, but for a key: a relay's may stand there as it may at
// Google.
std::string QueryWithoutKey(std::string_view target) {
  size_t mark = target.find('?');
  if (mark == std::string_view::npos) return {};
  std::string kept;
  bool taken = false;
  for (size_t at = mark + 1; at <= target.size();) {
    size_t end = std::min(target.find('&', at), target.size());
    std::string_view part = target.substr(at, end - at);
    at = end + 1;
    if (part == "key" || part.starts_with("key=")) {
      taken = true;
      continue;
    }
    kept.append(kept.empty() ? "?" : "&").append(part);
  }
  return taken ? kept : std::string(target.substr(mark));
}

std::optional<int> Digits(std::string_view text, size_t at, size_t count) {
  if (at + count > text.size()) return {};
  int value = 0;
  for (size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return {};
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

std::optional<WallTime> OfCalendar(int year, int month, int day, int hour, int minute, int second) {
  std::chrono::year_month_day date{std::chrono::year(year),
                                   std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) return {};
  return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

// RFC 9110 §5.6.7, the one form that may be sent: "Sun, 06 Nov 1994 08:49:37 GMT".
std::optional<WallTime> ParseHttpDate(std::string_view text) {
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  if (text.size() != 29 || !text.ends_with(" GMT") || text[3] != ',') return {};
  size_t month = kMonths.find(text.substr(8, 3));
  std::optional<int> day = Digits(text, 5, 2);
  std::optional<int> year = Digits(text, 12, 4);
  std::optional<int> hour = Digits(text, 17, 2);
  std::optional<int> minute = Digits(text, 20, 2);
  std::optional<int> second = Digits(text, 23, 2);
  if (month == std::string_view::npos || month % 3 != 0) return {};
  if (!day || !year || !hour || !minute || !second) return {};
  return OfCalendar(*year, static_cast<int>(month / 3) + 1, *day, *hour, *minute, *second);
}

}  // namespace

bool EndsHere(std::string_view name) {
  return IsHopByHop(name) || kStaysHere.Has(name) ||
         std::any_of(std::begin(kFamiliesStayHere), std::end(kFamiliesStayHere),
                     [&](std::string_view family) { return StartsWithIgnoreCase(name, family); });
}

std::unique_ptr<Provider> MakeProvider(ProviderKind kind, std::vector<AccountRule> rules) {
  switch (kind) {
    case ProviderKind::kClaude: return MakeClaude(std::move(rules));
    case ProviderKind::kGemini: return MakeGemini(std::move(rules));
  }
  return MakeClaude(std::move(rules));
}

Judgement Provider::Judge(const Head& answer, std::string_view body, TimePoint now,
                          WallTime wall) const {
  return rules_.Judge(ReadError(answer, body, now, wall), &answer, now);
}

Judgement Provider::JudgeEvent(std::string_view event, std::string_view data, TimePoint now,
                               WallTime wall) const {
  std::optional<VendorError> error = ReadErrorEvent(event, data, now, wall);
  return error ? rules_.Judge(*error, nullptr, now) : Judgement();
}

std::string SentPath(const Exchange& x) {
  if (x.ask.path.empty() || !x.sent_path.ends_with(x.path)) return x.sent_path;
  return x.sent_path.substr(0, x.sent_path.size() - x.path.size()) + x.ask.path;
}

Head BaseHead(const Exchange& x, const Url& endpoint) {
  Head head;
  head.method = head.Keep(x.method);
  std::string target = endpoint.path + SentPath(x) + QueryWithoutKey(x.request.target);
  head.target = head.Keep(target);
  head.authority = head.Keep(AuthorityOf(endpoint));
  std::string named;
  for (const Field& field : x.request.fields) {
    if (!EqualsIgnoreCase(field.name, "connection")) continue;
    named.append(field.value).push_back(',');
  }
  head.fields.reserve(x.request.fields.size() + 2);
  for (const Field& field : x.request.fields) {
    bool stays = EndsHere(field.name);
    ForEachToken(named,
                 [&](std::string_view hop) { stays = stays || EqualsIgnoreCase(hop, field.name); });
    if (!stays) head.Borrow(field);
  }
  // Usage is read on the way, and a stream is judged by its first event.
  head.Add("accept-encoding", "identity");
  return head;
}

std::string_view QueryValue(std::string_view query, std::string_view wanted) {
  std::string_view value;
  ForEachParameter(query, [&](std::string_view name, std::string_view whole) {
    if (name == wanted && whole.size() > name.size()) value = whole.substr(name.size() + 1);
  });
  return value;
}

Result<Unit> ReadJson(Exchange& x) {
  Result<JsonIndex> json = JsonIndex::Parse(x.body.view());
  if (!json) return std::unexpected(json.error());
  x.json = std::move(*json);
  return Unit{};
}

JsonValue ValueAt(const JsonIndex& json, std::initializer_list<std::string_view> names) {
  Result<JsonValue> value = json.Path(names);
  return value ? *value : JsonValue();
}

std::string PrefixSession(const JsonValue& system, const JsonValue& first_message) {
  if (!system && !first_message) return "";
  std::string text(system.raw);
  text += '\n';
  text += first_message.raw;
  Digest256 digest = Sha256(text);
  return "prefix-" + HexEncode(BytesOf(digest).substr(0, 16));
}

std::optional<Duration> RetryAfter(const Head& answer, WallTime wall) {
  std::string_view text = answer.Get("retry-after");
  if (text.empty()) return {};
  int64_t seconds = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && end == text.data() + text.size() && seconds >= 0) {
    return std::min<Duration>(std::chrono::seconds(std::min<int64_t>(seconds, 1'000'000'000)),
                              std::chrono::hours(24 * 365));
  }
  std::optional<WallTime> when = ParseHttpDate(text);
  if (!when) return {};
  return std::max<Duration>(*when - wall, Duration::zero());
}

std::optional<WallTime> ParseTimestamp(std::string_view text) {
  std::optional<int> year = Digits(text, 0, 4);
  std::optional<int> month = Digits(text, 5, 2);
  std::optional<int> day = Digits(text, 8, 2);
  std::optional<int> hour = Digits(text, 11, 2);
  std::optional<int> minute = Digits(text, 14, 2);
  std::optional<int> second = Digits(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return {};
  bool shape = text[4] == '-' && text[7] == '-' && (text[10] == 'T' || text[10] == 't') &&
               text[13] == ':' && text[16] == ':';
  std::optional<WallTime> when = OfCalendar(*year, *month, *day, *hour, *minute, *second);
  if (!shape || !when) return {};
  std::string_view zone = text.substr(19);
  if (zone.starts_with('.')) {
    zone.remove_prefix(std::min(zone.find_first_not_of("0123456789", 1), zone.size()));
  }
  if (zone == "Z" || zone == "z") return when;
  std::optional<int> hours = Digits(zone, 1, 2);
  std::optional<int> minutes = Digits(zone, 4, 2);
  bool offset = zone.size() == 6 && (zone[0] == '+' || zone[0] == '-') && zone[3] == ':';
  if (!offset || !hours || !minutes) return {};
  auto east = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
  return zone[0] == '+' ? *when - east : *when + east;
}

TimePoint OnClock(WallTime when, TimePoint now, WallTime wall) {
  Duration ahead =
      std::clamp<Duration>(when - wall, Duration::zero(), std::chrono::hours(24 * 365));
  return now + std::chrono::duration_cast<TimePoint::duration>(ahead);
}

}  // namespace relay
