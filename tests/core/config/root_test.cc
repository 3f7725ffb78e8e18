// SPDX-License-Identifier: MIT
#include "core/config/root.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "core/config/describe.h"
#include "core/config/texts.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using Variables = std::map<std::string, std::string, std::less<>>;

Environment Of(Variables variables) {
  return [variables = std::move(variables)](std::string_view name) -> std::optional<std::string> {
    auto at = variables.find(name);
    if (at == variables.end()) return std::nullopt;
    return at->second;
  };
}

constexpr std::string_view kMinimal = R"(
listeners:
  - address: 127.0.0.1:0
clusters:
  claude:
    provider: claude
  gemini:
    provider: gemini
routes:
  - name: claude
    match: {prefix: /api}
    filters: [auth: {service: claude}]
    cluster: claude
  - name: gemini
    match: {prefix: /gemini}
    filters: [auth: {service: gemini}]
    cluster: gemini
)";

struct Loaded {
  std::shared_ptr<const Config> config;
  Problems problems;
  std::string Lines() const {
    std::string text;
    for (const std::string& line : ReportLines(*config, problems)) text += line + "\n";
    return text;
  }
};

Loaded Load(std::string text, Variables variables = {}, const std::string& folder = "") {
  Loaded loaded;
  loaded.config =
      LoadConfigText(text, "relay.yaml", folder, Of(std::move(variables)), loaded.problems);
  return loaded;
}

Loaded LoadWith(std::string_view more, Variables variables = {}, const std::string& folder = "") {
  return Load(std::string(kMinimal) + std::string(more), std::move(variables), folder);
}

TEST(Config, HasTheDocumentedDefaults) {
  Loaded loaded = Load(std::string(kMinimal));
  ASSERT_EQ(loaded.Lines(), "");
  const Config& c = *loaded.config;
  ASSERT_EQ(c.listeners.size(), 1U);
  const ListenerLimits& limits = c.listeners[0].limits;
  EXPECT_FALSE(c.listeners[0].tls);
  EXPECT_EQ(limits.header_bytes, Bytes{32 << 10});
  EXPECT_EQ(limits.header_fields, 100);
  EXPECT_EQ(limits.body_bytes, Bytes{32 << 20});
  EXPECT_EQ(limits.streams, 100);
  EXPECT_EQ(limits.header_timeout, Duration(10s));
  EXPECT_EQ(limits.body_timeout, Duration(120s));
  EXPECT_EQ(c.workers, 0);
  EXPECT_EQ(c.drain_timeout, Duration(30s));
  EXPECT_EQ(c.time_zone, "UTC");
  EXPECT_EQ(c.buffered_bytes.percent, 25);
  EXPECT_EQ(c.log.level, LogLevel::kInfo);
  EXPECT_EQ(c.store.kind, StoreConfig::Kind::kAuto);
  EXPECT_EQ(c.admin.username, "admin");
  EXPECT_TRUE(c.admin.password.empty());
  const ClusterConfig* claude = c.FindCluster("claude");
  ASSERT_TRUE(claude);
  EXPECT_EQ(FormatUrl(claude->endpoint), "https://api.anthropic.com");
  EXPECT_TRUE(claude->accounts.empty());
  EXPECT_EQ(claude->timeouts.first_byte, Duration(600s));
  EXPECT_EQ(claude->timeouts.first_content, std::nullopt);
  EXPECT_EQ(claude->failover.attempts, 3);
  const ClusterConfig* gemini = c.FindCluster("gemini");
  ASSERT_TRUE(gemini);
  EXPECT_EQ(FormatUrl(gemini->endpoint), "https://generativelanguage.googleapis.com");
  EXPECT_EQ(FormatUrl(gemini->code_assist_endpoint), "https://cloudcode-pa.googleapis.com");
  EXPECT_EQ(c.FindCluster("other"), nullptr);
  EXPECT_EQ(c.FindKey("alice"), nullptr);
  ASSERT_TRUE(c.FindRoute("gemini"));
  EXPECT_EQ(c.FindRoute("gemini")->filters[0].name, "auth");
  EXPECT_EQ(c.FindRoute("gemini")->filters[0].place.Text(), "relay.yaml:16:15");
  EXPECT_EQ(RenderJson(c.FindRoute("gemini")->filters[0].options), R"({"service":"gemini"})");
}

