// SPDX-License-Identifier: MIT
#include "upstreams/token_keeper.h"

#include <algorithm>
#include <utility>

#include "core/async/event.h"
#include "core/base/fault_point.h"
#include "core/base/jitter.h"
#include "core/base/log.h"
#include "core/store/store_call.h"
#include "upstreams/stored_account.h"

namespace relay {
namespace {

// Between two looks at a claim of another replica.
constexpr Duration kClaimLook = std::chrono::seconds(1);
constexpr Duration kFirstBackoff = std::chrono::seconds(1);
constexpr Duration kMostBackoff = std::chrono::seconds(60);
// What needs a person is asked about again after this, if somebody wants it.
constexpr Duration kRefusedRest = std::chrono::minutes(10);
constexpr Duration kMostAlarm = std::chrono::hours(12);
constexpr int kPutTries = 5;

Duration BackoffOf(int failures) {
  Duration wait = kFirstBackoff;
  for (int i = 1; i < failures && wait < kMostBackoff; ++i) wait *= 2;
  return Jittered(std::min(wait, kMostBackoff));
}

bool Good(const TokenRecord& record, WallTime wall) {
  Duration life = record.expires - record.refreshed;
  return !record.access.empty() && wall < record.expires - TokenSource::MarginOf(life);
}

TokenRecord RecordOf(const std::string& seed, TokenAnswer answer, WallTime wall) {
  TokenRecord record;
  record.seed = seed;
  record.refresh = std::move(answer.refresh);
  record.access = std::move(answer.access);
  record.refreshed = wall;
  record.expires = wall + std::chrono::duration_cast<WallTime::duration>(answer.life);
  return record;
}

// Whoever has waited begins nothing any more: what the vendor would have spent might be lost.
Result<Unit> Stopping() {
  return Fail(Party::kRelay, Fault::kInternal, "the relay is stopping");
}

const StoredObject* FindObject(const Directory& directory, std::string_view kind,
                               std::string_view id) {
  auto at = std::ranges::find_if(directory.objects, [&](const StoredObject& object) {
    return object.kind == kind && object.id == id;
  });
  return at == directory.objects.end() ? nullptr : &*at;
}

constexpr std::string_view kLogIn = "log in again: relay accounts login";

}  // namespace

// --- One piece of work -------------------------------------------------------------------------

class TokenKeeper::Story final : public Mortal, public ListNode<TokenStoryTag> {
 public:
  Story(TokenKeeper& keeper, std::shared_ptr<TokenSource> source, Work work)
      : keeper_(keeper), source_(std::move(source)), kept_(source_->kept_), work_(work) {}
  void Begin() {
    task_ = Run();
    task_.StartOn(
        keeper_.loop(), start_, [](void* story) noexcept { static_cast<Story*>(story)->End(); },
        this);
  }
  const TokenSource* source() const { return source_.get(); }
  bool Refreshes(std::string_view account) const { return refreshing_ && id() == account; }
  // What is stored has changed: it is looked at once more when this is over.
  void Again() { again_ = true; }
  // Somebody has removed the account meanwhile.
  void Dropped(std::string_view account) { dropped_ = dropped_ || id() == account; }

 private:
  enum class Claim : uint8_t { kOurs, kNotNeeded };

  void End() {
    Unlink();
    if (again_) source_->BeginRead(true);
    keeper_.Ended();
    keeper_.loop().Bury(std::unique_ptr<Mortal>(this));
  }
  const std::string& id() const { return source_->spec().id; }
  WallTime wall() const { return keeper_.clock_.Wall(); }
  Task<Unit> Run();
  Task<Result<Unit>> Read();
  Task<Result<Claim>> TakeClaim();
  Task<Unit> Refused(TokenRefusal refusal, Secret sent);
  Task<Unit> Keep(TokenRecord record, Secret sent);
  enum class Stored : uint8_t { kOurs, kNewer, kGone };
  Task<Result<Stored>> LookAgain(Secret sent);
  bool Removed(const Directory& directory) const;
  bool HasNews();
  bool ClaimedElsewhere() const;
  void Tell();
  void Publish();
  void FailSoon(NoToken::Why why, std::string cause, Duration at_least = {});
  void FailWith(const Error& error);

