// SPDX-License-Identifier: MIT
// The objects of the store as this process has them, and the one way to change one: compare and set
// on its version, then in memory, then a new snapshot for every worker. Used on one loop's thread.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "admin/api/router.h"
#include "admin/keyring.h"
#include "admin/services.h"
#include "core/async/loop_door.h"
#include "core/async/task.h"
#include "core/store/store.h"

namespace relay {

// Puts the keys of the directory, and what it says of relay.yaml's, in the place of those in
// `stored`. Objects that cannot be read are logged and left out.
void TakeKeys(const Directory& directory, const Zone& zone, StoredObjects& stored);

class Objects {
 public:
  // Hears of an object that somebody else has changed, once it is in force.
  using Heard = std::function<void(const StoredObject& object)>;
  // Of the object as it is (null: there is none), what it is to be; nothing removes it. May be
  // asked more than once, when others change the object too.
  using Edit = std::function<ApiResult<std::optional<std::string>>(const StoredObject* present)>;

  // `door` leads to `loop`. All outlive it; `store` and `keyring` are null where nothing is kept.
  Objects(Loop& loop, std::shared_ptr<LoopDoor> door, Services& services, Store* store,
          Keyring* keyring, Heard heard);
  Objects(const Objects&) = delete;
  Objects& operator=(const Objects&) = delete;

  // What the store was found to hold; also when that was later than the start. From then on what
  // others change is in force here, too, as soon as the store tells of it.
  void Meet(Contact contact);
  // Null before.
  const Directory* directory() const { return contact_ ? &contact_->directory : nullptr; }
  const StoredObject* Find(std::string_view kind, std::string_view id) const;
  const Secret& pepper() const { return contact_->pepper; }
  // Once the store was met.
  const Vault& vault() const { return *keyring_->vault(); }
  // There is a store to write to, which may not have been met yet.
  bool can_write() const { return store_ != nullptr; }

  // 503 where there is no store to write to, or it does not answer. When it returns without a
  // fault, no worker begins anything with what was there before.
  Task<ApiResult<Unit>> Change(std::string kind, std::string id, Edit edit);
  // Seals all anew that was sealed with a previous key. The number of objects that changed.
  Task<ApiResult<int64_t>> SealAllAnew();

 private:
  // A change is under way.
  class Writing {
   public:
    explicit Writing(Objects& objects) : objects_(objects) { ++objects_.writing_; }
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;
    ~Writing() {
      --objects_.writing_;
      objects_.FollowIfBehind();
    }

   private:
    Objects& objects_;
  };

  // Brings the directory up to what the store has, unless it is.
  Task<ApiResult<Unit>> Reload();
  bool behind() const { return std::max(newest_, contact_->directory.version) > published_; }
  void OnChanged(int64_t version);
  void FollowIfBehind();
  Task<Unit> Follow();
  // Writes once. True: done; false: somebody else was first, and what is there was read anew.
  Task<ApiResult<bool>> Write(ObjectWrite write);
  void Apply(const ObjectWrite& write, const ObjectWritten& written);
  Result<Unit> Publish();

  Loop& loop_;
  const std::shared_ptr<LoopDoor> door_;
  Services& services_;
  Store* const store_;
  Keyring* const keyring_;
  const Heard heard_;
  std::optional<Contact> contact_;
  // Versions of the directory: the newest that was told of, which others may have made, and that of
  // the snapshot in force. What is in memory stands between them.
  int64_t newest_ = 0;
  int64_t published_ = 0;
  int writing_ = 0;  // changes under way, of which the store tells, too
  bool following_ = false;
  Waiter follow_start_;
  Task<Unit> follow_;
};

}  // namespace relay
