// SPDX-License-Identifier: MIT
// What a cluster would do with a request that is only explained.
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/exchange/explanation.h"
#include "upstreams/cluster.h"
#include "upstreams/prices.h"
#include "upstreams/refusals.h"
#include "upstreams/tokens.h"

namespace relay {
namespace {

constexpr std::string_view kHidden = "***";

// Of an account that was chosen, and not taken.
class RehearsedLease final : public Lease {
 public:
  // `index`: as Wish::tried has it.
  RehearsedLease(std::shared_ptr<const Account> account, size_t index, Wish wish)
      : account_(std::move(account)), index_(index), wish_(std::move(wish)) {}
  std::string_view account() const override { return account_->name; }
  const Account& details() const { return *account_; }
  // What another account would be asked for, once this one has failed.
  Wish WishWithout() const {
    Wish others = wish_;
    others.tried.push_back(index_);
    return others;
  }

 private:
  std::shared_ptr<const Account> account_;
  size_t index_;
  Wish wish_;
};

// Of the account that was chosen; null: a newer configuration is being put in force.
std::unique_ptr<RehearsedLease> LeaseOf(const ClusterShared& shared, const Decision& decision,
                                        Wish wish) {
  for (const Decision::Candidate& candidate : decision.candidates) {
    if (candidate.outcome != Decision::Outcome::kChosen) continue;
    auto account = std::ranges::find_if(
        shared.accounts, [&](const auto& one) { return one->name == candidate.name; });
    if (account == shared.accounts.end()) return nullptr;
    return std::make_unique<RehearsedLease>(*account, candidate.index, std::move(wish));
  }
  return nullptr;
}

// "12m 5s": no more than the two greatest units.
std::string TimeText(Duration time) {
  int64_t seconds = std::chrono::ceil<std::chrono::seconds>(time).count();
  if (seconds < 60) return std::to_string(seconds) + "s";
  if (seconds < 3600) {
    return std::to_string(seconds / 60) + "m " + std::to_string(seconds % 60) + "s";
  }
  int64_t hours = seconds / 3600;
  if (hours < 48) return std::to_string(hours) + "h " + std::to_string(seconds % 3600 / 60) + "m";
  return std::to_string(hours / 24) + "d " + std::to_string(hours % 24) + "h";
}

std::string BarText(NoAccount::Why why, const Wish& wish) {
  using Why = NoAccount::Why;
  switch (why) {
    case Why::kBound: return "the key is bound to another account";
    case Why::kTag: return "has no tag that the route asks for";
    case Why::kPaused: return "paused by a person";
    case Why::kClient: return "a subscription, which serves the vendor's own client alone";
    case Why::kCall: return "not of the kind that can do this call";
    case Why::kModel: return "does not serve model " + wish.model;
    case Why::kRefused: return "its credential is refused";
    case Why::kExpired: return "its login is being renewed";
    case Why::kLimited: return "at its limit";
    case Why::kBusy: return "carries as many requests as it may";
    default: return std::string(NameOf(why));
  }
}

std::string CachedText(const CachedPrompt& cached, TimePoint now) {
  return std::to_string(cached.tokens) + " tokens of its prompt are cached for another " +
         TimeText(cached.until() - now);
}

std::string ChosenText(const Decision& decision, TimePoint now) {
  const bool cached = decision.cached.tokens > 0;
  switch (decision.session) {
    case Decision::Session::kKept:
      if (!cached) return "the session is on it";
      return "the session is on it, where " + CachedText(decision.cached, now);
    case Decision::Session::kNew:
      if (decision.others_on.empty()) return "the session begins on it";
      return "the session begins on it with these models, and stays on " + decision.others_on +
             " with others";
    case Decision::Session::kMoved:
      if (decision.others_on.empty()) {
        return "the session moves to it from " + decision.session_account;
      }
      return "the session moves to it with these models, and stays on " + decision.others_on +
             " with others";
    case Decision::Session::kNone: break;
  }
  return "the best of those that can serve";
}

std::string OtherText(Decision::Outcome outcome) {
  switch (outcome) {
    case Decision::Outcome::kGuess: return "failed of late, and others are surer to serve";
    case Decision::Outcome::kSpared:
      return "has used its windows up to pause-at, and another can serve";
    case Decision::Outcome::kNotOwn: return "can serve, but the session is on another";
    case Decision::Outcome::kPriority: return "can serve, but another comes before it";
    case Decision::Outcome::kLoad: return "can serve, but carries more for its weight";
    case Decision::Outcome::kRecent: return "can serve, but was used more of late";
    case Decision::Outcome::kWindow: return "can serve, but its window begins anew later";
    default: return std::string(NameOf(outcome));
  }
}

// Who only lost to another is not kept from serving by what ends then.
bool TellsUntil(Decision::Outcome outcome) {
  using Outcome = Decision::Outcome;
  return outcome == Outcome::kChosen || outcome == Outcome::kBarred || outcome == Outcome::kGuess ||
         outcome == Outcome::kSpared;
}

// What the pool says of each account, the chosen one first.
class Telling {
 public:
  Telling(const ClusterShared& shared, const Wish& wish, const Decision& decision, TimePoint now)
      : shared_(shared), wish_(wish), decision_(decision), now_(now), views_(shared.pool->Look()) {}

