// SPDX-License-Identifier: MIT
#include "core/store/redis_limits.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/async/wait_queue.h"
#include "core/base/log.h"

namespace relay {

// An ask on its way.
struct RedisLimits::Reserving {
  LimitReserve reserve;
  uint64_t anews = 0;   // when it was sent
  bool behind = false;  // something of ours that has ended was not told before it
  int tries = 0;
};

class RedisLimits::Pending final : public WaitTicket {
 public:
  Pending(RedisLimits& limits, Loop& loop, Limiter::Ask ask)
      : WaitTicket(loop), limits_(limits), shadow_(ask.shadow) {
    std::lock_guard lock(limits_.mutex_);
    id_ = limits_.BeginLocked(*this, std::move(ask));
  }
  // Whoever has no verdict dies with its exchange.
  ~Pending() {
    std::lock_guard lock(limits_.mutex_);
    if (!taken_) limits_.EndLocked(id_, /*begun=*/false);
  }

  std::optional<Verdict> Take(bool late) {
    std::lock_guard lock(limits_.mutex_);
    if (!verdict && !late) return std::nullopt;
    taken_ = true;
    if (verdict) return verdict;
    if (!denied) limits_.GoAwayLocked("no answer in time");
    return limits_.UndecidedLocked(id_, *this);
  }
  bool shadow() const { return shadow_; }

  // Under the mutex.
  std::optional<Verdict> verdict;
  std::optional<Verdict> denied;  // what was answered, though it is asked again

