// SPDX-License-Identifier: MIT
// What all workers of the process share: counts, limits, keys, pools of accounts. Made once from a
// configuration; everything in it is thread-safe or immutable.
#pragma once

#include <memory>
#include <vector>

#include "admin/state.h"
#include "core/config/root.h"
#include "core/exchange/body_budget.h"
#include "core/exchange/metrics.h"
#include "core/metrics/metrics.h"
#include "core/store/keys.h"
#include "core/store/ledger.h"
#include "core/store/limiter.h"
#include "upstreams/cluster.h"
#include "upstreams/prices.h"

namespace relay {

struct Services {
  // `memory`: what the process may use, for the share that bodies get. Errors: a time zone that is
  // not known, authorities of TLS that cannot be read.
  static Result<std::unique_ptr<Services>> Make(std::shared_ptr<const Config> config,
                                                const Clock& clock, uint64_t memory);

  const std::shared_ptr<const Config> config;
  const Clock& clock;
  Metrics metrics;
  ExchangeMetrics exchanges{metrics};
  BodyBudget bodies;
  Limiter limiter;
  Ledger ledger;
  // Null where nothing is to last: `store: memory`, and checks of a file. Opened before the
  // workers, and gone before the ledger.
  std::unique_ptr<State> state;
  const Prices& prices = Prices::Builtin();
  std::shared_ptr<const KeyDirectory> keys;
  std::vector<std::shared_ptr<const ClusterShared>> clusters;  // in the order of the configuration

 private:
  Services(std::shared_ptr<const Config> its_config, const Clock& its_clock, uint64_t memory,
           Zone zone);
};

// The keys of the configuration, held as HMACs under a key that is derived from the encryption key,
// or made for this run where there is none.
std::shared_ptr<const KeyDirectory> MakeKeyDirectory(const Config& config, Limiter& limiter);

// Lets the budgets of the configuration's keys begin with what the ledger says that they have
// spent. Once the ledger has its past, and before anybody is served.
void SeedBudgets(Services& services);

// The routes of the configuration as one worker uses them. `clusters` (for the filters) and
// `upstreams` (for what they let pass), one for each cluster of the configuration, and the services
// outlive the table.
std::shared_ptr<const RouteTable> MakeRoutes(Services& services,
                                             const std::vector<Cluster*>& clusters,
                                             const std::vector<Upstream*>& upstreams);

}  // namespace relay
