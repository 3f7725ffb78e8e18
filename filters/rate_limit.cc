// SPDX-License-Identifier: MIT
// rate-limit: enforces the limits of the key, and the route's own if it has some. A place is
// reserved before the request goes on and given back when the exchange ends, so of 40 parallel
// requests a limit of 5 passes 5.
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/log.h"
#include "core/exchange/exchange.h"
#include "core/metrics/metrics.h"
#include "core/store/keys.h"
#include "core/store/limiter.h"
#include "filters/registry.h"

namespace relay {
namespace {

enum class Budget : uint8_t { kKey, kRoute };

std::span<const Word<Budget>> WordsOf(Budget) {
  static constexpr Word<Budget> kWords[] = {{"key", Budget::kKey}, {"route", Budget::kRoute}};
  return kWords;
}

struct RateLimitOptions {
  RateLimits own;
  Budget budget = Budget::kKey;
  bool shadow = false;
};

void Bind(Fields& f, RateLimitOptions& o) {
  f.Optional("requests-per-minute", o.own.requests_per_minute, Range{1, 1'000'000'000},
             "starts in any 60 seconds on this route, beside the key's own limit");
  f.Optional("concurrency", o.own.concurrency, Range{1, 1'000'000},
             "requests at once on this route, beside the key's own limit");
  f.Optional("budget", o.budget, "whether each key has these limits, or all keys share them");
  f.Optional("shadow", o.shadow, "count and log what is over a limit, but refuse nothing");
  for (std::string_view unbuilt : {"tokens-per-minute", "cost-per-day", "cost-per-week",
                                   "cost-per-month", "cost-total", "wait"}) {
    f.NotBuilt(unbuilt);
  }
  if (f.Has("budget") && o.own.requests_per_minute == 0 && o.own.concurrency == 0) {
    f.Warn("budget", "has no effect without a limit beside it");
  }
}

class RateLimitFilter final : public Filter {
 public:
  RateLimitFilter(const RateLimitOptions& o, const FilterContext& context)
      : options_(o),
        limited_(o.own.requests_per_minute > 0 || o.own.concurrency > 0),
        route_(context.route),
        limiter_(context.limiter),
        route_scope_(context.limiter.Scope("route " + context.route)),
        over_requests_(CounterOf(context.metrics, "requests")),
        over_concurrency_(CounterOf(context.metrics, "concurrency")) {}
  std::string_view name() const override { return "rate-limit"; }

  Task<Verdict> OnRequest(Exchange& x) override {
    // Counting tokens, lists of models and start-up calls cost nothing.
    bool costs = x.ask.operation == Operation::kGenerate || x.ask.operation == Operation::kOther;
    if (!costs) return Verdict::Continue();
    const KeyRecord& key = *x.facts.key;
    std::array<Limiter::Claim, Slot::kMost> claims;
    size_t count = 0;
    bool key_limited = key.limits.requests_per_minute > 0 || key.limits.concurrency > 0;
    if (key_limited) claims[count++] = {key.scope, key.limits};
    if (limited_) claims[count++] = {OwnScope(key), options_.own};
    if (count == 0) return Verdict::Continue();

    auto slot = std::make_unique<Slot>();
    std::optional<Limiter::Denied> denied =
        Limiter::Admit(std::span(claims).first(count), x.loop.Now(), options_.shadow, *slot);
    if (!denied || options_.shadow) x.facts.slot = std::move(slot);
    if (!denied) return Verdict::Continue();

    bool by_requests = denied->what == Limiter::Denied::What::kRequests;
    (by_requests ? over_requests_ : over_concurrency_).Add();
    std::string message = MessageOf(key, *denied, key_limited && denied->claim == 0);
    if (options_.shadow) {
      Log(LogLevel::kInfo, "over a limit in shadow",
          {{"id", x.id}, {"route", route_}, {"key", key.name}, {"why", message}});
      return Verdict::Continue();
    }
    return Verdict::Refuse(Refusal{.fault = Fault::kRateLimited,
                                   .message = std::move(message),
                                   .retry_after = denied->retry_after});
  }

 private:
  Counter CounterOf(Metrics& metrics, const std::string& limit) const {
    return metrics.MakeCounter("relay_rate_limited_total",
                               "Requests over a limit, by what became of them",
                               {{"route", route_},
                                {"limit", limit},
                                {"action", options_.shadow ? "shadowed" : "refused"}});
  }
  std::shared_ptr<LimitScope> OwnScope(const KeyRecord& key) const {
    if (options_.budget == Budget::kRoute) return route_scope_;
    return limiter_.Scope("route " + route_ + " key " + key.name);
  }
  std::string MessageOf(const KeyRecord& key, const Limiter::Denied& denied, bool keys_own) const {
    bool requests = denied.what == Limiter::Denied::What::kRequests;
    std::string who = "key '" + key.name + "'";
    if (!keys_own) {
      who = options_.budget == Budget::kRoute ? "route '" + route_ + "'"
                                              : who + " on route '" + route_ + "'";
    }
    return who + " is at its limit of " + std::to_string(denied.limit) +
           (requests ? " requests a minute" : " requests at once");
  }

  const RateLimitOptions options_;
  const bool limited_;
  const std::string route_;
  Limiter& limiter_;
  const std::shared_ptr<LimitScope> route_scope_;
  Counter over_requests_;
  Counter over_concurrency_;
};

}  // namespace

FilterKind RateLimit() {
  return KindOf<RateLimitOptions, RateLimitFilter>("enforces the key's limits, and the route's own",
                                                   Only(Fact::kKey), 0);
}

}  // namespace relay
