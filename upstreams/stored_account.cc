// SPDX-License-Identifier: MIT
#include "upstreams/stored_account.h"

#include <algorithm>
#include <utility>

#include "core/base/json.h"
#include "core/config/texts.h"

namespace relay {
namespace {

constexpr int64_t kMost = 1'000'000;  // of priority and concurrency, as relay.yaml has it

int NumberIn(const JsonIndex& json, std::string_view field, int fallback) {
  int64_t number = json.Find(field).Int().value_or(fallback);
  return static_cast<int>(std::clamp<int64_t>(number, 0, kMost));
}

}  // namespace

std::string WriteStoredAccount(const StoredAccount& account, const Vault& vault) {
  const std::string id = account.id();
  const AccountConfig& config = account.config;
  JsonText json;
  json.BeginObject();
  for (auto [field, secret] :
       {std::pair("api-key", &config.api_key), std::pair("oauth-token", &config.oauth_token)}) {
    if (secret->empty()) continue;
    json.Field(field, vault.Seal({StoredAccount::kKind, id, field}, secret->Reveal()));
  }
  if (config.login) json.Field("login", true);
  if (!config.project.empty()) json.Field("project", config.project);
  json.Field("priority", config.priority);
  json.Field("concurrency", config.concurrency);
  if (config.weight != 0) json.Field("weight", config.weight);
  if (!config.tags.empty()) {
    json.Key("tags").BeginArray();
    for (const std::string& tag : config.tags) json.String(tag);
    json.EndArray();
  }
  if (account.paused) json.Field("paused", true);
  if (!account.who.empty()) json.Field("who", account.who);
  json.Field(
      "terms",
      std::chrono::duration_cast<std::chrono::seconds>(account.terms.time_since_epoch()).count());
  return json.EndObject().Take();
}

Result<StoredAccount> ReadStoredAccount(std::string_view id, std::string_view text,
                                        const Vault& vault) {
  auto fail = [&](const std::string& what) {
    return Fail(Party::kRelay, Fault::kInternal,
                "the stored account " + std::string(id) + " cannot be read: " + what);
  };
  size_t slash = id.find('/');
  Result<JsonIndex> json = JsonIndex::Parse(text);
  if (!json) return fail(json.error().what);
  StoredAccount account;
  account.cluster = id.substr(0, slash);
  AccountConfig& config = account.config;
  if (slash != std::string_view::npos) config.name = id.substr(slash + 1);
  if (!IsName(account.cluster) || !IsName(config.name)) return fail("it has no name");
  for (auto [field, to] :
       {std::pair("api-key", &config.api_key), std::pair("oauth-token", &config.oauth_token)}) {
    std::optional<std::string> sealed = json->Find(field).String();
    if (!sealed) continue;
    std::expected<Secret, VaultError> opened =
        vault.Open({StoredAccount::kKind, id, field}, *sealed);
    if (!opened) return fail(opened.error().what);
    *to = std::move(*opened);
  }
  config.from_store = true;
  config.login = json->Find("login").Bool().value_or(false);
  config.project = json->Find("project").String().value_or("");
  if (!config.project.empty() && !IsCredential(config.project)) return fail("its project");
  config.priority = NumberIn(*json, "priority", config.priority);
  config.concurrency = NumberIn(*json, "concurrency", 0);
  config.weight = NumberIn(*json, "weight", 0);
  JsonArray tags(json->Find("tags"));
  while (JsonValue tag = tags.Next()) config.tags.push_back(tag.String().value_or(""));
  account.paused = json->Find("paused").Bool().value_or(false);
  account.who = json->Find("who").String().value_or("");
  account.terms = WallTime(std::chrono::seconds(
      std::clamp<int64_t>(json->Find("terms").Int().value_or(0), 0, int64_t{1} << 33)));
  return account;
}

}  // namespace relay
