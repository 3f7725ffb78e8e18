// SPDX-License-Identifier: MIT
#include "upstreams/stored_account.h"

#include <algorithm>
#include <utility>

#include "core/base/json.h"
#include "core/config/patch.h"
#include "core/config/texts.h"

namespace relay {
namespace {

// The fields of terms stand among the account's others. The proxy may hold a password: it is sealed
// as credentials are.
constexpr std::string_view kProxy = "proxy";

void AddTerms(const AccountTerms& terms, JsonText& json) {
  const std::string text = WriteStruct(terms);
  Result<JsonIndex> object = JsonIndex::Parse(text);
  for (const JsonField& field : object->fields()) {
    if (object->Key(field) == kProxy) continue;
    json.Key(object->Key(field)).Raw(object->Value(field).raw);
  }
}

Result<AccountTerms> TermsIn(const JsonIndex& account) {
  Result<Node> node = NodeOfJson(account, "account");
  if (!node) return std::unexpected(std::move(node.error()));
  static const Shape kTerms = DescribeStruct<AccountTerms>();
  std::erase_if(node->entries, [](const Node::Entry& entry) {
    // So it was once written that there is no bound.
    bool unsaid = entry.key == "concurrency" && entry.value.text == "0";
    return entry.key == kProxy || unsaid ||
           std::ranges::find(kTerms.fields, entry.key, &FieldShape::name) == kTerms.fields.end();
  });
  return BindJson<AccountTerms>(*node);
}

}  // namespace

Result<AccountTerms> PatchTerms(const AccountTerms& terms, const JsonIndex& patch) {
  Result<AccountTerms> changed = PatchStruct(terms, patch);
  // Its password is not written, so the patch has nothing to keep.
  if (changed && patch.FindField(kProxy) == nullptr) changed->proxy = terms.proxy;
  return changed;
}

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
  AddTerms(config, json);
  if (config.proxy) {
    Secret proxy = RevealProxyUrl(*config.proxy);
    json.Field(kProxy, vault.Seal({StoredAccount::kKind, id, kProxy}, proxy.Reveal()));
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
  Result<AccountTerms> terms = TermsIn(*json);
  if (!terms) return fail(terms.error().what);
  static_cast<AccountTerms&>(config) = std::move(*terms);
  Secret proxy;
  for (auto [field, to] : {std::pair(std::string_view("api-key"), &config.api_key),
                           std::pair(std::string_view("oauth-token"), &config.oauth_token),
                           std::pair(kProxy, &proxy)}) {
    std::optional<std::string> sealed = json->Find(field).String();
    if (!sealed) continue;
    std::expected<Secret, VaultError> opened =
        vault.Open({StoredAccount::kKind, id, field}, *sealed);
    if (!opened) return fail(opened.error().what);
    *to = std::move(*opened);
  }
  if (!proxy.empty()) {
    Parsed<ProxyUrl> url = ParseProxyUrl(proxy.Reveal());
    if (!url) return fail("its proxy");
    config.proxy = std::move(*url);
  }
  config.from_store = true;
  config.login = json->Find("login").Bool().value_or(false);
  config.project = json->Find("project").String().value_or("");
  if (!config.project.empty() && !IsCredential(config.project)) return fail("its project");
  account.paused = json->Find("paused").Bool().value_or(false);
  account.who = json->Find("who").String().value_or("");
  account.terms = WallTime(std::chrono::seconds(
      std::clamp<int64_t>(json->Find("terms").Int().value_or(0), 0, int64_t{1} << 33)));
  return account;
}

}  // namespace relay
