// SPDX-License-Identifier: MIT
// What one configuration, with what the store adds to it, gives: who may come, and whose accounts
// serve. Immutable. A changed file or a changed object makes a new one, which takes the place of
// the old; exchanges that run keep theirs until they end. What lives as long as the process stands
// in services.h.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/secret.h"
#include "core/config/root.h"
#include "core/net/tls_context.h"
#include "core/store/keys.h"
#include "upstreams/account.h"
#include "upstreams/cluster.h"
#include "upstreams/stored_account.h"

namespace relay {

// What the store adds to the file. Where both have a name, the file's counts.
struct StoredObjects {
  struct Key {
    Digest256 digest;  // of the key, as the directory signs it
    KeyRecord record;
    std::optional<WallTime> until = {};  // replaced by another: no longer valid then
  };
  std::vector<Key> keys;
  std::set<std::string> disabled;       // of what the file declares: "key:alice"
  std::vector<StoredAccount> accounts;  // of clusters that there are not: unused
};

// What may change of a listener while it listens; for connections from then on.
struct ListenerShared {
  ListenerLimits limits;
  std::vector<Network> trusted_proxies;         // whose X-Forwarded-For counts
  std::shared_ptr<const TlsServerContext> tls;  // null: plain
};

struct Snapshot {
  std::shared_ptr<const Config> config;
  std::shared_ptr<const StoredObjects> stored;  // never null
  std::shared_ptr<const KeyDirectory> keys;
  std::vector<std::shared_ptr<const ClusterShared>> clusters;  // in the order of the configuration
  std::vector<ListenerShared> listeners;                       // likewise
};

// Uses the current snapshot on a thread of its own: a worker.
class SnapshotFollower {
 public:
  // Called from any thread but its own. Calls `adopted`, from whatever thread, once everything new
  // there begins with this snapshot.
  virtual void Adopt(std::shared_ptr<const Snapshot> snapshot, std::function<void()> adopted) = 0;

 protected:
  ~SnapshotFollower() = default;
};

}  // namespace relay