TEST(Config, HoldsWhatTheFileSays) {
  Loaded loaded = LoadWith(R"(
workers: 4
store:
  embedded: {path: data/relay.db}
log: {level: debug, format: text}
limits: {buffered-bytes: 1GiB}
keys:
  - name: alice
    key: ${KEY}
    services: gemini
    limits: {requests-per-minute: 600, tokens-per-minute: 2000000, concurrency: 40, cost-per-day: 25.00, cost-per-week: 100, cost-per-month: 300.5, cost-total: 500.00}
    models: {allow: [claude-*], deny: claude-opus-*}
tests:
  - request: {method: POST, path: /api/v1/messages, key: alice, headers: {x-b: "1", x-a: "2"}, body: {stream: true}}
    expect: {route: claude, status: 503}
)",
                           {{"KEY", "cr_0123456789"}}, "/etc/relay");
  ASSERT_EQ(loaded.Lines(), "");
  const Config& c = *loaded.config;
  EXPECT_EQ(c.folder, "/etc/relay");
  EXPECT_EQ(c.workers, 4);
  EXPECT_EQ(c.store.kind, StoreConfig::Kind::kEmbedded);
  EXPECT_EQ(c.store.path, "/etc/relay/data/relay.db");
  EXPECT_EQ(c.log.level, LogLevel::kDebug);
  EXPECT_EQ(c.log.format, LogFormat::kText);
  EXPECT_EQ(c.buffered_bytes.Of(5), uint64_t{1} << 30);
  const KeyConfig* key = c.FindKey("alice");
  ASSERT_TRUE(key);
  EXPECT_EQ(key->key.Reveal(), "cr_0123456789");
  EXPECT_EQ(key->services, std::vector<ProviderKind>{ProviderKind::kGemini});
  EXPECT_EQ(NameOf(key->services[0]), "gemini");
  EXPECT_EQ(key->limits.requests_per_minute, 600);
  EXPECT_EQ(key->limits.concurrency, 40);
  EXPECT_EQ(key->limits.tokens_per_minute, 2'000'000);
  EXPECT_EQ(key->limits.cost_per_day, 25);
  EXPECT_EQ(key->limits.cost_per_week, 100);
  EXPECT_EQ(key->limits.cost_per_month, 300.5);
  EXPECT_EQ(key->limits.cost_total, 500);
  EXPECT_EQ(key->models.deny, std::vector<std::string>{"claude-opus-*"});
  ASSERT_EQ(c.tests.size(), 1U);
  const TestConfig& test = c.tests[0];
  EXPECT_EQ(test.method, "POST");
  EXPECT_EQ(test.headers,
            (std::vector<std::pair<std::string, std::string>>{{"x-b", "1"}, {"x-a", "2"}}));
  EXPECT_EQ(RenderJson(test.body), R"({"stream":true})");
  EXPECT_EQ(test.status, 503);
  EXPECT_EQ(test.skipped, "");
}

