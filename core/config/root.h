// SPDX-License-Identifier: MIT
// relay.yaml as a struct: plain data, read once, immutable behind a shared_ptr. What filters are
// and take is decided in a higher layer, so their options stay trees here; everything else is
// checked: ranges, names, references, reachability. The contract is relay.example.yaml.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/secret.h"
#include "core/config/account_rules.h"
#include "core/config/alerts.h"
#include "core/config/fields.h"
#include "core/config/node.h"
#include "core/config/outline.h"
#include "core/config/proxy_url.h"
#include "core/config/redis.h"
#include "core/config/units.h"
#include "core/config/yaml.h"

namespace relay {

// Paths of files are absolute or start at the working folder: load has put the config's folder
// before relative ones.
struct TlsFiles {
  std::string certificate;  // PEM, the chain
  std::string key;          // PEM
  Place certificate_place;
  Place key_place;
};

struct ListenerLimits {
  Bytes header_bytes{32 << 10};
  int header_fields = 100;
  Bytes body_bytes{32 << 20};
  int connections = 9000;
  int streams = 100;  // at once in one HTTP/2 connection
  Duration handshake_timeout = std::chrono::seconds(10);
  Duration header_timeout = std::chrono::seconds(10);  // for the whole head
  Duration body_timeout = std::chrono::seconds(120);   // for the whole body
  Duration body_idle = std::chrono::seconds(30);
  Duration write_stall = std::chrono::seconds(60);
  Duration idle_timeout = std::chrono::seconds(60);
  int wrong_keys = 30;  // a minute and address, before they are answered 429
};

struct ListenerConfig {
  HostPort address;
  std::optional<TlsFiles> tls;
  ListenerLimits limits;
  std::vector<std::string> trusted_proxies;  // nets whose X-Forwarded-For counts
  Place place;
};

enum class LogFormat : uint8_t { kJson, kText };

struct LogConfig {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kJson;
};

struct StoreConfig {
  enum class Kind : uint8_t {
    kAuto,  // embedded, at the default path; becomes kRedis if the environment names one
    kMemory,
    kEmbedded,
    kRedis,
  };
  Kind kind = Kind::kAuto;
  std::string path;   // of the embedded store's file; "" for the others
  RedisConfig redis;  // for kRedis
};

// Empty ones are made at start.
struct SecretsConfig {
  Secret encryption_key;
  Secret previous_encryption_key;  // empty: none; opens what is stored, until `relay rekey` is done
  Secret session_key;
};

struct AdminConfig {
  std::string username = "admin";
  Secret password;                 // empty: made and printed once
  Secret metrics_token;            // empty: /metrics is open, without key and account labels
  std::string key_prefix = "cr_";  // what made keys begin with
};

void Bind(Fields& f, AdminConfig& a);

// Of a key, or of a route's rate-limit. 0: no such limit.
struct LimitsConfig {
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;
  int64_t concurrency = 0;
  double cost_per_5h = 0;  // US dollars, as are the next
  double cost_per_day = 0;
  double cost_per_week = 0;
  double cost_per_month = 0;
  double cost_total = 0;
};
void Bind(Fields& f, LimitsConfig& l);

// Globs; deny wins; an empty allow allows all.
struct ModelRules {
  std::vector<std::string> allow;
  std::vector<std::string> deny;
};

enum class ProviderKind : uint8_t { kClaude, kGemini };

// What a key may do, wherever it is declared.
struct KeyTerms {
  std::vector<ProviderKind> services;  // empty: all
  LimitsConfig limits;
  std::vector<std::pair<std::string, LimitsConfig>> service_limits;  // by service, beside limits
  ModelRules models;
  std::string expires;                         // "2027-01-01": not from that day on; "": never
  Duration expires_after_first_use{};          // zero: never
  std::vector<std::string> allowed_addresses;  // nets; empty: from everywhere
  std::vector<std::string> clients;            // names, or globs of User-Agent; empty: all
  std::vector<std::pair<std::string, At<std::string>>> bind;  // cluster -> an account or "tag:…"
  std::vector<std::string> tags;
  bool decisions = false;  // answers tell how they came about
};
void Bind(Fields& f, KeyTerms& t);

struct KeyConfig : KeyTerms {
  std::string name;
  Secret key;
  bool disabled = false;
  Place place;
};

// Percent of a subscription's windows from which on others serve what is new; 0: never.
struct PauseAt {
  int five_hours = 0;
  int week = 0;

