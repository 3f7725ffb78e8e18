// SPDX-License-Identifier: MIT
// Where Redis is and how it is spoken with: from the block of relay.yaml, from a URL, or from the
// variables of the deployment guide.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/secret.h"
#include "core/config/fields.h"
#include "core/config/yaml.h"

namespace relay {

// What becomes of new requests while the store is away.
enum class OnOutage : uint8_t {
  kFailOpen,    // they are served from what is in memory
  kFailClosed,  // 503
};

struct RedisConfig {
  HostPort address;
  std::string username;  // "": the default user
  Secret password;
  bool tls = false;
  std::string ca;  // a PEM file; "": the system's authorities
  Place ca_place;
  int database = 0;
  Duration flush_interval = std::chrono::seconds(1);
  int64_t commands_per_month = 0;  // 0: they are not counted out
  int replicas = 1;                // relays that share the database, and with it all limits
  OnOutage on_outage = OnOutage::kFailOpen;
};
void Bind(Fields& f, RedisConfig& r);

// "redis://[user[:password]@]host[:port][/database]", or rediss:// for TLS; user and password as
// URLs encode them. The error says what is wrong with it, and never repeats it.
std::expected<RedisConfig, std::string> ParseRedisUrl(std::string_view text);

// REDIS_URL, or REDIS_HOST with REDIS_PORT, REDIS_USERNAME, REDIS_PASSWORD, REDIS_ENABLE_TLS and
// REDIS_DB. Nothing where neither is set. Complaints are told at `place`.
std::optional<RedisConfig> RedisFromEnvironment(const Environment& environment, const Place& place,
                                                Problems& problems);

}  // namespace relay
