// SPDX-License-Identifier: MIT
// One request on its way: attempt after attempt, until an answer is committed or nobody is left.
#pragma once

#include <expected>
#include <optional>

#include "core/config/root.h"
#include "core/exchange/exchange.h"
#include "upstreams/account_pool.h"
#include "upstreams/provider.h"
#include "upstreams/retry_budget.h"
#include "upstreams/tokens.h"
#include "upstreams/upstream_metrics.h"

namespace relay {

struct ClusterShared;
class UpstreamConnections;

class Sending {
 public:
  // All outlive this. `x` holds a lease; `wish` is what it was taken for.
  Sending(Loop& loop, UpstreamConnections& connections, const ClusterShared& shared, Exchange& x,
          Wish wish);

  Task<std::expected<Answer, Refusal>> Run();

 private:
  using Kind = Judgement::Kind;
  using Reason = UpstreamMetrics::Reason;
  // What one attempt came to.
  struct Attempt {
    Judgement judgement;
    Reason reason = Reason::kOk;
    std::optional<Answer> answer;
    std::optional<Error> error;  // of the way to the upstream and back
    bool hopeless = false;       // `error` is the request's own: no account can help
  };

  static Reason ReasonOf(Kind kind);
  static Attempt Failed(const Error& why, bool connecting);
  static Attempt LocalAnswer(Reply reply);
  static Attempt WithoutToken(const NoToken& why);
  Task<Attempt> Try(const Account& account);
  Task<Result<Answer>> Begin(Call& call);
  Task<Attempt> ReadRefusal(Answer answer);
  Task<Attempt> HoldStream(Answer answer, TimePoint content);
  Task<std::expected<Unit, NoAccount>> NextLease();
  void Use(std::unique_ptr<AccountLease> next);
  TimePoint ContentDeadline(const Call& call) const;
  bool TakesPlaceOfSlow();
  Buffer BodyOf(const Call& call) const;
  void Note(Attempt& attempt);
  void Tell(const Attempt& attempt);
  bool RenewsToken(const Attempt& attempt);
  bool TakesOutThinking(Attempt& attempt);
  Answer Passed(Attempt attempt);
  bool RetriesHere(const Attempt& attempt) const;
  bool MayGoOn(const Attempt& attempt) const;
  bool TakeRetry();
  std::expected<Answer, Refusal> GiveUp(const std::expected<Unit, NoAccount>& others);
  AccountLease& lease() const { return static_cast<AccountLease&>(*x_.facts.lease); }

  Loop& loop_;
  UpstreamConnections& connections_;
  const ClusterShared& shared_;
  const ClusterConfig& config_;
  AccountPool& pool_;
  const Provider& provider_;
  Exchange& x_;
  Wish wish_;
  const TimePoint until_;                    // no try begins after it, but one with a renewed token
  std::optional<RetryBudget::Place> retry_;  // once it was needed
  TimePoint sent_{};                         // when this attempt's request went out
  std::unique_ptr<AccountLease> next_;       // in place of an account that is slow
  int attempts_ = 0;
  size_t pauses_ = 0;
  bool connecting_ = false;
  uint64_t token_ = 0;                       // of this attempt, where the account logged in
  uint64_t refused_token_ = 0;               // the vendor would not have it; 0: it has not said so
  bool takes_out_thinking_ = false;          // that another account signed; from then on
  bool without_thinking_ = false;            // this attempt is
  std::optional<Answer> refused_as_it_was_;  // by the vendor, with it
  // What is left to say when nobody can serve.
  std::optional<Answer> kept_;  // the vendor's own words
  std::optional<Error> error_;
  NoAccount none_;  // what the accounts were blamed for
  Kind last_ = Kind::kFine;
};

}  // namespace relay
