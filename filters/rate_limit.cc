// SPDX-License-Identifier: MIT
// rate-limit: enforces the limits of the key, and the route's own if it has some. What a request
// may use is reserved before it goes on and settled when the exchange ends, so of 40 parallel
// requests a limit of 5 passes 5, and a budget is not spent twice.
#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/log.h"
#include "core/exchange/exchange.h"
#include "core/exchange/explanation.h"
#include "core/metrics/metrics.h"
#include "core/store/keys.h"
#include "core/store/limiter.h"
#include "filters/limits.h"
#include "filters/read_request.h"
#include "filters/registry.h"
#include "upstreams/cluster.h"
#include "upstreams/prices.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

// The reserve rule: a token is about four bytes; an answer is as long as the client
// allows, or twice as long as this key's answers of this model are.
constexpr int64_t kBytesOfToken = 4;
constexpr int64_t kUsualMaxTokens = 8192;
constexpr int64_t kLeastOutput = 1024;
constexpr int64_t kMostOutput = 1'000'000'000;

enum class Budget : uint8_t { kKey, kRoute };

std::span<const Word<Budget>> WordsOf(Budget) {
  static constexpr Word<Budget> kWords[] = {{"key", Budget::kKey}, {"route", Budget::kRoute}};
  return kWords;
}

struct RateLimitOptions {
  LimitsConfig own;
  Budget budget = Budget::kKey;
  Duration wait{};
  int64_t queue = 100;
  bool shadow = false;
};

