// SPDX-License-Identifier: MIT
// The accounts that people added while the relay runs, and which of all are paused: objects of the
// store (objects.h), and from there in the snapshot in force. Used on the main thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "admin/objects.h"
#include "upstreams/stored_account.h"

namespace relay {

// Puts the accounts of the directory in the place of those in `stored`. Objects that cannot be read
// are logged and left out.
void TakeAccounts(const Directory& directory, const Vault& vault, StoredObjects& stored);

class AccountBook {
 public:
  // `objects` outlives this.
  explicit AccountBook(Objects& objects) : objects_(objects) {}

  // Changes an account in the store and in force. `change` gets what there is, which may be
  // nothing, and gives what is to be there instead; it may be called again. Faults: `change`'s own
  // errors (kClient), and those of Objects::Change.
  using Change =
      std::function<Result<std::optional<StoredAccount>>(std::optional<StoredAccount> now)>;
  Task<ApiResult<Unit>> Write(std::string id, Change change);
  // Of the snapshot in force; null: there is none.
  static const StoredAccount* Find(const Snapshot& snapshot, std::string_view id);
  bool can_write() const { return objects_.can_write(); }

 private:
  Objects& objects_;
};

}  // namespace relay
