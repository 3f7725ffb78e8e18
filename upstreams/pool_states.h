// SPDX-License-Identifier: MIT
// What the pools of accounts know, as states in the store: the health of each account, and the
// sessions that stick to one, the newest AccountPool::kMostSessions of each cluster.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/store/states.h"
#include "upstreams/account_pool.h"

namespace relay {

struct NamedPool {
  std::string cluster;
  std::shared_ptr<AccountPool> pool;
};
// All that there are now; from any thread.
using Pools = std::function<std::vector<NamedPool>()>;

// Ids are "cluster/account".
class HealthStates final : public StateOwner {
 public:
  explicit HealthStates(Pools pools) : pools_(std::move(pools)) {}
  std::string_view kind() const override { return "health"; }
  void TakeChanged(std::vector<StateBlob>& to) override;
  std::vector<std::string> Restore(const std::vector<StateBlob>& blobs) override;

 private:
  const Pools pools_;
};

// Ids are "cluster/slot": a session that is forgotten leaves its slot to another, so that there are
// never more of them than the pool has sessions.
class StickyStates final : public StateOwner {
 public:
  explicit StickyStates(Pools pools) : pools_(std::move(pools)) {}
  std::string_view kind() const override { return "sticky"; }
  void TakeChanged(std::vector<StateBlob>& to) override;
  std::vector<std::string> Restore(const std::vector<StateBlob>& blobs) override;

 private:
  const Pools pools_;
};

}  // namespace relay
