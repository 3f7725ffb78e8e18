// SPDX-License-Identifier: MIT
#include "upstreams/tokens.h"

#include <algorithm>
#include <utility>

#include "upstreams/token_keeper.h"

namespace relay {
namespace {

constexpr Duration kMostAhead = std::chrono::minutes(5);
constexpr Duration kMostMargin = std::chrono::seconds(5);
// Who is told to come back while a refresh is under way.
constexpr Duration kSoon = std::chrono::seconds(1);

// Equal for equal specs; tells nothing of the secrets.
std::string DigestOf(const TokenSpec& spec) {
  const OauthClient& client = spec.client;
  std::string text = spec.id;
  for (const std::string& part :
       {FormatUrl(client.token_url), client.client_id, std::string(client.client_secret.Reveal()),
        std::string(spec.seed.Reveal())}) {
    text += '\n' + part;
  }
  Digest256 digest = Sha256(text);
  WipeString(text);
  return HexEncode(BytesOf(digest));
}

}  // namespace

Duration TokenSource::AheadOf(Duration life) {
  return std::min(kMostAhead, life / 6);
}

Duration TokenSource::MarginOf(Duration life) {
  return std::min(kMostMargin, life / 20);
}

// Who waits for a token while it is refreshed.
class TokenSource::Ticket final : public WaitTicket {
 public:
  Ticket(TokenSource& source, Loop& loop) : WaitTicket(loop), source_(source) {}
  ~Ticket() {
    std::lock_guard lock(source_.mutex_);
    if (linked()) source_.waiting_.Leave(*this);
  }

  // A token, or why there is none; nothing while it is worth to wait.
  std::optional<Taken> Try(uint64_t rejected, bool may_wait) {
    std::lock_guard lock(source_.mutex_);
    WallTime wall = source_.clock_.Wall();
    TimePoint now = source_.clock_.Now();
    // A token that was refused once is nobody's any more.
    if (rejected != 0 && source_.token_.number == rejected) source_.expires_ = WallTime();
    if (source_.GoodLocked(rejected, wall)) {
      source_.used_ = true;
      Duration life = source_.expires_ - source_.refreshed_;
      if (wall >= source_.expires_ - AheadOf(life)) source_.BeginLocked();
      return Taken(source_.token_);
    }
    if (!source_.busy_ && source_.trouble_ && now < source_.trouble_->until) {
      return Taken(std::unexpected(*source_.trouble_));
    }
    source_.BeginLocked();
    if (!may_wait) {
      return Taken(std::unexpected(
          NoToken{NoToken::Why::kExpired, "the token was not refreshed in time", now + kSoon}));
    }
    if (!linked()) source_.waiting_.Enter(*this);
    return {};
  }

