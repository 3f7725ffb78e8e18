// SPDX-License-Identifier: MIT
#include "upstreams/pool_states.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>

#include "core/base/json.h"
#include "core/config/units.h"

namespace relay {
namespace {

using std::chrono::milliseconds;

int64_t MillisOf(WallTime when) {
  return std::chrono::duration_cast<milliseconds>(when.time_since_epoch()).count();
}

WallTime TimeAt(const JsonIndex& json, std::string_view name) {
  return WallTime(milliseconds(json.Find(name).Int().value_or(0)));
}

std::string TextAt(const JsonIndex& json, std::string_view name) {
  return json.Find(name).String().value_or("");
}

// "cluster/rest": no cluster has a '/' in its name.
std::pair<std::string_view, std::string_view> Split(std::string_view id) {
  size_t slash = std::min(id.find('/'), id.size());
  return {id.substr(0, slash), id.substr(std::min(slash + 1, id.size()))};
}

std::shared_ptr<AccountPool> Find(const std::vector<NamedPool>& pools, std::string_view cluster) {
  for (const NamedPool& named : pools) {
    if (named.cluster == cluster) return named.pool;
  }
  return nullptr;
}

void AddWindow(std::string_view name, const AccountPool::KeptWindow& window, JsonText& json) {
  if (window.until == WallTime()) return;
  json.Key(name).BeginObject().Field("used", window.used);
  json.Field("until", MillisOf(window.until)).EndObject();
}

AccountPool::KeptWindow WindowAt(const JsonIndex& json, std::string_view name) {
  auto window = JsonIndex::Object(json.Find(name));
  if (!window) return {};
  Parsed<double> used = ParseNumber(window->Find("used").Number().value_or("0"));
  return {used.value_or(0), TimeAt(*window, "until")};
}

// {"failures":2,"troubles":[{"family":"opus","health":"limited","cause":"429 …","until":ms}],
//  "5h":{"used":0.12,"until":ms},"week":{…}}
std::string TextOf(const AccountPool::KeptHealth& kept) {
  bool windows = kept.five_hours.until != WallTime() || kept.week.until != WallTime();
  if (kept.failures == 0 && kept.troubles.empty() && !windows) return {};
  JsonText json;
  json.BeginObject().Field("failures", kept.failures).Key("troubles").BeginArray();
  for (const AccountPool::KeptTrouble& trouble : kept.troubles) {
    json.BeginObject().Field("family", trouble.family).Field("health", NameOf(trouble.health));
    json.Field("cause", trouble.cause).Field("until", MillisOf(trouble.until)).EndObject();
  }
  json.EndArray();
  AddWindow("5h", kept.five_hours, json);
  AddWindow("week", kept.week, json);
  return json.EndObject().Take();
}

std::optional<AccountPool::KeptHealth> HealthOf(std::string_view account, std::string_view text) {
  auto json = JsonIndex::Parse(text);
  if (!json) return std::nullopt;
  AccountPool::KeptHealth kept;
  kept.account = account;
  constexpr int64_t kMostFailures = 1000;
  kept.failures = static_cast<int>(
      std::clamp<int64_t>(json->Find("failures").Int().value_or(0), 0, kMostFailures));
  kept.five_hours = WindowAt(*json, "5h");
  kept.week = WindowAt(*json, "week");
  JsonArray troubles(json->Find("troubles"));
  while (JsonValue item = troubles.Next()) {
    auto trouble = JsonIndex::Object(item);
    if (!trouble) return std::nullopt;
    auto health = ParseTrouble(TextAt(*trouble, "health"));
    if (!health) continue;
    kept.troubles.push_back({TextAt(*trouble, "family"), *health, TextAt(*trouble, "cause"),
                             TimeAt(*trouble, "until")});
  }
  return kept;
}

// {"session":"alice\n…","account":"team-api","used":ms}, with "moved":true where it is so, and with
// "family":"opus" where it is the account of these models alone
std::string TextOf(const AccountPool::KeptSession& kept) {
  JsonText json;
  json.BeginObject().Field("session", kept.sticky).Field("account", kept.account);
  json.Field("used", MillisOf(kept.used));
  if (!kept.family.empty()) json.Field("family", kept.family);
  if (kept.moved) json.Field("moved", true);
  return json.EndObject().Take();
}

std::optional<AccountPool::KeptSession> SessionOf(std::string_view slot, std::string_view text) {
  Parsed<int64_t> number = ParseInteger(slot);
  auto json = JsonIndex::Parse(text);
  if (!json || !number || *number < 0) return std::nullopt;
  AccountPool::KeptSession kept;
  kept.slot = static_cast<size_t>(*number);
  kept.sticky = TextAt(*json, "session");
  kept.family = TextAt(*json, "family");
  kept.account = TextAt(*json, "account");
  kept.used = TimeAt(*json, "used");
  kept.moved = json->Find("moved").Bool().value_or(false);
  return kept;
}

}  // namespace

void HealthStates::TakeChanged(std::vector<StateBlob>& to) {
  for (const NamedPool& named : pools_()) {
    for (const AccountPool::KeptHealth& kept : named.pool->TakeChangedHealth()) {
      to.push_back({std::string(kind()), named.cluster + "/" + kept.account, TextOf(kept)});
    }
  }
}

std::vector<std::string> HealthStates::Restore(const std::vector<StateBlob>& blobs) {
  std::vector<std::string> gone;
  std::vector<NamedPool> pools = pools_();
  for (const StateBlob& blob : blobs) {
    auto [cluster, account] = Split(blob.id);
    std::shared_ptr<AccountPool> pool = Find(pools, cluster);
    auto kept = HealthOf(account, blob.value);
    if (pool == nullptr || !kept || !pool->RestoreHealth(*kept)) gone.push_back(blob.id);
  }
  return gone;
}

void StickyStates::TakeChanged(std::vector<StateBlob>& to) {
  for (const NamedPool& named : pools_()) {
    for (const AccountPool::KeptSession& kept : named.pool->TakeChangedSessions()) {
      std::string id = named.cluster + "/" + std::to_string(kept.slot);
      to.push_back({std::string(kind()), std::move(id), TextOf(kept)});
    }
  }
}

std::vector<std::string> StickyStates::Restore(const std::vector<StateBlob>& blobs) {
  std::vector<std::string> gone;
  std::vector<NamedPool> pools = pools_();
  std::map<std::string, std::vector<AccountPool::KeptSession>, std::less<>> by_cluster;
  for (const StateBlob& blob : blobs) {
    auto [cluster, slot] = Split(blob.id);
    auto kept = Find(pools, cluster) == nullptr ? std::nullopt : SessionOf(slot, blob.value);
    if (kept) {
      by_cluster[std::string(cluster)].push_back(std::move(*kept));
    } else {
      gone.push_back(blob.id);
    }
  }
  for (auto& [cluster, kept] : by_cluster) {
    for (size_t slot : Find(pools, cluster)->RestoreSessions(std::move(kept))) {
      gone.push_back(cluster + "/" + std::to_string(slot));
    }
  }
  return gone;
}

}  // namespace relay
