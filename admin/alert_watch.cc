// SPDX-License-Identifier: MIT
#include "admin/alert_watch.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "filters/limits.h"
#include "upstreams/prices.h"
#include "upstreams/refusals.h"

namespace relay {
namespace {

class Watch {
 public:
  explicit Watch(Services& services)
      : services_(services), snapshot_(services.current()), at_(services.clock) {}

  void LookAtAccounts() {
    for (const auto& cluster : snapshot_->clusters) {
      std::vector<AccountPool::View> views = cluster->pool->Look();
      for (const AccountPool::View& view : views) AddAccount(cluster->config.name, view);
      AddCluster(*cluster, views);
    }
  }

  void LookAtBudgets() {
    snapshot_->keys->ForEach([this](const KeyRecord& key) {
      if (key.disabled) return;
      AddBudgets("key " + key.name, key.limits, key.scope);
      for (const KeyRecord::ServiceLimits& on : key.service_limits) {
        AddBudgets("key " + key.name + " on " + on.service, on.limits, on.scope);
      }
    });
    for (const RouteConfig& route : snapshot_->config->routes) {
      std::optional<RouteLimits> own = LimitsOf(route);
      if (own && own->limits.any_cost()) AddRoute(route.name, *own);
    }
  }

  void LookAtState() {
    if (services_.state == nullptr) return;
    look_.things.insert({"store", "journal"});
    LedgerKeeper::Status status = services_.state->status();
    bool away = services_.state->store_status().link == StoreStatus::Link::kDisconnected;
    if (away || status.store_fails) {
      Add({.id = "store",
           .event = AlertEvent::kStore,
           .thing = "store",
           .subject = "the store",
           .what = away ? "is not to be reached; what is used is kept in memory"
                        : "fails; what is used is kept in memory"});
    }
    if (status.journal_fails) {
      Add({.id = "journal",
           .event = AlertEvent::kStore,
           .thing = "journal",
           .subject = "the journal",
           .what = "cannot be written; a crash loses what the store has not been told"});
    }
  }

  void LookAtFile(const std::string& refused) {
    look_.things.insert("config");
    if (refused.empty()) return;
    Add({.id = "config",
         .event = AlertEvent::kConfig,
         .thing = "config",
         .subject = "the changed relay.yaml",
         .what = "was refused, and what was in force stays",
         .details = refused});
  }

  AlertLook Take() { return std::move(look_); }

 private:
  void Add(AlertCondition condition) { look_.conditions.push_back(std::move(condition)); }

  std::optional<WallTime> OnWall(TimePoint when) const {
    if (when <= at_.now) return std::nullopt;
    return at_.WallOf(when);
  }

  static std::optional<std::pair<AlertEvent, std::string_view>> TroubleOf(
      AccountPool::Health health) {
    using Health = AccountPool::Health;
    switch (health) {
      case Health::kRefused:
        return std::pair(AlertEvent::kRefused, "is refused by its vendor, and needs a person");
      case Health::kLimited: return std::pair(AlertEvent::kLimited, "is at its limit");
      case Health::kExpired: return std::pair(AlertEvent::kExpired, "has no valid token");
      case Health::kBroken: return std::pair(AlertEvent::kBroken, "fails");
      case Health::kOverloaded:
        return std::pair(AlertEvent::kOverloaded, "is refused for lack of the vendor's capacity");
      default: return std::nullopt;
    }
  }

  // What a rest was for is the case until a request shows that it is over; a limit ends by time.
  static AccountPool::Health StandingHealth(const AccountPool::View& view) {
    using Health = AccountPool::Health;
    if (view.health != Health::kProbing) return view.health;
    return view.rested_for == Health::kLimited ? Health::kReady : view.rested_for;
  }