 private:
  RedisLimits& limits_;
  const bool shadow_;
  uint64_t id_ = 0;
  bool taken_ = false;
};

RedisLimits::RedisLimits(Loop& loop, Call call, Options options, const Clock& clock)
    : loop_(loop),
      call_(std::move(call)),
      options_(std::move(options)),
      clock_(clock),
      timer_(loop.timers(), *this) {}

RedisLimits::~RedisLimits() = default;

void RedisLimits::Open() {
  open_ = true;
  std::lock_guard lock(mutex_);
  WakeLocked();
}

// --- From the workers --------------------------------------------------------------------------

Task<SharedLimits::Verdict> RedisLimits::Reserve(Loop& loop, Limiter::Ask ask) {
  Pending pending(*this, loop, std::move(ask));
  TimePoint by = loop.Now() + options_.answer_within;
  while (true) {
    std::optional<Verdict> verdict = pending.Take(loop.Now() >= by);
    if (verdict) co_return std::move(*verdict);
    co_await pending.Wait(by);
  }
}

uint64_t RedisLimits::BeginLocked(Pending& pending, Limiter::Ask ask) {
  uint64_t id = ++next_;
  Held& held = held_[id];
  ++counts_[static_cast<size_t>(held.state)];
  held.text = redis_limit_calls::HeldText(ask);
  TimePoint now = clock_.Now();
  // While it is away some try: whether it is there again shows by them.
  if (!open_ || (away_ && now < try_at_)) {
    pending.verdict = AloneLocked(id, ask.shadow);
    return id;
  }
  if (away_) try_at_ = now + kTryAgain;
  held.told = true;
  held.pending = &pending;
  asked_.push_back(std::make_shared<Reserving>(Reserving{{id, std::move(ask)}}));
  WakeLocked();
  return id;
}

// Our own limits alone decide, and have.
SharedLimits::Verdict RedisLimits::AloneLocked(uint64_t id, bool shadow) {
  ++alone_;
  if (options_.fail_closed && !shadow) {
    EndLocked(id, /*begun=*/false);
    Limiter::Denied denied{.what = Limiter::Denied::What::kAway, .retry_after = kTryAgain};
    return {.denied = denied, .away = true};
  }
  Held& held = held_[id];
  if (held.state != HeldState::kHeld) SetLocked(held, HeldState::kLost);
  held.pending = nullptr;
  return {.away = true, .reservation = id};
}

// No more is heard: the last answer stands.
SharedLimits::Verdict RedisLimits::UndecidedLocked(uint64_t id, Pending& pending) {
  if (!pending.denied) return AloneLocked(id, pending.shadow());
  EndLocked(id, /*begun=*/false);
  return *pending.denied;
}

void RedisLimits::EndLocked(uint64_t id, bool begun) {
  auto held = held_.extract(id);
  if (!held) return;
  --counts_[static_cast<size_t>(held.mapped().state)];
  if (!held.mapped().told) return;
  ends_.push_back({id, begun});
  WakeLocked();
}

void RedisLimits::SetLocked(Held& held, HeldState state) {
  --counts_[static_cast<size_t>(held.state)];
  held.state = state;
  ++counts_[static_cast<size_t>(state)];
}

void RedisLimits::Settle(Settlement settlement) {
  std::lock_guard lock(mutex_);
  if (settlement.reservation != 0) EndLocked(settlement.reservation, settlement.begun);
  for (std::optional<Use>& use : settlement.uses) {
    if (!use) continue;
    UseLocked(std::move(*use));
    WakeLocked();
  }
}

// While Redis is away for long, of each scope a minute and the days are kept.
void RedisLimits::UseLocked(Use use) {
  WallTime now = clock_.Wall();
  auto slot = WallTime(now.time_since_epoch() / kUsesApart * kUsesApart);
  std::string scope = use.scope;
  auto add = [](LimitBatch::Used& to, const Charge& charge) {
    to.use.charge.tokens += charge.tokens;
    to.use.charge.nanodollars = PlusClamped(to.use.charge.nanodollars, charge.nanodollars);
  };
  auto [at, fresh] = uses_.try_emplace({scope, slot}, LimitBatch::Used{use, now});
  if (!fresh) {
    at->second.at = now;
    add(at->second, use.charge);
    return;
  }
  auto old = uses_.lower_bound({scope, WallTime::min()});
  for (auto next = std::next(old); old != at && now - next->second.at > kMinute;
       next = std::next(old)) {
    bool one_day = options_.zone.DayOf(old->second.at) == options_.zone.DayOf(next->second.at);
    if (one_day) add(next->second, {0, old->second.use.charge.nanodollars});
    old = one_day ? uses_.erase(old) : next;
  }
}

void RedisLimits::WakeLocked() {
  if (std::exchange(posted_, true)) return;
  loop_.Post([this] { Work(); });
}

void RedisLimits::GoAwayLocked(std::string_view why) {
  try_at_ = clock_.Now() + kTryAgain;
  if (std::exchange(away_, true)) return;
  Log(LogLevel::kError, "limits are not shared",
      {{"why", why},
       {"note", options_.fail_closed
                    ? "what has a limit is refused until Redis answers (on-outage: fail-closed)"
                    : "each relay holds them alone until Redis answers"}});
}

SharedLimits::Status RedisLimits::status() const {
  std::lock_guard lock(mutex_);
  return {.away = away_, .alone = alone_};
}

// --- To Redis ----------------------------------------------------------------------------------

void RedisLimits::Work() {
  std::vector<std::shared_ptr<Reserving>> asked;
  {
    std::lock_guard lock(mutex_);
    posted_ = false;
    asked.swap(asked_);
  }
  for (auto& reserving : asked) Send(std::move(reserving));
  Plan();
}

// With what is to be settled, unless that is on its way already: one goes after the other.
void RedisLimits::Send(std::shared_ptr<Reserving> reserving) {
  if (finished_) return;
  if (reserving != nullptr) {
    std::lock_guard lock(mutex_);
    // Its exchange has died.
    if (!held_.contains(reserving->reserve.id)) return;
  }
  bool carries = !batch_sent_ && TakeBatch();
  batch_sent_ = batch_sent_ || carries;
  LimitSpeaker speaker{options_.relay, options_.lease, false, fence_};
  {
    std::lock_guard lock(mutex_);
    speaker.holds = counts_[static_cast<size_t>(HeldState::kHeld)] > 0;
    if (reserving != nullptr) reserving->behind = !ends_.empty();
    if (reserving != nullptr) reserving->anews = anews_;
  }
  last_call_ = loop_.Now();
  SharedRequest request =
      redis_limit_calls::Make(speaker, options_.zone, clock_.Wall(), carries ? &*batch_ : nullptr,
                              reserving != nullptr ? &reserving->reserve : nullptr);
  call_(std::move(request),
        [this, carries, reserving, sent = loop_.Now()](Result<RespReply> reply) {
          OnReply(carries, reserving, sent, std::move(reply));
        });
}

// True: there is something to settle. What got no answer is told again as it was.
bool RedisLimits::TakeBatch() {
  settle_by_ = TimePoint::max();
  tell_by_ = TimePoint::max();
  if (batch_) return true;
  LimitBatch batch;
  std::lock_guard lock(mutex_);
  // Also what was reserved on the new connection since.
  if (anew_) LoseAllLocked();
  auto some = static_cast<ptrdiff_t>(std::min(ends_.size(), kMostInOne));
  batch.ends.assign(ends_.begin(), ends_.begin() + some);
  ends_.erase(ends_.begin(), ends_.begin() + some);
  while (!uses_.empty() && batch.uses.size() < kMostInOne) {
    batch.uses.push_back(std::move(uses_.extract(uses_.begin()).mapped()));
  }
  bool lost = counts_[static_cast<size_t>(HeldState::kLost)] > 0;
  for (auto& [id, held] : held_) {
    if (!lost) break;
    if (held.state != HeldState::kLost || batch.held.size() == kMostInOne) continue;
    batch.held.push_back({id, held.text});
    held.told = true;
  }
  if (batch.ends.empty() && batch.uses.empty() && batch.held.empty() && !anew_) return false;
  batch.sequence = ++sequence_;
  batch.anew = std::exchange(anew_, false);
  if (batch.anew) ++anews_;
  batch_ = std::move(batch);
  return true;
}

void RedisLimits::OnReply(bool carried, const std::shared_ptr<Reserving>& reserving, TimePoint sent,
                          Result<RespReply> reply) {
  if (carried) batch_sent_ = false;
  std::optional<redis_limit_calls::Answer> answer;
  if (reply) {
    answer =
        redis_limit_calls::Read(*reply, reserving == nullptr ? nullptr : &reserving->reserve.ask,
                                options_.zone, loop_.Now(), clock_.Wall());
  }
  if (!answer || answer->outcome == LimitOutcome::kTooLate) {
    OnFailed(reserving, reply ? "nobody understands its answer" : reply.error().what);
  } else {
    failed_ = 0;
    if (carried) OnSettled();
    if (loop_.Now() - sent <= options_.answer_within) OnBack();
    if (answer->outcome == LimitOutcome::kLapsed) {
      std::lock_guard lock(mutex_);
      LoseAllLocked();
    }
    if (reserving != nullptr) OnReserved(reserving, *answer);
    SendDeferred();
  }
  if (finish_ && !batch_sent_) {
    if (answer && TakeBatch()) {
      Send(nullptr);
    } else {
      finished_ = true;
      std::exchange(finish_, nullptr)();
      return;
    }
  }
  Plan();
}

void RedisLimits::OnSettled() {
  std::lock_guard lock(mutex_);
  for (const LimitBatch::Held& told : batch_->held) {
    auto held = held_.find(told.reservation);
    if (held != held_.end()) SetLocked(held->second, HeldState::kHeld);
  }
  batch_.reset();
}

void RedisLimits::OnBack() {
  std::lock_guard lock(mutex_);
  if (!std::exchange(away_, false)) return;
  Log(LogLevel::kInfo, "limits are shared again", {});
}

// It may have been done or not, and if it is done yet, it is to be too late.
void RedisLimits::OnFailed(const std::shared_ptr<Reserving>& reserving, std::string_view why) {
  ++fence_;
  std::lock_guard lock(mutex_);
  bool often = reserving != nullptr ? ++reserving->tries >= kTries : ++failed_ >= kTries;
  if (!often && !away_) {
    // One connection that broke says nothing of the next.
    repeat_at_ = loop_.Now() + kRepeat;
    if (reserving == nullptr) return;
    auto held = held_.find(reserving->reserve.id);
    if (held != held_.end() && held->second.pending != nullptr) {
      deferred_.push_back(reserving);
    } else {
      FailLocked(*reserving);
    }
    return;
  }
  GoAwayLocked(why);
  if (reserving != nullptr) FailLocked(*reserving);
  for (const auto& one : std::exchange(deferred_, {})) FailLocked(*one);
}

void RedisLimits::FailLocked(const Reserving& reserving) {
  uint64_t id = reserving.reserve.id;
  auto held = held_.find(id);
  if (held == held_.end()) {
    ends_.push_back({id, /*begun=*/false});
    return;
  }
  Pending* pending = held->second.pending;
  if (pending == nullptr) {
    SetLocked(held->second, HeldState::kLost);
    return;
  }
  pending->verdict = UndecidedLocked(id, *pending);
  pending->Wake();
}

void RedisLimits::OnReserved(const std::shared_ptr<Reserving>& reserving,
                             const redis_limit_calls::Answer& answer) {
  bool lapsed = answer.outcome == LimitOutcome::kLapsed;
  bool admitted = answer.outcome == LimitOutcome::kAdmitted;
  bool denied = answer.outcome == LimitOutcome::kDenied;
  bool ours = denied && reserving->behind && !answer.verdict.denied->spent;
  std::lock_guard lock(mutex_);
  auto held = held_.find(reserving->reserve.id);
  if (held == held_.end()) {
    if (admitted) ends_.push_back({reserving->reserve.id, /*begun=*/false});
    return;
  }
  // What stood in its way may be what has ended here and was not told.
  if ((lapsed || ours) && ++reserving->tries < kTries) {
    if (ours && held->second.pending != nullptr) held->second.pending->denied = answer.verdict;
    deferred_.push_back(reserving);
    return;
  }
  Pending* pending = held->second.pending;
  if (lapsed && pending != nullptr) {
    pending->verdict = UndecidedLocked(reserving->reserve.id, *pending);
    pending->Wake();
    return;
  }
  // What was reserved before all was forgotten is not there any more.
  bool there = admitted && reserving->anews == anews_;
  SetLocked(held->second, there ? HeldState::kHeld : HeldState::kLost);
  held->second.pending = nullptr;
  // Late: it goes on, whatever the others say.
  if (pending == nullptr) return;
  pending->verdict = answer.verdict;
  if (admitted) {
    pending->verdict->reservation = reserving->reserve.id;
  } else {
    --counts_[static_cast<size_t>(held->second.state)];
    held_.erase(held);
  }
  pending->Wake();
}

void RedisLimits::OnConnected() {
  {
    std::lock_guard lock(mutex_);
    anew_ = true;
    LoseAllLocked();
  }
  Plan();
}

// All that was held there is to be told again.
void RedisLimits::LoseAllLocked() {
  for (auto& [id, held] : held_) {
    if (held.state == HeldState::kHeld) SetLocked(held, HeldState::kLost);
  }
}

void RedisLimits::SendDeferred() {
  if (batch_sent_) return;
  for (auto& reserving : std::exchange(deferred_, {})) Send(std::move(reserving));
}

// --- When ---------------------------------------------------------------------------------------

void RedisLimits::Plan() {
  if (batch_sent_ || finished_ || !open_) {
    timer_.Disarm();
    return;
  }
  TimePoint now = loop_.Now();
  TimePoint due = TimePoint::max();
  {
    std::lock_guard lock(mutex_);
    bool lost = counts_[static_cast<size_t>(HeldState::kLost)] > 0;
    if (!ends_.empty() || lost || batch_) settle_by_ = std::min(settle_by_, now + kSettleWithin);
    if (!uses_.empty()) tell_by_ = std::min(tell_by_, now + kTellWithin);
    due = std::min(settle_by_, tell_by_);
    if (!held_.empty()) due = std::min(due, last_call_ + kRenew);
    // After a failure neither is said at once.
    if (due != TimePoint::max()) due = std::max(due, repeat_at_);
    if (!deferred_.empty()) due = std::min(due, repeat_at_);
    if (away_ && due != TimePoint::max()) due = std::max(due, try_at_);
  }
  if (due == TimePoint::max()) {
    timer_.Disarm();
  } else {
    timer_.ArmAt(due);
  }
}

void RedisLimits::OnTime() {
  if (!batch_sent_ && deferred_.empty()) Send(nullptr);
  SendDeferred();
  Plan();
}

void RedisLimits::TellNow() {
  if (batch_sent_ || finished_ || !open_ || loop_.Now() < repeat_at_) return;
  {
    std::lock_guard lock(mutex_);
    bool lost = counts_[static_cast<size_t>(HeldState::kLost)] > 0;
    bool any = batch_ || lost || !ends_.empty() || !uses_.empty();
    if (!any || (away_ && loop_.Now() < try_at_)) return;
  }
  Send(nullptr);
  Plan();
}

void RedisLimits::Finish(std::function<void()> done) {
  finish_ = std::move(done);
  timer_.Disarm();
  if (batch_sent_) return;
  anew_ = false;  // our lease ends by itself
  if (open_ && TakeBatch()) {
    Send(nullptr);
    return;
  }
  finished_ = true;
  std::exchange(finish_, nullptr)();
}

}  // namespace relay
