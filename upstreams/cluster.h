// SPDX-License-Identifier: MIT
// An upstream service as one worker uses it: its connections, and requests sent over them (the
// story of one is in sending.h). The pool of accounts behind it is the process's.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "core/config/root.h"
#include "core/exchange/upstream.h"
#include "core/metrics/metrics.h"
#include "core/net/resolver.h"
#include "core/net/tls_context.h"
#include "upstreams/account_pool.h"
#include "upstreams/provider.h"
#include "upstreams/retry_budget.h"
#include "upstreams/stored_account.h"
#include "upstreams/upstream_metrics.h"

namespace relay {

// Of what a client names, as much is kept to know it again.
inline constexpr size_t kLongestKept = 200;

class UpstreamConnections;

// What all workers share of a cluster.
struct ClusterShared {
  ClusterConfig config;
  Accounts accounts;
  std::shared_ptr<AccountPool> pool;
  std::shared_ptr<const Provider> provider;
  std::shared_ptr<const TlsClientContext> tls;
  std::shared_ptr<UpstreamMetrics> metrics;
  std::shared_ptr<RetryBudget> retries;
};

// The accounts are those of the configuration and of the store; where both have a name, the file's
// counts, and is paused if the store says so. What follows on `before`, which is null for the
// first, has its pool, as long as the provider is the same: the pool learns of new accounts by
// Enter. `metrics`, `clock` and `tokens`, which is null where nothing is served, outlive it.
std::shared_ptr<const ClusterShared> ShareCluster(const ClusterConfig& config,
                                                  std::shared_ptr<const TlsClientContext> tls,
                                                  Metrics& metrics, const Clock& clock,
                                                  const ClusterShared* before = nullptr,
                                                  const std::vector<StoredAccount>& stored = {},
                                                  Tokens* tokens = nullptr);
// `x` was given an account. Where its session left another that had its prompt cached, this says
// what that costs: x.facts, the log and the metrics.
void TellLostCache(Exchange& x, const ClusterShared& shared, const AccountLease& lease);
// From now on its accounts are those that serve.
void Enter(const ClusterShared& shared, TimePoint now);

class Cluster final : public Upstream {
 public:
  // `loop` and `resolver` are the worker's and outlive this. `before`: of the same pool, whose
  // connections this one goes on with; it may serve on.
  Cluster(Loop& loop, Resolver& resolver, std::shared_ptr<const ClusterShared> shared,
          const Cluster* before = nullptr);
  ~Cluster() override;

  std::string_view name() const override;
  std::string_view provider() const override;
  Dialect DialectOf(std::string_view path) const override;
  std::optional<Ask> Recognise(std::string_view method, std::string_view path) const override;
  Result<Unit> ReadBody(Exchange& x) const override;
  // Takes a lease itself where no filter did.
  Task<std::expected<Answer, Refusal>> Send(Exchange& x) override;
  Duration idle_timeout() const override;

  // What a route asks of the choice.
  struct Selection {
    std::string sticky;                                         // scope and session; "": none
    std::shared_ptr<const std::vector<std::string>> tags = {};  // as Wish has them
    Duration wait{};  // at most so long, while all that could serve are busy
    // At most so long of it, for the session's account alone while that has its prompt cached.
    Duration cache_wait{};
  };
  // A first lease, for account-select. Puts it into x.facts.
  Task<std::expected<Unit, Refusal>> Select(Exchange& x, Selection selection);
  AccountPool& pool() const { return *shared_->pool; }
  // Ends the connections of accounts that this cluster has no more. Not from within a callback of
  // a connection.
  void RetainConnections();

 private:
  Wish WishOf(const Exchange& x) const;
  // Of an exchange that is only explained (cluster_explain.cc): the account that Select would give,
  // if nothing but time changes, and what Send would send with it.
  std::expected<Unit, Refusal> RehearseSelect(Exchange& x, Wish wish, Duration wait,
                                              Duration cache_wait) const;
  std::expected<Answer, Refusal> RehearseSend(Exchange& x) const;
  std::expected<Unit, Refusal> RehearseLogins(Exchange& x) const;

  Loop& loop_;
  std::shared_ptr<const ClusterShared> shared_;
  std::shared_ptr<UpstreamConnections> connections_;
};

}  // namespace relay