TEST(Config, LeavesOutWhatHasNoCredential) {
  Loaded loaded = Load(R"(
listeners: [{address: "127.0.0.1:0"}]
keys:
  - {name: alice, key: "${ALICE:=}"}
  - {name: bob, key: "${BOB:=}"}
clusters:
  claude:
    provider: claude
    accounts:
      - {name: api, api-key: "${API:=}"}
      - {name: both, api-key: "${API:=}", oauth-token: "${TOKEN:=}"}
      - {name: none, api-key: "${API:=}", oauth-token: "${OTHER:=}"}
routes:
  - {name: claude, match: {prefix: /}, filters: [auth: {}], cluster: claude}
tests:
  - {request: {path: /x, key: alice}, expect: {status: 200}}
  - {request: {path: /x, key: bob}, expect: {account: api}}
  - {request: {path: /x, key: bob}, expect: {account: claude/none}}
  - {request: {path: /x, key: bob}, expect: {account: claude/both}}
)",
                       {{"BOB", "cr_0123456789"}, {"TOKEN", "sk-ant-oat"}});
  EXPECT_FALSE(loaded.problems.failed()) << loaded.Lines();
  const Config& c = *loaded.config;
  ASSERT_EQ(c.keys.size(), 1U);
  EXPECT_EQ(c.keys[0].name, "bob");
  ASSERT_EQ(c.clusters[0].accounts.size(), 1U);
  EXPECT_EQ(c.clusters[0].accounts[0].name, "both");
  EXPECT_TRUE(c.clusters[0].accounts[0].api_key.empty());
  EXPECT_EQ(c.clusters[0].accounts[0].oauth_token.Reveal(), "sk-ant-oat");
  ASSERT_EQ(c.left_out.size(), 3U);
  EXPECT_EQ(c.left_out[0].Text(), "key 'alice' is left out: ALICE is not set");
  EXPECT_EQ(c.left_out[1].Text(), "account 'claude/api' is left out: API is not set");
  EXPECT_EQ(c.left_out[2].name, "claude/none");
  EXPECT_EQ(c.tests[0].skipped, "key 'alice' is left out: ALICE is not set");
  EXPECT_EQ(c.tests[1].skipped, "account 'claude/api' is left out: API is not set");
  EXPECT_EQ(c.tests[2].skipped, "account 'claude/none' is left out: API is not set");
  EXPECT_EQ(c.tests[3].skipped, "");
}

TEST(Config, IsThereEvenWhenItIsRefusedSoThatFiltersCanComplainToo) {
  Loaded loaded = LoadWith("workers: 99\n");
  EXPECT_TRUE(loaded.problems.failed());
  ASSERT_TRUE(loaded.config);
  EXPECT_EQ(loaded.config->routes.size(), 2U);
  EXPECT_TRUE(Load("[").config);
  EXPECT_TRUE(Load("").config);
}

TEST(Config, TakesRedisOfTheEnvironmentUnlessAStoreIsNamed) {
  const std::string key = "secrets: {encryption-key: \"${KEY}\"}\n";
  Variables variables = {{"REDIS_HOST", "redis"}, {"KEY", std::string(32, 'k')}};
  Loaded loaded = LoadWith(key, variables);
  EXPECT_EQ(loaded.Lines(), "");
  EXPECT_EQ(loaded.config->store.kind, StoreConfig::Kind::kRedis);
  EXPECT_EQ(loaded.config->store.redis.address, (HostPort{"redis", 6379}));
  EXPECT_EQ(LoadWith("store: memory\n" + key, variables).config->store.kind,
            StoreConfig::Kind::kMemory);
  EXPECT_EQ(LoadWith("store: {embedded: {path: x.db}}\n" + key, variables).config->store.kind,
            StoreConfig::Kind::kEmbedded);
  EXPECT_EQ(LoadWith(key, {{"KEY", std::string(32, 'k')}}).config->store.kind,
            StoreConfig::Kind::kAuto);
}

TEST(Config, RefusesRedisWithoutAnEncryptionKey) {
  std::string refusal =
      "relay.yaml: what is kept in Redis must be encrypted: set "
      "'encryption-key' of 'secrets' (ENCRYPTION_KEY) to 32 or more random characters\n";
  EXPECT_EQ(LoadWith("", {{"REDIS_URL", "rediss://:x@y"}}).Lines(), refusal);
  EXPECT_EQ(LoadWith("secrets: {encryption-key: \"${KEY:=}\"}\n", {{"REDIS_HOST", "y"}}).Lines(),
            refusal);
}

