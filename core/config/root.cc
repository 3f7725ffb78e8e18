// SPDX-License-Identifier: MIT
// How each part of relay.yaml is bound; what spans several parts is checked in root_check.cc.
#include "core/config/root.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "core/config/root_check.h"
#include "core/config/texts.h"
#include "core/config/variables.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

// Keys of relay.example.yaml whose feature is not there yet, by the struct that they belong to.
// Who builds one deletes its line and binds it.
struct Unbuilt {
  std::string_view part;
  std::string_view key;
};
constexpr Unbuilt kUnbuilt[] = {
    {"listener", "cors"},
};

int PercentOf(std::string_view text) {
  Parsed<BytesOrShare> share = ParseBytesOrShare(text);
  return share ? share->percent : 0;
}

void RefuseUnbuilt(Fields& f, std::string_view part) {
  for (const Unbuilt& unbuilt : kUnbuilt) {
    if (unbuilt.part == part) f.NotBuilt(unbuilt.key);
  }
}

const Fits kName{IsName, "must be lower-case letters, digits, '-', '_' or '.' (64 at most)"};
const Fits kBound{IsBound, "must be the name of an account, or tag: and a tag"};
const Fits kPercent{[](std::string_view text) { return PercentOf(text) > 0; },
                    "must be 1% to 100%"};
const Fits kPrefix{IsPrefix, "must be like /api: '/' first, none at its end, no '//', '..' or '%'"};
const Fits kPlainPath{IsPlainPath, "must be like /api/hello: '/' first, no '//', '..' or '%'"};
const Fits kNoPlaceholder{IsNoPlaceholder, "must not be the placeholder of a guide", false};
const Fits kRelayKey{IsRelayKey, "must be 10 to 512 printable characters without spaces"};
const Fits kCredential{IsCredential, "must be printable characters without spaces"};
const Fits kModelGlob{IsModelGlob, "must be the name of a model, in which '*' stands for any text"};
const Fits kNetwork{IsNetwork, "must be an address or a net like 10.0.0.0/8 or 2001:db8::/32"};
const Fits kDate{IsDate, "must be a day like 2027-01-31"};
const Fits kClient{IsClientGlob,
                   "must be claude-code, gemini-cli, or a User-Agent in which '*' stands for any "
                   "text"};
const Range kTimeout{10ms, 1h};
const Range kDollars{0.000001, 1'000'000.0};

}  // namespace

// --- Words -------------------------------------------------------------------------------------

std::span<const Word<ProviderKind>> WordsOf(ProviderKind) {
  static constexpr Word<ProviderKind> kWords[] = {{"claude", ProviderKind::kClaude},
                                                  {"gemini", ProviderKind::kGemini}};
  return kWords;
}

std::string_view NameOf(ProviderKind provider) {
  return provider == ProviderKind::kClaude ? "claude" : "gemini";
}

static std::span<const Word<ForeignThinking>> WordsOf(ForeignThinking) {
  static constexpr Word<ForeignThinking> kWords[] = {{"take-out", ForeignThinking::kTakeOut},
                                                     {"pass", ForeignThinking::kPass}};
  return kWords;
}

static std::span<const Word<LogLevel>> WordsOf(LogLevel) {
  static constexpr Word<LogLevel> kWords[] = {{"debug", LogLevel::kDebug},
                                              {"info", LogLevel::kInfo},
                                              {"warn", LogLevel::kWarn},
                                              {"error", LogLevel::kError},
                                              {"off", LogLevel::kOff}};
  return kWords;
}

static std::span<const Word<LogFormat>> WordsOf(LogFormat) {
  static constexpr Word<LogFormat> kWords[] = {{"json", LogFormat::kJson},
                                               {"text", LogFormat::kText}};
  return kWords;
}

// --- Structs -----------------------------------------------------------------------------------

static void Bind(Fields& f, TlsFiles& t) {
  f.Required("certificate", t.certificate, NonEmpty{}, "PEM file with the chain");
  f.Required("key", t.key, NonEmpty{}, "PEM file with the private key");
  t.certificate_place = f.PlaceOf("certificate");
  t.key_place = f.PlaceOf("key");
}

