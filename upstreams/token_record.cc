// SPDX-License-Identifier: MIT
#include "upstreams/token_record.h"

#include <utility>

#include "core/base/json.h"

namespace relay {
namespace {

int64_t MillisOf(WallTime when) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
}

WallTime TimeIn(const JsonIndex& json, std::string_view field) {
  constexpr int64_t kMost = int64_t{1} << 43;  // in the year 2248
  int64_t millis = json.Find(field).Int().value_or(0);
  if (millis < 0 || millis > kMost) millis = 0;
  return WallTime(std::chrono::milliseconds(millis));
}

std::string TextIn(const JsonIndex& json, std::string_view field) {
  return json.Find(field).String().value_or("");
}

}  // namespace

std::string FingerprintOf(const Secret& seed) {
  constexpr size_t kBytes = 12;
  if (seed.empty()) return "";
  Digest256 digest = Sha256("relay seed v1\n" + std::string(seed.Reveal()));
  return HexEncode(BytesOf(digest).substr(0, kBytes));
}

std::string WriteTokenRecord(const TokenRecord& record, std::string_view id, const Vault& vault) {
  auto seal = [&](std::string_view field, const Secret& secret) {
    return secret.empty() ? std::string()
                          : vault.Seal({TokenRecord::kKind, id, field}, secret.Reveal());
  };
  JsonText json;
  json.BeginObject();
  json.Field("seed", record.seed);
  json.Field("refresh", seal("refresh", record.refresh));
  json.Field("access", seal("access", record.access));
  json.Field("expires", MillisOf(record.expires));
  json.Field("refreshed", MillisOf(record.refreshed));
  json.Field("claim", record.claim);
  json.Field("claimed", MillisOf(record.claimed));
  return json.EndObject().Take();
}

Result<TokenRecord> ReadTokenRecord(std::string_view text, std::string_view id,
                                    const Vault& vault) {
  auto fail = [&](const std::string& what) {
    return Fail(Party::kRelay, Fault::kInternal,
                "the stored tokens of account " + std::string(id) + " cannot be read: " + what);
  };
  Result<JsonIndex> json = JsonIndex::Parse(text);
  if (!json) return fail(json.error().what);
  TokenRecord record;
  record.seed = TextIn(*json, "seed");
  record.expires = TimeIn(*json, "expires");
  record.refreshed = TimeIn(*json, "refreshed");
  record.claim = TextIn(*json, "claim");
  record.claimed = TimeIn(*json, "claimed");
  for (auto [field, to] :
       {std::pair("refresh", &record.refresh), std::pair("access", &record.access)}) {
    std::string sealed = TextIn(*json, field);
    if (sealed.empty()) continue;
    std::expected<Secret, VaultError> opened = vault.Open({TokenRecord::kKind, id, field}, sealed);
    if (!opened) return fail(opened.error().what);
    *to = std::move(*opened);
  }
  return record;
}

}  // namespace relay
