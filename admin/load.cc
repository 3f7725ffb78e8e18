// SPDX-License-Identifier: MIT
#include "admin/load.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "core/base/zone.h"
#include "core/config/variables.h"
#include "core/net/tls_context.h"
#include "filters/registry.h"

namespace relay {

std::shared_ptr<const Config> LoadChecked(const std::string& path, const Environment& environment,
                                          Problems& problems) {
  std::shared_ptr<const Config> config = LoadConfig(path, environment, problems);
  CheckChains(*config, problems);
  // What follows reads other files, and is of no use to somebody who mends the first one.
  if (problems.failed()) return config;
  if (!Zone::Load(config->time_zone)) {
    problems.Add(Place{std::make_shared<const std::string>(path)},
                 "the system knows no time zone '" + config->time_zone +
                     "'; is the package tzdata installed?");
  }
  for (const ListenerConfig& listener : config->listeners) {
    if (!listener.tls) continue;
    auto loaded = TlsServerContext::Load(listener.tls->certificate, listener.tls->key);
    if (!loaded) problems.Add(listener.tls->certificate_place, loaded.error().what);
  }
  const RedisConfig& redis = config->store.redis;
  if (!redis.ca.empty()) {
    auto loaded = TlsClientContext::Make(redis.ca);
    if (!loaded) problems.Add(redis.ca_place, loaded.error().what);
  }
  return config;
}

std::string DataFolderOf(const Config& config, const Environment& environment) {
  if (!config.store.path.empty()) {
    size_t slash = config.store.path.rfind('/');
    if (slash == std::string::npos) return ".";
    return config.store.path.substr(0, std::max<size_t>(slash, 1));
  }
  std::optional<std::string> named = environment("RELAY_DATA");
  return JoinFolder(config.folder, named && !named->empty() ? *named : "data");
}

bool Report(const Config& config, const Problems& problems) {
  for (const std::string& line : ReportLines(config, problems)) {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  return !problems.failed();
}

}  // namespace relay
