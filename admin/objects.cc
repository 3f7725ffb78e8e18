// SPDX-License-Identifier: MIT
#include "admin/objects.h"

#include <algorithm>
#include <utility>

#include "admin/account_book.h"
#include "admin/stored_key.h"
#include "core/async/event.h"
#include "core/base/log.h"
#include "core/store/sealed_fields.h"
#include "core/store/store_call.h"

namespace relay {
namespace {

// Others who change the same object at the same time; each of them gets on with it.
constexpr int kTries = 50;
// When what others changed could not be read.
constexpr Duration kFollowAgain = std::chrono::seconds(1);

std::unexpected<ApiFault> Refuse(int status, std::string message) {
  return std::unexpected(ApiFault{status, std::move(message)});
}

std::unexpected<ApiFault> StoreFails(const Error& error) {
  return Refuse(503, "the store cannot be reached, and nothing was changed: " + error.what +
                         "; try again later");
}

}  // namespace

void TakeKeys(const Directory& directory, const Zone& zone, StoredObjects& stored) {
  stored.keys.clear();
  stored.disabled.clear();
  for (const StoredObject& object : directory.objects) {
    if (object.kind == kOverlayKind && IsDisabledOverlay(object.value)) {
      stored.disabled.insert(object.id);
    }
    if (object.kind != kKeyKind) continue;
    Result<StoredKey> key = ReadStoredKey(object.id, object.value);
    if (!key) {
      Log(LogLevel::kError, "a key of the store is left out", {{"why", key.error().what}});
      continue;
    }
    if (key->deleted) continue;
    KeyRecord record = RecordOf(key->name, key->terms, zone);
    record.disabled = key->disabled;
    for (const KeyToken& token : key->tokens) {
      stored.keys.push_back({token.digest, record, token.until});
    }
  }
}

Objects::Objects(Loop& loop, std::shared_ptr<LoopDoor> door, Services& services, Store* store,
                 Keyring* keyring, Heard heard)
    : loop_(loop),
      door_(std::move(door)),
      services_(services),
      store_(store),
      keyring_(keyring),
      heard_(std::move(heard)) {}

void Objects::Meet(Contact contact) {
  contact_ = std::move(contact);
  services_.SetPepper(contact_->pepper);
  for (const StoredObject& object : contact_->directory.objects) {
    if (object.kind == kKeyKind && services_.current()->config->FindKey(object.id) != nullptr) {
      Log(LogLevel::kWarn, "a key of the store is shadowed",
          {{"key", object.id}, {"note", "relay.yaml declares one of that name, which counts"}});
    }
  }
  if (auto published = Publish(); !published) {
    Log(LogLevel::kError, "objects are not put in force", {{"why", published.error().what}});
  }
  store_->WatchObjects([this, door = door_](int64_t version) {
    door->Post([this, version] { OnChanged(version); });
  });
}

const StoredObject* Objects::Find(std::string_view kind, std::string_view id) const {
  if (!contact_) return nullptr;
  const auto& objects = contact_->directory.objects;
  auto at = std::ranges::find_if(
      objects, [&](const StoredObject& object) { return object.kind == kind && object.id == id; });
  return at == objects.end() ? nullptr : &*at;
}

Result<Unit> Objects::Publish() {
  std::shared_ptr<const Snapshot> current = services_.current();
  auto stored = std::make_shared<StoredObjects>(*current->stored);
  TakeKeys(contact_->directory, services_.zone(), *stored);
  TakeAccounts(contact_->directory, vault(), *stored);
  auto built = services_.Build(current->config, std::move(stored));
  if (!built) return std::unexpected(std::move(built.error()));
  services_.Publish(std::move(*built));
  published_ = contact_->directory.version;
  return Unit{};
}

Task<ApiResult<Unit>> Objects::Reload() {
  auto load = [this](auto done) { store_->LoadObjects(std::move(done)); };
  Result<Directory> loaded = co_await CallStore<Directory>(loop_, door_, load);
  if (!loaded) co_return StoreFails(loaded.error());
  // What was written meanwhile is newer than what was read.
  if (loaded->version < contact_->directory.version) co_return Unit{};
  Directory before = std::exchange(contact_->directory, std::move(*loaded));
  for (const StoredObject& object : contact_->directory.objects) {
    auto known = std::ranges::find_if(before.objects, [&](const StoredObject& one) {
      return one.kind == object.kind && one.id == object.id;
    });
    if (known == before.objects.end() || known->version != object.version) heard_(object);
  }
  co_return Unit{};
}

// --- What others change ------------------------------------------------------------------------

void Objects::OnChanged(int64_t version) {
  newest_ = std::max(newest_, version);
  FollowIfBehind();
}

// What is being written here is told of as well, mostly before it is known here.
void Objects::FollowIfBehind() {
  if (following_ || writing_ > 0 || !behind()) return;
  following_ = true;
  follow_ = Follow();
  follow_.StartOn(
      loop_, follow_start_,
      [](void* objects) noexcept { static_cast<Objects*>(objects)->following_ = false; }, this);
}

Task<Unit> Objects::Follow() {
  while (behind()) {
    const int64_t wanted = newest_;
    ApiResult<Unit> reloaded;
    if (wanted > contact_->directory.version) reloaded = co_await Reload();
    if (!reloaded) {
      Log(LogLevel::kError, "what was changed elsewhere is not known yet",
          {{"why", reloaded.error().message}});
      co_await Sleep(loop_, kFollowAgain);
      continue;
    }
    const int64_t version = contact_->directory.version;
    // A store that was set back has lower versions than it told of.
    if (newest_ == wanted) newest_ = version;
    if (Result<Unit> published = Publish(); !published) {
      Log(LogLevel::kError, "objects are not put in force", {{"why", published.error().what}});
    }
    published_ = version;
    Log(LogLevel::kInfo, "objects read anew", {{"version", version}});
  }
  co_return Unit{};
}

// --- What is changed here ----------------------------------------------------------------------

void Objects::Apply(const ObjectWrite& write, const ObjectWritten& written) {
  Directory& directory = contact_->directory;
  // Where others have written in between, more is missing than this.
  if (written.directory == directory.version + 1) directory.version = written.directory;
  newest_ = std::max(newest_, written.directory);
  int64_t version = written.version;
  auto at = std::ranges::find_if(directory.objects, [&](const StoredObject& object) {
    return object.kind == write.kind && object.id == write.id;
  });
  if (!write.value) {
    if (at != directory.objects.end()) directory.objects.erase(at);
  } else if (at == directory.objects.end()) {
    directory.objects.push_back({write.kind, write.id, version, *write.value});
  } else if (at->version < version) {
    *at = {write.kind, write.id, version, *write.value};
  }
}

Task<ApiResult<bool>> Objects::Write(ObjectWrite write) {
  auto call = [this, &write](auto done) { store_->WriteObject(write, std::move(done)); };
  Result<ObjectWritten> written = co_await CallStore<ObjectWritten>(loop_, door_, call);
  if (!written) {
    co_return Refuse(503, "the store did not answer, and may have taken the change or not: " +
                              written.error().what + "; look at it before you rely on it");
  }
  if (!written->conflict) {
    Apply(write, *written);
    co_return true;
  }
  ApiResult<Unit> reloaded = co_await Reload();
  if (!reloaded) co_return std::unexpected(std::move(reloaded.error()));
  co_return false;
}

Task<ApiResult<Unit>> Objects::Change(std::string kind, std::string id, Edit edit) {
  if (store_ == nullptr) {
    co_return Refuse(503,
                     "this relay keeps no state; declare it in relay.yaml, or give the relay a "
                     "store and a data folder that it may write to");
  }
  if (!contact_) co_return Refuse(503, "the store has not been reached yet; try again later");
  const Writing writing(*this);
  for (int i = 0; i < kTries; ++i) {
    const StoredObject* present = Find(kind, id);
    ApiResult<std::optional<std::string>> value = edit(present);
    if (!value) co_return std::unexpected(std::move(value.error()));
    if (present != nullptr && *value == present->value) co_return Unit{};
    if (present == nullptr && !*value) co_return Unit{};
    int64_t version = present == nullptr ? 0 : present->version;
    ObjectWrite write{kind, id, version, std::move(*value)};
    ApiResult<bool> done = co_await Write(std::move(write));
    if (!done) co_return std::unexpected(std::move(done.error()));
    if (!*done) continue;
    Log(LogLevel::kInfo, "object changed", {{"kind", kind}, {"id", id}});
    Result<Unit> published = Publish();
    if (published) co_return Unit{};
    co_return Refuse(500, "it is stored, but not in force: " + published.error().what);
  }
  co_return Refuse(503, "others keep changing it; try again");
}

Task<ApiResult<int64_t>> Objects::SealAllAnew() {
  if (store_ == nullptr || !contact_) co_return Refuse(503, "there is no store to seal anew");
  const Vault* vault = keyring_->vault();
  ApiResult<Unit> reloaded = co_await Reload();
  if (!reloaded) co_return std::unexpected(std::move(reloaded.error()));
  const std::vector<StoredObject> objects = contact_->directory.objects;
  int64_t changed = 0;
  for (const StoredObject& object : objects) {
    bool fresh = false;
    Edit edit = [&](const StoredObject* present) -> ApiResult<std::optional<std::string>> {
      fresh = false;
      if (present == nullptr) return std::nullopt;
      auto sealed = SealAnew(*vault, present->kind, present->id, present->value);
      if (!sealed) return Refuse(500, sealed.error().what);
      fresh = sealed->has_value();
      return fresh ? std::move(*sealed) : std::optional<std::string>(present->value);
    };
    ApiResult<Unit> done = co_await Change(object.kind, object.id, edit);
    if (!done) co_return std::unexpected(std::move(done.error()));
    if (fresh) ++changed;
  }
  co_return changed;
}

}  // namespace relay
