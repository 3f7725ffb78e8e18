// SPDX-License-Identifier: MIT
#include "admin/account_book.h"

#include <utility>

#include "core/base/log.h"

namespace relay {

void TakeAccounts(const Directory& directory, const Vault& vault, StoredObjects& stored) {
  stored.accounts.clear();
  for (const StoredObject& object : directory.objects) {
    if (object.kind != StoredAccount::kKind) continue;
    Result<StoredAccount> account = ReadStoredAccount(object.id, object.value, vault);
    if (account) {
      stored.accounts.push_back(std::move(*account));
    } else {
      Log(LogLevel::kError, "account left out", {{"why", account.error().what}});
    }
  }
}

const StoredAccount* AccountBook::Find(const Snapshot& snapshot, std::string_view id) {
  for (const StoredAccount& account : snapshot.stored->accounts) {
    if (account.id() == id) return &account;
  }
  return nullptr;
}

Task<ApiResult<Unit>> AccountBook::Write(std::string id, Change change) {
  Objects::Edit edit = [&](const StoredObject* present) -> ApiResult<std::optional<std::string>> {
    const Vault& vault = objects_.vault();
    std::optional<StoredAccount> now;
    if (present != nullptr) {
      Result<StoredAccount> known = ReadStoredAccount(id, present->value, vault);
      if (!known) return std::unexpected(FaultOf(known.error()));
      now = std::move(*known);
    }
    Result<std::optional<StoredAccount>> then = change(std::move(now));
    if (!then) return std::unexpected(FaultOf(then.error()));
    if (!*then) return std::nullopt;
    return WriteStoredAccount(**then, vault);
  };
  ApiResult<Unit> changed =
      co_await objects_.Change(std::string(StoredAccount::kKind), id, std::move(edit));
  co_return changed;
}

}  // namespace relay