  bool operator==(const PauseAt&) const = default;
};

// How an account is used, wherever it is declared.
struct AccountTerms {
  int priority = 50;                // lower first
  int concurrency = 0;              // 0: no bound
  int weight = 0;                   // its share of the load; 0: not given
  std::vector<std::string> tags;    // groups of accounts, for keys and routes
  std::optional<PauseAt> pause_at;  // else the cluster's
  std::vector<std::string> models;  // globs; empty: all
  std::optional<Url> endpoint;      // else the cluster's
  std::optional<ProxyUrl> proxy;    // else the cluster's
};
void Bind(Fields& f, AccountTerms& t);

struct AccountConfig : AccountTerms {
  std::string name;
  Secret api_key;  // exactly one of these three is not empty
  Secret oauth_token;
  Secret refresh_token;  // of a login: gives tokens that are refreshed
  bool login = false;    // not of relay.yaml: a login's tokens are in the store
  std::string project;   // Code Assist, with a login
  // Not of relay.yaml but made through the API: what it names must lie in the open internet, where
  // the cluster does not allow more.
  bool from_store = false;
  Place place;
};

struct ClusterTimeouts {
  Duration connect = std::chrono::seconds(5);
  Duration first_byte = std::chrono::seconds(600);
  std::optional<Duration> first_content;  // of a stream; moves it, ends nothing; none: never
  Duration idle = std::chrono::seconds(300);
};

// How many requests of a cluster may be tried again at once: of those in flight, and always.
struct RetryBudgetConfig {
  int percent = 20;
  int min_concurrency = 3;
};

// What becomes of a request whose history another account signed, where this one will not read it.
enum class ForeignThinking : uint8_t {
  kTakeOut,  // it is sent once more without that thinking, if its session moved
  kPass,     // the vendor's refusal goes to the client
};

// When failures of an account, which only let it be guessed that it fails, rest it.
struct OutlierConfig {
  int in_a_row = 5;
  int failures = 50;  // percent of the requests of the last minute, where these are `requests` or
  int requests = 20;  // more
  int at_most = 50;   // percent of the accounts at rest for guesses at once; one is left always
  Duration rest = std::chrono::seconds(5);  // doubled each time, up to
  Duration longest = std::chrono::minutes(5);
};

// What moves a request to another account before commit.
struct FailoverConfig {
  int attempts = 3;
  Duration within = std::chrono::seconds(60);
  std::vector<std::string> on = {"connect", "reset", "401", "429", "5xx", "529"};
  RetryBudgetConfig budget;
  ForeignThinking thinking = ForeignThinking::kTakeOut;

