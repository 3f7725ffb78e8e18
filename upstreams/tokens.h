// SPDX-License-Identifier: MIT
// The access tokens of subscriptions that logged in. A token changes while the relay runs: whoever
// needs it asks here each time, and waits while it is being refreshed, which is done once for all
// who wait, on every worker. Who refreshes is token_keeper.h.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/async/task.h"
#include "core/async/wait_queue.h"
#include "core/base/clock.h"
#include "core/base/secret.h"
#include "upstreams/oauth.h"
#include "upstreams/token_record.h"

namespace relay {

class TokenKeeper;

struct AccessToken {
  Secret value;
  uint64_t number = 0;  // tells it from the account's tokens before; 0: none
};

// Why there is no token.
struct NoToken {
  enum class Why : uint8_t {
    kExpired,  // it could not be refreshed; that is tried again from `until` on
    kRefused,  // a person must log in again, or mend the configuration
  };
  Why why = Why::kExpired;
  std::string cause;  // for the log
  TimePoint until{};
};

// Whose tokens, and where they come from.
struct TokenSpec {
  std::string id;  // cluster/name
  OauthClient client;
  Secret seed;  // a refresh token of relay.yaml; empty: of a login, and in the store
};

// One account's tokens. Thread-safe.
class TokenSource : public std::enable_shared_from_this<TokenSource> {
 public:
  // `clock` outlives this. `keeper`: may be null, until there is one.
  TokenSource(TokenSpec spec, WayOut way, const Clock& clock, TokenKeeper* keeper);
  TokenSource(const TokenSource&) = delete;
  TokenSource& operator=(const TokenSource&) = delete;
  ~TokenSource();

  using Taken = std::expected<AccessToken, NoToken>;
  // A token that is good now; waits until `deadline` for one. `rejected`: the number of a token
  // that the vendor refused, which nobody gets any more. The source outlives the task: accounts
  // hold it.
  Task<Taken> Take(Loop& loop, TimePoint deadline, uint64_t rejected = 0);

  struct View {
    enum class Phase : uint8_t { kUnread, kReady, kExpired, kRefused };
    Phase phase = Phase::kUnread;
    std::string cause;   // kExpired, kRefused; also kReady when the last refresh failed
    WallTime expires{};  // of the token there is; epoch: none
    WallTime refreshed{};
    bool refreshing = false;
    std::optional<NoToken> none;  // what Take says at once; nothing: it gives a token, or waits
  };
  View Look();
  const TokenSpec& spec() const { return spec_; }
  // How the keeper asks the vendor. It may change while the tokens stay what they are; another way
  // is tried without waiting for what was wrong with the one before.
  WayOut way();
  void GoBy(const WayOut& way);

  // How long before its end a token that lives for `life` is replaced, and how long before it is
  // not used any more.
  static Duration AheadOf(Duration life);
  static Duration MarginOf(Duration life);

 private:
  friend class TokenKeeper;
  friend class Tokens;
  class Ticket;

  // Under the mutex, as are all that end so.
  bool GoodLocked(uint64_t rejected, WallTime wall) const;
  void BeginLocked();
  void WakeAllLocked();

  // The keeper's: the outcome of its work. `goes_on`: it is not done yet.
  void Publish(const TokenRecord& record, bool goes_on);
  void Fail(NoToken trouble);
  // It was read, and is to be refreshed when somebody wants it.
  void Rest();
  void Attach(TokenKeeper* keeper);
  // Whether this is the token that requests got last.
  bool Had(const Secret& access);
  void BeginRead(bool again);
  void RefreshIfUsed();

  const TokenSpec spec_;
  const Clock& clock_;
  std::mutex mutex_;
  WayOut way_;
  TokenKeeper* keeper_;
  AccessToken token_;
  uint64_t numbers_ = 0;
  WallTime expires_{};
  WallTime refreshed_{};
  std::optional<NoToken> trouble_;  // of the last refresh
  bool read_ = false;               // what is stored was looked at
  bool busy_ = false;               // the keeper is at it
  bool used_ = false;               // since the token came
  WaitQueue<Ticket> waiting_;

  // The keeper's alone, on its loop.
  struct Kept {
    TokenRecord record;
    int64_t version = 0;  // in the store; 0: none
    bool read = false;
    bool seen = false;  // a record of this seed was there
    int failures = 0;   // in a row
  };
  Kept kept_;
};

// The sources by their accounts. Thread-safe.
class Tokens {
 public:
  // `clock` outlives this and every source.
  explicit Tokens(const Clock& clock) : clock_(clock) {}

  // The same source for the same spec, for as long as anybody holds it: what is known of a token
  // lives through changes of the configuration that are not about it. `way` is for one that is new.
  std::shared_ptr<TokenSource> Source(TokenSpec spec, WayOut way);
  std::vector<std::shared_ptr<TokenSource>> All();

 private:
  friend class TokenKeeper;
  void Attach(TokenKeeper* keeper);

  const Clock& clock_;
  std::mutex mutex_;
  TokenKeeper* keeper_ = nullptr;
  std::map<std::string, std::weak_ptr<TokenSource>> sources_;  // by a digest of their spec
};

}  // namespace relay