  void AddAccount(const std::string& cluster, const AccountPool::View& view) {
    if (view.health == AccountPool::Health::kPaused) return;
    std::string subject = "account " + cluster + "/" + view.name;
    std::string thing = subject;
    look_.things.insert(thing);
    auto trouble = TroubleOf(StandingHealth(view));
    if (!trouble) return;
    if (!view.family.empty()) subject += " (" + view.family + ")";
    bool refused = trouble->first == AlertEvent::kRefused;
    Add({.id = std::string(NameOf(trouble->first)) + " " + subject,
         .event = trouble->first,
         .thing = thing,
         .subject = subject,
         .what = std::string(trouble->second),
         .details = view.cause,
         // When a refused one is tried again says nothing of when it is well.
         .until = refused ? std::nullopt : OnWall(view.until)});
  }

  // For the vendor's own client, which may use all there is.
  void AddCluster(const ClusterShared& cluster, const std::vector<AccountPool::View>& views) {
    const std::string& name = cluster.config.name;
    std::string subject = "cluster " + name;
    if (!views.empty()) look_.things.insert(subject);
    using Why = NoAccount::Why;
    Wish wish;
    wish.vendor_client = true;
    auto serves = cluster.pool->CanServe(wish);
    // Rests end, but credentials do not mend themselves: a request will show it.
    bool refused = !views.empty() && std::ranges::all_of(views, [](const AccountPool::View& view) {
      AccountPool::Health health = StandingHealth(view);
      return health == AccountPool::Health::kRefused || health == AccountPool::Health::kExpired;
    });
    if (serves && refused) serves = std::unexpected(NoAccount{.why = Why::kRefused});
    if (serves || serves.error().why == Why::kEmpty || serves.error().why == Why::kBusy) return;
    Add({.id = "unserved " + name,
         .event = AlertEvent::kUnserved,
         .thing = subject,
         .subject = subject,
         .what = "can serve nobody",
         .details = RefusalOf(serves.error(), name, "", at_.now).message,
         .until = OnWall(serves.error().until)});
  }

  void AddRoute(const std::string& route, const RouteLimits& own) {
    Limiter& limiter = services_.limiter;
    if (!own.each_key) {
      AddBudgets("route " + route, own.limits, limiter.Find(Limiter::NameOfRoute(route)));
      return;
    }
    snapshot_->keys->ForEach([&](const KeyRecord& key) {
      if (key.disabled) return;
      AddBudgets("key " + key.name + " on route " + route, own.limits,
                 limiter.Find(Limiter::NameOfRoute(route, key.name)));
    });
  }

  // `scope` null: nothing was spent there.
  void AddBudgets(const std::string& who, const RateLimits& limits,
                  const std::shared_ptr<LimitScope>& scope) {
    if (!limits.any_cost() || scope == nullptr) return;
    using What = Limiter::Denied::What;
    const Limiter::Claim claim{scope, limits};
    for (const Limiter::Use& use : services_.limiter.Look(claim, at_.now)) {
      if (use.what != What::kFiveHours && use.what != What::kCost) continue;
      AddBudget(who, NameOf(use.what, use.window), use.used, use.limit);
    }
  }

  void AddBudget(const std::string& who, std::string_view name, int64_t spent, int64_t limit) {
    auto percent = static_cast<int>(static_cast<double>(spent) * 100 / static_cast<double>(limit));
    if (percent == 0) return;
    Add({.id = "budget " + who + " " + std::string(name),
         .event = AlertEvent::kBudget,
         .thing = who,
         .subject = who,
         .what = "has spent " + std::to_string(percent) + "% of its " + std::string(name),
         .details = DollarsText(spent) + " of " + DollarsText(limit),
         .percent = percent});
  }

  Services& services_;
  const std::shared_ptr<const Snapshot> snapshot_;
  const Instant at_;
  AlertLook look_;
};

}  // namespace

AlertLook LookForAlerts(Services& services, const std::string& refused) {
  Watch watch(services);
  watch.LookAtAccounts();
  watch.LookAtBudgets();
  watch.LookAtState();
  watch.LookAtFile(refused);
  return watch.Take();
}

}  // namespace relay