  bool OnConnect() const;
  bool OnReset() const;
  bool OnStatus(int status) const;
};

// How subscriptions log in and stay so; what is not set is the vendor's own.
struct OauthConfig {
  std::optional<Url> authorize_url;
  std::optional<Url> token_url;
  std::optional<Url> profile_url;
  std::string redirect_url;
  std::string client_id;
  Secret client_secret;
  std::vector<std::string> scopes;
};

struct ClusterConfig {
  std::string name;
  ProviderKind provider = ProviderKind::kClaude;
  Url endpoint;                // the vendor's own if none is given
  Url code_assist_endpoint;    // gemini only
  ProxyUrl proxy;              // of accounts that name none
  bool allow_private = false;  // accounts of the store may name private addresses
  OauthConfig oauth;
  PauseAt pause_at;                     // of accounts that name none
  std::vector<AccountConfig> accounts;  // may be empty: requests get 503
  ClusterTimeouts timeouts;
  FailoverConfig failover;
  OutlierConfig outliers;
  std::vector<AccountRule> rules;  // asked before those that relay ships
  Place place;
};

// A filter as the chain lists it; its options are read by whoever knows the filter.
struct FilterSpec {
  std::string name;
  Place place;   // of the name
  Node options;  // a map
};

struct RouteConfig {
  std::string name;
  std::vector<std::string> prefixes;  // "/" or "/api": whole segments, no trailing slash
  std::vector<std::string> paths;     // exact
  std::vector<FilterSpec> filters;    // at least one
  std::string cluster;
  Place cluster_place;
  std::vector<std::string> passthrough;  // prefixes after the route's own
  Place place;
};

// A test of the file itself, run by `relay check`.
struct TestConfig {
  std::string method = "GET";
  std::string path;
  std::string key;  // the name of a key; another word is a key that is not known
  std::vector<std::pair<std::string, std::string>> headers;
  Node body;  // null: none; RenderJson makes it text

  std::string route;    // expected; "" is not looked at
  std::string account;  // "name" or "cluster/name"
  int status = 0;       // 0: not looked at

  std::string skipped;  // not empty: why it cannot run ("key 'alice' is left out …")
  Place place;
};

// What has no credential or URL, because ${NAME:=} was empty.
struct LeftOut {
  enum class Kind : uint8_t { kKey, kAccount, kAlert };
  std::string what;  // "key 'alice'", "account 'claude/team-api'"
  std::string name;  // "alice", "claude/team-api"
  Kind kind = Kind::kKey;
  std::string variable;  // what to set: "RELAY_KEY"
  Place place;

  // "key 'alice' is left out: RELAY_KEY is not set"
  std::string Text() const;
};

struct Config {
  std::string file;    // as given
  std::string folder;  // of the file; relative paths were joined to it

  std::vector<ListenerConfig> listeners;  // at least one
  int workers = 0;                        // 0: one a core
  Duration drain_timeout = std::chrono::seconds(30);
  std::string time_zone = "UTC";  // an IANA name, not yet looked up
  BytesOrShare buffered_bytes{{}, 25};
  LogConfig log;
  StoreConfig store;
  SecretsConfig secrets;
  AdminConfig admin;
  std::vector<KeyConfig> keys;  // without those left out
  std::vector<ClusterConfig> clusters;
  std::vector<RouteConfig> routes;  // first match wins
  std::vector<AlertConfig> alerts;  // without those left out
  std::vector<TestConfig> tests;
  std::vector<LeftOut> left_out;

  std::vector<std::string> files;  // what ${file:…} reads
  Outline outline;                 // what all of it says, to tell how another differs

  const ClusterConfig* FindCluster(std::string_view name) const;
  const KeyConfig* FindKey(std::string_view name) const;
  const RouteConfig* FindRoute(std::string_view name) const;
};

// Reads and checks. Never null: what could be read is there even when problems.failed(), so that
// the filters can add their own complaints; it must not be served then. Warnings (inline secrets,
// settings without effect) are in `problems` too. A second file is never touched, but for
// ${file:…} and a look whether certificates can be read.
std::shared_ptr<const Config> LoadConfig(const std::string& path, const Environment& environment,
                                         Problems& problems);
// The same of a text; `name` is what places say, `folder` where relative paths start.
std::shared_ptr<const Config> LoadConfigText(std::string_view text, const std::string& name,
                                             const std::string& folder,
                                             const Environment& environment, Problems& problems);

// What start-up and `relay check` print to standard error: the errors if there are any, else
// warnings and what is left out, one line each.
std::vector<std::string> ReportLines(const Config& config, const Problems& problems);

// What relay.yaml may hold, for the reference and the schema; filters' options are any YAML.
Shape DescribeConfig();

std::span<const Word<ProviderKind>> WordsOf(ProviderKind);
std::string_view NameOf(ProviderKind provider);

}  // namespace relay
