// SPDX-License-Identifier: MIT
#include "admin/services.h"

#include <algorithm>
#include <latch>
#include <optional>
#include <string>
#include <utility>

#include "admin/stored_key.h"
#include "filters/registry.h"

namespace relay {
namespace {

// Whether there still is what a scope of the limiter counts for. Keys may come later, out of the
// store.
bool Knows(const Services& services, std::string_view scope) {
  std::string of_routes = Limiter::NameOfRoute("");
  if (!scope.starts_with(of_routes)) return true;
  scope.remove_prefix(of_routes.size());
  return services.current()->config->FindRoute(scope.substr(0, scope.find(' '))) != nullptr;
}

bool HasAlert(const Services& services, std::string_view name) {
  const auto config = services.current()->config;
  return std::ranges::find(config->alerts, name, &AlertConfig::name) != config->alerts.end();
}

std::vector<NamedPool> PoolsOf(const Services& services) {
  std::vector<NamedPool> pools;
  for (const auto& cluster : services.current()->clusters) {
    pools.push_back({cluster->config.name, cluster->pool});
  }
  return pools;
}

size_t IndexOf(const Config& config, std::string_view cluster) {
  size_t index = 0;
  while (config.clusters[index].name != cluster) ++index;
  return index;
}

std::shared_ptr<const KeyDirectory> MakeKeyDirectory(const Config& config,
                                                     const StoredObjects& stored,
                                                     const Secret& pepper, Limiter& limiter,
                                                     KeyUses& uses, const Zone& zone) {
  auto directory = std::make_shared<KeyDirectory>(pepper, limiter, uses);
  for (const KeyConfig& key : config.keys) {
    KeyRecord record = RecordOf(key.name, key, zone);
    record.disabled = key.disabled || stored.disabled.contains(OverlayIdOfKey(key.name));
    directory->Add(key.key.Reveal(), std::move(record));
  }
  for (const StoredObjects::Key& key : stored.keys) {
    if (config.FindKey(key.record.name) != nullptr) continue;
    directory->Add(key.digest, key.record, key.until);
  }
  return directory;
}

// Who is not in the snapshot any more has no accounts, neither for those who wait for one.
void Leave(const Snapshot& before, const Snapshot& now, TimePoint when) {
  for (const auto& old : before.clusters) {
    bool goes_on = std::any_of(now.clusters.begin(), now.clusters.end(),
                               [&](const auto& shared) { return shared->pool == old->pool; });
    if (goes_on) continue;
    old->pool->Reconfigure({});
    old->metrics->Show(*old->pool, when);
  }
}

const ClusterShared* Find(const Snapshot* snapshot, std::string_view cluster) {
  if (snapshot == nullptr) return nullptr;
  for (const auto& shared : snapshot->clusters) {
    if (shared->config.name == cluster) return shared.get();
  }
  return nullptr;
}

}  // namespace

Services::Services(const Config& config, const Clock& its_clock, uint64_t memory, Zone zone,
                   std::shared_ptr<const TlsClientContext> tls)
    : clock(its_clock),
      bodies(config.buffered_bytes.Of(memory)),
      limiter(clock, zone),
      ledger(zone),
      tokens(clock),
      budgets(limiter, [this](std::string_view scope) { return Knows(*this, scope); }),
      health([this] { return PoolsOf(*this); }),
      sticky([this] { return PoolsOf(*this); }),
      alerts(bell, [this](std::string_view name) { return HasAlert(*this, name); }),
      zone_(std::move(zone)),
      tls_(std::move(tls)),
      pepper_(RandomBytes(sizeof(Digest256))) {
  limiter.RingAt(bell);
}

Services::~Services() {
  // What it keeps is still there.
  state.reset();
}

Result<std::unique_ptr<Services>> Services::Make(std::shared_ptr<const Config> config,
                                                 const Clock& clock, uint64_t memory) {
  std::optional<Zone> zone = Zone::Load(config->time_zone);
  if (!zone) {
    return Fail(Party::kRelay, Fault::kInternal, "no time zone '" + config->time_zone + "'");
  }
  auto tls = TlsClientContext::Make();
  if (!tls) return std::unexpected(tls.error());
  std::unique_ptr<Services> services(
      new Services(*config, clock, memory, std::move(*zone), std::move(*tls)));
  auto first = services->Build(std::move(config), std::make_shared<const StoredObjects>());
  if (!first) return std::unexpected(first.error());
  services->Publish(std::move(*first));
  return services;
}

std::shared_ptr<const Snapshot> Services::current() const {
  std::lock_guard lock(mutex_);
  return current_;
}

Result<std::shared_ptr<const Snapshot>> Services::Build(
    std::shared_ptr<const Config> config, std::shared_ptr<const StoredObjects> stored) {
  std::shared_ptr<const Snapshot> before = current();
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->keys = MakeKeyDirectory(*config, *stored, pepper(), limiter, uses, zone_);
  for (const ClusterConfig& cluster : config->clusters) {
    const ClusterShared* known = Find(before.get(), cluster.name);
    snapshot->clusters.push_back(
        ShareCluster(cluster, tls_, metrics, clock, known, stored->accounts, &tokens));
    AccountPool& pool = *snapshot->clusters.back()->pool;
    if (known == nullptr || known->pool.get() != &pool) pool.RingAt(bell);
  }
  // Certificates are read anew by a reload only: a key that is disabled must not wait for them.
  bool same = before != nullptr && before->config == config;
  if (same) snapshot->listeners = before->listeners;
  for (const ListenerConfig& listener : config->listeners) {
    if (same) break;
    ListenerShared& shared = snapshot->listeners.emplace_back();
    shared.limits = listener.limits;
    for (const std::string& text : listener.trusted_proxies) {
      if (auto net = Network::Parse(text)) shared.trusted_proxies.push_back(*net);
    }
    if (!listener.tls) continue;
    auto tls = TlsServerContext::Load(listener.tls->certificate, listener.tls->key);
    if (!tls) return std::unexpected(tls.error());
    shared.tls = std::move(*tls);
  }
  snapshot->config = std::move(config);
  snapshot->stored = std::move(stored);
  return snapshot;
}

void Services::Publish(std::shared_ptr<const Snapshot> snapshot) {
  std::lock_guard publishing(publish_mutex_);
  std::shared_ptr<const Snapshot> before = current();
  {
    std::lock_guard lock(mutex_);
    current_ = snapshot;
  }
  if (before != nullptr) Leave(*before, *snapshot, clock.Now());
  for (const auto& cluster : snapshot->clusters) Enter(*cluster, clock.Now());
  // Shared, since the last to count down may still be in it when the wait is over.
  auto adopted = std::make_shared<std::latch>(static_cast<ptrdiff_t>(followers_.size()));
  for (SnapshotFollower* follower : followers_) {
    follower->Adopt(snapshot, [adopted] { adopted->count_down(); });
  }
  adopted->wait();
}

void Services::SetPepper(Secret pepper) {
  std::lock_guard lock(mutex_);
  pepper_ = std::move(pepper);
}

Secret Services::pepper() const {
  std::lock_guard lock(mutex_);
  return pepper_;
}

void Services::Follow(SnapshotFollower& follower) {
  std::lock_guard lock(publish_mutex_);
  followers_.push_back(&follower);
}

void Services::Unfollow(SnapshotFollower& follower) {
  std::lock_guard lock(publish_mutex_);
  std::erase(followers_, &follower);
}

State::Kept Services::Kept() {
  auto add_spending = [this](const std::vector<DayRow>& days) {
    // Also of keys that are not there: one may come, or come back.
    for (const auto& [key, spending] : SpendingByKey(days, limiter.Today())) {
      limiter.AddPast(Limiter::NameOfKey(key), spending);
    }
  };
  return {ledger, {&budgets, &health, &sticky, &uses, &alerts}, bell, std::move(add_spending)};
}

std::shared_ptr<const RouteTable> MakeRoutes(Services& services, const Config& config,
                                             const std::vector<Cluster*>& clusters,
                                             const std::vector<Upstream*>& upstreams) {
  auto table = std::make_shared<RouteTable>();
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
