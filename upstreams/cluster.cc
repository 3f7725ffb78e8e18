// SPDX-License-Identifier: MIT
#include "upstreams/cluster.h"

#include <algorithm>
#include <utility>

#include "core/base/log.h"
#include "core/store/keys.h"
#include "upstreams/refusals.h"
#include "upstreams/sending.h"
#include "upstreams/tokens.h"
#include "upstreams/upstream_connections.h"

namespace relay {

std::shared_ptr<const ClusterShared> ShareCluster(const ClusterConfig& config,
                                                  std::shared_ptr<const TlsClientContext> tls,
                                                  Metrics& metrics, const Clock& clock,
                                                  const ClusterShared* before,
                                                  const std::vector<StoredAccount>& stored,
                                                  Tokens* tokens) {
  if (before != nullptr && before->config.provider != config.provider) before = nullptr;
  std::vector<Account> accounts = AccountsOf(config, tokens);
  for (const StoredAccount& kept : stored) {
    if (kept.cluster != config.name) continue;
    auto own = std::find_if(accounts.begin(), accounts.end(),
                            [&](const Account& one) { return one.name == kept.config.name; });
    if (own == accounts.end()) {
      if (!kept.serves()) continue;
      own = accounts.insert(own, AccountOf(config, kept.config, tokens));
    }
    own->paused = kept.paused;
  }
  auto shared = std::make_shared<ClusterShared>();
  shared->config = config;
  shared->provider = MakeProvider(config.provider, config.rules);
  shared->tls = std::move(tls);
  shared->accounts =
      ShareAccounts(std::move(accounts), before == nullptr ? Accounts() : before->accounts);
  if (before != nullptr) {
    shared->pool = before->pool;
    shared->metrics = before->metrics;
    shared->retries = before->retries;
    return shared;
  }
  shared->pool = std::make_shared<AccountPool>(shared->accounts, clock, config.outliers);
  shared->metrics = std::make_shared<UpstreamMetrics>(metrics, config.name);
  shared->retries = std::make_shared<RetryBudget>();
  shared->metrics->Show(*shared->pool, clock.Now());
  return shared;
}

void Enter(const ClusterShared& shared, TimePoint now) {
  for (const auto& account : shared.accounts) {
    if (account->tokens != nullptr) account->tokens->GoBy(account->oauth_way);
  }
  shared.pool->Reconfigure(shared.accounts, shared.config.outliers);
  shared.metrics->Show(*shared.pool, now);
}

void TellLostCache(Exchange& x, const ClusterShared& shared, const AccountLease& lease) {
  const CachedPrompt& lost = lease.lost();
  if (lost.tokens == 0) return;
  x.facts.way.cache_lost += lost.tokens;
  shared.metrics->CountLostCache(lost.tokens);
  int64_t more = PriceOfLoss(lost, shared.provider->name(), x.loop.clock().Wall());
  Log(LogLevel::kInfo, "session left its cache",
      {{"id", x.id},
       {"cluster", shared.config.name},
       {"account", lease.account()},
       {"tokens", lost.tokens},
       {"usd", static_cast<double>(more) / 1e9}});
}

Cluster::Cluster(Loop& loop, Resolver& resolver, std::shared_ptr<const ClusterShared> shared,
                 const Cluster* before)
    : loop_(loop), shared_(std::move(shared)) {
  if (before != nullptr) {
    connections_ = before->connections_;
  } else {
    connections_ = std::make_shared<UpstreamConnections>(loop, resolver, shared_->tls);
  }
}

void Cluster::RetainConnections() {
  connections_->Retain(shared_->accounts);
}

Cluster::~Cluster() = default;

std::string_view Cluster::name() const {
  return shared_->config.name;
}

std::string_view Cluster::provider() const {
  return shared_->provider->name();
}

Dialect Cluster::DialectOf(std::string_view path) const {
  return shared_->provider->DialectOf(path);
}

std::optional<Ask> Cluster::Recognise(std::string_view method, std::string_view path) const {
  return shared_->provider->Recognise(method, path);
}

Result<Unit> Cluster::ReadBody(Exchange& x) const {
  if (!x.ask.metered) return Unit{};
  return shared_->provider->ReadBody(x);
}

Duration Cluster::idle_timeout() const {
  return shared_->config.timeouts.idle;
}

Wish Cluster::WishOf(const Exchange& x) const {
  Wish wish;
  wish.model = x.ask.model;
  wish.family = shared_->provider->FamilyOf(x.ask.model);
  // Sessions are kept by it, and a client may name what it likes.
  if (wish.family.size() > kLongestKept) wish.family.resize(kLongestKept);
  wish.vendor_client = shared_->provider->IsVendorClient(x.request);
  wish.only = shared_->provider->OnlyKind(x);
  if (x.facts.key != nullptr) wish.bound = x.facts.key->BoundIn(name());
  wish.generates = x.ask.operation == Operation::kGenerate || x.ask.operation == Operation::kOther;
  return wish;
}

Task<std::expected<Unit, Refusal>> Cluster::Select(Exchange& x, Selection selection) {
  Wish wish = WishOf(x);
  wish.sticky = std::move(selection.sticky);
  wish.tags = std::move(selection.tags);
  const Duration cache_wait = std::min(selection.cache_wait, selection.wait);
  if (x.explanation != nullptr) co_return RehearseSelect(x, wish, selection.wait, cache_wait);
  TimePoint since = loop_.Now();
  wish.own_until = since + cache_wait;
  Decision decision;
  bool tells = x.facts.key != nullptr && x.facts.key->decisions;
  AccountPool::Taken taken = co_await shared_->pool->Take(
      loop_, std::move(wish), since + selection.wait, tells ? &decision : nullptr);
  x.facts.way.waited += loop_.Now() - since;
  shared_->metrics->Waited(loop_.Now() - since);
  if (decision.session != Decision::Session::kNone) x.facts.way.sticky = NameOf(decision.session);
  if (!taken) {
    co_return std::unexpected(
        RefusalOf(taken.error(), shared_->config.name, x.ask.model, loop_.Now()));
  }
  TellLostCache(x, *shared_, **taken);
  x.facts.lease = std::move(*taken);
  co_return Unit{};
}

Task<std::expected<Answer, Refusal>> Cluster::Send(Exchange& x) {
  // A route without account-select has not asked the provider yet.
  if (!std::exchange(x.facts.body_read, true)) {
    if (Result<Unit> read = ReadBody(x); !read) co_return std::unexpected(ToRefusal(read.error()));
  }
  if (x.facts.lease == nullptr) {
    Selection any;
    std::expected<Unit, Refusal> selected = co_await Select(x, any);
    if (!selected) co_return std::unexpected(selected.error());
  }
  if (x.explanation != nullptr) co_return RehearseSend(x);
  Sending sending(loop_, *connections_, *shared_, x, WishOf(x));
  std::expected<Answer, Refusal> answer = co_await sending.Run();
  co_return answer;
}

}  // namespace relay