static void Bind(Fields& f, ListenerLimits& l) {
  f.Optional("header-bytes", l.header_bytes, Range{Bytes{1 << 10}, Bytes{1 << 20}},
             "a request's head, with its request line");
  f.Optional("header-fields", l.header_fields, Range{10, 1000}, "fields of a head");
  f.Optional("body-bytes", l.body_bytes, Range{Bytes{1 << 10}, Bytes{1 << 30}},
             "a request's body; more is answered 413");
  f.Optional("connections", l.connections, Range{1, 1'000'000}, "open at once");
  f.Optional("streams", l.streams, Range{1, 1000}, "requests at once in one HTTP/2 connection");
  f.Optional("handshake-timeout", l.handshake_timeout, kTimeout, "for TLS");
  f.Optional("header-timeout", l.header_timeout, kTimeout, "from a head's first byte to its last");
  f.Optional("body-timeout", l.body_timeout, kTimeout, "from a body's first byte to its last");
  f.Optional("body-idle", l.body_idle, kTimeout, "between two pieces of a body");
  f.Optional("write-stall", l.write_stall, kTimeout, "how long a client may take nothing");
  f.Optional("idle-timeout", l.idle_timeout, kTimeout, "between two requests");
  f.Optional("wrong-keys", l.wrong_keys, Range{1, 1'000'000},
             "a minute and address (IPv6: /64); more are answered 429, right ones still pass");
}

static void Bind(Fields& f, ListenerConfig& l) {
  f.Title("listener");
  l.place = f.place();
  RefuseUnbuilt(f, "listener");
  f.Required("address", l.address, "where clients connect; port 0 lets the system choose");
  f.Optional("tls", l.tls, "HTTP/2 and HTTP/1.1 by ALPN; without it the port speaks both in plain");
  f.Optional("limits", l.limits, "what a stranger may use");
  f.Optional("trusted-proxies", l.trusted_proxies, OneOrMany{}, NonEmpty{}, kNetwork,
             "whose X-Forwarded-For tells the client's address");
}

static void Bind(Fields& f, LogConfig& l) {
  f.Optional("level", l.level, "the least that is written");
  f.Optional("format", l.format, "JSON lines, or text for people");
}

namespace {

struct EmbeddedStore {
  std::string path;
};
void Bind(Fields& f, EmbeddedStore& e) {
  f.Required("path", e.path, NonEmpty{}, "the database's file; its folder is made if need be");
}

}  // namespace

static void Bind(Fields& f, StoreConfig& s) {
  std::string word;
  if (f.AsWord({"auto", "memory"}, word)) {
    if (word == "memory") s.kind = StoreConfig::Kind::kMemory;
    return;
  }
  std::optional<EmbeddedStore> embedded;
  std::optional<RedisConfig> redis;
  f.Optional("embedded", embedded, "SQLite in a file beside the relay");
  f.Optional("redis", redis, "Redis or Valkey, near or far; needs an encryption key");
  if (f.Has("embedded") && f.Has("redis")) {
    f.Complain("redis", "cannot stand beside 'embedded': there is one store");
  } else if (redis) {
    s.kind = StoreConfig::Kind::kRedis;
    s.redis = std::move(*redis);
  } else if (embedded) {
    s.kind = StoreConfig::Kind::kEmbedded;
    s.path = embedded->path;
  } else if (!f.Has("embedded") && !f.Has("redis")) {
    f.ComplainHere("must be auto, memory or a map with 'embedded' or 'redis'");
  }
}

static void Bind(Fields& f, SecretsConfig& s) {
  f.Optional("encryption-key", s.encryption_key, kNoPlaceholder,
             Fits{IsEncryptionKey, "must be 32 to 1024 characters"},
             "protects what is stored; empty: a key file is made beside the store");
  f.Optional("previous-encryption-key", s.previous_encryption_key, kNoPlaceholder,
             Fits{IsEncryptionKey, "must be 32 to 1024 characters"},
             "opens what it protected, until `relay rekey` has sealed it anew");
  f.Optional("session-key", s.session_key, kNoPlaceholder,
             Fits{IsSessionKey, "must be 16 to 1024 characters"},
             "protects sessions of the page; a new one logs everybody out");
}

