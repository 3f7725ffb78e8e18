// SPDX-License-Identifier: MIT
// What lives as long as the process and is shared by all workers: counts, limits, ledger, and the
// snapshot in force. Everything in it is thread-safe or immutable.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "admin/alert_states.h"
#include "admin/snapshot.h"
#include "admin/state.h"
#include "core/config/root.h"
#include "core/exchange/body_budget.h"
#include "core/exchange/metrics.h"
#include "core/metrics/metrics.h"
#include "core/store/budget_states.h"
#include "core/store/key_uses.h"
#include "core/store/keys.h"
#include "core/store/ledger.h"
#include "core/store/limiter.h"
#include "core/store/wrong_keys.h"
#include "upstreams/cluster.h"
#include "upstreams/pool_states.h"
#include "upstreams/prices.h"
#include "upstreams/tokens.h"

namespace relay {

class Services {
 public:
  // `memory`: what the process may use, for the share that bodies get. Errors: a time zone that is
  // not known, authorities or certificates of TLS that cannot be read.
  static Result<std::unique_ptr<Services>> Make(std::shared_ptr<const Config> config,
                                                const Clock& clock, uint64_t memory);
  ~Services();

  // The snapshot in force. From any thread; whoever looks twice keeps what it got.
  std::shared_ptr<const Snapshot> current() const;
  // What these two give, to be put in force or dropped. Errors: certificates that cannot be read.
  Result<std::shared_ptr<const Snapshot>> Build(std::shared_ptr<const Config> config,
                                                std::shared_ptr<const StoredObjects> stored);
  // Puts it in force, and returns when no worker begins anything with an older one: the next
  // request with a key that is gone is refused. What is known of accounts, keys and routes goes on
  // by their names. Built upon the current one; by one thread at a time, which is no worker's.
  void Publish(std::shared_ptr<const Snapshot> snapshot);
  // What relay keys are signed with, as the store has it: for what is built from now on.
  void SetPepper(Secret pepper);
  // A follower is told of every snapshot from now on, until it leaves. It has current() already.
  void Follow(SnapshotFollower& follower);
  void Unfollow(SnapshotFollower& follower);

  // Whose days are counted.
  const Zone& zone() const { return zone_; }
  // For connections to upstreams.
  const std::shared_ptr<const TlsClientContext>& tls() const { return tls_; }

  const Clock& clock;
  Metrics metrics;
  ExchangeMetrics exchanges{metrics};
  BodyBudget bodies;
  Limiter limiter;
  Ledger ledger;
  Tokens tokens;
  const Prices& prices = Prices::Builtin();
  WrongKeys wrong_keys;
  StateBell bell;  // of all whose states are kept
  KeyUses uses{bell};
  BudgetStates budgets;
  HealthStates health;
  StickyStates sticky;
  AlertStates alerts;
  // Null where nothing is to last: `store: memory`, and checks of a file. Opened before the
  // workers.
  std::unique_ptr<State> state;

  // What the state keeps of all this.
  State::Kept Kept();

 private:
  Services(const Config& config, const Clock& its_clock, uint64_t memory, Zone zone,
           std::shared_ptr<const TlsClientContext> tls);

  Secret pepper() const;

  const Zone zone_;
  const std::shared_ptr<const TlsClientContext> tls_;
  std::mutex publish_mutex_;  // guards the next, and is held while a snapshot is put in force
  std::vector<SnapshotFollower*> followers_;
  mutable std::mutex mutex_;  // guards the next two
  std::shared_ptr<const Snapshot> current_;
  Secret pepper_;  // made for this run, until the store's is known
};

// The routes of a configuration as one worker uses them. `clusters` (for the filters) and
// `upstreams` (for what they let pass), one for each cluster of the configuration, and the services
// outlive the table.
std::shared_ptr<const RouteTable> MakeRoutes(Services& services, const Config& config,
                                             const std::vector<Cluster*>& clusters,
                                             const std::vector<Upstream*>& upstreams);

}  // namespace relay
