// SPDX-License-Identifier: MIT
#include "admin/api/keys.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "admin/api/accounts.h"
#include "core/base/text.h"
#include "core/config/patch.h"
#include "core/config/texts.h"
#include "core/config/wording.h"

namespace relay {
namespace {

constexpr size_t kSecretBytes = 32;
constexpr int64_t kMostOverlap = int64_t{90} * 24 * 3600;

std::unexpected<ApiFault> No(int status, std::string message) {
  return std::unexpected(ApiFault{status, std::move(message)});
}

// The body as an object; an empty one is {}.
ApiResult<JsonIndex> BodyOf(const ApiRequest& request) {
  static constexpr std::string_view kNothing = "{}";
  Result<JsonIndex> body =
      JsonIndex::Parse(request.body.empty() ? kNothing : std::string_view(request.body));
  if (!body) return No(400, "the body is no JSON object: " + body.error().what);
  return std::move(*body);
}

}  // namespace

KeysApi::KeysApi(ApiRouter& router, Objects& objects, Services& services)
    : objects_(objects), services_(services) {
  const std::string all = "/admin/v1/keys";
  const std::string one = all + "/{name}";
  router.Add("GET", all, [this](ApiRequest& request) { return List(request); });
  router.Add("POST", all, [this](ApiRequest& request) { return Make(request); });
  router.Add("GET", one, [this](ApiRequest& request) { return Show(request); });
  router.Add("PATCH", one, [this](ApiRequest& request) { return Patch(request); });
  router.Add("DELETE", one, [this](ApiRequest& request) { return Delete(request); });
  router.Add("POST", one + "/disable", [this](ApiRequest& r) { return Disable(r, true); });
  router.Add("POST", one + "/enable", [this](ApiRequest& r) { return Disable(r, false); });
  router.Add("POST", one + "/rotate", [this](ApiRequest& request) { return Rotate(request); });
  router.Add("POST", one + "/restore", [this](ApiRequest& request) { return Restore(request); });
}

// --- What is asked -----------------------------------------------------------------------------

Task<Reply> KeysApi::List(ApiRequest& request) {
  bool with_deleted = request.Query("deleted") == "true";
  std::set<std::string> names;
  std::shared_ptr<const Snapshot> snapshot = services_.current();
  for (const KeyConfig& key : snapshot->config->keys) names.insert(key.name);
  if (const Directory* directory = objects_.directory()) {
    for (const StoredObject& object : directory->objects) {
      if (object.kind == kKeyKind) names.insert(object.id);
    }
  }
  JsonText json;
  json.BeginObject().Key("keys").BeginArray();
  for (const std::string& name : names) {
    const StoredObject* object = objects_.Find(kKeyKind, name);
    if (!with_deleted && object != nullptr && snapshot->config->FindKey(name) == nullptr) {
      Result<StoredKey> key = ReadStoredKey(name, object->value);
      if (key && key->deleted) continue;
    }
    Describe(name, "", json);
  }
  return Reply{.body = json.EndArray().EndObject().Take()};
}

Task<Reply> KeysApi::Show(ApiRequest& request) {
  return ShowKey(request.names[0], "", 200);
}

Task<Reply> KeysApi::Make(ApiRequest& request) {
  ApiResult<JsonIndex> body = BodyOf(request);
  if (!body) return ReplyOf(body.error());
  std::string name = body->Find("name").String().value_or("");
  if (!IsName(name)) {
    return ApiError(400, "'name' must be lower-case letters, digits, '-', '_' or '.' (64 at most)" +
                             (name.empty() ? std::string() : ", not " + Quote(name)));
  }
  if (services_.current()->config->FindKey(name) != nullptr) {
    return ApiError(409, "relay.yaml declares a key " + Quote(name) + " already");
  }
  Edits edits;
  edits.Remove(*body, "name");
  const std::string rest = edits.Apply(body->text());
  Result<JsonIndex> patch = JsonIndex::Parse(rest);
  Result<KeyTerms> terms =
      patch ? PatchStruct(KeyTerms(), *patch) : Result<KeyTerms>(std::unexpected(patch.error()));
  if (!terms) return ApiError(400, terms.error().what);
  if (auto fault = CheckBound(*terms)) return ReplyOf(*fault);
  std::string secret = NewSecret();
  StoredKey key;
  key.name = name;
  key.terms = std::move(*terms);
  key.made = services_.clock.Wall();
  if (objects_.directory() != nullptr) key.tokens.push_back(TokenOf(secret));
  return Add(std::move(key), std::move(secret));
}

Task<Reply> KeysApi::Patch(ApiRequest& request) {
  ApiResult<JsonIndex> body = BodyOf(request);
  if (!body) return ReplyOf(body.error());
  Change change = [this, &request](StoredKey& key) -> ApiResult<Unit> {
    ApiResult<JsonIndex> patch = BodyOf(request);
    Result<KeyTerms> terms = PatchStruct(key.terms, *patch);
    if (!terms) return No(400, terms.error().what);
    if (auto fault = CheckBound(*terms)) return std::unexpected(std::move(*fault));
    key.terms = std::move(*terms);
    return Unit{};
  };
  return ChangeKey(request.names[0], change, "");
}

Task<Reply> KeysApi::Disable(ApiRequest& request, bool disabled) {
  const std::string& name = request.names[0];
  std::shared_ptr<const Snapshot> snapshot = services_.current();
  if (const KeyConfig* key = snapshot->config->FindKey(name)) {
    if (!disabled && key->disabled) {
      return ApiError(
          409, "relay.yaml has 'disabled: true' at key " + Quote(name) + ": take it away there");
    }
    return Overlay(name, disabled);
  }
  Change change = [disabled](StoredKey& key) -> ApiResult<Unit> {
    key.disabled = disabled;
    return Unit{};
  };
  return ChangeKey(name, change, "");
}

Task<Reply> KeysApi::Rotate(ApiRequest& request) {
  ApiResult<JsonIndex> body = BodyOf(request);
  if (!body) return ReplyOf(body.error());
  int64_t overlap =
      body->Find("overlap-seconds") ? body->Find("overlap-seconds").Int().value_or(-1) : 0;
  if (overlap < 0 || overlap > kMostOverlap) {
    return ApiError(
        400, "'overlap-seconds' must be a whole number in 0.." + std::to_string(kMostOverlap));
  }
  if (objects_.directory() == nullptr) return ChangeKey(request.names[0], nullptr, "");
  std::string secret = NewSecret();
  KeyToken token = TokenOf(secret);
  Change change = [token, overlap](StoredKey& key) -> ApiResult<Unit> {
    if (key.deleted) return No(409, "key " + Quote(key.name) + " is deleted; restore it first");
    WallTime until = token.made + std::chrono::seconds(overlap);
    for (KeyToken& old : key.tokens) old.until = std::min(old.until.value_or(until), until);
    std::erase_if(key.tokens, [&](const KeyToken& old) { return *old.until <= token.made; });
    key.tokens.insert(key.tokens.begin(), token);
    return Unit{};
  };
  return ChangeKey(request.names[0], change, secret);
}

Task<Reply> KeysApi::Delete(ApiRequest& request) {
  if (request.Query("purge") == "true") {
    const std::string& name = request.names[0];
    if (auto fault = Refuse(name)) return ReplyOf(*fault);
    return Purge(name);
  }
  WallTime now = services_.clock.Wall();
  Change change = [now](StoredKey& key) -> ApiResult<Unit> {
    if (!key.deleted) key.deleted = now;
    return Unit{};
  };
  return ChangeKey(request.names[0], change, "");
}

Task<Reply> KeysApi::Restore(ApiRequest& request) {
  Change change = [](StoredKey& key) -> ApiResult<Unit> {
    key.deleted.reset();
    return Unit{};
  };
  return ChangeKey(request.names[0], change, "");
}

// --- How it is done ----------------------------------------------------------------------------

std::unexpected<ApiFault> KeysApi::NoSuchKey(const std::string& name) const {
  std::vector<std::string_view> names;
  std::shared_ptr<const Snapshot> snapshot = services_.current();
  for (const KeyConfig& key : snapshot->config->keys) names.push_back(key.name);
  if (const Directory* directory = objects_.directory()) {
    for (const StoredObject& object : directory->objects) {
      if (object.kind == kKeyKind) names.push_back(object.id);
    }
  }
  return No(404, "there is no key " + Quote(name) + DidYouMean(name, names));
}

std::optional<ApiFault> KeysApi::CheckBound(const KeyTerms& terms) const {
  std::shared_ptr<const Snapshot> snapshot = services_.current();
  for (const auto& [cluster, account] : terms.bind) {
    std::shared_ptr<const ClusterShared> shared = FindCluster(*snapshot, cluster);
    bool there = shared != nullptr && std::ranges::any_of(shared->accounts, [&](const auto& one) {
                   return IsBoundTo(*one, account.value);
                 });
    if (there) continue;
    std::string what = TagOf(account.value).empty() ? "there is no account "
                                                    : "there is no account with that tag: ";
    return ApiFault{400, "'bind': " + what + Quote(cluster + "/" + account.value)};
  }
  return std::nullopt;
}

std::optional<ApiFault> KeysApi::Refuse(const std::string& name) const {
  if (services_.current()->config->FindKey(name) != nullptr) {
    return ApiFault{409, "key " + Quote(name) +
                             " is declared in relay.yaml: change it there (here it can be disabled "
                             "and enabled)"};
  }
  if (objects_.directory() == nullptr || objects_.Find(kKeyKind, name) != nullptr) {
    return std::nullopt;  // without a store, the change itself says so
  }
  return NoSuchKey(name).error();
}

Task<Reply> KeysApi::Add(StoredKey key, std::string secret) {
  Objects::Edit edit =
      [&key](const StoredObject* present) -> ApiResult<std::optional<std::string>> {
    if (present == nullptr) return WriteStoredKey(key);
    Result<StoredKey> old = ReadStoredKey(key.name, present->value);
    bool deleted = old && old->deleted;
    return No(409, "there is a key " + Quote(key.name) +
                       (deleted ? " that was deleted: restore it, or delete it with --purge first"
                                : " already"));
  };
  ApiResult<Unit> done = co_await objects_.Change(std::string(kKeyKind), key.name, edit);
  if (!done) co_return ReplyOf(done.error());
  co_return ShowKey(key.name, secret, 201);
}

Task<Reply> KeysApi::Purge(std::string name) {
  Objects::Edit edit = [](const StoredObject*) -> ApiResult<std::optional<std::string>> {
    return std::nullopt;
  };
  ApiResult<Unit> done = co_await objects_.Change(std::string(kKeyKind), name, edit);
  if (!done) co_return ReplyOf(done.error());
  services_.uses.Forget(name);
  co_return Reply{.status = 204, .content_type = ""};
}

Task<Reply> KeysApi::ChangeKey(std::string name, Change change, std::string secret) {
  if (auto fault = Refuse(name)) co_return ReplyOf(*fault);
  Objects::Edit edit = [&](const StoredObject* present) -> ApiResult<std::optional<std::string>> {
    if (present == nullptr) return NoSuchKey(name);
    Result<StoredKey> key = ReadStoredKey(name, present->value);
    if (!key) return No(500, key.error().what);
    ApiResult<Unit> changed = change(*key);
    if (!changed) return std::unexpected(std::move(changed.error()));
    return WriteStoredKey(*key);
  };
  ApiResult<Unit> done = co_await objects_.Change(std::string(kKeyKind), name, edit);
  if (!done) co_return ReplyOf(done.error());
  co_return ShowKey(name, secret, 200);
}

Task<Reply> KeysApi::Overlay(std::string name, bool disabled) {
  Objects::Edit edit = [disabled](const StoredObject*) -> ApiResult<std::optional<std::string>> {
    if (!disabled) return std::nullopt;
    return DisabledOverlay();
  };
  std::string id = OverlayIdOfKey(name);
  ApiResult<Unit> done = co_await objects_.Change(std::string(kOverlayKind), id, edit);
  if (!done) co_return ReplyOf(done.error());
  co_return ShowKey(name, "", 200);
}

KeyToken KeysApi::TokenOf(std::string_view secret) const {
  return {HmacKey(objects_.pepper().Reveal()).Sign(secret), ShownPart(secret),
          services_.clock.Wall()};
}

std::string KeysApi::NewSecret() const {
  return services_.current()->config->admin.key_prefix + HexEncode(RandomBytes(kSecretBytes));
}

void KeysApi::DescribeUse(const std::string& name, JsonText& json) const {
  for (const LedgerEntry& entry : services_.ledger.Recent(Ledger::kRecent)) {
    if (entry.key != name) continue;
    json.Field("last-used", IsoTime(entry.when));
    return;
  }
}

void KeysApi::DescribeStored(const StoredKey& key, std::string_view secret, JsonText& json) const {
  json.BeginObject().Field("name", key.name).Field("source", "store");
  std::string_view state = key.deleted ? "deleted" : key.disabled ? "disabled" : "active";
  json.Field("state", state);
  if (!secret.empty()) json.Field("key", secret);
  json.Key("tokens").BeginArray();
  for (const KeyToken& token : key.tokens) {
    json.BeginObject().Field("shown", token.shown).Field("made", IsoTime(token.made));
    if (token.until) json.Field("until", IsoTime(*token.until));
    json.EndObject();
  }
  json.EndArray().Field("made", IsoTime(key.made));
  if (key.deleted) json.Field("deleted", IsoTime(*key.deleted));
  json.Key("terms").Raw(WriteStruct(key.terms));
  DescribeUse(key.name, json);
  json.EndObject();
}

bool KeysApi::Describe(const std::string& name, std::string_view secret, JsonText& json) const {
  std::shared_ptr<const Snapshot> snapshot = services_.current();
  if (const KeyConfig* key = snapshot->config->FindKey(name)) {
    bool disabled = key->disabled || snapshot->stored->disabled.contains(OverlayIdOfKey(name));
    json.BeginObject().Field("name", name).Field("source", "relay.yaml");
    json.Field("state", disabled ? "disabled" : "active");
    json.Key("terms").Raw(WriteStruct(static_cast<const KeyTerms&>(*key)));
    DescribeUse(name, json);
    json.EndObject();
    return true;
  }
  const StoredObject* object = objects_.Find(kKeyKind, name);
  if (object == nullptr) return false;
  Result<StoredKey> key = ReadStoredKey(name, object->value);
  if (!key) {
    json.BeginObject().Field("name", name).Field("source", "store").Field("state", "unreadable");
    json.Field("why", key.error().what).EndObject();
    return true;
  }
  DescribeStored(*key, secret, json);
  return true;
}

Reply KeysApi::ShowKey(const std::string& name, std::string_view secret, int status) const {
  JsonText json;
  if (!Describe(name, secret, json)) return ReplyOf(NoSuchKey(name).error());
  return Reply{.status = status, .body = json.Take()};
}

}  // namespace relay
