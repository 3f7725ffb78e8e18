// SPDX-License-Identifier: MIT
#include "admin/account_book.h"

#include <algorithm>
#include <utility>

#include "core/async/event.h"
#include "core/base/log.h"
#include "core/store/store_call.h"

namespace relay {
namespace {

constexpr Duration kLoadAgain = std::chrono::seconds(5);
constexpr int kWriteTries = 5;

}  // namespace

AccountBook::AccountBook(Loop& loop, Services& services, Store* store, const Vault* vault)
    : loop_(loop),
      services_(services),
      store_(store),
      vault_(vault),
      door_(std::make_shared<LoopDoor>(loop)) {}

AccountBook::~AccountBook() {
  door_->Close();
}

const StoredAccount* AccountBook::Find(const Snapshot& snapshot, std::string_view id) {
  for (const StoredAccount& account : snapshot.stored->accounts) {
    if (account.id() == id) return &account;
  }
  return nullptr;
}

void AccountBook::Load() {
  if (store_ == nullptr) return;
  if (store_->kind() == "embedded") {
    Result<Directory> directory =
        Await<Directory>([this](auto done) { store_->LoadObjects(std::move(done)); });
    if (directory) {
      Take(*directory);
      return;
    }
  }
  loading_ = LoadLater();
  loading_.StartOn(loop_, start_, [](void*) noexcept {}, nullptr);
}

Task<Unit> AccountBook::LoadLater() {
  while (true) {
    Result<Directory> directory = co_await Read();
    if (directory) {
      Take(*directory);
      co_return Unit{};
    }
    Log(LogLevel::kError, "accounts of the store are not known yet",
        {{"why", directory.error().what}});
    co_await Sleep(loop_, kLoadAgain);
  }
}

Task<Result<Directory>> AccountBook::Read() {
  auto load = [this](auto done) { store_->LoadObjects(std::move(done)); };
  Result<Directory> directory = co_await CallStore<Directory>(loop_, door_, load);
  co_return directory;
}

void AccountBook::Take(const Directory& directory) {
  std::vector<StoredAccount> accounts;
  for (const StoredObject& object : directory.objects) {
    if (object.kind != StoredAccount::kKind) continue;
    Result<StoredAccount> account = ReadStoredAccount(object.id, object.value, *vault_);
    if (account) {
      accounts.push_back(std::move(*account));
    } else {
      Log(LogLevel::kError, "account left out", {{"why", account.error().what}});
    }
  }
  if (accounts.empty() && services_.current()->stored->accounts.empty()) return;
  if (Result<Unit> published = Publish(std::move(accounts)); !published) {
    Log(LogLevel::kError, "accounts of the store are not in force",
        {{"why", published.error().what}});
  }
}

Result<Unit> AccountBook::Publish(std::vector<StoredAccount> accounts) {
  std::shared_ptr<const Snapshot> before = services_.current();
  auto stored = std::make_shared<StoredObjects>(*before->stored);
  stored->accounts = std::move(accounts);
  auto snapshot = services_.Build(before->config, std::move(stored));
  if (!snapshot) return std::unexpected(snapshot.error());
  services_.Publish(std::move(*snapshot));
  return Unit{};
}

Task<Result<Unit>> AccountBook::Write(std::string id, Change change) {
  if (store_ == nullptr) {
    co_return Fail(Party::kRelay, Fault::kInternal,
                   "there is no store to keep it in; see 'store' in relay.yaml");
  }
  for (int tries = 0; tries < kWriteTries; ++tries) {
    Result<Directory> directory = co_await Read();
    if (!directory) co_return std::unexpected(directory.error());
    ObjectWrite write{std::string(StoredAccount::kKind), id, 0, std::nullopt};
    std::optional<StoredAccount> now;
    for (const StoredObject& object : directory->objects) {
      if (object.kind != StoredAccount::kKind || object.id != id) continue;
      write.expected = object.version;
      Result<StoredAccount> known = ReadStoredAccount(id, object.value, *vault_);
      if (!known) co_return std::unexpected(known.error());
      now = std::move(*known);
    }
    Result<std::optional<StoredAccount>> then = change(std::move(now));
    if (!then) co_return std::unexpected(then.error());
    if (*then) write.value = WriteStoredAccount(**then, *vault_);
    if (write.expected == 0 && !write.value) co_return Unit{};
    auto store = [&](auto done) { store_->WriteObject(write, std::move(done)); };
    Result<ObjectWritten> written = co_await CallStore<ObjectWritten>(loop_, door_, store);
    if (!written) co_return std::unexpected(written.error());
    if (written->conflict) continue;
    std::vector<StoredAccount> accounts = services_.current()->stored->accounts;
    std::erase_if(accounts, [&](const StoredAccount& one) { return one.id() == id; });
    if (*then) accounts.push_back(std::move(**then));
    co_return Publish(std::move(accounts));
  }
  co_return Fail(Party::kRelay, Fault::kInternal, "the account is being changed; try again");
}

}  // namespace relay
