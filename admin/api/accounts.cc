// SPDX-License-Identifier: MIT
#include "admin/api/accounts.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "admin/account_test.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/config/texts.h"

namespace relay {
namespace {

// --- What is told ------------------------------------------------------------------------------

std::string_view NameOf(TokenSource::View::Phase phase) {
  using Phase = TokenSource::View::Phase;
  switch (phase) {
    case Phase::kUnread: return "unread";
    case Phase::kReady: return "ready";
    case Phase::kExpired: return "expired";
    case Phase::kRefused: return "refused";
  }
  return "unread";
}

std::string_view KindOf(const Account& account) {
  if (account.kind == Account::Kind::kApiKey) return "api-key";
  return account.tokens == nullptr ? "oauth-token" : "login";
}

void AddToken(JsonText& json, TokenSource& source) {
  TokenSource::View view = source.Look();
  json.Key("token").BeginObject();
  json.Field("state", NameOf(view.phase));
  if (!view.cause.empty()) json.Field("cause", view.cause);
  if (view.expires != WallTime()) json.Field("expires", IsoTime(view.expires));
  if (view.refreshed != WallTime()) json.Field("refreshed", IsoTime(view.refreshed));
  json.Field("refreshing", view.refreshing);
  json.EndObject();
}

void AddWindow(std::string_view name, const WindowUse& window, const Instant& now, JsonText& json) {
  if (window.until == TimePoint()) return;
  json.BeginObject().Field("name", name).Field("used_percent", std::round(window.used * 1000) / 10);
  json.Field("until", IsoTime(now.WallOf(window.until))).EndObject();
}

// As relay.yaml would say it; a proxy without its password.
std::string TermsText(const AccountTerms& terms) {
  std::string text = WriteStruct(terms);
  // Which is what Fields takes for saying nothing.
  if (!terms.proxy || !terms.proxy->direct()) return text;
  text.pop_back();
  return text + (text.size() > 1 ? "," : "") + R"("proxy":"direct"})";
}

void AddAccount(JsonText& json, const Snapshot& snapshot, const ClusterShared& cluster,
                const Account& account, const std::vector<AccountPool::View>& views,
                const Instant& now) {
  json.BeginObject();
  json.Field("cluster", account.cluster).Field("name", account.name);
  json.Field("kind", KindOf(account));
  const AccountConfig* file = FileAccount(snapshot, account.cluster, account.name);
  const StoredAccount* stored = AccountBook::Find(snapshot, account.cluster + "/" + account.name);
  json.Field("source", file != nullptr ? "file" : "store");
  if (file == nullptr && stored != nullptr) file = &stored->config;
  if (file != nullptr) json.Key("terms").Raw(TermsText(*file));
  if (!account.project.empty()) json.Field("project", account.project);
  if (stored != nullptr && !stored->who.empty()) json.Field("who", stored->who);
  auto view = std::find_if(views.begin(), views.end(),
                           [&](const auto& one) { return one.name == account.name; });
  if (view != views.end()) {
    json.Field("state", NameOf(view->health)).Field("in_flight", view->in_flight);
    if (!view->cause.empty()) json.Field("cause", view->cause);
    if (!view->family.empty()) json.Field("family", view->family);
    if (view->until != TimePoint()) json.Field("until", IsoTime(now.WallOf(view->until)));
    json.Key("windows").BeginArray();
    AddWindow("5h", view->windows.five_hours, now, json);
    AddWindow("week", view->windows.week, now, json);
    json.EndArray();
  }
  if (account.tokens != nullptr) AddToken(json, *account.tokens);
  json.Key("incidents").BeginArray();
  for (const Incident& incident : cluster.pool->Incidents(account.name)) {
    json.BeginObject();
    json.Field("when", IsoTime(incident.when)).Field("status", incident.status);
    json.Field("cause", incident.cause).EndObject();
  }
  json.EndArray();
  json.EndObject();
}

Reply ListAll(AccountsRoom& room) {
  const std::shared_ptr<const Snapshot> snapshot = room.services.current();
  const Instant now(room.services.clock);
  JsonText json;
  json.BeginObject().Key("accounts").BeginArray();
  for (const auto& cluster : snapshot->clusters) {
    std::vector<AccountPool::View> views = cluster->pool->Look();
    for (const auto& account : cluster->accounts) {
      AddAccount(json, *snapshot, *cluster, *account, views, now);
    }
  }
  json.EndArray().EndObject();
  return Reply{.body = json.Take()};
}

Reply NoSuchAccount(const ApiRequest& request) {
  return ApiError(404, "there is no account " + request.names[0] + "/" + request.names[1]);
}

Task<Reply> Show(AccountsRoom& room, ApiRequest& request) {
  const std::shared_ptr<const Snapshot> snapshot = room.services.current();
  FoundAccount found = FindAccount(*snapshot, request.names[0], request.names[1]);
  if (found.account == nullptr) co_return NoSuchAccount(request);
  JsonText json;
  AddAccount(json, *snapshot, *found.cluster, *found.account, found.cluster->pool->Look(),
             Instant(room.services.clock));
  co_return Reply{.body = json.Take()};
}

FoundAccount Find(AccountsRoom& room, const ApiRequest& request) {
  return FindAccount(*room.services.current(), request.names[0], request.names[1]);
}

// --- What is done ------------------------------------------------------------------------------

Task<Reply> Add(AccountsRoom& room, ApiRequest& request) {
  Result<JsonIndex> json = JsonIndex::Parse(request.body);
  if (!json) co_return ApiError(400, "the body is no JSON object");
  StoredAccount account;
  account.cluster = json->Find("cluster").String().value_or("");
  account.config.name = json->Find("name").String().value_or("");
  std::string key = json->Find("api_key").String().value_or("");
  const std::shared_ptr<const Snapshot> snapshot = room.services.current();
  std::shared_ptr<const ClusterShared> cluster = FindCluster(*snapshot, account.cluster);
  if (cluster == nullptr) {
    co_return ApiError(404, "relay.yaml has no cluster '" + account.cluster + "'");
  }
  if (!IsName(account.config.name)) {
    co_return ApiError(400, "a name is lower-case letters, digits, '-', '_' or '.'");
  }
  if (FileAccount(*snapshot, account.cluster, account.config.name) != nullptr) {
    co_return ApiError(409, "relay.yaml has an account of that name");
  }
  if (!IsCredential(key) || !IsNoPlaceholder(key)) {
    co_return ApiError(400, "the key must be printable characters without spaces");
  }
  Result<AccountTerms> terms =
      ChangedTerms({}, TermsIn(*json, {"cluster", "name", "api_key"}), cluster->config);
  if (!terms) co_return ApiError(400, terms.error().what);
  static_cast<AccountTerms&>(account.config) = std::move(*terms);
  account.config.api_key = Secret::Take(key);
  std::string id = account.id();
  auto change = [&](std::optional<StoredAccount> now) -> Result<std::optional<StoredAccount>> {
    if (now && now->serves()) {
      return Fail(Party::kClient, Fault::kForbidden, "there is an account " + id + " already");
    }
    return account;
  };
  ApiResult<Unit> written = co_await room.book.Write(id, change);
  if (!written) co_return ReplyOf(written.error());
  co_return Reply{.status = 201,
                  .body = JsonText().BeginObject().Field("account", id).EndObject().Take()};
}

Task<Reply> SetTerms(AccountsRoom& room, ApiRequest& request) {
  FoundAccount found = Find(room, request);
  if (found.account == nullptr) co_return NoSuchAccount(request);
  std::string id = request.names[0] + "/" + request.names[1];
  if (FileAccount(*room.services.current(), request.names[0], request.names[1]) != nullptr) {
    co_return ApiError(409, id + " stands in relay.yaml; change it there");
  }
  Result<JsonIndex> body = JsonIndex::Parse(request.body);
  if (!body) co_return ApiError(400, "the body is no JSON object");
  auto change = [&](std::optional<StoredAccount> now) -> Result<std::optional<StoredAccount>> {
    if (!now) return Fail(Party::kClient, Fault::kNotFound, "there is no account " + id);
    Result<AccountTerms> terms =
        ChangedTerms(now->config, TermsIn(*body, {}), found.cluster->config);
    if (!terms) return std::unexpected(terms.error());
    static_cast<AccountTerms&>(now->config) = std::move(*terms);
    return now;
  };
  ApiResult<Unit> written = co_await room.book.Write(id, change);
  if (!written) co_return ReplyOf(written.error());
  Reply shown = co_await Show(room, request);
  co_return shown;
}

Task<Reply> SetPaused(AccountsRoom& room, ApiRequest& request, bool pause) {
  FoundAccount found = Find(room, request);
  if (found.account == nullptr) co_return NoSuchAccount(request);
  std::string id = request.names[0] + "/" + request.names[1];
  auto change = [&](std::optional<StoredAccount> now) -> Result<std::optional<StoredAccount>> {
    if (!now) {
      now.emplace();
      now->cluster = request.names[0];
      now->config.name = request.names[1];
    }
    now->paused = pause;
    // Of an account of relay.yaml nothing else is kept.
    if (!pause && !now->serves()) return std::optional<StoredAccount>();
    return now;
  };
  ApiResult<Unit> written = co_await room.book.Write(id, change);
  if (!written) co_return ReplyOf(written.error());
  co_return Reply{.body = R"({"ok":true})"};
}

Task<Reply> Reset(AccountsRoom& room, ApiRequest& request) {
  FoundAccount found = Find(room, request);
  if (found.account == nullptr) co_return NoSuchAccount(request);
  found.cluster->pool->Reset(found.account->name);
  if (found.account->tokens != nullptr) room.keeper.Reread(found.account->tokens);
  found.cluster->metrics->Show(*found.cluster->pool, room.services.clock.Now());
  co_return Reply{.body = R"({"ok":true})"};
}

Task<Reply> Remove(AccountsRoom& room, ApiRequest& request) {
  const std::shared_ptr<const Snapshot> snapshot = room.services.current();
  std::string id = request.names[0] + "/" + request.names[1];
  if (FileAccount(*snapshot, request.names[0], request.names[1]) != nullptr) {
    co_return ApiError(409, id + " stands in relay.yaml; remove it there, or pause it");
  }
  const StoredAccount* stored = AccountBook::Find(*snapshot, id);
  if (stored == nullptr) co_return NoSuchAccount(request);
  auto change = [](std::optional<StoredAccount>) -> Result<std::optional<StoredAccount>> {
    return std::optional<StoredAccount>();
  };
  ApiResult<Unit> written = co_await room.book.Write(id, change);
  if (!written) co_return ReplyOf(written.error());
  Result<Unit> dropped = co_await room.keeper.Drop(id);
  if (!dropped) co_return ReplyOf(FaultOf(dropped.error()));
  co_return Reply{.body = R"({"ok":true})"};
}

std::string TextOf(const AccountTestStep& step) {
  JsonText json;
  json.BeginObject().Field("what", step.what).Field("good", step.good);
  json.Field("detail", step.detail);
  json.Field("ms", std::chrono::duration_cast<std::chrono::milliseconds>(step.took).count());
  return json.EndObject().Take();
}

// With `stream=true` each step is a line of its own, told when it is done; the last line says
// whether all were good.
Task<Reply> Test(AccountsRoom& room, ApiRequest& request) {
  FoundAccount found = Find(room, request);
  if (found.account == nullptr) co_return NoSuchAccount(request);
  const ClusterConfig& config = found.cluster->config;
  bool streams = request.Query("stream") == "true" && request.tell != nullptr;
  std::function<void(const AccountTestStep&)> tell;
  if (streams) tell = [&request](const AccountTestStep& step) { request.tell(TextOf(step)); };
  std::vector<AccountTestStep> steps =
      co_await TestAccount(room.calls, found.account, config.provider, OauthClientOf(config),
                           request.Query("model"), std::move(tell));
  JsonText json;
  json.BeginObject();
  json.Field("good", !steps.empty() && steps.back().good);
  if (!streams) {
    json.Key("steps").BeginArray();
    for (const AccountTestStep& step : steps) json.Raw(TextOf(step));
    json.EndArray();
  }
  json.EndObject();
  co_return Reply{.body = json.Take()};
}

}  // namespace

std::shared_ptr<const ClusterShared> FindCluster(const Snapshot& snapshot,
                                                 std::string_view cluster) {
  for (const auto& shared : snapshot.clusters) {
    if (shared->config.name == cluster) return shared;
  }
  return nullptr;
}

FoundAccount FindAccount(const Snapshot& snapshot, std::string_view cluster,
                         std::string_view name) {
  FoundAccount found;
  found.cluster = FindCluster(snapshot, cluster);
  if (found.cluster == nullptr) return found;
  for (const auto& account : found.cluster->accounts) {
    if (account->name == name) found.account = account;
  }
  return found;
}

std::string TermsIn(const JsonIndex& body, std::initializer_list<std::string_view> others) {
  Edits edits;
  size_t left = body.fields().size();
  for (std::string_view other : others) {
    if (body.FindField(other) == nullptr) continue;
    edits.Remove(body, other);
    --left;
  }
  return left == 0 ? "" : edits.Apply(body.text());
}

Result<AccountTerms> ChangedTerms(const AccountTerms& before, const std::string& patch,
                                  const ClusterConfig& cluster) {
  if (patch.empty()) return before;
  Result<JsonIndex> json = JsonIndex::Parse(patch);
  if (!json) return std::unexpected(json.error());
  Result<AccountTerms> terms = PatchTerms(before, *json);
  if (terms && terms->endpoint && !terms->endpoint->tls && !cluster.allow_private) {
    return Fail(Party::kClient, Fault::kMalformed,
                "'endpoint' must be https://, unless the cluster has 'allow-private: true'");
  }
  return terms;
}

const AccountConfig* FileAccount(const Snapshot& snapshot, std::string_view cluster,
                                 std::string_view name) {
  const ClusterConfig* config = snapshot.config->FindCluster(cluster);
  if (config == nullptr) return nullptr;
  auto account = std::find_if(config->accounts.begin(), config->accounts.end(),
                              [&](const AccountConfig& one) { return one.name == name; });
  return account == config->accounts.end() ? nullptr : &*account;
}

void AddAccountsApi(ApiRouter& router, AccountsRoom& room) {
  const std::string one = "/admin/v1/accounts/{cluster}/{name}";
  router.Add("GET", "/admin/v1/accounts",
             [&room](ApiRequest&) -> Task<Reply> { return ListAll(room); });
  router.Add("POST", "/admin/v1/accounts",
             [&room](ApiRequest& request) { return Add(room, request); });
  router.Add("GET", one, [&room](ApiRequest& request) { return Show(room, request); });
  router.Add("PATCH", one, [&room](ApiRequest& request) { return SetTerms(room, request); });
  router.Add("DELETE", one, [&room](ApiRequest& request) { return Remove(room, request); });
  router.Add("POST", one + "/pause",
             [&room](ApiRequest& request) { return SetPaused(room, request, true); });
  router.Add("POST", one + "/resume",
             [&room](ApiRequest& request) { return SetPaused(room, request, false); });
  router.Add("POST", one + "/reset", [&room](ApiRequest& request) { return Reset(room, request); });
  router.Add("POST", one + "/test", [&room](ApiRequest& request) { return Test(room, request); });
  AddLoginsApi(router, room);
}

}  // namespace relay
