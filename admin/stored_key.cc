// SPDX-License-Identifier: MIT
#include "admin/stored_key.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/base/network.h"
#include "core/base/text.h"
#include "core/config/patch.h"
#include "filters/limits.h"

namespace relay {
namespace {

std::unexpected<Error> Malformed(const std::string& name, const std::string& why) {
  return Fail(Party::kRelay, Fault::kInternal, "key '" + name + "' of the store: " + why);
}

Result<WallTime> TimeAt(const JsonIndex& object, std::string_view field, const std::string& name) {
  std::optional<WallTime> when = ParseIsoTime(object.Find(field).String().value_or(""));
  if (!when) return Malformed(name, "no time in '" + std::string(field) + "'");
  return *when;
}

Result<KeyToken> ReadToken(const std::string& name, const JsonValue& value) {
  Result<JsonIndex> object = JsonIndex::Object(value);
  if (!object) return Malformed(name, object.error().what);
  KeyToken token;
  std::optional<std::string> digest = HexDecode(object->Find("hmac").String().value_or(""));
  if (!digest || digest->size() != token.digest.size()) return Malformed(name, "no HMAC");
  std::copy(digest->begin(), digest->end(), token.digest.begin());
  token.shown = object->Find("shown").String().value_or("");
  Result<WallTime> made = TimeAt(*object, "made", name);
  if (!made) return std::unexpected(std::move(made.error()));
  token.made = *made;
  if (object->Find("until")) {
    Result<WallTime> until = TimeAt(*object, "until", name);
    if (!until) return std::unexpected(std::move(until.error()));
    token.until = *until;
  }
  return token;
}

}  // namespace

std::string WriteStoredKey(const StoredKey& key) {
  JsonText json;
  json.BeginObject().Key("terms").Raw(WriteStruct(key.terms));
  json.Key("tokens").BeginArray();
  for (const KeyToken& token : key.tokens) {
    json.BeginObject().Field("hmac", HexEncode(BytesOf(token.digest)));
    json.Field("shown", token.shown).Field("made", IsoTime(token.made));
    if (token.until) json.Field("until", IsoTime(*token.until));
    json.EndObject();
  }
  json.EndArray().Field("made", IsoTime(key.made));
  if (key.disabled) json.Field("disabled", true);
  if (key.deleted) json.Field("deleted", IsoTime(*key.deleted));
  return json.EndObject().Take();
}

Result<StoredKey> ReadStoredKey(const std::string& name, std::string_view json) {
  Result<JsonIndex> object = JsonIndex::Parse(json);
  if (!object) return Malformed(name, object.error().what);
  StoredKey key;
  key.name = name;
  Result<JsonIndex> written = JsonIndex::Object(object->Find("terms"));
  if (!written) return Malformed(name, written.error().what);
  Result<KeyTerms> terms = BindJson<KeyTerms>(*written);
  if (!terms) return Malformed(name, terms.error().what);
  key.terms = std::move(*terms);
  for (JsonArray items(object->Find("tokens")); JsonValue item = items.Next();) {
    Result<KeyToken> token = ReadToken(name, item);
    if (!token) return std::unexpected(std::move(token.error()));
    key.tokens.push_back(std::move(*token));
  }
  Result<WallTime> made = TimeAt(*object, "made", name);
  if (!made) return std::unexpected(std::move(made.error()));
  key.made = *made;
  key.disabled = object->Find("disabled").Bool().value_or(false);
  if (object->Find("deleted")) {
    Result<WallTime> deleted = TimeAt(*object, "deleted", name);
    if (!deleted) return std::unexpected(std::move(deleted.error()));
    key.deleted = *deleted;
  }
  return key;
}

std::string OverlayIdOfKey(std::string_view name) {
  return "key:" + std::string(name);
}

std::string DisabledOverlay() {
  return JsonText().BeginObject().Field("disabled", true).EndObject().Take();
}

bool IsDisabledOverlay(std::string_view json) {
  Result<JsonIndex> object = JsonIndex::Parse(json);
  return object && object->Find("disabled").Bool().value_or(false);
}

KeyRecord RecordOf(const std::string& name, const KeyTerms& terms, const Zone& zone) {
  KeyRecord record;
  record.name = name;
  for (ProviderKind service : terms.services) record.services.emplace_back(NameOf(service));
  record.models_allow = terms.models.allow;
  record.models_deny = terms.models.deny;
  record.limits = LimitsOf(terms.limits);
  for (const auto& [service, limits] : terms.service_limits) {
    record.service_limits.push_back({service, LimitsOf(limits), nullptr});
  }
  if (std::optional<int32_t> day = ParseDay(terms.expires)) record.expires = zone.StartOf(*day);
  record.expires_after_first_use = terms.expires_after_first_use;
  for (const std::string& text : terms.allowed_addresses) {
    if (auto net = Network::Parse(text)) record.allowed_addresses.push_back(*net);
  }
  for (const std::string& client : terms.clients) record.clients.push_back(ClientGlob(client));
  for (const auto& [cluster, account] : terms.bind) {
    record.bound.emplace_back(cluster, account.value);
  }
  record.tags = terms.tags;
  record.decisions = terms.decisions;
  return record;
}

std::string ShownPart(std::string_view secret) {
  // Of what a person made up, too much would be told by eight characters.
  if (secret.size() < 32) return "…";
  size_t prefix = secret.find('_') == std::string_view::npos ? 0 : secret.find('_') + 1;
  prefix = prefix > 17 ? 0 : prefix;
  return std::string(secret.substr(0, prefix + 4)) + "…" +
         std::string(secret.substr(secret.size() - 4));
}

std::optional<WallTime> ParseIsoTime(std::string_view text) {
  auto number = [&](size_t at, size_t digits) -> int {
    int value = 0;
    for (size_t i = at; i < at + digits; ++i) {
      if (i >= text.size() || text[i] < '0' || text[i] > '9') return -1;
      value = value * 10 + (text[i] - '0');
    }
    return value;
  };
  auto has = [&](size_t at, char c) { return at < text.size() && text[at] == c; };
  if (!has(4, '-') || !has(7, '-')) return std::nullopt;
  using namespace std::chrono;
  year_month_day date(year(number(0, 4)), month(static_cast<unsigned>(number(5, 2))),
                      day(static_cast<unsigned>(number(8, 2))));
  if (number(0, 4) < 1970 || !date.ok()) return std::nullopt;
  WallTime when = sys_days(date);
  if (text.size() == 10) return when;
  if (!has(10, 'T') || !has(13, ':') || text.back() != 'Z') return std::nullopt;
  int hour = number(11, 2);
  int minute = number(14, 2);
  int second = 0;
  int millis = 0;
  if (text.size() != 17) {
    second = has(16, ':') ? number(17, 2) : -1;
    if (text.size() != 20) millis = text.size() == 24 && has(19, '.') ? number(20, 3) : -1;
  }
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 ||
      millis < 0) {
    return std::nullopt;
  }
  return when + hours(hour) + minutes(minute) + seconds(second) + milliseconds(millis);
}

}  // namespace relay
