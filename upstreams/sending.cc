// SPDX-License-Identifier: MIT
#include "upstreams/sending.h"

#include <algorithm>
#include <utility>

#include "core/base/jitter.h"
#include "core/base/log.h"
#include "core/http/sse.h"
#include "upstreams/cluster.h"
#include "upstreams/refusals.h"
#include "upstreams/upstream_connections.h"

namespace relay {
namespace {

// Of an answer that is judged before it goes on, in bytes and time.
constexpr size_t kMostJudged = size_t{64} << 10;
constexpr size_t kMostHeld = size_t{1} << 20;
constexpr size_t kMostTold = 512;
constexpr Duration kRefusalTime = std::chrono::seconds(10);
// How long a request that failed waits for a busy account.
constexpr Duration kFailoverWait = std::chrono::seconds(5);
// How long a request waits for a token that is being refreshed.
constexpr Duration kTokenPatience = std::chrono::seconds(30);
// Between tries of a start-up call on one account.
constexpr Duration kStartupPauses[] = {std::chrono::milliseconds(250), std::chrono::seconds(1)};

bool IsPlain(const Head& answer) {
  std::string_view encoding = answer.Get("content-encoding");
  return encoding.empty() || EqualsIgnoreCase(encoding, "identity");
}

}  // namespace

Sending::Sending(Loop& loop, UpstreamConnections& connections, const ClusterShared& shared,
                 Exchange& x, Wish wish)
    : loop_(loop),
      connections_(connections),
      shared_(shared),
      config_(shared.config),
      pool_(*shared.pool),
      provider_(*shared.provider),
      x_(x),
      wish_(std::move(wish)),
      until_(loop_.Now() + config_.failover.within) {}

Task<std::expected<Answer, Refusal>> Sending::Run() {
  wish_.sticky = lease().sticky();
  wish_.tags = lease().tags();
  while (true) {
    ++x_.outcome.attempts;
    Attempt attempt = co_await Try(*lease().details());
    if (attempt.hopeless) co_return std::unexpected(ToRefusal(*attempt.error));
    if (RenewsToken(attempt)) {
      attempt = Attempt();
      continue;
    }
    if (TakesOutThinking(attempt)) {
      attempt = Attempt();
      continue;
    }
    // What cannot be renewed, or was in vain, needs a person.
    if (attempt.answer && attempt.judgement.kind == Kind::kExpired) {
      attempt.judgement.kind = Kind::kRefused;
      attempt.reason = Reason::kRefused;
    }
    Note(attempt);
    if (last_ == Kind::kFine || last_ == Kind::kRequest) co_return Passed(std::move(attempt));
    if (RetriesHere(attempt) && TakeRetry()) {
      attempt = Attempt();  // what it holds goes before the pause
      // What this account says next stands in the place of what it said.
      kept_.reset();
      error_.reset();
      co_await Sleep(loop_, Jittered(kStartupPauses[pauses_++]));
      continue;
    }
    ++attempts_;
    wish_.tried.push_back(lease().index());
    if (!MayGoOn(attempt)) co_return GiveUp(pool_.CanServe(wish_));
    attempt = Attempt();
    std::expected<Unit, NoAccount> next = co_await NextLease();
    if (!next) co_return GiveUp(next);
  }
}

Sending::Reason Sending::ReasonOf(Kind kind) {
  switch (kind) {
    case Kind::kFine: return Reason::kOk;
    case Kind::kRequest: return Reason::kRequest;
    case Kind::kUnsuited: return Reason::kUnsuited;
    case Kind::kLimited: return Reason::kLimited;
    case Kind::kOverloaded: return Reason::kOverloaded;
    case Kind::kExpired: return Reason::kExpired;
    case Kind::kRefused: return Reason::kRefused;
    case Kind::kBroken: return Reason::kBroken;
  }
  return Reason::kBroken;
}

// No answer came, or one that is none.
Sending::Attempt Sending::Failed(const Error& why, bool connecting) {
  Attempt attempt;
  attempt.judgement.kind = Kind::kBroken;
  attempt.judgement.cause = why.what;
  attempt.error = why;
  if (why.fault == Fault::kProxy || (connecting && why.fault == Fault::kUnauthenticated)) {
    attempt.reason = Reason::kProxy;
    // A user that the account's proxy will not have needs a person, as a credential does.
    if (why.fault == Fault::kUnauthenticated) attempt.judgement.kind = Kind::kRefused;
  } else if (connecting) {
    attempt.reason = Reason::kConnect;
  } else if (why.fault == Fault::kTimeout) {
    attempt.reason = Reason::kTimeout;
  } else if (why.fault == Fault::kMalformed) {
    attempt.reason = Reason::kBroken;
  } else {
    attempt.reason = Reason::kReset;
  }
  return attempt;
}

Sending::Attempt Sending::LocalAnswer(Reply reply) {
  Attempt attempt;
  attempt.reason = Reason::kLocal;
  Answer& answer = attempt.answer.emplace();
  answer.head.status = reply.status;
  answer.head.Add("content-type", reply.content_type);
  for (const auto& [name, value] : reply.headers) answer.head.Add(name, value);
  answer.head.content_length = reply.body.size();
  answer.first.AppendCopy(reply.body);
  return attempt;
}

Buffer Sending::BodyOf(const Call& call) const {
  Buffer body;
  call.edits.Apply(call.body ? Chunk::Copy(*call.body) : x_.body.chunk(), body);
  return body;
}

// The head of an answer, on a connection that was used before or on a new one.
Task<Result<Answer>> Sending::Begin(Call& call) {
  bool fresh = false;
  while (true) {
    connecting_ = true;
    Buffer body = BodyOf(call);
    if (!body.empty() || call.head.method == "POST") call.head.content_length = body.size();
    std::shared_ptr<const AccountEndpoint> endpoint(lease().details(), call.endpoint);
    Result<std::unique_ptr<Stream>> stream =
        co_await connections_.Open(std::move(endpoint), call.head, std::move(body), fresh,
                                   loop_.Now() + config_.timeouts.connect);
    if (!stream) co_return std::unexpected(stream.error());
    connecting_ = false;
    sent_ = loop_.Now();
    const TimePoint latest = sent_ + config_.timeouts.first_byte;
    const TimePoint deadline = std::min(latest, ContentDeadline(call));
    Result<Head> answer = co_await (*stream)->ReadHead(deadline);
    bool slow = !answer && answer.error().fault == Fault::kTimeout && deadline < latest;
    if (slow && !TakesPlaceOfSlow()) answer = co_await (*stream)->ReadHead(latest);
    if (answer) {
      Answer begun;
      begun.head = std::move(*answer);
      begun.stream = std::move(*stream);
      co_return begun;
    }
    // The upstream closed the connection while it idled, or did nothing: no try yet.
    if (fresh || !(*stream)->stale()) co_return std::unexpected(answer.error());
    fresh = true;
  }
}

// When another account is to take the place of one whose stream has not begun.
TimePoint Sending::ContentDeadline(const Call& call) const {
  const std::optional<Duration>& within = config_.timeouts.first_content;
  return call.streams && within ? sent_ + *within : TimePoint::max();
}

// Takes another account for a stream that is late; false: it is waited on, since none is sure to
// be better. What is late may yet come, so nothing is given up for a guess.
bool Sending::TakesPlaceOfSlow() {
  bool last = attempts_ + 1 >= config_.failover.attempts || loop_.Now() >= until_;
  if (last || !config_.failover.OnReset()) return false;
  Wish others = wish_;
  others.tried.push_back(lease().index());
  others.sure = true;
  AccountPool::Taken taken = pool_.TryTake(others);
  if (!taken) return false;
  next_ = std::move(*taken);
  return true;
}

Sending::Attempt Sending::WithoutToken(const NoToken& why) {
  Attempt attempt;
  bool refused = why.why == NoToken::Why::kRefused;
  attempt.judgement.kind = refused ? Kind::kRefused : Kind::kExpired;
  attempt.judgement.cause = why.cause;
  attempt.judgement.until = why.until;
  attempt.reason = ReasonOf(attempt.judgement.kind);
  return attempt;
}

Task<Sending::Attempt> Sending::Try(const Account& account) {
  AccessToken token;
  if (account.tokens != nullptr) {
    TimePoint deadline = loop_.Now() + kTokenPatience;
    // What was refused is replaced for the same try, however long that took.
    if (refused_token_ == 0) deadline = std::min(deadline, until_);
    TokenSource::Taken taken = co_await account.tokens->Take(loop_, deadline, refused_token_);
    if (!taken) co_return WithoutToken(taken.error());
    token = std::move(*taken);
    token_ = token.number;
  }
  const Secret& credential = account.tokens == nullptr ? account.credential : token.value;
  Result<Call> call = provider_.Prepare(account, credential, x_);
  if (!call) {
    Attempt attempt;
    attempt.error = call.error();
    attempt.hopeless = true;
    co_return attempt;
  }
  if (call->local) co_return LocalAnswer(std::move(*call->local));
  // What cannot be taken out for this account goes as it is.
  without_thinking_ = takes_out_thinking_ && provider_.TakeOutThinking(x_, *call);
  Result<Answer> begun = co_await Begin(*call);
  if (!begun) {
    Attempt failed = Failed(begun.error(), connecting_);
    // A request that cannot be written at all says nothing of the account.
    failed.hopeless = begun.error().party == Party::kRelay && !begun.error().retryable;
    co_return failed;
  }
  Answer& answer = *begun;
  pool_.NoteWindows(lease().index(),
                    provider_.WindowsOf(answer.head, loop_.Now(), loop_.clock().Wall()));
  if (answer.head.status / 100 != 2) {
    Attempt refused = co_await ReadRefusal(std::move(answer));
    co_return refused;
  }
  bool plain = IsPlain(answer.head);
  if (call->transform != nullptr) {
    if (!plain) {
      Error unreadable{Party::kUpstream, Fault::kMalformed, "a compressed answer, unasked", true};
      co_return Failed(unreadable, false);
    }
    answer.transform = std::move(call->transform);
    if (!call->content_type.empty()) answer.head.Set("content-type", call->content_type);
  }
  answer.meter = provider_.Meter(x_);
  if (answer.meter != nullptr) {
    answer.meter->OnHead(
        {answer.head.status, answer.head.Get("content-type"), answer.head.Get("content-encoding")});
  }
  // What a client takes for a stream need not say so; what says that it is JSON is none.
  bool events = call->streams && !answer.head.Get("content-type").starts_with("application/json");
  answer.event_stream = events && x_.ask.streams;
  Attempt attempt;
  if (events && plain) {
    attempt = co_await HoldStream(std::move(answer), ContentDeadline(*call));
  } else {
    attempt.answer = std::move(answer);
  }
  co_return attempt;
}

Task<Sending::Attempt> Sending::ReadRefusal(Answer answer) {
  const TimePoint deadline = loop_.Now() + kRefusalTime;
  while (answer.first.size() < kMostJudged) {
    Result<Chunk> chunk = co_await answer.stream->Read(deadline);
    if (!chunk) break;  // judged by what there is; if it passes, it breaks off as it did here
    if (chunk->empty()) {
      answer.stream.reset();
      answer.head.content_length = answer.first.size();
      break;
    }
    answer.first.Append(std::move(*chunk));
  }
  std::string body = answer.first.ToString();
  if (body.size() > kMostJudged) body.resize(kMostJudged);
  Attempt attempt;
  attempt.judgement = provider_.Judge(answer.head, body, loop_.Now(), loop_.clock().Wall());
  attempt.reason = ReasonOf(attempt.judgement.kind);
  attempt.answer = std::move(answer);
  co_return attempt;
}

// Up to the first complete event, on which the commit hangs. `content`: when another account may
// take its place.
Task<Sending::Attempt> Sending::HoldStream(Answer answer, TimePoint content) {
  const TimePoint latest = loop_.Now() + config_.timeouts.first_byte;
  TimePoint deadline = std::min(latest, content);
  FirstEvent first;
  while (!first.seen() && answer.first.size() < kMostHeld) {
    Result<Chunk> chunk = co_await answer.stream->Read(deadline);
    bool slow = !chunk && chunk.error().fault == Fault::kTimeout && deadline < latest;
    if (slow && !TakesPlaceOfSlow()) {
      deadline = latest;
      continue;
    }
    if (!chunk) co_return Failed(chunk.error(), false);
    if (chunk->empty() && answer.first.empty()) {
      Error nothing{Party::kUpstream, Fault::kTruncated, "a stream without an event", true};
      co_return Failed(nothing, false);
    }
    if (chunk->empty()) {
      answer.stream.reset();
      break;
    }
    first.Feed(chunk->view());
    answer.first.Append(std::move(*chunk));
  }
  Attempt attempt;
  if (first.seen()) {
    attempt.judgement =
        provider_.JudgeEvent(first.name(), first.data(), loop_.Now(), loop_.clock().Wall());
    attempt.judgement.first_content = loop_.Now() - sent_;
  } else if (answer.stream == nullptr) {
    attempt.judgement = {.kind = Kind::kBroken, .cause = "a stream without an event"};
  }
  attempt.reason = ReasonOf(attempt.judgement.kind);
  attempt.answer = std::move(answer);
  co_return attempt;
}

// Counts and reports an attempt, and keeps what may have to be told.
void Sending::Note(Attempt& attempt) {
  Judgement& judgement = attempt.judgement;
  last_ = judgement.kind;
  UpstreamMetrics& metrics = *shared_.metrics;
  metrics.Count(lease().account(), attempt.reason);
  if (attempt.reason == Reason::kLocal) return;
  if (last_ != Kind::kFine && last_ != Kind::kRequest) Tell(attempt);
  if (last_ == Kind::kUnsuited) none_.Add({NoAccount::Why::kUnsuited, {}});
  if (last_ == Kind::kRefused) none_.Add({NoAccount::Why::kRefused, {}});
  if (last_ == Kind::kExpired) none_.Add({NoAccount::Why::kExpired, judgement.until});
  if (last_ == Kind::kLimited) {
    none_.Add({NoAccount::Why::kLimited, AccountPool::RestUntil(judgement, loop_.Now())});
  }
  if (last_ == Kind::kOverloaded || last_ == Kind::kBroken) {
    if (!attempt.answer) {
      error_ = attempt.error;
    } else if (judgement.status >= 500) {
      kept_ = std::move(attempt.answer);
    } else {
      // By a rule of the cluster; the vendor's words may be about the account.
      error_ = Error{Party::kUpstream, Fault::kOverloaded, judgement.cause, true};
    }
  }
  // What does not generate has limits of its own, which say nothing of the account's others.
  if (last_ == Kind::kLimited && x_.ask.operation != Operation::kGenerate) return;
  bool changed = pool_.Report(lease().index(), judgement, wish_);
  bool settles = last_ == Kind::kFine && x_.ask.operation == Operation::kGenerate;
  if (settles && lease().may_have_moved()) pool_.NoteAnswered(lease(), without_thinking_);
  if (changed) metrics.Show(pool_, loop_.Now());
  if (last_ == Kind::kFine || last_ == Kind::kRequest) return;
  Log(changed ? LogLevel::kWarn : LogLevel::kInfo, "attempt failed",
      {{"id", x_.id},
       {"cluster", config_.name},
       {"account", lease().account()},
       {"reason", NameOf(attempt.reason)},
       {"cause", judgement.cause},
       {"account_rests", changed}});
}

// For x-relay-decision.
void Sending::Tell(const Attempt& attempt) {
  Way& way = x_.facts.way;
  if (way.tried.size() >= kMostTold) return;
  int status = attempt.judgement.status;
  if (!way.tried.empty()) way.tried += ',';
  way.tried += lease().account();
  way.tried += ':';
  way.tried += status == 0 ? std::string(NameOf(attempt.reason)) : std::to_string(status);
}

// A token may end, or be taken back, before its time: it is refreshed once a request and account,
// and nobody is blamed.
bool Sending::RenewsToken(const Attempt& attempt) {
  const Judgement& judgement = attempt.judgement;
  bool ended = judgement.kind == Kind::kExpired ||
               (judgement.kind == Kind::kRefused && judgement.status == 401);
  bool logs_in = lease().details()->tokens != nullptr;
  if (!attempt.answer || !ended || !logs_in || refused_token_ != 0) return false;
  refused_token_ = token_;
  shared_.metrics->Count(lease().account(), Reason::kExpired);
  Log(LogLevel::kInfo, "token refused",
      {{"id", x_.id}, {"cluster", config_.name}, {"account", lease().account()}});
  return true;
}

// A session that moved brings what its former account thought. Where this one will not read that,
// the request is sent once more without it: the vendor's way to go on. Nobody is blamed. One that
// the pool does not know may have moved before it was forgotten, in a restart, or on another relay;
// one that truly begins has no thinking.
bool Sending::TakesOutThinking(Attempt& attempt) {
  bool refused = attempt.judgement.foreign_thinking && attempt.answer && !attempt.answer->stream;
  bool may = config_.failover.thinking == ForeignThinking::kTakeOut && !takes_out_thinking_ &&
             loop_.Now() < until_;
  if (!refused || !may || !lease().may_have_moved()) return false;
  Call probe;
  if (!provider_.TakeOutThinking(x_, probe)) return false;
  takes_out_thinking_ = true;
  refused_as_it_was_ = std::move(attempt.answer);
  shared_.metrics->Count(lease().account(), Reason::kThinking);
  Log(LogLevel::kInfo, "sent again without the thinking of another account",
      {{"id", x_.id},
       {"cluster", config_.name},
       {"account", lease().account()},
       {"cause", attempt.judgement.cause}});
  return true;
}

// The answer for the client, which learns that something was taken out. What was in vain counts as
// not done: it is told what its own request was refused for.
Answer Sending::Passed(Attempt attempt) {
  if (!without_thinking_) return std::move(*attempt.answer);
  if (last_ == Kind::kRequest) return std::move(*refused_as_it_was_);
  attempt.answer->head.Set("x-relay-thinking", "taken-out");
  return std::move(*attempt.answer);
}

// Whether the cluster bears another try of this request where it may well fail again.
bool Sending::TakeRetry() {
  if (retry_) return true;
  retry_ = shared_.retries->Take(config_.failover.budget, pool_.in_flight());
  if (retry_) return true;
  shared_.metrics->CountSpentBudget();
  Log(LogLevel::kWarn, "not tried again: the cluster's retry budget is spent",
      {{"id", x_.id}, {"cluster", config_.name}});
  return false;
}

// The CLI never repeats its start-up calls, so they are repeated here, on the same account too.
bool Sending::RetriesHere(const Attempt& attempt) const {
  bool curable = attempt.judgement.kind == Kind::kLimited ||
                 attempt.judgement.kind == Kind::kOverloaded ||
                 attempt.judgement.kind == Kind::kBroken;
  return curable && x_.ask.operation == Operation::kStartup &&
         pauses_ < std::size(kStartupPauses) && loop_.Now() < until_;
}

bool Sending::MayGoOn(const Attempt& attempt) const {
  const FailoverConfig& failover = config_.failover;
  if (attempts_ >= failover.attempts || loop_.Now() >= until_) return false;
  int status = attempt.judgement.status;
  switch (attempt.reason) {
    case Reason::kConnect:
    case Reason::kProxy: return failover.OnConnect();
    case Reason::kReset:
    case Reason::kTimeout: return failover.OnReset();
    case Reason::kUnsuited: return true;
    case Reason::kExpired:
    case Reason::kRefused: return failover.OnStatus(401);
    case Reason::kLimited: return failover.OnStatus(429);
    case Reason::kOverloaded:
    case Reason::kBroken:
      // What a rule of the cluster calls so counts as what it is called.
      if (status > 0 && status < 500) status = attempt.reason == Reason::kBroken ? 500 : 529;
      return status == 0 ? failover.OnReset() : failover.OnStatus(status);
    default: return false;
  }
}

Task<std::expected<Unit, NoAccount>> Sending::NextLease() {
  if (next_ != nullptr) {
    Use(std::move(next_));
    co_return Unit{};
  }
  // An account that is not known to fail is always asked: one that is dead fails no request.
  wish_.sure = true;
  AccountPool::Taken taken = pool_.TryTake(wish_);
  if (!taken && taken.error().why == NoAccount::Why::kBusy) {
    x_.facts.lease.reset();
    TimePoint since = loop_.Now();
    taken = co_await pool_.Take(loop_, wish_, std::min(until_, since + kFailoverWait));
    x_.facts.way.waited += loop_.Now() - since;
    shared_.metrics->Waited(loop_.Now() - since);
  }
  wish_.sure = false;
  if (!taken && taken.error().why == NoAccount::Why::kUntried && TakeRetry()) {
    Wish last = wish_;
    last.settles = true;
    taken = pool_.TryTake(last);
  }
  if (!taken) co_return std::unexpected(taken.error());
  Use(std::move(*taken));
  co_return Unit{};
}

void Sending::Use(std::unique_ptr<AccountLease> next) {
  TellLostCache(x_, shared_, *next);
  x_.facts.lease = std::move(next);
  refused_token_ = 0;
  if (x_.facts.way.sticky == "kept") x_.facts.way.sticky = wish_.generates ? "moved" : "";
}

// `others`: whether an account that was not tried could serve.
std::expected<Answer, Refusal> Sending::GiveUp(const std::expected<Unit, NoAccount>& others) {
  if (kept_) return std::move(*kept_);
  if (error_) return std::unexpected(RefusalOfWay(*error_, config_.name));
  none_.Add(others ? NoAccount{NoAccount::Why::kUntried, {}} : others.error());
  return std::unexpected(RefusalOf(none_, config_.name, x_.ask.model, loop_.Now()));
}

}  // namespace relay