  void TellTo(Explanation& explanation) const {
    for (bool chosen : {true, false}) {
      for (const Decision::Candidate& candidate : decision_.candidates) {
        bool this_one = candidate.outcome == Decision::Outcome::kChosen;
        if (this_one == chosen) Tell(candidate, explanation);
      }
    }
    if (decision_.candidates.empty()) explanation.Say("the cluster has no account");
  }
  // What it costs that the session moves, in tokens and money.
  void TellLoss(WallTime wall, Explanation& explanation) const {
    const CachedPrompt* lost = decision_.lost();
    if (lost == nullptr) return;
    int64_t more = PriceOfLoss(*lost, shared_.provider->name(), wall);
    explanation.Set("cache-lost", std::to_string(lost->tokens));
    explanation
        .Say("leaves " + decision_.session_account + ", where " + CachedText(*lost, now_) +
             ": to read them anew costs " + DollarsText(more) + " more")
        .With("cache-lost-tokens", lost->tokens)
        .With("cache-lost-nanodollars", more);
  }

 private:
  void Tell(const Decision::Candidate& candidate, Explanation& explanation) const {
    using Outcome = Decision::Outcome;
    auto view = std::ranges::find(views_, candidate.name, &AccountPool::View::name);
    auto account = std::ranges::find_if(
        shared_.accounts, [&](const auto& one) { return one->name == candidate.name; });
    bool barred = candidate.outcome == Outcome::kBarred;
    std::string text = candidate.name + ": ";
    if (candidate.outcome == Outcome::kChosen) {
      text += "chosen: " + ChosenText(decision_, now_);
      if (candidate.spared) text += "; its pause-at is reached";
      if (candidate.guess) text += "; it failed of late, but no other can serve";
    } else {
      text += barred ? BarText(candidate.why, wish_) : OtherText(candidate.outcome);
    }
    bool rests = candidate.until > now_ && TellsUntil(candidate.outcome);
    if (rests) text += ", for another " + TimeText(candidate.until - now_);
    if (rests && view != views_.end() && !view->cause.empty()) text += " (" + view->cause + ")";
    Explanation::Note& note = explanation.Say(text);
    note.With("account", candidate.name).With("outcome", NameOf(candidate.outcome));
    if (barred) note.With("why", NameOf(candidate.why));
    if (account != shared_.accounts.end()) note.With("priority", (*account)->priority);
    if (view != views_.end()) note.With("in-flight", view->in_flight);
    if (rests) {
      note.With("for-seconds",
                int64_t{std::chrono::ceil<std::chrono::seconds>(candidate.until - now_).count()});
    }
  }

