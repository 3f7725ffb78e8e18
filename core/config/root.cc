// SPDX-License-Identifier: MIT
// How relay.yaml is bound and loaded: its parts but for keys (keys.cc), clusters (clusters.cc) and
// those with a file of their own; what spans several parts is checked in root_check.cc.
#include "core/config/root.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "core/config/fits.h"
#include "core/config/root_check.h"
#include "core/config/variables.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

const Fits kPrefix{IsPrefix, "must be like /api: '/' first, none at its end, no '//', '..' or '%'"};
const Fits kPlainPath{IsPlainPath, "must be like /api/hello: '/' first, no '//', '..' or '%'"};

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
  f.NotBuilt("cors");
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
