// SPDX-License-Identifier: MIT
#include "core/config/root_check.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <string_view>

#include "core/config/texts.h"
#include "core/config/variables.h"
#include "core/config/wording.h"

namespace relay {
namespace {

std::string Quote(std::string_view text) {
  return "'" + std::string(text) + "'";
}

// Tells of the second of two things with one name.
class Unique {
 public:
  explicit Unique(std::string what, Problems& problems)
      : what_(std::move(what)), problems_(problems) {}

  void Take(const std::string& name, const Place& place) {
    if (name.empty()) return;  // complained about already
    auto [first, fresh] = lines_.emplace(name, place.line);
    if (fresh) return;
    problems_.Add(place, what_ + " " + Quote(name) + " stands twice (the first is in line " +
                             std::to_string(first->second) + ")");
  }

 private:
  std::string what_;
  Problems& problems_;
  std::map<std::string, uint32_t, std::less<>> lines_;
};

template <class T>
std::vector<std::string_view> NamesOf(const std::vector<T>& things) {
  std::vector<std::string_view> names;
  names.reserve(things.size());
  for (const T& thing : things) names.push_back(thing.name);
  return names;
}

// Every path with prefix `inner` has prefix `outer` too, by whole segments.
bool Covers(std::string_view outer, std::string_view inner) {
  if (outer == "/") return true;
  return inner.starts_with(outer) && (inner.size() == outer.size() || inner[outer.size()] == '/');
}

void CheckListeners(ConfigDraft& draft, Problems& problems) {
  Unique addresses("the address", problems);
  for (ListenerConfig& listener : draft.listeners) {
    if (listener.address.port != 0) {
      addresses.Take(FormatHostPort(listener.address), listener.place);
    }
    if (!listener.tls) continue;
    auto check = [&](std::string& path, const Place& place) {
      if (path.empty()) return;
      std::string shown = path;
      path = JoinFolder(draft.folder, path);
      if (access(path.c_str(), R_OK) != 0) {
        problems.Add(place, "file " + Quote(shown) + " cannot be read: " + std::strerror(errno));
      }
    };
    check(listener.tls->certificate, listener.tls->certificate_place);
    check(listener.tls->key, listener.tls->key_place);
  }
}

void CheckStore(ConfigDraft& draft, const Node& root, const Environment& environment,
                Problems& problems) {
  StoreConfig& store = draft.store;
  if (!store.path.empty()) store.path = JoinFolder(draft.folder, store.path);
  const Node* node = root.Find("store");
  Place place = node ? node->place : Place{root.place.file, 0, 0};
  if (store.kind == StoreConfig::Kind::kAuto) {
    auto redis = RedisFromEnvironment(environment, place, problems);
    if (!redis) return;
    store.kind = StoreConfig::Kind::kRedis;
    store.redis = std::move(*redis);
  }
  if (store.kind != StoreConfig::Kind::kRedis) return;
  if (!store.redis.ca.empty()) store.redis.ca = JoinFolder(draft.folder, store.redis.ca);
  // What is wrong with a file or a key that is there has been said.
  if (root.broken) return;
  const Node* secrets = root.Find("secrets");
  const Node* key = secrets ? secrets->Find("encryption-key") : nullptr;
  if (key && !key->Emptied()) return;
  problems.Add(place,
               "what is kept in Redis must be encrypted: set "
               "'encryption-key' of 'secrets' (ENCRYPTION_KEY) to 32 or more random characters");
}

void FinishKeys(ConfigDraft& draft, Problems& problems) {
  Unique names("key", problems);
  for (KeyDraft& key : draft.key_drafts) {
    names.Take(key.name, key.place);
    if (!key.emptied_by.empty()) {
      draft.left_out.push_back(
          {"key " + Quote(key.name), key.name, LeftOut::Kind::kKey, key.emptied_by, key.place});
      continue;
    }
    for (const KeyConfig& other : draft.keys) {
      if (!key.key.empty() && key.key == other.key) {
        problems.Add(key.place, "key " + Quote(key.name) + " has the same 'key' as " +
                                    Quote(other.name) + " (line " +
                                    std::to_string(other.place.line) + ")");
      }
    }
    draft.keys.push_back(std::move(static_cast<KeyConfig&>(key)));
  }
}

bool IsLeftOut(const Config& config, const std::string& account) {
  return std::ranges::any_of(config.left_out, [&](const LeftOut& left) {
    return left.kind == LeftOut::Kind::kAccount && left.name == account;
  });
}

bool HasBound(const ClusterConfig& cluster, std::string_view bound) {
  std::string_view tag = TagOf(bound);
  return std::ranges::any_of(cluster.accounts, [&](const AccountConfig& account) {
    if (tag.empty()) return account.name == bound;
    return std::ranges::find(account.tags, tag) != account.tags.end();
  });
}

// Once clusters are there. An account that is not of relay.yaml may be in the store, now or later.
void CheckBound(const ConfigDraft& draft, Problems& problems) {
  std::vector<std::string_view> clusters = NamesOf(draft.clusters);
  for (const KeyConfig& key : draft.keys) {
    for (const auto& [name, account] : key.bind) {
      if (account.value.empty()) continue;  // complained about already
      const ClusterConfig* cluster = draft.FindCluster(name);
      if (cluster == nullptr) {
        problems.Add(account.place,
                     "there is no cluster " + Quote(name) + DidYouMean(name, clusters));
        continue;
      }
      if (HasBound(*cluster, account.value)) continue;
      if (IsLeftOut(draft, name + "/" + account.value)) continue;
      std::string near = DidYouMean(account.value, NamesOf(cluster->accounts));
      problems.Warn(account.place, "no account of cluster " + Quote(name) + " in this file is " +
                                       Quote(account.value) + near + "; until the store has one, " +
                                       "key " + Quote(key.name) + " is refused there");
    }
  }
}

void FinishClusters(ConfigDraft& draft, Problems& problems) {
  for (ClusterDraft& cluster : draft.cluster_drafts) {
    CheckRules(cluster.rules, problems);
    Unique names("account", problems);
    for (AccountDraft& account : cluster.drafts) {
      names.Take(account.name, account.place);
      if (account.emptied_by.empty()) {
        cluster.accounts.push_back(std::move(static_cast<AccountConfig&>(account)));
        continue;
      }
      std::string name = cluster.name + "/" + account.name;
      draft.left_out.push_back({"account " + Quote(name), name, LeftOut::Kind::kAccount,
                                account.emptied_by, account.place});
    }
    draft.clusters.push_back(std::move(static_cast<ClusterConfig&>(cluster)));
  }
}

// What earlier routes take, and complaints about what is left of nothing.
class Reach {
 public:
  explicit Reach(Problems& problems) : problems_(problems) {}

