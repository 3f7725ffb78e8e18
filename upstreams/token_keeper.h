// SPDX-License-Identifier: MIT
// Keeps the tokens of subscriptions fresh: reads what is stored, refreshes on its loop, one refresh
// an account, and stores a new token before anybody uses it. What a crash at each step leaves is
// told in README.md.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/async/loop_door.h"
#include "core/base/list.h"
#include "core/store/store.h"
#include "upstreams/tokens.h"
#include "upstreams/vendor_call.h"

namespace relay {

struct TokenStoryTag {};

class TokenKeeper {
 public:
  // How long one may take to ask the vendor, and how long a claim keeps others away.
  static constexpr Duration kPatience = std::chrono::seconds(30);
  static constexpr Duration kClaimLife = std::chrono::seconds(60);

  struct Options {
    std::string run;    // names this process's run in claims
    bool alone = true;  // nobody else uses the store: claims of other runs are of dead ones
  };
  // All of them outlive this, whose loop is that of `calls`. `store` null: tokens last as long as
  // the process. `vault` gives what they are sealed with, as soon as objects can be read of the
  // store: not null then.
  TokenKeeper(VendorCalls& calls, Tokens& tokens, Store* store, std::function<const Vault*()> vault,
              const Clock& clock, Options options);
  TokenKeeper(const TokenKeeper&) = delete;
  TokenKeeper& operator=(const TokenKeeper&) = delete;
  // Ends what runs where it stands; see Finish.
  ~TokenKeeper();

  enum class Work : uint8_t {
    kRead,     // look at what is stored
    kReread,   // the same, since it has changed
    kRefresh,  // and get a new token, unless another process has
  };
  // From any thread. The source is busy, and is told what came of it.
  void Begin(std::shared_ptr<TokenSource> source, Work work);
  // Looks at what is stored once more, and forgets what went wrong.
  void Reread(const std::shared_ptr<TokenSource>& source) { source->BeginRead(true); }
  // Somebody else has written this, which may be another token of an account: then it is used from
  // now on.
  void Changed(const StoredObject& object);
  // Looks at what is stored of all sources, so that their state is known before they are used.
  void ReadAll();
  // Tokens of a login, for an account whose seed is `seed`. Stored, and given to sources that there
  // are. Errors (kRelay): the store.
  Task<Result<Unit>> Put(std::string id, Secret seed, TokenAnswer answer);
  // Forgets what is stored of an account, also what a refresh under way would store. Of an account
  // that a login added, its own object is gone before: by that other replicas know it.
  Task<Result<Unit>> Drop(std::string id);
  // Begins nothing more; calls `idle`, once, when nothing is under way.
  void Finish(std::function<void()> idle);

 private:
  class Story;
  class Alarm;

  Loop& loop() { return calls_.loop(); }
  const Vault& vault() const { return *vault_(); }
  void Start(std::shared_ptr<TokenSource> source, Work work);
  void Ended();
  bool Refreshes(std::string_view id);
  void SetAlarm(const std::shared_ptr<TokenSource>& source);
  void Ring(TokenSource* source);
  Task<Result<Directory>> LoadAll();
  // Of the account's tokens; version 0: there is none.
  Task<Result<StoredObject>> Load(std::string id);
  Task<Result<ObjectWritten>> Write(std::string id, int64_t version,
                                    std::optional<std::string> value);

  VendorCalls& calls_;
  Tokens& tokens_;
  Store* store_;
  const std::function<const Vault*()> vault_;
  const Clock& clock_;
  const Options options_;
  std::shared_ptr<LoopDoor> door_;
  List<Story, TokenStoryTag> stories_;
  std::map<TokenSource*, std::unique_ptr<Alarm>> alarms_;
  std::function<void()> idle_;
  bool finishing_ = false;
};

}  // namespace relay
