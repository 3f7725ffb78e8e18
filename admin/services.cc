// SPDX-License-Identifier: MIT
#include "admin/services.h"

#include <optional>
#include <string>
#include <utility>

#include "core/base/secret.h"
#include "filters/limits.h"
#include "filters/registry.h"

namespace relay {
namespace {

KeyRecord RecordOf(const KeyConfig& key) {
  KeyRecord record;
  record.name = key.name;
  for (ProviderKind service : key.services) record.services.emplace_back(NameOf(service));
  record.models_allow = key.models.allow;
  record.models_deny = key.models.deny;
  record.limits = LimitsOf(key.limits);
  return record;
}

size_t IndexOf(const Config& config, std::string_view cluster) {
  size_t index = 0;
  while (config.clusters[index].name != cluster) ++index;
  return index;
}

}  // namespace

std::shared_ptr<const KeyDirectory> MakeKeyDirectory(const Config& config, Limiter& limiter) {
  const Secret& seed = config.secrets.encryption_key;
  std::string pepper = seed.empty()
                           ? RandomBytes(sizeof(Digest256))
                           : std::string(BytesOf(HkdfSha256(seed.Reveal(), "", "relay keys v1")));
  auto directory = std::make_shared<KeyDirectory>(Secret::Take(pepper), limiter);
  for (const KeyConfig& key : config.keys) directory->Add(key.key.Reveal(), RecordOf(key));
  return directory;
}

Services::Services(std::shared_ptr<const Config> its_config, const Clock& its_clock,
                   uint64_t memory, Zone zone)
    : config(std::move(its_config)),
      clock(its_clock),
      bodies(config->buffered_bytes.Of(memory)),
      limiter(clock, zone),
      ledger(std::move(zone)),
      keys(MakeKeyDirectory(*config, limiter)) {}

Result<std::unique_ptr<Services>> Services::Make(std::shared_ptr<const Config> config,
                                                 const Clock& clock, uint64_t memory) {
  std::optional<Zone> zone = Zone::Load(config->time_zone);
  if (!zone) {
    return Fail(Party::kRelay, Fault::kInternal, "no time zone '" + config->time_zone + "'");
  }
  auto tls = TlsClientContext::Make();
  if (!tls) return std::unexpected(tls.error());
  std::unique_ptr<Services> services(
      new Services(std::move(config), clock, memory, std::move(*zone)));
  for (const ClusterConfig& cluster : services->config->clusters) {
    services->clusters.push_back(ShareCluster(cluster, *tls, services->metrics, clock));
  }
  return services;
}

void SeedBudgets(Services& services) {
  for (const auto& [key, spending] : services.ledger.SpendingByKey(services.limiter.Today())) {
    // Keys that are gone have no budget to keep.
    if (services.config->FindKey(key) == nullptr) continue;
    services.limiter.Seed(Limiter::NameOfKey(key), spending);
  }
}

std::shared_ptr<const RouteTable> MakeRoutes(Services& services,
                                             const std::vector<Cluster*>& clusters,
                                             const std::vector<Upstream*>& upstreams) {
  auto table = std::make_shared<RouteTable>();
  const Config& config = *services.config;
  for (const RouteConfig& from : config.routes) {
    size_t index = IndexOf(config, from.cluster);
    Route route;
    route.name = from.name;
    route.prefixes = from.prefixes;
    route.paths = from.paths;
    route.passthrough = from.passthrough;
    route.upstream = upstreams[index];
    route.metrics = &services.exchanges.Route(from.name);
    FilterContext context{from.name,       *clusters[index], services.limiter,
                          services.ledger, services.prices,  services.metrics};
    for (const FilterSpec& spec : from.filters) route.filters.push_back(MakeFilter(spec, context));
    table->routes.push_back(std::move(route));
  }
  return table;
}

}  // namespace relay