  TokenKeeper& keeper_;
  const std::shared_ptr<TokenSource> source_;
  TokenSource::Kept& kept_;
  const Work work_;
  bool again_ = false;
  bool dropped_ = false;
  bool refreshing_ = false;
  Waiter start_;
  Task<Unit> task_;
};

Task<Unit> TokenKeeper::Story::Run() {
  if (!kept_.read || work_ == Work::kReread) {
    Result<Unit> read = co_await Read();
    if (!read) {
      FailWith(read.error());
      co_return Unit{};
    }
  }
  if (work_ != Work::kRefresh) {
    Tell();
    co_return Unit{};
  }
  // Another source of the account, as a changed configuration makes one, may have the same token.
  while (keeper_.Refreshes(id())) {
    co_await Sleep(keeper_.loop(), kClaimLook);
    Result<Unit> read = co_await Read();
    if (read && keeper_.finishing_) read = Stopping();
    if (!read) {
      FailWith(read.error());
      co_return Unit{};
    }
  }
  refreshing_ = true;
  Result<Claim> claim = co_await TakeClaim();
  if (!claim) {
    FailWith(claim.error());
    co_return Unit{};
  }
  if (*claim == Claim::kNotNeeded) {
    Publish();
    co_return Unit{};
  }
  Secret sent = kept_.record.refresh;
  VendorRequest request = RefreshRequest(source_->spec().client, sent);
  Result<VendorAnswer> answer = co_await keeper_.calls_.Call(std::move(request), source_->way(),
                                                             keeper_.loop().Now() + kPatience);
  std::expected<TokenAnswer, TokenRefusal> tokens = ReadTokenAnswer(answer, wall());
  if (!tokens) {
    Unit refused = co_await Refused(std::move(tokens.error()), std::move(sent));
    co_return refused;
  }
  FaultPoint("token-answered");
  if (tokens->refresh.empty()) tokens->refresh = sent;
  TokenRecord record = RecordOf(kept_.record.seed, std::move(*tokens), wall());
  Unit kept = co_await Keep(std::move(record), std::move(sent));
  co_return kept;
}

// Brings what is stored into kept_. A seed that is not the stored one's begins anew.
Task<Result<Unit>> TokenKeeper::Story::Read() {
  // All that is known without a store is here already.
  if (keeper_.store_ == nullptr && kept_.read) co_return Unit{};
  const TokenSpec& spec = source_->spec();
  std::string seed = FingerprintOf(spec.seed);
  TokenRecord record;
  int64_t version = 0;
  bool ours = false;
  if (keeper_.store_ != nullptr) {
    Result<StoredObject> stored = co_await keeper_.Load(id());
    if (!stored) co_return std::unexpected(stored.error());
    version = stored->version;
    if (version != 0) {
      Result<TokenRecord> known = ReadTokenRecord(stored->value, id(), keeper_.vault());
      if (!known) co_return std::unexpected(known.error());
      ours = known->seed == seed;
      if (ours) record = std::move(*known);
    }
  }
  if (!ours && kept_.seen) {
    co_return relay::Fail(Party::kRelay, Fault::kForbidden,
                          "the account has another refresh token now");
  }
  if (!ours) {
    record.seed = seed;
    record.refresh = spec.seed;
  }
  kept_.seen = kept_.seen || ours;
  kept_.record = std::move(record);
  kept_.version = version;
  kept_.read = true;
  co_return Unit{};
}

// A token that lives, and that the source has not had.
bool TokenKeeper::Story::HasNews() {
  return Good(kept_.record, wall()) && !source_->Had(kept_.record.access);
}

bool TokenKeeper::Story::ClaimedElsewhere() const {
  const TokenRecord& record = kept_.record;
  if (keeper_.options_.alone || record.claim.empty() || record.claim == keeper_.options_.run) {
    return false;
  }
  // Clocks of replicas differ: a fresh claim may seem to lie ahead.
  auto age = wall() - record.claimed;
  return age > -kClaimLife && age < kClaimLife;
}

Task<Result<TokenKeeper::Story::Claim>> TokenKeeper::Story::TakeClaim() {
  while (true) {
    if (HasNews()) co_return Claim::kNotNeeded;
    if (kept_.record.refresh.empty()) {
      co_return relay::Fail(Party::kRelay, Fault::kForbidden,
                            "there is no refresh token; " + std::string(kLogIn));
    }
    if (keeper_.store_ == nullptr) co_return Claim::kOurs;
    if (ClaimedElsewhere()) {
      co_await Sleep(keeper_.loop(), kClaimLook);
      if (keeper_.finishing_) co_return std::unexpected(Stopping().error());
    } else {
      TokenRecord claimed = kept_.record;
      claimed.claim = keeper_.options_.run;
      claimed.claimed = wall();
      FaultPoint("token-claim");
      std::string value = WriteTokenRecord(claimed, id(), keeper_.vault());
      Result<ObjectWritten> written = co_await keeper_.Write(id(), kept_.version, std::move(value));
      if (!written) co_return std::unexpected(written.error());
      if (!written->conflict) {
        FaultPoint("token-claimed");
        kept_.record = std::move(claimed);
        kept_.version = written->version;
        kept_.seen = true;
        co_return Claim::kOurs;
      }
    }
    Result<Unit> read = co_await Read();
    if (!read) co_return std::unexpected(read.error());
  }
}

Task<Unit> TokenKeeper::Story::Refused(TokenRefusal refusal, Secret sent) {
  using Why = TokenRefusal::Why;
  if (refusal.why == Why::kRevoked && keeper_.store_ != nullptr) {
    // Perhaps somebody else was faster, and this token is an old one.
    Result<Unit> read = co_await Read();
    if (!read) {
      FailWith(read.error());
      co_return Unit{};
    }
    if (HasNews()) {
      Publish();
      co_return Unit{};
    }
    if (!(kept_.record.refresh == sent)) {
      FailSoon(NoToken::Why::kExpired, "the refresh token was replaced meanwhile");
      co_return Unit{};
    }
  }
  switch (refusal.why) {
    case Why::kRevoked:
      FailSoon(NoToken::Why::kRefused, refusal.what + "; " + std::string(kLogIn));
      break;
    case Why::kProxy: FailSoon(NoToken::Why::kRefused, refusal.what); break;
    case Why::kClient:
      FailSoon(NoToken::Why::kRefused,
               refusal.what + "; look at the cluster's 'oauth' in relay.yaml");
      break;
    case Why::kTemporary:
      FailSoon(NoToken::Why::kExpired, refusal.what, refusal.retry_after);
      break;
  }
  co_return Unit{};
}

// Of what a login added, the account itself is in the store, and goes first: who is without it was
// removed, here or by another replica. An account of relay.yaml is there whatever the store has.
bool TokenKeeper::Story::Removed(const Directory& directory) const {
  bool of_login = source_->spec().seed.empty();
  return dropped_ || (of_login && FindObject(directory, StoredAccount::kKind, id()) == nullptr);
}

// What is stored while we have a successor of the token `sent`. Whose token it is tells, not when:
// clocks of replicas differ.
Task<Result<TokenKeeper::Story::Stored>> TokenKeeper::Story::LookAgain(Secret sent) {
  Result<Directory> directory = co_await keeper_.LoadAll();
  if (!directory) co_return std::unexpected(directory.error());
  const StoredObject* stored = FindObject(*directory, TokenRecord::kKind, id());
  kept_.version = stored == nullptr ? 0 : stored->version;
  // A store that lost its last second gets it anew.
  if (stored == nullptr) co_return Removed(*directory) ? Stored::kGone : Stored::kOurs;
  Result<TokenRecord> known = ReadTokenRecord(stored->value, id(), keeper_.vault());
  if (!known) co_return std::unexpected(known.error());
  if (known->seed != kept_.record.seed) co_return Stored::kGone;
  if (known->refresh == sent) co_return Stored::kOurs;
  kept_.record = std::move(*known);
  co_return Stored::kNewer;
}

// Stores what the vendor gave, however long that takes, and lets it be used: at once when it is
// stored. The access token alone may be used before, since that spends nothing; no refresh begins
// as long as this story lasts. `sent`: the token that was spent for it.
Task<Unit> TokenKeeper::Story::Keep(TokenRecord record, Secret sent) {
  int failures = 0;
  while (keeper_.store_ != nullptr) {
    std::string value = WriteTokenRecord(record, id(), keeper_.vault());
    Result<ObjectWritten> written = co_await keeper_.Write(id(), kept_.version, std::move(value));
    if (written && !written->conflict) {
      FaultPoint("token-stored");
      kept_.version = written->version;
      break;
    }
    std::string why;
    if (written) {
      Result<Stored> stored = co_await LookAgain(sent);
      if (stored && *stored == Stored::kNewer) {
        // A login, or a replica that took our claim for lapsed.
        Publish();
        co_return Unit{};
      }
      // Another refresh token has taken its place, or nobody has the account any more.
      if (stored && *stored == Stored::kGone) break;
      if (stored) continue;
      why = stored.error().what;
    } else {
      why = written.error().what;
    }
    if (++failures == 1) source_->Publish(record, true);
    Log(LogLevel::kError, "a refreshed token cannot be stored",
        {{"account", id()},
         {"why", why},
         {"note", "if the relay dies before it is, somebody must log in again"}});
    co_await Sleep(keeper_.loop(), BackoffOf(failures));
  }
  kept_.record = std::move(record);
  Log(LogLevel::kInfo, "token refreshed",
      {{"account", id()},
       {"lives_seconds", std::chrono::duration_cast<std::chrono::seconds>(kept_.record.expires -
                                                                          kept_.record.refreshed)
                             .count()}});
  Publish();
  co_return Unit{};
}

void TokenKeeper::Story::Publish() {
  kept_.failures = 0;
  source_->Publish(kept_.record, false);
  keeper_.SetAlarm(source_);
}

void TokenKeeper::Story::Tell() {
  if (Good(kept_.record, wall())) {
    Publish();
  } else if (kept_.record.refresh.empty()) {
    FailSoon(NoToken::Why::kRefused, "there is no refresh token; " + std::string(kLogIn));
  } else {
    source_->Rest();
  }
}

void TokenKeeper::Story::FailWith(const Error& error) {
  bool person = error.fault == Fault::kForbidden;
  FailSoon(person ? NoToken::Why::kRefused : NoToken::Why::kExpired, error.what);
}

void TokenKeeper::Story::FailSoon(NoToken::Why why, std::string cause, Duration at_least) {
  ++kept_.failures;
  Duration wait = std::max(at_least, BackoffOf(kept_.failures));
  if (why == NoToken::Why::kRefused) wait = kRefusedRest;
  Log(why == NoToken::Why::kRefused ? LogLevel::kError : LogLevel::kWarn, "token not refreshed",
      {{"account", id()},
       {"cause", cause},
       {"again_in_seconds", std::chrono::duration_cast<std::chrono::seconds>(wait).count()}});
  source_->Fail({why, std::move(cause), keeper_.clock_.Now() + wait});
}

// --- The keeper --------------------------------------------------------------------------------

// Refreshes a token before its end, if it was used: who is idle costs nothing.
class TokenKeeper::Alarm final : public Timer {
 public:
  Alarm(TokenKeeper& keeper, const std::shared_ptr<TokenSource>& source)
      : Timer(keeper.loop().timers()), keeper_(keeper), source_(source), key_(source.get()) {}
  std::shared_ptr<TokenSource> source() const { return source_.lock(); }

