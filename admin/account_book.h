// SPDX-License-Identifier: MIT
// The accounts that people added while the relay runs, and which of all are paused: in the store,
// and from there in the snapshot in force. Used on the main thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "admin/services.h"
#include "core/async/loop_door.h"
#include "core/store/store.h"
#include "upstreams/stored_account.h"

namespace relay {

class AccountBook {
 public:
  // All outlive this. `store` and `vault` null: nothing can be added.
  AccountBook(Loop& loop, Services& services, Store* store, const Vault* vault);
  ~AccountBook();

  // Brings what is stored into force: before it returns where the store is in this machine, else
  // as soon as it can.
  void Load();
  // Changes an account in the store and in force. `change` gets what there is, which may be
  // nothing, and gives what is to be there instead; it may be called again. Errors (kClient:
  // `change`'s own; kRelay: the store).
  using Change =
      std::function<Result<std::optional<StoredAccount>>(std::optional<StoredAccount> now)>;
  Task<Result<Unit>> Write(std::string id, Change change);
  // Of the snapshot in force; null: there is none.
  static const StoredAccount* Find(const Snapshot& snapshot, std::string_view id);
  bool can_write() const { return store_ != nullptr; }

 private:
  Task<Result<Directory>> Read();
  Task<Unit> LoadLater();
  void Take(const Directory& directory);
  Result<Unit> Publish(std::vector<StoredAccount> accounts);

  Loop& loop_;
  Services& services_;
  Store* store_;
  const Vault* vault_;
  std::shared_ptr<LoopDoor> door_;
  Waiter start_;
  Task<Unit> loading_;
};

}  // namespace relay
