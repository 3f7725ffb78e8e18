// SPDX-License-Identifier: MIT
#include "core/config/redis.h"

#include "core/base/percent.h"
#include "core/config/fits.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

constexpr uint16_t kPort = 6379;
constexpr int kDatabases = 1'000'000;

std::optional<int> ReadDatabase(std::string_view text) {
  auto number = ParseInteger(text);
  if (!number || *number < 0 || *number > kDatabases) return std::nullopt;
  return static_cast<int>(*number);
}

std::optional<HostPort> ReadAddress(std::string_view text) {
  bool has_port = text.find(':', text.starts_with('[') ? text.find(']') : 0) != text.npos;
  auto address =
      ParseHostPort(has_port ? std::string(text) : std::string(text) + ":" + std::to_string(kPort));
  if (!address || address->host.empty() || address->port == 0) return std::nullopt;
  return *address;
}

struct CommandBudget {
  int64_t commands_per_month = 0;
};
void Bind(Fields& f, CommandBudget& b) {
  f.Optional("commands-per-month", b.commands_per_month, Range{1000, 1'000'000'000'000},
             "what the plan allows; when they run low, the flush interval grows");
}

// What a URL says already.
void RefuseBesideUrl(Fields& f) {
  for (std::string_view name : {"address", "username", "password", "tls", "database"}) {
    if (f.Has(name)) f.Complain(name, "cannot stand beside 'url', which says it");
  }
}

}  // namespace

static std::span<const Word<OnOutage>> WordsOf(OnOutage) {
  static constexpr Word<OnOutage> kWords[] = {{"fail-open", OnOutage::kFailOpen},
                                              {"fail-closed", OnOutage::kFailClosed}};
  return kWords;
}

void Bind(Fields& f, RedisConfig& r) {
  std::optional<HostPort> address;
  Secret url;
  CommandBudget budget;
  f.Optional("address", address, "host:port of Redis 6 or newer, or of Valkey");
  f.Optional("url", url, NonEmpty{}, "all in one instead: redis:// or rediss:// (TLS)");
  f.Optional("username", r.username, "of an ACL user; without it the default one");
  f.Optional("password", r.password, kNoPlaceholder, "without it the server must ask for none");
  f.Optional("tls", r.tls, "with SNI; the server's certificate is always verified");
  f.Optional("ca", r.ca, NonEmpty{}, "PEM file of authorities, instead of the system's");
  f.Optional("database", r.database, Range{0, kDatabases}, "its number");
  f.Optional("flush-interval", r.flush_interval, Range{100ms, 10min},
             "how often is told what was used");
  f.Optional("budget", budget, "where commands are billed");
  f.Optional(
      "replicas", r.replicas, Range{1, 100},
      "relays that share this database; above 1 they hold all limits together, at one or two "
      "commands for each request that has some");
  f.Optional("on-outage", r.on_outage, "whether new requests are served without the store");
  r.ca_place = f.PlaceOf("ca");
  r.commands_per_month = budget.commands_per_month;
  if (f.describing()) return;
  if (f.Fine("url")) {
    RefuseBesideUrl(f);
    auto parsed = ParseRedisUrl(url.Reveal());
    if (parsed) {
      r.address = parsed->address;
      r.username = std::move(parsed->username);
      r.password = std::move(parsed->password);
      r.tls = parsed->tls;
      r.database = parsed->database;
    } else {
      f.Complain("url", parsed.error());
    }
  } else if (address) {
    r.address = *address;
  } else if (!f.Has("address") && !f.Has("url")) {
    f.ComplainHere("needs an 'address' or a 'url'");
  }
  bool plain = !r.tls && (f.Has("tls") || f.Has("url") ? f.Fine("tls") || f.Fine("url") : true);
  if (!r.ca.empty() && plain) f.Complain("ca", "is for tls: true");
}

std::expected<RedisConfig, std::string> ParseRedisUrl(std::string_view text) {
  const std::unexpected<std::string> unfit(
      "must be like redis://NAME:PASSWORD@HOST:6379/0, or rediss:// for TLS");
  RedisConfig redis;
  if (text.starts_with("rediss://")) {
    redis.tls = true;
  } else if (!text.starts_with("redis://")) {
    return unfit;
  }
  text.remove_prefix(text.find("//") + 2);
  if (text.find_first_of("?#") != text.npos) return unfit;
  if (size_t at = text.rfind('@'); at != text.npos) {
    std::string_view user = text.substr(0, at);
    text.remove_prefix(at + 1);
    size_t colon = std::min(user.find(':'), user.size());
    auto name = PercentDecodeStrictly(user.substr(0, colon));
    auto password = PercentDecodeStrictly(user.substr(std::min(colon + 1, user.size())));
    if (!name || !password) return std::unexpected("holds a '%' that encodes nothing");
    if (!IsNoPlaceholder(*password)) return std::unexpected("holds the placeholder of a guide");
    redis.username = std::move(*name);
    redis.password = Secret::Take(*password);
  }
  size_t slash = std::min(text.find('/'), text.size());
  auto address = ReadAddress(text.substr(0, slash));
  if (!address) return unfit;
  redis.address = *address;
  text.remove_prefix(std::min(slash + 1, text.size()));
  if (text.empty()) return redis;
  auto database = ReadDatabase(text);
  if (!database) return unfit;
  redis.database = *database;
  return redis;
}

std::optional<RedisConfig> RedisFromEnvironment(const Environment& environment, const Place& place,
                                                Problems& problems) {
  auto value = [&environment](std::string_view name) {
    return environment(name).value_or(std::string());
  };
  auto refuse = [&](std::string_view name, const std::string& what) {
    problems.Add(place, "the variable " + std::string(name) + " " + what);
  };
  if (std::string url = value("REDIS_URL"); !url.empty()) {
    auto parsed = ParseRedisUrl(url);
    WipeString(url);
    if (parsed) return std::move(*parsed);
    refuse("REDIS_URL", parsed.error());
    return RedisConfig();
  }
  std::string host = value("REDIS_HOST");
  if (host.empty()) return std::nullopt;
  RedisConfig redis;
  std::string port = value("REDIS_PORT");
  bool literal = host.find(':') != host.npos && !host.starts_with('[');
  std::string written = literal ? "[" + host + "]" : host;
  auto address = ReadAddress(port.empty() ? written : written + ":" + port);
  if (!IsNoPlaceholder(host)) {
    refuse("REDIS_HOST", "must not be the placeholder of a guide");
  } else if (!address) {
    refuse("REDIS_HOST", "must be a host's name or address, and REDIS_PORT 1..65535");
  } else {
    redis.address = *address;
  }
  redis.username = value("REDIS_USERNAME");
  std::string password = value("REDIS_PASSWORD");
  if (!IsNoPlaceholder(password)) {
    refuse("REDIS_PASSWORD", "must not be the placeholder of a guide");
  }
  redis.password = Secret::Take(password);
  std::string tls = value("REDIS_ENABLE_TLS");
  redis.tls = tls == "true";
  if (!tls.empty() && tls != "true" && tls != "false") {
    refuse("REDIS_ENABLE_TLS", "must be true or false");
  }
  std::string number = value("REDIS_DB");
  auto database = number.empty() ? std::optional(0) : ReadDatabase(number);
  if (!database) refuse("REDIS_DB", "must be the number of a database, such as 0");
  redis.database = database.value_or(0);
  return redis;
}

}  // namespace relay