 private:
  TokenSource& source_;
};

TokenSource::TokenSource(TokenSpec spec, WayOut way, const Clock& clock, TokenKeeper* keeper)
    : spec_(std::move(spec)), clock_(clock), way_(std::move(way)), keeper_(keeper) {}

TokenSource::~TokenSource() = default;

Task<TokenSource::Taken> TokenSource::Take(Loop& loop, TimePoint deadline, uint64_t rejected) {
  Ticket ticket(*this, loop);
  while (true) {
    std::optional<Taken> taken = ticket.Try(rejected, loop.Now() < deadline);
    if (taken) co_return std::move(*taken);
    co_await ticket.Wait(deadline);
  }
}

bool TokenSource::GoodLocked(uint64_t rejected, WallTime wall) const {
  if (token_.number == 0 || token_.number <= rejected) return false;
  return wall < expires_ - MarginOf(expires_ - refreshed_);
}

// One at a time, and not before a failed one may be repeated.
void TokenSource::BeginLocked() {
  if (busy_ || keeper_ == nullptr) return;
  if (trouble_ && clock_.Now() < trouble_->until) return;
  busy_ = true;
  keeper_->Begin(shared_from_this(), TokenKeeper::Work::kRefresh);
}

void TokenSource::WakeAllLocked() {
  waiting_.ForEach([](Ticket& ticket) { ticket.Wake(); });
}

void TokenSource::Publish(const TokenRecord& record, bool goes_on) {
  std::lock_guard lock(mutex_);
  if (!(record.access == token_.value)) {
    token_.value = record.access;
    token_.number = record.access.empty() ? 0 : ++numbers_;
    used_ = false;
  }
  expires_ = record.expires;
  refreshed_ = record.refreshed;
  trouble_.reset();
  read_ = true;
  busy_ = goes_on;
  WakeAllLocked();
}

void TokenSource::Fail(NoToken trouble) {
  std::lock_guard lock(mutex_);
  trouble_ = std::move(trouble);
  busy_ = false;
  WakeAllLocked();
}

void TokenSource::Rest() {
  std::lock_guard lock(mutex_);
  trouble_.reset();
  read_ = true;
  busy_ = false;
  WakeAllLocked();
}

void TokenSource::Attach(TokenKeeper* keeper) {
  std::lock_guard lock(mutex_);
  keeper_ = keeper;
  // Those who came before there was one begin their wait anew.
  if (keeper != nullptr) WakeAllLocked();
}

bool TokenSource::Had(const Secret& access) {
  std::lock_guard lock(mutex_);
  return token_.number != 0 && token_.value == access;
}

void TokenSource::BeginRead(bool again) {
  std::lock_guard lock(mutex_);
  if (keeper_ == nullptr || (busy_ && !again)) return;
  busy_ = true;
  keeper_->Begin(shared_from_this(), again ? TokenKeeper::Work::kReread : TokenKeeper::Work::kRead);
}

void TokenSource::RefreshIfUsed() {
  std::lock_guard lock(mutex_);
  if (used_) BeginLocked();
}

WayOut TokenSource::way() {
  std::lock_guard lock(mutex_);
  return way_;
}

void TokenSource::GoBy(const WayOut& way) {
  std::lock_guard lock(mutex_);
  if (way == way_) return;
  way_ = way;
  trouble_.reset();
}

TokenSource::View TokenSource::Look() {
  std::lock_guard lock(mutex_);
  View view;
  using Phase = View::Phase;
  if (trouble_) {
    view.cause = trouble_->cause;
    view.phase = trouble_->why == NoToken::Why::kRefused ? Phase::kRefused : Phase::kExpired;
  } else if (read_) {
    view.phase = Phase::kExpired;
  }
  // While its token lives an account serves, whatever a refresh came to.
  const bool good = GoodLocked(0, clock_.Wall());
  if (good) view.phase = Phase::kReady;
  if (!good && !busy_ && trouble_ && clock_.Now() < trouble_->until) view.none = trouble_;
  view.expires = expires_;
  view.refreshed = refreshed_;
  view.refreshing = busy_;
  return view;
}

std::shared_ptr<TokenSource> Tokens::Source(TokenSpec spec, WayOut way) {
  std::string key = DigestOf(spec);
  std::lock_guard lock(mutex_);
  std::erase_if(sources_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<TokenSource>& known = sources_[key];
  std::shared_ptr<TokenSource> source = known.lock();
  if (source == nullptr) {
    source = std::make_shared<TokenSource>(std::move(spec), std::move(way), clock_, keeper_);
    known = source;
  }
  return source;
}

std::vector<std::shared_ptr<TokenSource>> Tokens::All() {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<TokenSource>> all;
  for (const auto& [key, known] : sources_) {
    if (std::shared_ptr<TokenSource> source = known.lock()) all.push_back(std::move(source));
  }
  return all;
}

void Tokens::Attach(TokenKeeper* keeper) {
  std::vector<std::shared_ptr<TokenSource>> all = All();
  std::lock_guard lock(mutex_);
  keeper_ = keeper;
  for (const auto& source : all) source->Attach(keeper);
}

}  // namespace relay