void Bind(Fields& f, RateLimitOptions& o) {
  Bind(f, o.own);
  f.Optional("budget", o.budget,
             "whether each key has the limits above on this route, or all keys share them; what "
             "stands at the key itself counts besides");
  f.Optional("wait", o.wait, Range{Duration(0), Duration(5min)},
             "in turn, while over a limit that passes; a budget that is spent is refused at once");
  f.Optional("queue", o.queue, Range{1, 10'000}, "requests that may wait at once for one limit");
  f.Optional("shadow", o.shadow, "count and log what is over a limit, but refuse nothing");
  if (f.Has("budget") && !LimitsOf(o.own).any()) {
    f.Warn("budget", "has no effect without a limit beside it");
  }
  if (f.Has("queue") && o.wait == Duration(0)) f.Warn("queue", "has no effect without a 'wait'");
  if (f.Has("wait") && o.shadow) f.Warn("wait", "has no effect in shadow");
}

// What answers used is known to usage-record alone, and in time only where it stands behind.
void CheckSite(const RateLimitOptions& o, const FilterSite& site, Problems& problems) {
  auto named = [](std::string_view name) {
    return [name](const FilterSpec& spec) { return spec.name == name; };
  };
  const auto& filters = site.route.filters;
  auto self = std::find_if(filters.begin(), filters.end(), named("rate-limit"));
  if (std::find_if(self, filters.end(), named("usage-record")) != filters.end()) return;
  std::string rest = ", but no filter behind it records the usage; add 'usage-record'";
  if (LimitsOf(o.own).needs_reserve()) {
    problems.Add(self->place, "filter 'rate-limit' limits tokens or cost" + rest);
    return;
  }
  for (const KeyConfig& key : site.config.keys) {
    bool comes_here = key.services.empty() || site.cluster == nullptr ||
                      std::find(key.services.begin(), key.services.end(), site.cluster->provider) !=
                          key.services.end();
    bool reserves = LimitsOf(key.limits).needs_reserve();
    for (const auto& [service, limits] : key.service_limits) {
      bool here = site.cluster == nullptr || service == NameOf(site.cluster->provider);
      reserves = reserves || (here && LimitsOf(limits).needs_reserve());
    }
    if (!comes_here || !reserves) continue;
    problems.Add(self->place, "filter 'rate-limit' enforces the limits of tokens or cost of key '" +
                                  key.name + "'" + rest);
    return;
  }
}

Verdict Forbid(const Exchange& x) {
  return Verdict::Refuse(
      Refusal{.fault = Fault::kForbidden,
              .message = "what " + x.path +
                         " costs is not known, so it is closed to keys with a budget; use a key "
                         "without one",
              .final = true});
}

// Counters of what became of requests over a limit.
class OverCounters {
 public:
  OverCounters(Metrics& metrics, const std::string& route, const std::string& action) {
    for (size_t i = 0; i < counters_.size(); ++i) {
      Limiter::Denied::What what =
          i < kCost ? static_cast<Limiter::Denied::What>(i) : Limiter::Denied::What::kCost;
      CostWindow window = i < kCost ? CostWindow::kDay : kAllCostWindows[i - kCost];
      counters_[i].emplace(metrics.MakeCounter(
          "relay_rate_limited_total", "Requests over a limit, by what became of them",
          {{"route", route}, {"limit", std::string(NameOf(what, window))}, {"action", action}}));
    }
  }
  void Add(const Limiter::Denied& denied) {
    bool cost = denied.what == Limiter::Denied::What::kCost;
    size_t index =
        cost ? kCost + static_cast<size_t>(denied.window) : static_cast<size_t>(denied.what);
    counters_[index]->Add();
  }

 private:
  static constexpr size_t kCost = static_cast<size_t>(Limiter::Denied::What::kCost);
  std::array<std::optional<Counter>, kCost + kCostWindows> counters_;
};

class RateLimitFilter final : public Filter {
 public:
  RateLimitFilter(const RateLimitOptions& o, const FilterContext& context)
      : options_(o),
        own_(LimitsOf(o.own)),
        route_(context.route),
        service_(context.cluster.provider()),
        limiter_(context.limiter),
        prices_(context.prices),
        route_scope_(context.limiter.Scope(Limiter::NameOfRoute(context.route))),
        over_(context.metrics, context.route, o.shadow ? "shadowed" : "refused"),
        waited_(context.metrics, context.route, "waited") {}
  std::string_view name() const override { return "rate-limit"; }

  Task<Verdict> OnRequest(Exchange& x) override {
    // Counting tokens, lists of models and start-up calls cost nothing.
    bool generates = x.ask.operation == Operation::kGenerate;
    if (!generates && x.ask.operation != Operation::kOther) {
      if (x.explanation != nullptr) x.explanation->Say("counts nothing: this call is free");
      return Verdict::Continue();
    }
    Limiter::Ask ask = AskOf(*x.facts.key);
    if (x.explanation != nullptr) TellLimits(x, ask);
    auto any = [&](bool (RateLimits::*has)() const) {
      return std::ranges::any_of(
          ask.claims, [has](const Limiter::Claim& claim) { return (claim.limits.*has)(); });
    };
    if (!generates) {
      bool budgeted = any(&RateLimits::any_cost);
      if (budgeted && !options_.shadow) return Forbid(x);
      return Admit(x, std::move(ask));
    }
    if (!any(&RateLimits::needs_reserve)) return Admit(x, std::move(ask));
    // What would be refused whatever it holds is refused before its body is read.
    std::optional<Limiter::Denied> denied = limiter_.Look(ask, x.loop.Now());
    if (denied && !options_.shadow && !MayWait(*denied)) return Refuse(x, *denied);
    return AdmitPriced(x, std::move(ask));
  }

  void OnFinish(Exchange& x, const Outcome&) noexcept override {
    if (x.facts.slot == nullptr) return;
    const Facts::Used& used = x.facts.used;
    std::optional<int64_t> output;
    if (used.whole) output = used.output;
    limiter_.Settle(*x.facts.slot, {used.tokens, used.nanodollars}, output);
  }

 private:
  Limiter::Ask AskOf(const KeyRecord& key) const {
    Limiter::Ask ask;
    // Without a limit it counts all the same: one may be set tomorrow.
    ask.claims[0] = {key.scope, key.limits};
    if (own_.any()) ask.claims[1] = {OwnScope(key), own_};
    if (const KeyRecord::ServiceLimits* on = key.LimitsOn(service_)) {
      ask.claims[2] = {on->scope, on->limits};
    }
    ask.shadow = options_.shadow;
    return ask;
  }
  std::shared_ptr<LimitScope> OwnScope(const KeyRecord& key) const {
    if (options_.budget == Budget::kRoute) return route_scope_;
    return limiter_.Scope(Limiter::NameOfRoute(route_, key.name));
  }

  // Of a request whose body is read.
  Charge ReserveOf(const Exchange& x, size_t model) const {
    Usage usage;
    usage.model = x.ask.model;
    usage.input = static_cast<int64_t>(x.body.size()) / kBytesOfToken;
    usage.output = x.ask.max_tokens > 0 ? std::min(x.ask.max_tokens, kMostOutput) : kUsualMaxTokens;
    if (std::optional<int64_t> mean = x.facts.key->scope->MeanOutput(model)) {
      usage.output = std::min(usage.output, std::max(2 * *mean, kLeastOutput));
    }
    Cost cost = prices_.Of(usage, x.route->upstream->provider(), x.loop.clock().Wall());
    return {usage.total(), cost.nanodollars};
  }

  Task<Verdict> AdmitPriced(Exchange& x, Limiter::Ask ask) {
    Result<Unit> read = co_await ReadRequest(x);
    if (!read) co_return Verdict::Refuse(ToRefusal(read.error()));
    ask.model = OutputMeans::IdOf(x.ask.model);
    ask.reserve = ReserveOf(x, ask.model);
    if (x.explanation != nullptr) {
      x.explanation
          ->Say("reserves " + std::to_string(ask.reserve.tokens) + " tokens and " +
                DollarsText(ask.reserve.nanodollars) + " until it ends")
          .With("reserved-tokens", ask.reserve.tokens)
          .With("reserved-nanodollars", ask.reserve.nanodollars);
    }
    Verdict verdict = co_await Admit(x, std::move(ask));
    co_return verdict;
  }

  Task<Verdict> Admit(Exchange& x, Limiter::Ask ask) {
    if (x.explanation != nullptr) return Rehearse(x, ask);
    if (limiter_.IsShared(ask)) return AdmitEverywhere(x, std::move(ask));
    auto slot = std::make_unique<Slot>();
    std::optional<Limiter::Denied> denied = limiter_.Admit(ask, x.loop.Now(), *slot);
    if (!denied || options_.shadow) x.facts.slot = std::move(slot);
    if (!denied) return Verdict::Continue();
    if (options_.shadow) return PassInShadow(x, *denied);
    return MayWait(*denied) ? AdmitInTurn(x, std::move(ask), *denied) : Refuse(x, *denied);
  }

  Task<Verdict> AdmitInTurn(Exchange& x, Limiter::Ask ask, Limiter::Denied over) {
    const TimePoint since = x.loop.Now();
    Limiter::Admitted admitted = co_await limiter_.AdmitInTurn(
        x.loop, std::move(ask), since + options_.wait, static_cast<size_t>(options_.queue));
    x.facts.way.waited += x.loop.Now() - since;
    if (!admitted) co_return Refuse(x, admitted.error());
    waited_.Add(over);
    x.facts.slot = std::move(*admitted);
    co_return Verdict::Continue();
  }

  // The same, of all relays that share the limits.
  Task<Verdict> AdmitEverywhere(Exchange& x, Limiter::Ask ask) {
    const TimePoint since = x.loop.Now();
    Limiter::Everywhere admitted = co_await limiter_.AdmitEverywhere(
        x.loop, std::move(ask), since + options_.wait, static_cast<size_t>(options_.queue));
    x.facts.way.waited += x.loop.Now() - since;
    if (admitted.slot == nullptr) co_return Refuse(x, *admitted.over);
    x.facts.slot = std::move(admitted.slot);
    if (!admitted.over) co_return Verdict::Continue();
    if (options_.shadow) co_return PassInShadow(x, *admitted.over);
    waited_.Add(*admitted.over);
    co_return Verdict::Continue();
  }

  Verdict PassInShadow(const Exchange& x, const Limiter::Denied& denied) {
    over_.Add(denied);
    Log(LogLevel::kInfo, "over a limit in shadow",
        {{"id", x.id},
         {"route", route_},
         {"key", x.facts.key->name},
         {"why", Explain(WhoOf(x, denied), denied)}});
    return Verdict::Continue();
  }

  // What Admit would come to, if nothing but time changes.
  Verdict Rehearse(Exchange& x, const Limiter::Ask& ask) {
    TimePoint passes{};
    const TimePoint now = x.loop.Now();
    std::optional<Limiter::Denied> denied = limiter_.Look(ask, now, &passes);
    if (!denied) return Verdict::Continue();
    std::string why = Explain(WhoOf(x, *denied), *denied);
    if (options_.shadow) {
      x.explanation->Say("goes on in shadow, though " + why);
      return Verdict::Continue();
    }
    if (!MayWait(*denied)) return Refuse(x, *denied);
    bool full = ask.claims[denied->claim].scope->Waiting() >= static_cast<size_t>(options_.queue);
    if (!full && passes <= now + options_.wait) {
      int64_t millis = std::chrono::ceil<std::chrono::milliseconds>(passes - now).count();
      x.explanation->Say("waits " + std::to_string(millis) + " ms, since " + why)
          .With("wait-ms", millis);
      x.explanation->Wait(passes - now);
      return Verdict::Continue();
    }
    if (full) {
      x.explanation->Say("as many wait for it as may");
    } else {
      // Which limit it is then may be another than now.
      x.explanation->Say("waits its turn, and is refused if it does not come in time")
          .With("wait-at-most-ms",
                std::chrono::floor<std::chrono::milliseconds>(options_.wait).count());
    }
    return Refuse(x, *denied);
  }

  void TellLimits(Exchange& x, const Limiter::Ask& ask) const {
    bool any = false;
    for (size_t i = 0; i < ask.claims.size(); ++i) {
      for (const Limiter::Use& use : limiter_.Look(ask.claims[i], x.loop.Now())) {
        std::string who = WhoOf(x, i);
        x.explanation->Say(who + ": " + Describe(use))
            .With("who", who)
            .With("limit", NameOf(use.what, use.window))
            .With("of", use.limit)
            .With("used", use.used)
            .With("reserved", use.reserved);
        any = true;
      }
    }
    if (!any) x.explanation->Say("no limit stands in the way");
    if (limiter_.IsShared(ask)) {
      x.explanation->Say("other relays share these limits, and have a say when it is sent");
    }
  }

  bool MayWait(const Limiter::Denied& denied) const {
    return options_.wait > Duration::zero() && !denied.spent;
  }

  static Fault FaultOf(const Limiter::Denied& denied) {
    if (denied.what == Limiter::Denied::What::kAway) return Fault::kOverloaded;
    return denied.spent ? Fault::kBudgetSpent : Fault::kRateLimited;
  }

  Verdict Refuse(const Exchange& x, const Limiter::Denied& denied) {
    if (x.explanation == nullptr) over_.Add(denied);
    return Verdict::Refuse(Refusal{.fault = FaultOf(denied),
                                   .message = Explain(WhoOf(x, denied), denied),
                                   .retry_after = denied.retry_after,
                                   .final = denied.spent});
  }

  std::string WhoOf(const Exchange& x, const Limiter::Denied& denied) const {
    return WhoOf(x, denied.claim);
  }
  std::string WhoOf(const Exchange& x, size_t claim) const {
    std::string key = "key '" + x.facts.key->name + "'";
    if (claim == 0) return key;
    if (claim == 2) return key + " on " + std::string(service_);
    std::string route = "route '" + route_ + "'";
    return options_.budget == Budget::kRoute ? route : key + " on " + route;
  }

  const RateLimitOptions options_;
  const RateLimits own_;
  const std::string route_;
  const std::string_view service_;  // as `service-limits` of keys names it
  Limiter& limiter_;
  const Prices& prices_;
  const std::shared_ptr<LimitScope> route_scope_;
  OverCounters over_;
  OverCounters waited_;
};

}  // namespace

std::optional<RouteLimits> LimitsOf(const RouteConfig& route) {
  auto spec = std::ranges::find(route.filters, std::string_view("rate-limit"), &FilterSpec::name);
  if (spec == route.filters.end()) return std::nullopt;
  RateLimitOptions options;
  Problems checked_before;
  ReadStruct(spec->options, spec->name, checked_before, options);
  RouteLimits own{LimitsOf(options.own), options.budget == Budget::kKey};
  return own.limits.any() ? std::optional(own) : std::nullopt;
}

FilterKind RateLimit() {
  return KindOf<RateLimitOptions, RateLimitFilter>("enforces the key's limits, and the route's own",
                                                   Only(Fact::kKey), 0);
}

}  // namespace relay
