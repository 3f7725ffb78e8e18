// SPDX-License-Identifier: MIT
// Situations for `relay explain`: a configuration, what has happened with it, and a request. Made
// from a number, the same for the same number, and varied enough that all steps of a relay have
// something to say.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/rehearsal.h"

namespace relay {

class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  // 0 … sides - 1; the same on every machine, which distributions are not.
  size_t Roll(size_t sides) { return static_cast<size_t>(engine_() % sides); }
  bool OneIn(size_t sides) { return Roll(sides) == 0; }
  template <class T, size_t N>
  const T& Of(const T (&choices)[N]) {
    return choices[Roll(N)];
  }

 private:
  std::mt19937_64 engine_;
};

struct Situation {
  // What has happened before the request, by the names of the configuration.
  struct Event {
    enum class Kind : uint8_t {
      kPaused,      // a person paused the account
      kLimited,     // the account: for a minute
      kFamily,      // the account, for the family of `text`
      kOverloaded,  // for five seconds, as are the next but kRefused
      kBroken,
      kRefused,
      kExpired,
      kProbed,  // the account's rest is over and a request of `text` finds out
      kBusy,    // the account carries `amount` requests
      kSticky,  // the session of the sticky name `text` is on it, which has `amount` tokens cached
      kStarts,  // the key has begun `amount` requests that have ended
      kRuns,    // and `amount` that run
      kSpent,   // and spent `amount` nanodollars and tokens
      kWrong,   // `amount` wrong keys came from `text`
      kTime,    // `amount` milliseconds went by
    };
    Kind kind;
    std::string where = {};  // "cluster/account", or a key
    std::string text = {};
    int64_t amount = 0;
  };
  std::string yaml;
  std::vector<Event> events;
  RehearsedRequest request;  // without the key
  std::string key;           // by name
  std::string secret;        // as it is sent; "": none
  std::string secret_field;  // the header that has it; "": the query
  bool by_name = false;      // the key's part is played
};

