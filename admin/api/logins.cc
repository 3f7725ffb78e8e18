// SPDX-License-Identifier: MIT
// /admin/v1/logins: begun with the name of an account, which gives the vendor's page to open, and
// ended with what the person brings from there.
#include <utility>

#include "admin/api/accounts.h"
#include "core/base/fault_point.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/config/texts.h"
#include "upstreams/code_assist_project.h"

namespace relay {
namespace {

using Login = AccountsRoom::Login;

constexpr Duration kLoginLife = std::chrono::minutes(15);
constexpr size_t kMostLogins = 32;
constexpr Duration kTokenPatience = std::chrono::seconds(30);
constexpr Duration kProjectPatience = std::chrono::seconds(60);

// Why this name cannot be logged in for; "": it can.
std::string WhyNot(const Snapshot& snapshot, const Login& login) {
  std::shared_ptr<const ClusterShared> cluster = FindCluster(snapshot, login.cluster);
  if (cluster == nullptr) return "relay.yaml has no cluster '" + login.cluster + "'";
  if (!IsName(login.name)) return "a name is lower-case letters, digits, '-', '_' or '.'";
  bool gemini = cluster->config.provider == ProviderKind::kGemini;
  if (gemini && login.kind == LoginKind::kSetupToken) return "Google has no setup tokens";
  if (!gemini && !login.project.empty()) return "a project is for gemini only";
  if (!login.project.empty() && !IsCredential(login.project)) return "that is no project";
  if (gemini && cluster->config.oauth.client_secret.empty()) {
    return "the cluster needs 'oauth: {client-secret: …}' in relay.yaml: the secret of Gemini "
           "CLI's own client, which its public source has, by ${GEMINI_OAUTH_CLIENT_SECRET}";
  }
  const AccountConfig* file = FileAccount(snapshot, login.cluster, login.name);
  if (file != nullptr && !login.terms.empty()) {
    return "relay.yaml has an account of that name; what it may do is said there";
  }
  bool takes = file == nullptr || !file->refresh_token.empty();
  if (!takes || (file != nullptr && login.kind == LoginKind::kSetupToken)) {
    return "relay.yaml has an account of that name";
  }
  const StoredAccount* stored = AccountBook::Find(snapshot, login.cluster + "/" + login.name);
  if (stored != nullptr && !stored->config.api_key.empty())
    return "there is an API key of that name";
  return "";
}

// What the store will say of the account.
Result<AccountConfig> ConfigOf(const Snapshot& snapshot, const ClusterConfig& cluster,
                               const Login& login) {
  const StoredAccount* stored = AccountBook::Find(snapshot, login.cluster + "/" + login.name);
  AccountConfig config = stored == nullptr ? AccountConfig() : stored->config;
  Result<AccountTerms> terms = ChangedTerms(config, login.terms, cluster);
  if (!terms) return std::unexpected(terms.error());
  static_cast<AccountTerms&>(config) = std::move(*terms);
  config.from_store = true;
  return config;
}

Task<Reply> Begin(AccountsRoom& room, ApiRequest& request) {
  Result<JsonIndex> json = JsonIndex::Parse(request.body);
  if (!json) co_return ApiError(400, "the body is no JSON object");
  Login login;
  login.cluster = json->Find("cluster").String().value_or("");
  login.name = json->Find("name").String().value_or("");
  login.project = json->Find("project").String().value_or("");
  bool setup = json->Find("setup_token").Bool().value_or(false);
  login.kind = setup ? LoginKind::kSetupToken : LoginKind::kLogin;
  if (!room.book.can_write()) {
    co_return ApiError(503, "there is no store to keep a login in; see 'store' in relay.yaml");
  }
  login.terms = TermsIn(*json, {"cluster", "name", "project", "setup_token", "accept_terms"});
  const std::shared_ptr<const Snapshot> snapshot = room.services.current();
  if (std::string why = WhyNot(*snapshot, login); !why.empty()) co_return ApiError(409, why);
  auto config = ConfigOf(*snapshot, FindCluster(*snapshot, login.cluster)->config, login);
  if (!config) co_return ReplyOf(FaultOf(config.error()));
  if (!json->Find("accept_terms").Bool().value_or(false)) {
    co_return ApiError(kTermsWanted, "somebody must say yes to the vendor's terms: 'accept_terms'");
  }
  TimePoint now = room.services.clock.Now();
  std::erase_if(room.logins, [&](const auto& entry) { return entry.second.until <= now; });
  if (room.logins.size() >= kMostLogins) co_return ApiError(429, "too many logins are open");
  login.secrets = LoginSecrets::Make();
  login.until = now + kLoginLife;
  std::string url = AuthorizeUrl(OauthClientOf(FindCluster(*snapshot, login.cluster)->config),
                                 login.kind, login.secrets);
  std::string id = RandomHex(16);
  room.logins.emplace(id, std::move(login));
  co_return Reply{
      .status = 201,
      .body = JsonText().BeginObject().Field("id", id).Field("url", url).EndObject().Take()};
}

// What a login came to.
struct LoggedIn {
  TokenAnswer tokens;
  Profile profile;
  std::string no_profile;  // why there is none
  std::string project;
  std::vector<UsageWindow> windows;
};

// The account as it is, or will be: what is asked for its sake goes by its own way out.
Result<Account> AccountFor(const Snapshot& snapshot, const ClusterConfig& cluster,
                           const Login& login) {
  if (const AccountConfig* file = FileAccount(snapshot, login.cluster, login.name)) {
    return AccountOf(cluster, *file, nullptr);
  }
  Result<AccountConfig> config = ConfigOf(snapshot, cluster, login);
  if (!config) return std::unexpected(config.error());
  return AccountOf(cluster, *config, nullptr);
}

Task<Result<LoggedIn>> Redeem(AccountsRoom& room, const ClusterConfig& cluster,
                              const Account& account, const Login& login, std::string code) {
  LoggedIn result;
  OauthClient client = OauthClientOf(cluster);
  Loop& loop = room.calls.loop();
  VendorRequest request = CodeRequest(client, login.kind, code, login.secrets);
  Result<VendorAnswer> answer =
      co_await room.calls.Call(std::move(request), account.oauth_way, loop.Now() + kTokenPatience);
  auto tokens = ReadTokenAnswer(answer, room.services.clock.Wall());
  if (!tokens) co_return Fail(Party::kUpstream, Fault::kUnauthenticated, tokens.error().what);
  FaultPoint("login-answered");
  result.tokens = std::move(*tokens);
  if (login.kind == LoginKind::kLogin && result.tokens.refresh.empty()) {
    co_return Fail(Party::kUpstream, Fault::kMalformed, "the vendor gave no refresh token");
  }
  VendorRequest ask = ProfileRequest(client, result.tokens.access);
  answer = co_await room.calls.Call(std::move(ask), account.oauth_way, loop.Now() + kTokenPatience);
  Result<Profile> profile = ReadProfile(cluster.provider, answer);
  if (profile) {
    result.profile = std::move(*profile);
  } else {
    result.no_profile =
        login.kind == LoginKind::kSetupToken ? "a setup token does not tell" : profile.error().what;
  }
  if (cluster.provider == ProviderKind::kGemini) {
    Result<std::string> project =
        co_await DiscoverProject(room.calls, account.code_assist_endpoint, result.tokens.access,
                                 login.project, loop.Now() + kProjectPatience);
    if (!project) co_return std::unexpected(project.error());
    result.project = std::move(*project);
  } else if (login.kind == LoginKind::kLogin) {
    VendorRequest usage = UsageRequest(account.endpoint.url, result.tokens.access);
    answer = co_await room.calls.Call(std::move(usage), account.endpoint.way,
                                      loop.Now() + kTokenPatience);
    if (auto windows = ReadUsage(answer)) result.windows = std::move(*windows);
  }
  co_return result;
}

// Tokens first, so that an account never stands there without them.
Task<ApiResult<Unit>> Keep(AccountsRoom& room, const ClusterConfig& cluster, const Login& login,
                           LoggedIn& result) {
  std::string id = login.cluster + "/" + login.name;
  const std::shared_ptr<const Snapshot> snapshot = room.services.current();
  const AccountConfig* file = FileAccount(*snapshot, login.cluster, login.name);
  Secret setup_token = result.tokens.access;
  if (login.kind == LoginKind::kLogin) {
    Secret seed = file == nullptr ? Secret() : file->refresh_token;
    Result<Unit> put = co_await room.keeper.Put(id, std::move(seed), std::move(result.tokens));
    if (!put) co_return std::unexpected(FaultOf(put.error()));
    FaultPoint("login-stored");
  }
  auto change = [&](std::optional<StoredAccount> now) -> Result<std::optional<StoredAccount>> {
    if (!now) now.emplace();
    now->cluster = login.cluster;
    now->config.name = login.name;
    now->who = result.profile.who;
    now->terms = room.services.clock.Wall();
    if (file != nullptr) return now;
    Result<AccountTerms> terms = ChangedTerms(now->config, login.terms, cluster);
    if (!terms) return std::unexpected(terms.error());
    static_cast<AccountTerms&>(now->config) = std::move(*terms);
    now->config.login = login.kind == LoginKind::kLogin;
    now->config.oauth_token = now->config.login ? Secret() : setup_token;
    now->config.project = result.project;
    return now;
  };
  ApiResult<Unit> written = co_await room.book.Write(id, change);
  co_return written;
}

Reply Told(const Login& login, const LoggedIn& result) {
  JsonText json;
  json.BeginObject().Field("account", login.cluster + "/" + login.name);
  json.Field("who", result.profile.who).Field("plan", result.profile.plan);
  if (!result.no_profile.empty()) json.Field("note", result.no_profile);
  if (!result.project.empty()) json.Field("project", result.project);
  json.Key("windows").BeginArray();
  for (const UsageWindow& window : result.windows) {
    json.BeginObject().Field("name", window.name).Field("used_percent", window.used_percent);
    json.Field("resets_at", window.resets_at).EndObject();
  }
  json.EndArray().EndObject();
  return Reply{.body = json.Take()};
}

Task<Reply> End(AccountsRoom& room, ApiRequest& request) {
  auto known = room.logins.find(request.names[0]);
  bool there = known != room.logins.end() && room.services.clock.Now() < known->second.until;
  if (!there) co_return ApiError(404, "there is no such login, or it is too old; begin anew");
  Result<JsonIndex> json = JsonIndex::Parse(request.body);
  if (!json) co_return ApiError(400, "the body is no JSON object");
  Result<std::string> code =
      CodeOf(json->Find("pasted").String().value_or(""), known->second.secrets);
  if (!code) co_return ApiError(400, code.error().what);
  // A code is good once, and so is what belongs to it.
  Login login = std::move(known->second);
  room.logins.erase(known);
  const std::shared_ptr<const Snapshot> snapshot = room.services.current();
  if (std::string why = WhyNot(*snapshot, login); !why.empty()) co_return ApiError(409, why);
  std::shared_ptr<const ClusterShared> cluster = FindCluster(*snapshot, login.cluster);
  const Result<Account> account = AccountFor(*snapshot, cluster->config, login);
  if (!account) co_return ReplyOf(FaultOf(account.error()));
  Result<LoggedIn> result =
      co_await Redeem(room, cluster->config, *account, login, std::move(*code));
  if (!result) co_return ReplyOf(FaultOf(result.error()));
  ApiResult<Unit> kept = co_await Keep(room, cluster->config, login, *result);
  if (!kept) co_return ReplyOf(kept.error());
  cluster->pool->Reset(login.name);
  Log(LogLevel::kInfo, "account logged in", {{"account", login.cluster + "/" + login.name}});
  co_return Told(login, *result);
}

}  // namespace

void AddLoginsApi(ApiRouter& router, AccountsRoom& room) {
  router.Add("POST", "/admin/v1/logins",
             [&room](ApiRequest& request) { return Begin(room, request); });
  router.Add("POST", "/admin/v1/logins/{id}",
             [&room](ApiRequest& request) { return End(room, request); });
}

}  // namespace relay