void Bind(Fields& f, AdminConfig& a) {
  f.Optional("username", a.username,
             Fits{IsUserName, "must be 1 to 64 printable characters without spaces"},
             "who may open the page");
  f.Optional("password", a.password, kNoPlaceholder,
             Fits{IsPassword, "must be 8 to 1024 characters, none of them a control byte"},
             "empty: one is made and printed once, at the first start");
  f.Optional("metrics-token", a.metrics_token, kNoPlaceholder, kRelayKey,
             "a bearer for /metrics; empty: open, without labels for keys and accounts");
  f.Optional("key-prefix", a.key_prefix, NonEmpty{},
             Fits{IsKeyPrefix, "must be 1 to 16 letters, digits, '-' or '_'"},
             "what keys begin with that `relay keys make` makes");
}

void Bind(Fields& f, LimitsConfig& l) {
  f.Optional("requests-per-minute", l.requests_per_minute, Range{1, 1'000'000'000},
             "starts in any 60 seconds");
  f.Optional("tokens-per-minute", l.tokens_per_minute, Range{1, 1'000'000'000'000},
             "tokens of all kinds in any 60 seconds");
  f.Optional("concurrency", l.concurrency, Range{1, 1'000'000}, "requests at once");
  f.Optional("cost-per-5h", l.cost_per_5h, kDollars, "US dollars in 5 hours, from the first use");
  f.Optional("cost-per-day", l.cost_per_day, kDollars, "US dollars a day of time-zone");
  f.Optional("cost-per-week", l.cost_per_week, kDollars, "US dollars a week, from Monday");
  f.Optional("cost-per-month", l.cost_per_month, kDollars, "US dollars a calendar month");
  f.Optional("cost-total", l.cost_total, kDollars, "US dollars in all");
}

static void Bind(Fields& f, ModelRules& m) {
  f.Optional("allow", m.allow, OneOrMany{}, NonEmpty{}, kModelGlob, "only these models");
  f.Optional("deny", m.deny, OneOrMany{}, NonEmpty{}, kModelGlob, "never these; wins over allow");
}

void Bind(Fields& f, KeyTerms& t) {
  f.Optional("services", t.services, OneOrMany{}, NonEmpty{}, "what it may use; without it all");
  f.Optional("limits", t.limits, "what it may use of it");
  f.Optional("service-limits", t.service_limits,
             "limits that hold for one service alone, beside those above");
  f.Optional("models", t.models, "which models it may name");
  f.Optional("expires", t.expires, kDate, "it is refused from that day of time-zone on");
  f.Optional("expires-after-first-use", t.expires_after_first_use,
             Range{Duration(1min), Duration(87'600h)},
             "it is refused so long after it was used first");
  f.Optional("allowed-addresses", t.allowed_addresses, OneOrMany{}, NonEmpty{}, kNetwork,
             "clients of these alone; see trusted-proxies of the listener");
  f.Optional("clients", t.clients, OneOrMany{}, NonEmpty{}, kClient,
             "these alone, by their User-Agent");
  f.Optional(
      "bind", t.bind, NonEmpty{}, kBound,
      "by cluster: the account that alone serves this key, or tag:NAME, those with that tag");
  f.Optional("tags", t.tags, OneOrMany{}, NonEmpty{}, kName, "for the operator");
  f.Optional("decisions", t.decisions,
             "answers tell by x-relay-decision which route and account they came by");
  for (const auto& [service, limits] : t.service_limits) {
    const Node* at = f.NodeOf("service-limits");
    bool known = std::ranges::any_of(WordsOf(ProviderKind{}), [&](const Word<ProviderKind>& word) {
      return word.text == service;
    });
    if (known || at == nullptr) continue;
    for (const Node::Entry& entry : at->entries) {
      if (entry.key == service)
        f.ComplainAt(entry.key_place,
                     "'" + service + "' is no service; there are claude and gemini");
    }
  }
}

void Bind(Fields& f, KeyDraft& k) {
  f.Title("key");
  k.place = f.place();
  f.Required("name", k.name, kName, "unique; appears in logs and the ledger");
  f.Optional("key", k.key, NonEmpty{}, kNoPlaceholder, kRelayKey,
             "what clients send; empty through ${NAME:=}: the key is left out");
  Bind(f, static_cast<KeyTerms&>(k));
  f.Optional("disabled", k.disabled, "it is refused");
  const Node* key = f.NodeOf("key");
  if (key && key->Emptied()) {
    k.emptied_by = key->emptied_by;
  } else if (!key && !f.describing()) {
    f.ComplainHere("needs a 'key'");
  }
}

namespace {

// `oauth: {refresh-token: …}` of an account.
struct AccountOauth {
  Secret refresh_token;
};
void Bind(Fields& f, AccountOauth& o) {
  f.Optional("refresh-token", o.refresh_token, NonEmpty{}, kNoPlaceholder, kCredential,
             "what a login gave; it is used until the store has a newer one");
}

// A credential that ${NAME:=} left empty, or null.
const Node* EmptiedOf(const Node* credential) {
  return credential != nullptr && credential->Emptied() ? credential : nullptr;
}

}  // namespace

static void Bind(Fields& f, OauthConfig& o) {
  f.Optional("authorize-url", o.authorize_url, "the page where a person agrees");
  f.Optional("token-url", o.token_url, "where codes and refresh tokens become tokens");
  f.Optional("profile-url", o.profile_url, "where the vendor says who a token belongs to");
  f.Optional("redirect-url", o.redirect_url, NonEmpty{}, kCredential,
             "the page that shows the code; as it is known for the client");
  f.Optional("client-id", o.client_id, NonEmpty{}, kCredential, "as whom the relay asks");
  f.Optional("client-secret", o.client_secret, kCredential, "gemini: the client's");
  f.Optional("scopes", o.scopes, OneOrMany{}, NonEmpty{}, kCredential, "what is asked for");
}

static void Bind(Fields& f, PauseAt& p) {
  std::string five_hours;
  std::string week;
  f.Optional("5h", five_hours, kPercent, "of its five hours");
  f.Optional("week", week, kPercent, "of its week");
  p.five_hours = PercentOf(five_hours);
  p.week = PercentOf(week);
}

void Bind(Fields& f, AccountDraft& a) {
  f.Title("account");
  a.place = f.place();
  RefuseUnbuilt(f, "account");
  f.Required("name", a.name, kName, "unique in its cluster; cluster/name is what state hangs on");
  f.Optional("api-key", a.api_key, NonEmpty{}, kNoPlaceholder, kCredential,
             "a key of the vendor's API; empty through ${NAME:=}: the account is left out");
  f.Optional("oauth-token", a.oauth_token, NonEmpty{}, kNoPlaceholder, kCredential,
             "a subscription's bearer instead; serves only the vendor's own client");
  std::optional<AccountOauth> login;
  f.Optional("oauth", login, "a subscription's login instead, whose tokens are refreshed");
  if (login) a.refresh_token = login->refresh_token;
  f.Optional("project", a.project, NonEmpty{}, kCredential,
             "Code Assist: the account's Google Cloud project");
  f.Optional("priority", a.priority, Range{0, 1'000'000}, "lower first");
  f.Optional("concurrency", a.concurrency, Range{1, 1'000'000}, "requests at once");
  f.Optional("weight", a.weight, Range{1, 1'000},
             "its share of the load beside accounts of its priority; 1 without it, or concurrency "
             "where no account of the cluster has a weight and each has a concurrency");
  f.Optional("tags", a.tags, OneOrMany{}, NonEmpty{}, kName,
             "groups that it is in, for bind of keys and tags of account-select");
  f.Optional("pause-at", a.pause_at, "instead of the cluster's");
  f.Optional("models", a.models, OneOrMany{}, NonEmpty{}, kModelGlob, "only these; without it all");
  f.Optional("endpoint", a.endpoint, "instead of the cluster's");
  f.Optional("proxy", a.proxy, "instead of the cluster's; direct for none");
  a.project_place = f.PlaceOf("project");

  const Node* oauth = f.NodeOf("oauth");
  const Node* credentials[] = {f.NodeOf("api-key"), f.NodeOf("oauth-token"),
                               oauth == nullptr ? nullptr : oauth->Find("refresh-token")};
  const bool given[] = {f.Fine("api-key"), f.Fine("oauth-token"), !a.refresh_token.empty()};
  if (given[0] && (given[1] || given[2])) {
    f.Complain(given[1] ? "oauth-token" : "oauth",
               "cannot stand beside 'api-key': an account has one credential");
  } else if (given[1] && given[2]) {
    f.Complain("oauth", "cannot stand beside 'oauth-token': an account has one credential");
  } else if (given[0] || given[1] || given[2] || f.describing()) {
    return;
  }
  bool named = false;
  for (const Node* credential : credentials) {
    named = named || credential != nullptr;
    if (EmptiedOf(credential) != nullptr && a.emptied_by.empty()) {
      a.emptied_by = credential->emptied_by;
    }
  }
  if (oauth != nullptr && credentials[2] == nullptr && !oauth->broken && oauth->IsMap()) {
    f.ComplainAt(oauth->place, "'oauth' of an account needs a 'refresh-token'");
  } else if (!named && oauth == nullptr) {
    f.ComplainHere("needs an 'api-key', an 'oauth-token' or an 'oauth'");
  }
}

static void Bind(Fields& f, ClusterTimeouts& t) {
  f.Optional("connect", t.connect, Range{10ms, 5min}, "TCP and TLS to the upstream");
  f.Optional("first-byte", t.first_byte, kTimeout, "from the request's end to the answer's head");
  f.Optional("first-content", t.first_content, kTimeout,
             "from the request's end to a stream's first event; then an account that can serve "
             "takes its place, within failover's bounds; without it none does");
  f.Optional("idle", t.idle, kTimeout, "between two pieces of an answer");
}

static void Bind(Fields& f, RetryBudgetConfig& b) {
  f.Optional("percent", b.percent, Range{0, 100}, "of the requests in flight");
  f.Optional("min-concurrency", b.min_concurrency, Range{0, 10'000},
             "so many in any case; 0 with 0 percent: none");
}

static void Bind(Fields& f, OutlierConfig& c) {
  f.Optional("in-a-row", c.in_a_row, Range{1, 1000}, "failures that rest an account");
  std::string failures = "50%";
  f.Optional("failures", failures, kPercent, "of the requests of the last minute, that do, too");
  f.Optional("requests", c.requests, Range{1, 1'000'000}, "fewer in the last minute say nothing");
  std::string at_most = "50%";
  f.Optional("at-most", at_most, kPercent,
             "of the accounts rest at once, since they fail or their vendor is overloaded; one is "
             "left always");
  f.Optional("rest", c.rest, Range{Duration(1s), Duration(1h)},
             "doubled each time, until it serves well for as long");
  f.Optional("longest-rest", c.longest, Range{Duration(1s), Duration(24h)}, "no rest is longer");
  c.failures = PercentOf(failures);
  c.at_most = PercentOf(at_most);
}

static void Bind(Fields& f, FailoverConfig& c) {
  f.Optional("attempts", c.attempts, Range{1, 10}, "in all, the first one too");
  f.Optional("within", c.within, Range{100ms, 10min}, "no new attempt after this");
  f.Optional("on", c.on,
             Fits{IsFailoverCause, "must be connect, reset, 4xx, 5xx or a status 400..599"},
             "what moves a request to another account");
  f.Optional("budget", c.budget,
             "requests that may be tried again at once where the account fails already, too");
  f.Optional("thinking", c.thinking,
             "when a session moved, and its new account will not read the thinking of the old: "
             "take-out sends the request once more without it, pass tells the client");
}

void Bind(Fields& f, ClusterDraft& c) {
  f.Title("cluster");
  c.place = f.place();
  RefuseUnbuilt(f, "cluster");
  std::optional<Url> endpoint;
  std::optional<Url> code_assist;
  f.Required("provider", c.provider, "whose API it speaks");
  f.Optional("endpoint", endpoint, "without it the vendor's own");
  f.Optional("code-assist-endpoint", code_assist, "gemini: where Code Assist requests go");
  f.Optional("oauth", c.oauth, "how subscriptions log in; what is not said is the vendor's own");
  f.Optional("proxy", c.proxy,
             "the way out, http:// (CONNECT), https:// or socks5://, as user:password@host:port; "
             "without it direct");
  f.Optional("allow-private", c.allow_private,
             "accounts that are not of this file may name private and local addresses too");
  f.Optional("pause-at", c.pause_at,
             "the share of a subscription's windows from which on others serve what is new, until "
             "the window begins anew; without it, or where no other can serve, none");
  f.Optional("accounts", c.drafts, "none: requests get 503");
  f.Optional("timeouts", c.timeouts, "of its upstream");
  f.Optional("failover", c.failover, "before an answer begins");
  f.Optional("outliers", c.outliers, "when failures rest an account");
  f.Optional("rules", c.rules,
             "what answers mean for their account; the first that matches counts, then the "
             "relay's own");
  if (c.timeouts.first_content && *c.timeouts.first_content >= c.failover.within) {
    f.Warn("timeouts", "says first-content: " + FormatDuration(*c.timeouts.first_content) +
                           ", which moves nothing, since failover ends within " +
                           FormatDuration(c.failover.within));
  }
  bool gemini = c.provider == ProviderKind::kGemini;
  c.endpoint = endpoint.value_or(
      Url{true, gemini ? "generativelanguage.googleapis.com" : "api.anthropic.com", 443, ""});
  if (gemini)
    c.code_assist_endpoint =
        code_assist.value_or(Url{true, "cloudcode-pa.googleapis.com", 443, ""});
  if (!f.Fine("provider")) return;
  if (!gemini) f.Complain("code-assist-endpoint", "is for provider gemini only");
  bool logs_in = std::any_of(c.drafts.begin(), c.drafts.end(),
                             [](const AccountDraft& a) { return !a.refresh_token.empty(); });
  if (gemini && logs_in && c.oauth.client_secret.empty()) {
    f.ComplainHere(
        "needs 'oauth: {client-secret: …}' for accounts that log in: the secret of Gemini CLI's "
        "own client, which its public source has, by ${GEMINI_OAUTH_CLIENT_SECRET}");
  }
  for (const AccountDraft& account : c.drafts) {
    if (account.project.empty()) continue;
    if (!gemini) {
      f.ComplainAt(account.project_place, "'project' is for provider gemini only");
    } else if (!account.api_key.empty()) {
      f.ComplainAt(account.project_place, "'project' goes with a login, not with 'api-key'");
    }
  }
}

namespace {

struct MatchDraft {
  std::vector<At<std::string>> prefixes;
  std::vector<At<std::string>> paths;
};
void Bind(Fields& f, MatchDraft& m) {
  f.Optional("prefix", m.prefixes, OneOrMany{}, NonEmpty{}, kPrefix, "whole path segments");
  f.Optional("path", m.paths, OneOrMany{}, NonEmpty{}, kPlainPath, "exactly this path");
  if (!f.describing() && !f.Has("prefix") && !f.Has("path")) {
    f.ComplainHere("needs a 'prefix' or a 'path'");
  }
}

// One item of `filters:`, "rate-limit: {…}".
void AddFilter(Fields& f, const Node& node, RouteDraft& route) {
  if (node.broken) return;
  if (node.IsScalar() && IsName(node.text)) {
    f.ComplainAt(node.place, "write '" + node.text + ": {}' for a filter without options");
    return;
  }
  if (!node.IsMap() || node.entries.size() != 1) {
    f.ComplainAt(node.place, "a filter is a map with one key, its name: 'rate-limit: {…}'");
    return;
  }
  const Node::Entry& entry = node.entries.front();
  if (entry.value.broken) return;
  if (entry.value.IsNull()) {
    f.ComplainAt(entry.key_place, "write '" + entry.key + ": {}' for a filter without options");
    return;
  }
  if (!entry.value.IsMap()) {
    f.ComplainAt(entry.value.place, "the options of filter '" + entry.key + "' must be a map");
    return;
  }
  route.filters.push_back({entry.key, entry.key_place, entry.value});
}

}  // namespace

void Bind(Fields& f, RouteDraft& r) {
  f.Title("route");
  r.place = f.place();
  MatchDraft match;
  std::vector<Node> filters;
  f.Required("name", r.name, kName, "unique; appears in logs and metrics");
  f.Required("match", match, "which requests are its own; the first route that matches wins");
  f.Required("filters", filters, NonEmpty{}, "in order, each 'name: {options}'");
  f.Required("cluster", r.cluster, "where requests go");
  f.Optional("passthrough", r.passthrough, OneOrMany{}, NonEmpty{}, kPrefix,
             "paths after the prefix that pass without being metered");
  r.cluster_place = f.PlaceOf("cluster");
  for (const Node& node : filters) AddFilter(f, node, r);
  for (const auto& prefix : match.prefixes) r.prefixes.push_back(prefix.value);
  for (const auto& path : match.paths) r.paths.push_back(path.value);
  r.placed_prefixes = std::move(match.prefixes);
  r.placed_paths = std::move(match.paths);
}

void Bind(Fields& f, TestRequest& r) {
  f.Optional("method", r.method, OneOf{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"});
  f.Required("path", r.path, Fits{IsTarget, "must begin with '/'"}, "with its query, if any");
  f.Optional("key", r.key, NonEmpty{}, "the name of a key; any other word is an unknown key");
  f.Optional("headers", r.headers, Fits{IsHeaderValue, "must not hold control bytes"},
             "sent besides");
  f.Optional("body", r.body, "JSON, written as YAML");
}

void Bind(Fields& f, TestExpect& e) {
  f.Optional("route", e.route, "which route takes it");
  f.Optional("account", e.account, "which account serves it, 'name' or 'cluster/name'");
  f.Optional("status", e.status, Range{100, 599}, "the relay's own answer");
  if (!f.describing() && !f.Has("route") && !f.Has("account") && !f.Has("status")) {
    f.ComplainHere("needs a 'route', an 'account' or a 'status'");
  }
}

void Bind(Fields& f, TestDraft& t) {
  f.Title("test");
  t.place = f.place();
  f.Required("request", t.request, "what is sent");
  f.Required("expect", t.expect, "what must come of it");
}

static void Bind(Fields& f, ProcessLimits& l) {
  f.Optional("buffered-bytes", l.buffered_bytes, Range{Bytes{1 << 20}, Bytes{uint64_t{1} << 40}},
             "request bodies held at once, of the memory that the process may use");
}

void Bind(Fields& f, ConfigDraft& c) {
  f.Required("listeners", c.listeners, NonEmpty{}, "where the relay listens");
  f.Optional("workers", c.workers, OrWord{"auto", 0}, Range{1, 64},
             "event loops; auto is one a core");
  f.Optional("drain-timeout", c.drain_timeout, Range{0s, 1h},
             "how long streams may end on SIGTERM");
  f.Optional("time-zone", c.time_zone, Fits{IsTimeZone, "must be a name like UTC or Europe/Berlin"},
             "of days, weeks and months");
  f.Optional("limits", c.limits, "of the process");
  f.Optional("log", c.log, "to standard error");
  f.Optional("store", c.store, "where state lives");
  f.Optional("secrets", c.secrets, "of the relay itself");
  f.Optional("admin", c.admin, "the page and its API");
  f.Optional("keys", c.key_drafts, "who may use the relay");
  f.Named("clusters", c.cluster_drafts, kName, "upstream services with their accounts");
  f.Required("routes", c.route_drafts, NonEmpty{}, "the first that matches wins");
  f.Optional("alerts", c.alert_drafts, "who is told when something needs a person");
  f.Optional("tests", c.test_drafts, "run by `relay check`, and before every reload");
}

// --- Load --------------------------------------------------------------------------------------

Shape DescribeConfig() {
  return DescribeStruct<ConfigDraft>();
}

// Without what is left out.
static Outline OutlineOf(const Node& root, const std::vector<LeftOut>& left_out) {
  Outline outline = Outline::Of(root, DescribeConfig());
  for (const LeftOut& left : left_out) {
    if (left.kind != LeftOut::Kind::kAccount) {
      outline.Remove({left.kind == LeftOut::Kind::kKey ? "keys" : "alerts", left.name});
      continue;
    }
    size_t slash = left.name.find('/');
    outline.Remove(
        {"clusters", left.name.substr(0, slash), "accounts", left.name.substr(slash + 1)});
  }
  return outline;
}

std::shared_ptr<const Config> LoadConfigText(std::string_view text, const std::string& name,
                                             const std::string& folder,
                                             const Environment& environment, Problems& problems) {
  ConfigDraft draft;
  Node root = ParseYaml({text, name, folder, environment, &draft.files}, problems);
  draft.file = name;
  draft.folder = folder;
  if (root.IsNull() && !root.broken) {
    problems.Add(Place{root.place.file, 0, 0}, "the file is empty");
  } else {
    ReadStruct(root, "", problems, draft);
  }
  FinishConfig(draft, root, environment, problems);
  if (!problems.failed()) draft.outline = OutlineOf(root, draft.left_out);
  return std::make_shared<const Config>(std::move(static_cast<Config&>(draft)));
}

std::shared_ptr<const Config> LoadConfig(const std::string& path, const Environment& environment,
                                         Problems& problems) {
  size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "" : path.substr(0, std::max<size_t>(slash, 1));
  std::string text;
  int error = 0;
  if (FILE* file = std::fopen(path.c_str(), "rbe")) {
    // One byte too many is enough for the parser to refuse it.
    text.resize(kMaxYamlBytes + 1);
    text.resize(std::fread(text.data(), 1, text.size(), file));
    if (std::ferror(file)) error = errno;
    std::fclose(file);
  } else {
    error = errno;
  }
  if (error != 0) {
    auto empty = std::make_shared<Config>();
    empty->file = path;
    empty->folder = folder;
    problems.Add(Place{std::make_shared<const std::string>(path), 0, 0},
                 std::string("cannot be read: ") + std::strerror(error));
    return empty;
  }
  auto config = LoadConfigText(text, path, folder, environment, problems);
  WipeString(text);
  return config;
}

std::vector<std::string> ReportLines(const Config& config, const Problems& problems) {
  if (problems.failed()) return problems.ErrorLines();
  std::vector<std::string> lines = problems.WarningLines();
  for (const LeftOut& left : config.left_out) {
    lines.push_back(left.place.Text() + ": note: " + left.Text());
  }
  return lines;
}

// --- Questions ---------------------------------------------------------------------------------

bool FailoverConfig::OnConnect() const {
  return std::find(on.begin(), on.end(), "connect") != on.end();
}
bool FailoverConfig::OnReset() const {
  return std::find(on.begin(), on.end(), "reset") != on.end();
}

bool FailoverConfig::OnStatus(int status) const {
  std::string exact = std::to_string(status);
  std::string group = std::to_string(status / 100) + "xx";
  return std::any_of(on.begin(), on.end(),
                     [&](const std::string& cause) { return cause == exact || cause == group; });
}

std::string LeftOut::Text() const {
  return what + " is left out: " + variable + " is not set";
}

const ClusterConfig* Config::FindCluster(std::string_view name) const {
  auto at = std::find_if(clusters.begin(), clusters.end(),
                         [&](const ClusterConfig& c) { return c.name == name; });
  return at == clusters.end() ? nullptr : &*at;
}

const KeyConfig* Config::FindKey(std::string_view name) const {
  auto at =
      std::find_if(keys.begin(), keys.end(), [&](const KeyConfig& k) { return k.name == name; });
  return at == keys.end() ? nullptr : &*at;
}

const RouteConfig* Config::FindRoute(std::string_view name) const {
  auto at = std::find_if(routes.begin(), routes.end(),
                         [&](const RouteConfig& r) { return r.name == name; });
  return at == routes.end() ? nullptr : &*at;
}

}  // namespace relay
