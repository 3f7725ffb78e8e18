// SPDX-License-Identifier: MIT
#include "core/store/ledger_keeper.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <system_error>
#include <utility>

#include "core/base/log.h"

namespace relay {
namespace {

constexpr Duration kLong = std::chrono::hours(1);
constexpr Duration kFinishPause = std::chrono::milliseconds(200);

// What is older is told of no more. Rows of yesterday are held for a clock that is put back a
// little.
Period Quiet(Period now) {
  return {now.day - 1, now.hour - 24};
}

}  // namespace

// --- When to do what ---------------------------------------------------------------------------

LedgerKeeper::LedgerKeeper(Store& store, LedgerBooks& books, const Ledger& ledger,
                           const Clock& clock, std::vector<DeadEpoch> dead, StateKeeper* states)
    : store_(store),
      books_(books),
      ledger_(ledger),
      clock_(clock),
      dead_(std::make_move_iterator(dead.begin()), std::make_move_iterator(dead.end())),
      states_(states),
      due_(clock.Now()) {}

LedgerKeeper::~LedgerKeeper() {
  StopThread();
  // The store answers into this object.
  if (calling_) WaitForAnswer();
}

void LedgerKeeper::Start() {
  Step();
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void LedgerKeeper::StopThread() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  books_.Wake();
  thread_.join();
}

void LedgerKeeper::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    bool busy = books_.touched();
    Duration wait = Step();
    if (stop.stop_requested()) return;
    if (busy) {
      books_.Rest(std::min(wait, kSyncEvery));
    } else {
      books_.WaitForEntry(wait);
    }
  }
}

Duration LedgerKeeper::Step() {
  if (books_.touched() && !books_.Sync()) Count(Op::kSync);
  TellOfTrouble();
  TimePoint now = clock_.Now();
  Plan(now);
  if (now >= due_) {
    last_round_ = now;
    if (books_.wants_begin()) BeginJournals();
    TellOfTrouble();
    TellOfRecovery();
    books_.Tidy();
    BeginRound();
  }
  Advance();
  EndQuiet();
  Plan(now);
  if (due_ == TimePoint::max()) return kLong;
  return std::clamp<Duration>(due_ - now, std::chrono::milliseconds(1), kLong);
}

// When the next round is due. After a pause the first entry waits for others to come with it, and
// states that changed alone for an entry.
void LedgerKeeper::Plan(TimePoint now) {
  StoreStatus store = store_.status();
  auto since = [now](bool is, std::optional<TimePoint>& when) {
    if (!is) when.reset();
    if (is && !when) when = now;
  };
  since(late_ || !dead_.empty() || books_.changed() || books_.wants_begin() || status().degraded(),
        work_since_);
  since(StatesAreLeft(), states_since_);
  due_ = last_round_ ? TimePoint::max() : now;
  if (!last_round_) return;
  TimePoint next = *last_round_ + store.flush_every;
  if (work_since_) due_ = std::max(next, *work_since_ + store.first_flush);
  if (states_since_) {
    Duration wait = std::max(store.first_flush, store.states_wait);
    due_ = std::min(due_, std::max(next, *states_since_ + wait));
  }
}

void LedgerKeeper::BeginJournals() {
  if (!books_.Begin()) Count(Op::kJournal);
}

void LedgerKeeper::TellOfTrouble() {
  int trouble = books_.trouble();
  if (trouble == 0) return;
  journal_well_ = false;
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(status_.journal_fails, true)) return;
    ++status_.errors[static_cast<size_t>(Op::kJournal)];
  }
  std::string why = std::generic_category().message(trouble);
  Log(LogLevel::kError, "journal fails",
      {{"why", why},
       {"note",
        "requests are served and counted, and it is tried again every second; until then a crash "
        "loses what the store has not been told"}});
}

// A disk that is all but full takes some lines and fails again: only one that was well from one
// time that this is due to the next is.
void LedgerKeeper::TellOfRecovery() {
  if (books_.trouble() != 0 || !std::exchange(journal_well_, true)) return;
  {
    std::lock_guard lock(mutex_);
    if (!std::exchange(status_.journal_fails, false)) return;
  }
  Log(LogLevel::kInfo, "journal recovered", {{"note", "it holds all of this run again"}});
}

// --- Calls of the store, one at a time ---------------------------------------------------------

void LedgerKeeper::BeginRound() {
  if (in_round_) return;
  in_round_ = true;
  flush_wanted_ = true;
  // At the end they wait no longer.
  bool due = states_since_ && clock_.Now() - *states_since_ >= store_.status().states_wait;
  states_wanted_ = StatesAreLeft() && (finishing_ || due);
}

void LedgerKeeper::Advance() {
  while (TakeAnswer() && in_round_) in_round_ = CallNext();
}