// Makes one; `port`: of the vendor on the loopback.
class SituationMaker {
 public:
  SituationMaker(uint64_t number, uint16_t port)
      : dice_(number * 7919 + 17),
        cache_dice_(number * 104'729 + 3),
        tag_(std::to_string(number)),
        port_(port) {}

  Situation Make() {
    AddTop();
    AddClusters();
    AddRoutes();
    AddEvents();
    AddRequest();
    return std::move(situation_);
  }

 private:
  using Kind = Situation::Event::Kind;
  static constexpr std::string_view kClaudeModels[] = {"claude-opus-5-5", "claude-haiku-4-5",
                                                       "claude-sonnet-4-5", "claude-3-old"};
  static constexpr std::string_view kGeminiModels[] = {"gemini-2.5-pro", "gemini-2.5-flash"};

  std::string Name(std::string_view of) const { return std::string(of) + tag_; }
  std::string Secret(std::string_view of) const { return "cr_" + Name(of) + "_0123456789abcdef"; }
  void Add(const std::string& text) { situation_.yaml += text + "\n"; }
  std::string Number(size_t least, size_t most) {
    return std::to_string(least + dice_.Roll(most - least + 1));
  }

  std::string Limits() {
    std::string limits;
    auto add = [&](const std::string& one) { limits += (limits.empty() ? "" : ", ") + one; };
    if (!dice_.OneIn(3)) add("requests-per-minute: " + Number(1, 4));
    if (dice_.OneIn(4)) add("tokens-per-minute: " + Number(100, 20'000));
    if (dice_.OneIn(4)) add("concurrency: " + Number(1, 3));
    if (dice_.OneIn(3)) add("cost-per-day: 0." + Number(10, 99));
    if (dice_.OneIn(6)) add("cost-per-5h: 0." + Number(10, 99));
    if (dice_.OneIn(8)) add("cost-total: 0." + Number(10, 99));
    return limits;
  }

  void AddTop() {
    Add("listeners: [{address: '127.0.0.1:0', limits: {wrong-keys: 3}}]");
    Add("keys:");
    for (std::string_view key : {"alice", "bob", "carol"}) {
      std::string text = "  - {name: " + Name(key) + ", key: " + Secret(key);
      if (dice_.OneIn(10)) text += ", services: " + std::string(dice_.Of({"claude", "gemini"}));
      if (!dice_.OneIn(4)) text += ", limits: {" + Limits() + "}";
      if (dice_.OneIn(6)) text += ", service-limits: {claude: {" + Limits() + "}}";
      if (dice_.OneIn(10)) text += ", models: {deny: '*-opus-*'}";
      if (dice_.OneIn(12)) text += ", models: {allow: [claude-haiku-*, gemini-*]}";
      if (dice_.OneIn(20)) text += ", expires: '2026-01-01'";
      if (dice_.OneIn(8)) text += ", expires-after-first-use: 1h";
      if (dice_.OneIn(2)) text += ", decisions: true";
      if (dice_.OneIn(20)) text += ", disabled: true";
      if (dice_.OneIn(16)) text += ", clients: claude-code";
      if (dice_.OneIn(16)) text += ", allowed-addresses: 192.0.2.0/24";
      if (dice_.OneIn(6))
        text += ", bind: {" + Name("one") + ": " + std::string(dice_.Of({"a", "b"})) + "}";
      Add(Once(text, "models") + "}");
    }
  }
  // Only the first of two fields of a name.
  static std::string Once(std::string text, const std::string& name) {
    size_t first = text.find(", " + name + ":");
    size_t second = first == std::string::npos ? first : text.find(", " + name + ":", first + 1);
    if (second == std::string::npos) return text;
    size_t end = text.find('}', second);
    return text.erase(second, end + 1 - second);
  }

  void AddClusters() {
    Add("clusters:");
    AddCluster("one", "claude", kClaudeModels[1]);
    AddCluster("two", "claude", kClaudeModels[0]);
    AddCluster("goo", "gemini", kGeminiModels[1]);
  }
  void AddCluster(std::string_view name, std::string_view provider, std::string_view model) {
    const std::string url = "http://127.0.0.1:" + std::to_string(port_);
    Add("  " + Name(name) + ":");
    Add("    provider: " + std::string(provider));
    Add("    endpoint: " + url);
    if (provider == "gemini") Add("    code-assist-endpoint: " + url);
    size_t count = dice_.OneIn(12) ? 0 : 1 + dice_.Roll(4);
    if (count == 0) return;
    Add("    accounts:");
    for (size_t i = 0; i < count; ++i) {
      std::string account(1, static_cast<char>('a' + i));
      // At least those to which keys may be bound.
      std::string credential = Name(name) + "-" + account + "-credential";
      std::string text = "      - {name: " + account;
      bool plan = dice_.OneIn(4);
      text += (plan ? ", oauth-token: " : ", api-key: ") + credential;
      if (plan && provider == "gemini" && dice_.OneIn(2)) text += ", project: my-project";
      if (dice_.OneIn(2)) text += ", priority: " + Number(1, 3) + "0";
      if (dice_.OneIn(2)) text += ", concurrency: " + Number(1, 2);
      if (dice_.OneIn(6)) text += ", models: ['" + std::string(model) + "']";
      if (dice_.OneIn(4)) text += ", weight: " + Number(1, 3);
      if (dice_.OneIn(3)) text += ", tags: team";
      Add(text + "}");
      accounts_.push_back(Name(name) + "/" + account);
    }
    clusters_.emplace_back(name, count);
  }
  // The account that a key is bound to must be there, or the file is refused.
  bool Has(std::string_view cluster, std::string_view account) const {
    for (const auto& [name, count] : clusters_) {
      if (name == cluster) return static_cast<size_t>(account[0] - 'a') < count;
    }
    return false;
  }

  void AddRoutes() {
    for (std::string_view account : {"a", "b"}) {
      if (Has("one", account)) continue;
      std::string bind = ", bind: {" + Name("one") + ": " + std::string(account) + "}";
      for (size_t at; (at = situation_.yaml.find(bind)) != std::string::npos;) {
        situation_.yaml.erase(at, bind.size());
      }
    }
    Add("routes:");
    if (!dice_.OneIn(6)) AddRoute("goo", "goo", "prefix: [/gemini, /google]");
    if (dice_.OneIn(8)) AddRoute("exact", "two", "path: /api/v1/messages");
    if (dice_.OneIn(3)) AddRoute("deep", "two", "prefix: /api/v1");
    AddRoute("api", "one", "prefix: [/api, /claude]");
    AddRoute("late", "goo", "prefix: /late");
    if (dice_.OneIn(8)) AddRoute("rest", "two", "prefix: /");
  }
  void AddRoute(std::string_view name, std::string_view cluster, const std::string& match) {
    const std::string service = cluster == "goo" ? "gemini" : "claude";
    Add("  - name: " + Name(name));
    Add("    match: {" + match + "}");
    Add("    cluster: " + Name(cluster));
    if (dice_.OneIn(3)) Add("    passthrough: [/v1/files]");
    Add("    filters:");
    Add("      - auth: {service: " + service + "}");
    if (!dice_.OneIn(4)) Add("      - rate-limit: {" + RateLimit() + "}");
    bool first = dice_.OneIn(2);
    if (first) Add("      - rewrite: {" + Rewrite() + "}");
    std::string select = dice_.OneIn(8) ? "tags: team, " : "";
    select += "sticky: " + std::string(dice_.Of({"session", "session", "key", "none"}));
    if (dice_.OneIn(2)) select += ", wait: " + std::string(dice_.Of({"0s", "1s", "2500ms"}));
    if (cache_dice_.OneIn(3)) {
      select += ", cache-wait: " + std::string(cache_dice_.Of({"0s", "1s", "3s"}));
    }
    Add("      - account-select: {" + select + "}");
    if (!first) Add("      - rewrite: {" + Rewrite() + "}");
    Add("      - usage-record: {}");
  }
  std::string RateLimit() {
    std::string options = dice_.OneIn(3) ? Limits() : "";
    auto add = [&](const std::string& one) { options += (options.empty() ? "" : ", ") + one; };
    if (!options.empty() && dice_.OneIn(2)) add("budget: route");
    if (dice_.OneIn(6)) {
      add("shadow: true");
    } else if (dice_.OneIn(2)) {
      add("wait: " + std::string(dice_.Of({"1s", "4s", "4s"})));
    }
    return options;
  }
  std::string Rewrite() {
    std::string options = "strip-prefix: true";
    if (dice_.OneIn(3)) options += ", model-map: {claude-3-*: claude-haiku-4-5}";
    if (dice_.OneIn(4)) options += ", set-headers: {x-gateway: a-gateways-word}";
    if (dice_.OneIn(4)) options += ", remove-headers: x-extra";
    if (dice_.OneIn(4)) options += ", set-fields: {temperature: 1}";
    if (dice_.OneIn(4)) options += ", remove-fields: metadata";
    if (dice_.OneIn(8)) options += ", prefix: /before";
    return options;
  }

  void AddEvents() {
    auto& events = situation_.events;
    key_ = dice_.Of({"alice", "alice", "bob", "carol"});
    const std::string key = Name(key_);
    if (!dice_.OneIn(3)) events.push_back({Kind::kStarts, key, "", 1 + int64_t(dice_.Roll(3))});
    if (dice_.OneIn(2)) events.push_back({Kind::kTime, "", "", int64_t(dice_.Roll(60)) * 1000});
    for (const std::string& account : accounts_) {
      if (dice_.OneIn(3)) {
        std::string session = dice_.OneIn(4) ? "" : "\n" + Session();
        const int64_t tokens = int64_t(cache_dice_.Roll(4)) * 1000;
        events.push_back({Kind::kSticky, account, key + session, tokens});
      }
    }
    for (const std::string& account : accounts_) {
      if (!dice_.OneIn(2)) continue;
      static constexpr Kind kKinds[] = {
          Kind::kPaused,  Kind::kLimited, Kind::kFamily, Kind::kOverloaded, Kind::kBroken,
          Kind::kRefused, Kind::kExpired, Kind::kProbed, Kind::kBusy,       Kind::kBusy};
      std::string model(dice_.Of(kClaudeModels));
      events.push_back({dice_.Of(kKinds), account, model, dice_.OneIn(2) ? 1 : 2});
      if (dice_.OneIn(2)) events.push_back({Kind::kBusy, account, "", 1});
    }
    if (dice_.OneIn(3)) events.push_back({Kind::kRuns, key, "", 1 + int64_t(dice_.Roll(2))});
    if (dice_.OneIn(3)) {
      events.push_back({Kind::kSpent, key, "", int64_t(dice_.Roll(8)) * 100'000'000});
    }
    if (dice_.OneIn(4)) {
      // The next minute is near.
      events.push_back({Kind::kStarts, key, "", 3});
      events.push_back({Kind::kTime, "", "", 57'000 + int64_t(dice_.Roll(3)) * 1000});
    }
    if (dice_.OneIn(4)) {
      // A bad hour: what is not full fails.
      for (const std::string& account : accounts_) {
        bool fails = dice_.OneIn(2);
        events.push_back({fails ? Kind::kOverloaded : Kind::kBusy, account, "", 2});
      }
    }
    if (dice_.OneIn(6)) events.push_back({Kind::kWrong, "", "192.0.2.7", 3});
  }

  std::string Session() const { return "session-" + tag_; }

  void AddRequest() {
    Situation& s = situation_;
    s.key = Name(key_);
    bool gemini = dice_.OneIn(3);
    gemini ? AskGemini() : AskClaude();
    if (dice_.OneIn(20))
      s.request.target = dice_.Of(
          {"/nowhere", "/health", "/api/v1/unknown", "/api/%2e%2e/x", "/late", "/api/v1/files"});
    if (dice_.OneIn(40))
      s.request = {.method = "HEAD", .target = "/api/hello", .headers = {}, .key = "", .body = ""};
    auto& headers = s.request.headers;
    headers.emplace_back("user-agent", dice_.Of({"claude-cli/2.1.0", "claude-cli/2.1.0",
                                                 "GeminiCLI/0.61.0", "curl/8"}));
    if (dice_.OneIn(3))
      headers.emplace_back("x-forwarded-for", dice_.Of({"192.0.2.7", "198.51.100.1"}));
    if (dice_.OneIn(3)) headers.emplace_back("x-extra", "yes");
    if (dice_.OneIn(3)) headers.emplace_back("anthropic-version", "2023-06-01");
    if (dice_.OneIn(6)) headers.emplace_back("cookie", "a=b");
    s.by_name = dice_.OneIn(2);
    s.secret = Secret(key_);
    s.secret_field = dice_.Of({"x-api-key", "authorization", "x-goog-api-key"});
    if (gemini && !s.by_name && dice_.OneIn(2)) s.secret_field = "";
    if (!dice_.OneIn(16)) return;
    s.by_name = false;
    s.secret = dice_.OneIn(3) ? "" : "cr_a_wrong_key_0123456789";
  }
  void AskClaude() {
    RehearsedRequest& request = situation_.request;
    std::string prefix = dice_.Of({"/api", "/api", "/api", "/claude"});
    std::string path =
        dice_.Of({"/v1/messages", "/v1/messages", "/v1/messages", "/v1/messages?beta=true",
                  "/messages", "/v1/messages/count_tokens"});
    request.target = prefix + path;
    if (dice_.OneIn(12)) {
      request.method = "GET";
      request.target = prefix + "/v1/models";
      return;
    }
    request.body = R"({"model":")" + std::string(dice_.Of(kClaudeModels)) + R"(","max_tokens":)" +
                   Number(1, 2000) + (dice_.OneIn(3) ? R"(,"stream":true)" : "") +
                   R"(,"metadata":{"user_id":"u"},"messages":[{"role":"user","content":"hi"}]})";
    if (dice_.OneIn(25)) request.body = "{not json";
    if (!dice_.OneIn(3)) request.headers.emplace_back("x-claude-code-session-id", Session());
  }
  void AskGemini() {
    RehearsedRequest& request = situation_.request;
    std::string prefix = dice_.Of({"/gemini", "/google", "/late", "/late"});
    std::string model(dice_.Of(kGeminiModels));
    if (dice_.OneIn(3)) {
      std::string verb =
          dice_.Of({"generateContent", "countTokens", "loadCodeAssist", "retrieveUserQuota"});
      request.target = prefix + "/v1internal:" + verb;
      request.body = R"({"model":")" + model +
                     R"(","request":{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}})";
      return;
    }
    request.target =
        prefix + "/v1beta/models/" + model +
        dice_.Of({":generateContent", ":countTokens", ":streamGenerateContent?alt=sse"});
    request.body = R"({"contents":[{"role":"user","parts":[{"text":"hi"}]}]})";
  }

  Dice dice_;
  Dice cache_dice_;  // of its own, so that the situations are those that they are without a cache
  const std::string tag_;
  const uint16_t port_;
  Situation situation_;
  std::vector<std::string> accounts_;                          // "cluster/account"
  std::vector<std::pair<std::string_view, size_t>> clusters_;  // with how many accounts
  std::string_view key_;
};

}  // namespace relay