 private:
  void OnTimer() override { keeper_.Ring(key_); }

  TokenKeeper& keeper_;
  const std::weak_ptr<TokenSource> source_;
  TokenSource* const key_;
};

TokenKeeper::TokenKeeper(VendorCalls& calls, Tokens& tokens, Store* store,
                         std::function<const Vault*()> vault, const Clock& clock, Options options)
    : calls_(calls),
      tokens_(tokens),
      store_(store),
      vault_(std::move(vault)),
      clock_(clock),
      options_(std::move(options)),
      door_(std::make_shared<LoopDoor>(calls.loop())) {
  tokens_.Attach(this);
}

TokenKeeper::~TokenKeeper() {
  tokens_.Attach(nullptr);
  door_->Close();
  while (Story* story = stories_.PopFront()) delete story;
}

void TokenKeeper::Begin(std::shared_ptr<TokenSource> source, Work work) {
  // The loop may turn once more when this is dead.
  door_->Post([this, door = door_, source = std::move(source), work] {
    if (door->open()) Start(source, work);
  });
}

void TokenKeeper::Start(std::shared_ptr<TokenSource> source, Work work) {
  Story* runs = stories_.Find([&](const Story& one) { return one.source() == source.get(); });
  if (runs != nullptr) {
    if (work == Work::kReread) runs->Again();
    return;
  }
  if (finishing_) {
    source->Fail({NoToken::Why::kExpired, "the relay is stopping", clock_.Now() + kFirstBackoff});
    return;
  }
  auto* story = new Story(*this, std::move(source), work);
  stories_.PushBack(*story);
  story->Begin();
}

bool TokenKeeper::Refreshes(std::string_view id) {
  return stories_.Find([&](const Story& one) { return one.Refreshes(id); }) != nullptr;
}

void TokenKeeper::Ended() {
  if (stories_.empty() && idle_) std::exchange(idle_, {})();
}

void TokenKeeper::Finish(std::function<void()> idle) {
  finishing_ = true;
  idle_ = std::move(idle);
  Ended();
}

void TokenKeeper::ReadAll() {
  for (const auto& source : tokens_.All()) source->BeginRead(false);
}

void TokenKeeper::Changed(const StoredObject& object) {
  if (object.kind != TokenRecord::kKind) return;
  Result<TokenRecord> record = ReadTokenRecord(object.value, object.id, vault());
  for (const auto& source : tokens_.All()) {
    const TokenSource::Kept& kept = source->kept_;
    // Who has read nothing yet will. And a claim alone is no news, nor forgives what was refused.
    if (source->spec().id != object.id || !kept.read) continue;
    bool same = record && record->refresh == kept.record.refresh &&
                record->access == kept.record.access && record->seed == kept.record.seed;
    if (!same) source->BeginRead(true);
  }
}

void TokenKeeper::SetAlarm(const std::shared_ptr<TokenSource>& source) {
  std::erase_if(alarms_, [](const auto& entry) { return entry.second->source() == nullptr; });
  std::unique_ptr<Alarm>& alarm = alarms_[source.get()];
  alarm = std::make_unique<Alarm>(*this, source);
  const TokenRecord& record = source->kept_.record;
  Duration ahead = TokenSource::AheadOf(record.expires - record.refreshed);
  Duration left = record.expires - clock_.Wall() - ahead - RandomPart(ahead / 2);
  alarm->ArmIn(std::clamp<Duration>(left, Duration::zero(), kMostAlarm));
}

void TokenKeeper::Ring(TokenSource* key) {
  auto alarm = alarms_.find(key);
  std::shared_ptr<TokenSource> source = alarm->second->source();
  if (source == nullptr) {
    alarms_.erase(alarm);
    return;
  }
  const TokenRecord& record = source->kept_.record;
  Duration ahead = TokenSource::AheadOf(record.expires - record.refreshed);
  if (clock_.Wall() < record.expires - ahead * 2) {
    SetAlarm(source);
    return;
  }
  source->RefreshIfUsed();
}

Task<Result<Directory>> TokenKeeper::LoadAll() {
  auto load = [this](auto done) { store_->LoadObjects(std::move(done)); };
  Result<Directory> directory = co_await CallStore<Directory>(loop(), door_, load);
  if (!directory) {
    co_return relay::Fail(Party::kRelay, Fault::kInternal,
                          "the state store cannot be read: " + directory.error().what);
  }
  co_return directory;
}

Task<Result<StoredObject>> TokenKeeper::Load(std::string id) {
  Result<Directory> directory = co_await LoadAll();
  if (!directory) co_return std::unexpected(directory.error());
  const StoredObject* object = FindObject(*directory, TokenRecord::kKind, id);
  co_return object == nullptr ? StoredObject{} : *object;
}

Task<Result<ObjectWritten>> TokenKeeper::Write(std::string id, int64_t version,
                                               std::optional<std::string> value) {
  ObjectWrite change{std::string(TokenRecord::kKind), std::move(id), version, std::move(value)};
  auto write = [this, &change](auto done) { store_->WriteObject(change, std::move(done)); };
  Result<ObjectWritten> written = co_await CallStore<ObjectWritten>(loop(), door_, write);
  if (!written) {
    co_return relay::Fail(Party::kRelay, Fault::kInternal,
                          "the state store cannot be written: " + written.error().what);
  }
  co_return written;
}

Task<Result<Unit>> TokenKeeper::Put(std::string id, Secret seed, TokenAnswer answer) {
  if (store_ == nullptr) {
    co_return relay::Fail(Party::kRelay, Fault::kInternal,
                          "there is no store to keep a login in; see 'store' in relay.yaml");
  }
  TokenRecord record = RecordOf(FingerprintOf(seed), std::move(answer), clock_.Wall());
  for (int tries = 0; tries < kPutTries; ++tries) {
    Result<StoredObject> stored = co_await Load(id);
    if (!stored) co_return std::unexpected(stored.error());
    std::string value = WriteTokenRecord(record, id, vault());
    Result<ObjectWritten> written = co_await Write(id, stored->version, std::move(value));
    if (!written) co_return std::unexpected(written.error());
    if (written->conflict) continue;
    for (const auto& source : tokens_.All()) {
      if (source->spec().id == id) source->BeginRead(true);
    }
    co_return Unit{};
  }
  co_return relay::Fail(Party::kRelay, Fault::kInternal, "the account is being changed; try again");
}

Task<Result<Unit>> TokenKeeper::Drop(std::string id) {
  if (store_ == nullptr) co_return Unit{};
  // A refresh that is under way would write its token all the same.
  stories_.ForEach([&](Story& story) { story.Dropped(id); });
  for (int tries = 0; tries < kPutTries; ++tries) {
    Result<StoredObject> stored = co_await Load(id);
    if (!stored) co_return std::unexpected(stored.error());
    if (stored->version == 0) co_return Unit{};
    Result<ObjectWritten> written = co_await Write(id, stored->version, std::nullopt);
    if (!written) co_return std::unexpected(written.error());
    if (!written->conflict) co_return Unit{};
  }
  co_return relay::Fail(Party::kRelay, Fault::kInternal, "the account is being changed; try again");
}

}  // namespace relay