  const ClusterShared& shared_;
  const Wish& wish_;
  const Decision& decision_;
  const TimePoint now_;
  const std::vector<AccountPool::View> views_;
};

// Why an account's login gives no token, as it is now; nothing: it does, or is asked first.
std::optional<NoToken> TellToken(const Account& account, WallTime now, Explanation& explanation) {
  if (account.tokens == nullptr) return std::nullopt;
  TokenSource::View view = account.tokens->Look();
  if (view.none) {
    std::string what = view.none->why == NoToken::Why::kRefused
                           ? "the login of " + account.name + " is refused: "
                           : "the token of " + account.name + " cannot be renewed: ";
    explanation.Say(what + view.none->cause).With("account", account.name);
  } else if (view.phase != TokenSource::View::Phase::kReady || now >= view.expires) {
    explanation.Say("its token is renewed first, which may take a moment or fail");
  }
  return view.none;
}

// Whom Sending would ask once `tried` have failed: as things stand, since each failure may change
// more than that. `guess`: it is asked only if the cluster's retry budget has room.
Decision NextOf(const ClusterShared& shared, Wish wish, TimePoint now, bool& guess) {
  wish.own_until = {};
  wish.sure = true;
  Decision next = shared.pool->Explain(wish, now);
  guess = !next.chosen && next.none.why == NoAccount::Why::kUntried;
  if (!guess) return next;
  wish.sure = false;
  wish.settles = true;
  return shared.pool->Explain(wish, now);
}

// What follows if the account that was chosen fails, and those after it.
void TellNext(const ClusterShared& shared, const RehearsedLease& chosen, TimePoint now,
              Explanation& explanation) {
  const auto attempts = static_cast<size_t>(shared.config.failover.attempts);
  Wish wish = chosen.WishWithout();
  std::string names;
  std::string text;
  std::string end = "; then no other, by failover: of the cluster";
  while (wish.tried.size() < attempts) {
    bool guess = false;
    Decision next = NextOf(shared, wish, now, guess);
    std::unique_ptr<RehearsedLease> lease = LeaseOf(shared, next, wish);
    if (lease == nullptr) {
      bool busy = next.none.why == NoAccount::Why::kBusy;
      end = busy ? "; then waits for one that is full" : "; then no other can serve";
      break;
    }
    const std::string name(lease->account());
    names += (names.empty() ? "" : ",") + shared.config.name + "/" + name;
    text += (text.empty() ? "asks " : ", then ") + name;
    if (guess) text += " (which failed of late, if the retry budget has room)";
    wish = lease->WishWithout();
  }
  if (text.empty()) end.erase(0, std::string_view("; then ").size());
  explanation.Begin("failover");
  explanation.Say("if " + std::string(chosen.account()) + " fails: " + text + end);
  explanation.Set("then", names);
}

Explanation::Sent SentOf(const Call& call, const Exchange& x) {
  Explanation::Sent sent;
  sent.method = call.head.method;
  const Url& url = call.endpoint->url;
  sent.url = (url.tls ? "https://" : "http://") + AuthorityOf(url) + std::string(call.head.target);
  for (const Field& field : call.head.fields) {
    bool hidden = x.explanation->Hides(field.name);
    sent.fields.emplace_back(field.name, hidden ? kHidden : field.value);
  }
  sent.body_bytes = call.edits.SizeAfter(call.body ? call.body->size() : x.body.size());
  return sent;
}

}  // namespace

std::expected<Unit, Refusal> Cluster::RehearseSelect(Exchange& x, Wish wish, Duration wait,
                                                     Duration cache_wait) const {
  Explanation& explanation = *x.explanation;
  const TimePoint now = loop_.Now() + explanation.waited();
  wish.own_until = now + cache_wait;
  Decision decision = shared_->pool->Explain(wish, now);
  const bool waits_for_own = decision.waits_for_own;
  // While all are busy a rest may end, and then it is chosen anew.
  TimePoint then = now;
  while (!decision.chosen && decision.none.why == NoAccount::Why::kBusy &&
         decision.none.until > then && decision.none.until <= now + wait) {
    then = decision.none.until;
    decision = shared_->pool->Explain(wish, then);
  }
  if (!decision.chosen && decision.none.why == NoAccount::Why::kBusy) {
    Wish last = wish;
    last.settles = true;
    Decision settled = shared_->pool->Explain(last, now + wait);
    if (settled.chosen) {
      then = now + wait;
      decision = std::move(settled);
    }
  }
  const Telling telling(*shared_, wish, decision, then);
  telling.TellTo(explanation);
  telling.TellLoss(loop_.clock().Wall(), explanation);
  explanation.Set("sticky", NameOf(decision.session));
  if (then > now) {
    std::string what = waits_for_own ? decision.session_account + ", which has its prompt cached"
                                     : std::string("it");
    explanation.Say("waits " + TimeText(then - now) + " for " + what)
        .With("wait-ms", int64_t{std::chrono::ceil<std::chrono::milliseconds>(then - now).count()});
    explanation.Wait(then - now);
  }
  if (!decision.chosen) {
    bool waits = decision.none.why == NoAccount::Why::kBusy && wait > Duration::zero();
    if (waits) explanation.Say("waits up to " + TimeText(wait) + " for one that gets free");
    return std::unexpected(RefusalOf(decision.none, shared_->config.name, x.ask.model, now));
  }
  std::unique_ptr<RehearsedLease> lease = LeaseOf(*shared_, decision, wish);
  if (lease == nullptr) {
    return std::unexpected(RefusalOf({}, shared_->config.name, x.ask.model, now));
  }
  explanation.Set("account", shared_->config.name + "/" + std::string(lease->account()));
  x.facts.lease = std::move(lease);
  return Unit{};
}

// The account whose login gives a token takes the place of those whose does not, as Sending has it.
std::expected<Unit, Refusal> Cluster::RehearseLogins(Exchange& x) const {
  Explanation& explanation = *x.explanation;
  const TimePoint now = loop_.Now() + explanation.waited();
  const FailoverConfig& failover = shared_->config.failover;
  NoAccount none;
  for (int attempts = 1;; ++attempts) {
    const auto& failed = static_cast<const RehearsedLease&>(*x.facts.lease);
    std::optional<NoToken> trouble = TellToken(failed.details(), loop_.clock().Wall(), explanation);
    if (!trouble) return Unit{};
    bool refused = trouble->why == NoToken::Why::kRefused;
    none.Add(refused ? NoAccount{NoAccount::Why::kRefused, {}}
                     : NoAccount{NoAccount::Why::kExpired, trouble->until});
    Wish wish = failed.WishWithout();
    Decision next = shared_->pool->Explain(wish, now);
    std::unique_ptr<RehearsedLease> lease = LeaseOf(*shared_, next, std::move(wish));
    if (lease == nullptr || attempts >= failover.attempts || !failover.OnStatus(401)) {
      none.Add(next.chosen ? NoAccount{NoAccount::Why::kUntried, {}} : next.none);
      explanation.Set("account", "");
      explanation.Say(next.chosen ? "no other is tried, by failover: of the cluster"
                                  : "no other account can serve");
      return std::unexpected(RefusalOf(none, shared_->config.name, x.ask.model, now));
    }
    explanation.Say(std::string(lease->account()) + " is tried in its place");
    explanation.Set("account", shared_->config.name + "/" + std::string(lease->account()));
    explanation.Set("sticky", NameOf(next.session));
    x.facts.lease = std::move(lease);
  }
}

std::expected<Answer, Refusal> Cluster::RehearseSend(Exchange& x) const {
  Explanation& explanation = *x.explanation;
  std::expected<Unit, Refusal> logged_in = RehearseLogins(x);
  if (!logged_in) return std::unexpected(logged_in.error());
  const Account& account = static_cast<const RehearsedLease&>(*x.facts.lease).details();
  Result<Call> call = shared_->provider->Prepare(account, Secret(kHidden), x);
  if (!call) return std::unexpected(ToRefusal(call.error()));
  Answer answer;
  answer.head.status = 200;
  answer.head.content_length = 0;
  if (call->local) {
    explanation.Answer(call->local->status);
    return answer;
  }
  Explanation::Sent sent = SentOf(*call, x);
  std::string text = sent.method + " " + sent.url;
  const ProxyUrl& proxy = call->endpoint->way.proxy;
  if (!proxy.direct()) text += " by the proxy " + FormatProxyUrl(proxy);
  explanation.Say(text);
  explanation.Send(std::move(sent));
  TellNext(*shared_, static_cast<const RehearsedLease&>(*x.facts.lease),
           loop_.Now() + explanation.waited(), explanation);
  return answer;
}

}  // namespace relay
