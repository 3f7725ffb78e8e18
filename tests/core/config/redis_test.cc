// SPDX-License-Identifier: MIT
#include "core/config/redis.h"

#include <gtest/gtest.h>

#include <map>

namespace relay {
namespace {

using Variables = std::map<std::string, std::string, std::less<>>;

struct FromEnvironment {
  explicit FromEnvironment(Variables variables) {
    redis = RedisFromEnvironment(
        [&](std::string_view name) -> std::optional<std::string> {
          auto at = variables.find(name);
          if (at == variables.end()) return std::nullopt;
          return at->second;
        },
        Place{std::make_shared<const std::string>("relay.yaml"), 0, 0}, problems);
  }
  std::string Complaint() const {
    auto lines = problems.ErrorLines();
    return lines.empty() ? "" : lines.front();
  }
  Problems problems;
  std::optional<RedisConfig> redis;
};

TEST(RedisConfig, ReadsUrls) {
  auto plain = ParseRedisUrl("redis://localhost");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->address, (HostPort{"localhost", 6379}));
  EXPECT_FALSE(plain->tls);
  EXPECT_TRUE(plain->password.empty());
  auto full = ParseRedisUrl("rediss://default:p%40ss%3Aw%2F%25@eu1-x.upstash.io:6380/3");
  ASSERT_TRUE(full);
  EXPECT_TRUE(full->tls);
  EXPECT_EQ(full->address, (HostPort{"eu1-x.upstash.io", 6380}));
  EXPECT_EQ(full->username, "default");
  EXPECT_EQ(full->password.Reveal(), "p@ss:w/%");
  EXPECT_EQ(full->database, 3);
  auto v6 = ParseRedisUrl("redis://:secret@[::1]/");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->address, (HostPort{"::1", 6379}));
  EXPECT_EQ(v6->username, "");
  EXPECT_EQ(v6->password.Reveal(), "secret");
  EXPECT_EQ(ParseRedisUrl("redis://[::1]:7000")->address.port, 7000);
}

TEST(RedisConfig, RefusesOtherUrlsWithoutRepeatingThem) {
  for (std::string_view text :
       {"", "http://x", "redis:", "redis://", "redis://:secret@", "redis://x:0", "redis://x:99999",
        "redis://x/a", "redis://x/-1", "redis://x?tls=1", "redis://a b", "redis://u:%zz@x",
        "redis://u:%4@x", "redis://u:your-password@x"}) {
    auto parsed = ParseRedisUrl(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().find("secret"), std::string::npos);
  }
}

TEST(RedisConfig, IsNotThereWithoutHostAndUrl) {
  EXPECT_FALSE(FromEnvironment({}).redis);
  EXPECT_FALSE(FromEnvironment({{"REDIS_HOST", ""}, {"REDIS_PASSWORD", "x"}}).redis);
}

TEST(RedisConfig, ReadsTheVariablesOfTheGuide) {
  FromEnvironment least({{"REDIS_HOST", "redis"}});
  EXPECT_EQ(least.Complaint(), "");
  EXPECT_EQ(least.redis->address, (HostPort{"redis", 6379}));
  EXPECT_FALSE(least.redis->tls);
  FromEnvironment all({{"REDIS_HOST", "x.aivencloud.com"},
                       {"REDIS_PORT", "26379"},
                       {"REDIS_USERNAME", "relay"},
                       {"REDIS_PASSWORD", "secret"},
                       {"REDIS_ENABLE_TLS", "true"},
                       {"REDIS_DB", "4"}});
  EXPECT_EQ(all.Complaint(), "");
  EXPECT_EQ(all.redis->address, (HostPort{"x.aivencloud.com", 26379}));
  EXPECT_EQ(all.redis->username, "relay");
  EXPECT_EQ(all.redis->password.Reveal(), "secret");
  EXPECT_TRUE(all.redis->tls);
  EXPECT_EQ(all.redis->database, 4);
  EXPECT_EQ(FromEnvironment({{"REDIS_HOST", "::1"}, {"REDIS_PORT", "7"}}).redis->address,
            (HostPort{"::1", 7}));
  FromEnvironment url({{"REDIS_URL", "rediss://a:b@c"}, {"REDIS_HOST", "redis"}});
  EXPECT_EQ(url.redis->address.host, "c") << "the whole one wins";
}

TEST(RedisConfig, NamesTheVariableThatIsWrong) {
  EXPECT_EQ(FromEnvironment({{"REDIS_URL", "redis//x"}}).Complaint(),
            "relay.yaml: the variable REDIS_URL must be like redis://NAME:PASSWORD@HOST:6379/0, or "
            "rediss:// for TLS");
  EXPECT_EQ(FromEnvironment({{"REDIS_HOST", "a b"}}).Complaint(),
            "relay.yaml: the variable REDIS_HOST must be a host's name or address, and REDIS_PORT "
            "1..65535");
  EXPECT_EQ(FromEnvironment({{"REDIS_HOST", "your-redis-host.upstash.io"}}).Complaint(),
            "relay.yaml: the variable REDIS_HOST must not be the placeholder of a guide");
  EXPECT_EQ(
      FromEnvironment({{"REDIS_HOST", "a"}, {"REDIS_PASSWORD", "your-redis-password"}}).Complaint(),
      "relay.yaml: the variable REDIS_PASSWORD must not be the placeholder of a guide");
  EXPECT_EQ(FromEnvironment({{"REDIS_HOST", "a"}, {"REDIS_ENABLE_TLS", "yes"}}).Complaint(),
            "relay.yaml: the variable REDIS_ENABLE_TLS must be true or false");
  EXPECT_EQ(FromEnvironment({{"REDIS_HOST", "a"}, {"REDIS_DB", "zero"}}).Complaint(),
            "relay.yaml: the variable REDIS_DB must be the number of a database, such as 0");
}

}  // namespace
}  // namespace relay