TEST(Config, StartsRelativePathsAtItsOwnFolder) {
  std::string name = testing::TempDir() + "relay-root-XXXXXX";
  ASSERT_NE(mkdtemp(name.data()), nullptr);
  std::filesystem::path folder = name;
  std::ofstream(folder / "key") << "cr_from-a-file\n";
  std::ofstream(folder / "relay.yaml") << kMinimal << "keys: [{name: a, key: \"${file:key}\"}]\n"
                                       << "store: {embedded: {path: x.db}}\n";
  Problems problems;
  auto config = LoadConfig((folder / "relay.yaml").string(), Of({}), problems);
  EXPECT_TRUE(problems.ErrorLines().empty());
  ASSERT_EQ(config->keys.size(), 1U);
  EXPECT_EQ(config->keys[0].key.Reveal(), "cr_from-a-file");
  EXPECT_EQ(config->store.path, (folder / "x.db").string());
  std::filesystem::remove_all(folder);
}

TEST(Config, SaysWhyAFileCannotBeRead) {
  for (const auto& [path, why] : {std::pair("/nonexistent/relay.yaml", "No such file or directory"),
                                  std::pair("/", "Is a directory")}) {
    Problems problems;
    auto config = LoadConfig(path, Of({}), problems);
    ASSERT_TRUE(config);
    EXPECT_EQ(problems.ErrorLines(),
              std::vector<std::string>{std::string(path) + ": cannot be read: " + why});
  }
}

TEST(Failover, MatchesStatusesExactlyOrByTheirGroup) {
  FailoverConfig f;
  EXPECT_TRUE(f.OnConnect());
  EXPECT_TRUE(f.OnReset());
  for (int status : {401, 429, 500, 503, 529, 599}) EXPECT_TRUE(f.OnStatus(status)) << status;
  for (int status : {200, 400, 403, 404, 499}) EXPECT_FALSE(f.OnStatus(status)) << status;
  f.on = {"429"};
  EXPECT_FALSE(f.OnConnect());
  EXPECT_FALSE(f.OnReset());
  EXPECT_FALSE(f.OnStatus(500));
}

TEST(Texts, KnowThePlaceholdersOfGuides) {
  for (const char* text :
       {"your-jwt-secret-here", "your_encryption_key", "YOUR-SECRET", "change-me", "CHANGE_ME",
        "changeme123", "change this now", "replace-me", "<secret>", "placeholder"}) {
    EXPECT_FALSE(IsNoPlaceholder(text)) << text;
  }
  for (const char* text : {"yours-truly-9f8e", "cr_0123456789", "exchange-meeting", "x<y"}) {
    EXPECT_TRUE(IsNoPlaceholder(text)) << text;
  }
}

TEST(Texts, BoundNamesAndSecrets) {
  EXPECT_TRUE(IsName("a"));
  EXPECT_TRUE(IsName("0-a_b.c"));
  for (const char* text : {"", "-a", "A", "a b", "a/b", "é"}) EXPECT_FALSE(IsName(text)) << text;
  EXPECT_TRUE(IsName(std::string(64, 'a')));
  EXPECT_FALSE(IsName(std::string(65, 'a')));
  EXPECT_FALSE(IsRelayKey(std::string(9, 'a')));
  EXPECT_TRUE(IsRelayKey(std::string(10, 'a')));
  EXPECT_TRUE(IsRelayKey(std::string(512, 'a')));
  EXPECT_FALSE(IsRelayKey(std::string(513, 'a')));
  EXPECT_FALSE(IsRelayKey("0123456789\n"));
  EXPECT_FALSE(IsPassword("1234567"));
  EXPECT_FALSE(IsPassword(std::string_view("12345678\0", 9)));
  EXPECT_TRUE(IsPassword("pass phrase é"));
}

TEST(DescribeConfig, KnowsEveryTopLevelKey) {
  Shape shape = DescribeConfig();
  std::vector<std::string> names;
  names.reserve(shape.fields.size());
  for (const FieldShape& field : shape.fields) names.push_back(field.name);
  EXPECT_EQ(names, (std::vector<std::string>{"listeners", "workers", "drain-timeout", "time-zone",
                                             "limits", "log", "store", "secrets", "admin", "keys",
                                             "clusters", "routes", "alerts", "tests"}));
  EXPECT_NE(PrintReference(shape).find("requests-per-minute"), std::string::npos);
}

}  // namespace
}  // namespace relay