  void AddPrefix(const std::string& route, const At<std::string>& prefix) {
    if (!Taken(route, prefix, "prefix")) prefixes_.push_back({route, prefix.value});
  }
  void AddPath(const std::string& route, const At<std::string>& path) {
    for (const auto& [other, taken] : paths_) {
      if (taken == path.value) {
        Complain(path, "path", other, taken);
        return;
      }
    }
    if (!Taken(route, path, "path")) paths_.push_back({route, path.value});
  }

 private:
  bool Taken(const std::string& route, const At<std::string>& own, std::string_view what) {
    for (const auto& [other, prefix] : prefixes_) {
      // A route's own prefix beside its path is merely more than it needs.
      if (!Covers(prefix, own.value) || (what == "path" && other == route)) continue;
      Complain(own, what, other, prefix);
      return true;
    }
    return false;
  }
  void Complain(const At<std::string>& own, std::string_view what, const std::string& other,
                const std::string& taken) {
    problems_.Add(own.place, std::string(what) + " " + Quote(own.value) + " never matches: " +
                                 Quote(taken) + " of route " + Quote(other) + " comes first");
  }

  Problems& problems_;
  std::vector<std::pair<std::string, std::string>> prefixes_;  // route, prefix
  std::vector<std::pair<std::string, std::string>> paths_;
};

void FinishRoutes(ConfigDraft& draft, Problems& problems) {
  Unique names("route", problems);
  Reach reach(problems);
  std::vector<std::string_view> clusters = NamesOf(draft.clusters);
  for (RouteDraft& route : draft.route_drafts) {
    names.Take(route.name, route.place);
    for (const auto& prefix : route.placed_prefixes) {
      if (!prefix.value.empty()) reach.AddPrefix(route.name, prefix);
    }
    for (const auto& path : route.placed_paths) {
      if (!path.value.empty()) reach.AddPath(route.name, path);
    }
    if (!route.cluster.empty() && !draft.FindCluster(route.cluster)) {
      problems.Add(route.cluster_place, "there is no cluster " + Quote(route.cluster) +
                                            DidYouMean(route.cluster, clusters));
    }
    draft.routes.push_back(std::move(static_cast<RouteConfig&>(route)));
  }
  for (const ClusterConfig& cluster : draft.clusters) {
    bool used = std::any_of(draft.routes.begin(), draft.routes.end(),
                            [&](const RouteConfig& r) { return r.cluster == cluster.name; });
    if (!used) problems.Warn(cluster.place, "cluster " + Quote(cluster.name) + " is in no route");
  }
}

const LeftOut* FindLeftOut(const Config& config, LeftOut::Kind kind, std::string_view name) {
  bool account = kind == LeftOut::Kind::kAccount;
  for (const LeftOut& left : config.left_out) {
    bool same = left.name == name || (account && left.name.ends_with("/" + std::string(name)));
    if (left.kind == kind && same) return &left;
  }
  return nullptr;
}

// Of "name" or "cluster/name", in any cluster.
bool HasAccount(const Config& config, std::string_view name) {
  for (const ClusterConfig& cluster : config.clusters) {
    for (const AccountConfig& account : cluster.accounts) {
      if (account.name == name || cluster.name + "/" + account.name == name) return true;
    }
  }
  return false;
}

void FinishAlerts(ConfigDraft& draft, Problems& problems) {
  Unique names("alert", problems);
  for (AlertConfig& alert : draft.alert_drafts) {
    names.Take(alert.name, alert.place);
    if (alert.emptied_by.empty()) {
      draft.alerts.push_back(std::move(alert));
      continue;
    }
    draft.left_out.push_back({"alert " + Quote(alert.name), alert.name, LeftOut::Kind::kAlert,
                              alert.emptied_by, alert.place});
  }
}

void FinishTests(ConfigDraft& draft, Problems& problems) {
  std::vector<std::string_view> routes = NamesOf(draft.routes);
  std::vector<std::string_view> accounts;
  for (const ClusterConfig& cluster : draft.clusters) {
    for (const AccountConfig& account : cluster.accounts) accounts.push_back(account.name);
  }
  for (TestDraft& test : draft.test_drafts) {
    TestConfig out;
    out.method = std::move(test.request.method);
    out.path = std::move(test.request.path);
    out.key = std::move(test.request.key);
    out.headers = std::move(test.request.headers);
    out.body = std::move(test.request.body);
    out.route = test.expect.route.value;
    out.account = test.expect.account.value;
    out.status = test.expect.status;
    out.place = test.place;
    if (!out.route.empty() && !draft.FindRoute(out.route)) {
      problems.Add(test.expect.route.place,
                   "there is no route " + Quote(out.route) + DidYouMean(out.route, routes));
    }
    const LeftOut* key = FindLeftOut(draft, LeftOut::Kind::kKey, out.key);
    const LeftOut* account = nullptr;
    if (!out.account.empty()) {
      account = FindLeftOut(draft, LeftOut::Kind::kAccount, out.account);
    }
    if (key) out.skipped = key->Text();
    if (account && out.skipped.empty()) out.skipped = account->Text();
    if (!out.account.empty() && !account && !HasAccount(draft, out.account)) {
      problems.Add(test.expect.account.place,
                   "there is no account " + Quote(out.account) + DidYouMean(out.account, accounts));
    }
    draft.tests.push_back(std::move(out));
  }
}

}  // namespace

void FinishConfig(ConfigDraft& draft, const Node& root, const Environment& environment,
                  Problems& problems) {
  draft.buffered_bytes = draft.limits.buffered_bytes;
  CheckListeners(draft, problems);
  CheckStore(draft, root, environment, problems);
  FinishKeys(draft, problems);
  FinishClusters(draft, problems);
  CheckBound(draft, problems);
  FinishRoutes(draft, problems);
  FinishAlerts(draft, problems);
  FinishTests(draft, problems);
}

}  // namespace relay