// What is used now goes before what earlier runs left. False: nothing is left to do.
bool LedgerKeeper::CallNext() {
  if (std::exchange(flush_wanted_, false) && CallFlush()) return true;
  if (late_) {
    CallLoad();
    return true;
  }
  if (std::exchange(states_wanted_, false) && CallStates()) return true;
  while (!dead_.empty() && dead_.front().last.epoch.empty()) RemoveDeadFiles();
  if (!dead_.empty()) {
    const LedgerFlush& last = dead_.front().last;
    if (last.rows.empty() && last.recent.empty()) {
      store_.Fold(last.epoch, Answering(Op::kFold));
    } else {
      store_.Flush({last}, AnsweringFlush(Op::kReplay));
    }
    return true;
  }
  Period today = ledger_.PeriodOf(clock_.Wall());
  if (expired_on_ == today.day) return false;
  store_.Expire({today.day - kKeptDays + 1, today.hour - kKeptHours + 1}, Answering(Op::kExpire));
  return true;
}

bool LedgerKeeper::CallFlush() {
  flushes_ = books_.Take();
  if (flushes_.empty()) {
    books_.Arrived({}, {});
    return false;
  }
  // If one with states fails, the next goes without: states that the store does not take must not
  // keep the ledger from it.
  bool apart = std::exchange(states_flushed_, false);
  std::vector<StateBlob> blobs;
  if (!late_ && !apart && StatesAreLeft()) blobs = states_->Take();
  states_flushed_ = !blobs.empty();
  store_.FlushWithStates(flushes_, std::move(blobs), AnsweringFlush(Op::kFlush));
  return true;
}

Store::Done<Flushed> LedgerKeeper::AnsweringFlush(Op op) {
  return [this, answer = Answering(op)](Result<Flushed> flushed) {
    if (!flushed) return answer(std::unexpected(std::move(flushed.error())));
    ended_ = std::move(flushed->ended);
    answer(Unit());
  };
}

void LedgerKeeper::CallLoad() {
  LoadStored(store_, states_ == nullptr ? std::vector<std::string>() : states_->kinds(),
             [this, answer = Answering(Op::kLoad)](Result<StoredPast> stored) {
               if (!stored) return answer(std::unexpected(std::move(stored.error())));
               loaded_ = std::move(*stored);
               answer(Unit());
             });
}

Result<Unit> LedgerKeeper::AddLate() {
  Result<Past> past = PastOf(std::exchange(loaded_, {}), late_->journals, late_->run);
  if (!past) return std::unexpected(std::move(past.error()));
  late_->add(*past);
  std::ranges::move(past->dead, std::back_inserter(dead_));
  late_.reset();
  return Unit();
}

bool LedgerKeeper::CallStates() {
  if (!states_->changed()) return false;
  std::vector<StateBlob> blobs = states_->Take();
  if (blobs.empty()) return false;
  store_.PutStates(std::move(blobs), Answering(Op::kStates));
  return true;
}

Store::Done<Unit> LedgerKeeper::Answering(Op op) {
  calling_ = op;
  return [this](Result<Unit> answer) {
    // All of it under the lock: who waits for the answer may then take this and the books down.
    std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
    books_.Wake();
    answered_.notify_all();
  };
}

void LedgerKeeper::WaitForAnswer() {
  std::unique_lock lock(mutex_);
  answered_.wait(lock, [this] { return answer_.has_value(); });
}

// False: a call is under way.
bool LedgerKeeper::TakeAnswer() {
  if (!calling_) return true;
  std::optional<Result<Unit>> answer;
  {
    std::lock_guard lock(mutex_);
    answer.swap(answer_);
  }
  if (!answer) return false;
  Op op = *std::exchange(calling_, std::nullopt);
  if (op == Op::kLoad && *answer) answer = AddLate();
  if (*answer) {
    OnDone(op);
  } else {
    OnFailed(op, answer->error().what);
  }
  return true;
}

void LedgerKeeper::OnDone(Op op) {
  Period now = ledger_.PeriodOf(clock_.Wall());
  switch (op) {
    case Op::kFlush:
      TakeEnded();
      if (std::exchange(states_flushed_, false)) states_->Arrived();
      books_.Arrived(flushes_, Quiet(now));
      flushes_.clear();
      break;
    case Op::kStates: states_->Arrived(); break;
    case Op::kReplay:
      TellOfEnded("another relay folded it a moment ago: what only the journal had is not counted");
      dead_.front().last.rows = {};
      dead_.front().last.recent.clear();
      break;
    case Op::kFold: RemoveDeadFiles(); break;
    case Op::kExpire: expired_on_ = now.day; break;
    case Op::kLoad:
    case Op::kJournal:
    case Op::kSync:
    case Op::kEnded: break;
  }
  {
    std::lock_guard lock(mutex_);
    if (!std::exchange(status_.store_fails, false)) return;
  }
  Log(LogLevel::kInfo, "store recovered", {{"kind", store_.kind()}});
}

void LedgerKeeper::TellOfEnded(std::string_view note) {
  for (const EndedEpoch& ended : ended_) {
    Count(Op::kEnded);
    Log(LogLevel::kError, "epoch was taken for dead", {{"epoch", ended.epoch}, {"note", note}});
  }
}

// Another relay's start has taken this run for dead.
void LedgerKeeper::TakeEnded() {
  TellOfEnded(
      "this run told the store nothing for so long that another relay folded it; what was not in "
      "it is counted under another name, so nothing is lost");
  // What was given back went alone; what came since goes now.
  if (std::exchange(gave_back_, false)) flush_wanted_ = true;
  if (ended_.empty()) return;
  std::ranges::move(books_.BeginAnew(std::exchange(ended_, {}), flushes_),
                    std::back_inserter(dead_));
  flush_wanted_ = true;
}

// A run that is quiet for a day ends its epochs itself: others may fold what is quiet for longer.
void LedgerKeeper::EndQuiet() {
  Period now = ledger_.PeriodOf(clock_.Wall());
  if (quiet_at_ == now.hour || late_ || calling_ || in_round_ || status().store_fails) return;
  quiet_at_ = now.hour;
  std::ranges::move(books_.EndQuiet(Quiet(now)), std::back_inserter(dead_));
}

void LedgerKeeper::RemoveDeadFiles() {
  for (const std::string& file : dead_.front().files) ::unlink(file.c_str());
  dead_.pop_front();
}

void LedgerKeeper::OnFailed(Op op, const std::string& why) {
  in_round_ = false;
  if (op == Op::kFlush) {
    books_.GiveBack(std::exchange(flushes_, {}));
    gave_back_ = true;
  }
  Count(op);
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(status_.store_fails, true)) return;
  }
  Log(LogLevel::kError, "store fails",
      {{"op", NameOf(op)},
       {"why", why},
       {"note", "requests are served and counted, and it is tried again every second"}});
}

// --- The end -----------------------------------------------------------------------------------

void LedgerKeeper::Finish() {
  StopThread();
  finishing_ = true;
  if (books_.touched() && !books_.Sync()) Count(Op::kSync);
  if (books_.trouble() != 0) BeginJournals();
  const TimePoint end = clock_.Now() + kFinishPatience;
  bool done = FinishOnce();
  // What a journal has is for the next start. Without one, nobody else will bring it.
  while (!done && !books_.lasts() && clock_.Now() < end) {
    std::this_thread::sleep_for(kFinishPause);
    done = FinishOnce();
  }
  TellOfLeft();
}

// False: something is left that another try may do.
bool LedgerKeeper::FinishOnce() {
  // A round that was under way may have taken its flush before the last entries came.
  for (int round = 0; round < 2; ++round) {
    BeginRound();
    Advance();
    while (calling_) {
      WaitForAnswer();
      Advance();
    }
  }
  if (books_.changed()) return false;
  // An exchange that nobody closed is the journal's, and its epoch the next start's.
  bool folds = books_.open() == 0;
  if (folds && !folded_) folded_ = FoldAll();
  return folded_ == folds && !StatesAreLeft();
}

bool LedgerKeeper::StatesAreLeft() const {
  return states_ != nullptr && states_->changed();
}

void LedgerKeeper::TellOfLeft() const {
  if (StatesAreLeft()) {
    Log(LogLevel::kError, "states are lost",
        {{"note",
          "the store could not be written: the next start knows of accounts, sessions and budgets "
          "of routes what the store was told last"}});
  }
  if (!books_.changed() && books_.open() == 0) {
    if (folded_) return;
    Log(LogLevel::kWarn, "epochs are left unfolded",
        {{"note", "the store has all usage of this run; a later start folds it"}});
  } else if (books_.trouble() != 0 || !books_.lasts()) {
    Log(LogLevel::kError, "usage is lost",
        {{"note", "neither the journal nor the store could be written"}});
  } else {
    Log(LogLevel::kWarn, "usage is left in the journal",
        {{"note", "the next start brings it to the store"}});
  }
}

bool LedgerKeeper::FoldAll() {
  for (const std::string& epoch : books_.flushed_epochs()) {
    auto folded = Await<Unit>([&](auto done) { store_.Fold(epoch, std::move(done)); });
    if (folded) continue;
    OnFailed(Op::kFold, folded.error().what);
    return false;
  }
  books_.RemoveAll();
  return true;
}

// --- What is told ------------------------------------------------------------------------------

void LedgerKeeper::Count(Op op) {
  std::lock_guard lock(mutex_);
  ++status_.errors[static_cast<size_t>(op)];
}

LedgerKeeper::Status LedgerKeeper::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

std::string_view LedgerKeeper::NameOf(Op op) {
  switch (op) {
    case Op::kJournal: return "journal";
    case Op::kSync: return "sync";
    case Op::kFlush: return "flush";
    case Op::kLoad: return "load";
    case Op::kStates: return "states";
    case Op::kReplay: return "replay";
    case Op::kFold: return "fold";
    case Op::kExpire: return "expire";
    case Op::kEnded: return "ended";
  }
  return "";
}

}  // namespace relay
