// SPDX-License-Identifier: MIT
#include "core/store/late_store.h"

#include <utility>

namespace relay {

template <class T>
Store* LateStore::Find(const Done<T>& done) {
  if (Store* store = there_) return store;
  std::unique_lock lock(opening_);
  if (store_ != nullptr) return store_.get();
  Result<std::unique_ptr<Store>> opened = open_();
  if (!opened) {
    lock.unlock();
    done(std::unexpected(std::move(opened.error())));
    return nullptr;
  }
  store_ = std::move(*opened);
  std::lock_guard watch_lock(watch_mutex_);
  there_ = store_.get();
  if (watch_) store_->WatchObjects(std::exchange(watch_, {}));
  return store_.get();
}

template <class T>
Store* LateStore::Opened(const Done<T>& done) const {
  Store* store = there_;
  if (store == nullptr) {
    done(Fail(Party::kRelay, Fault::kConnect, "the store has not been reached yet", true));
  }
  return store;
}

std::string_view LateStore::kind() const {
  const Store* store = known();
  return store == nullptr ? "memory" : store->kind();
}

StoreStatus LateStore::status() const {
  const Store* store = known();
  return store == nullptr ? StoreStatus() : store->status();
}

void LateStore::Load(Done<LedgerImage> done) {
  if (Store* store = Find(done)) store->Load(std::move(done));
}

void LateStore::Flush(std::vector<LedgerFlush> flushes, Done<Flushed> done) {
  if (Store* store = Find(done)) store->Flush(std::move(flushes), std::move(done));
}

void LateStore::Fold(std::string epoch, Done<Unit> done) {
  if (Store* store = Find(done)) store->Fold(std::move(epoch), std::move(done));
}

void LateStore::Expire(Period kept_from, Done<Unit> done) {
  if (Store* store = Find(done)) store->Expire(kept_from, std::move(done));
}

void LateStore::LoadStates(std::string kind, Done<std::vector<StateBlob>> done) {
  if (Store* store = Find(done)) store->LoadStates(std::move(kind), std::move(done));
}

void LateStore::PutStates(std::vector<StateBlob> blobs, Done<Unit> done) {
  if (Store* store = Find(done)) store->PutStates(std::move(blobs), std::move(done));
}

void LateStore::FlushWithStates(std::vector<LedgerFlush> flushes, std::vector<StateBlob> blobs,
                                Done<Flushed> done) {
  Store* store = Find(done);
  if (store != nullptr)
    store->FlushWithStates(std::move(flushes), std::move(blobs), std::move(done));
}

void LateStore::ForgetLimits(Done<Unit> done) {
  if (Store* store = Opened(done)) store->ForgetLimits(std::move(done));
}

void LateStore::LoadObjects(Done<Directory> done) {
  if (Store* store = Opened(done)) store->LoadObjects(std::move(done));
}

void LateStore::WriteObject(ObjectWrite write, Done<ObjectWritten> done) {
  if (Store* store = Opened(done)) store->WriteObject(std::move(write), std::move(done));
}

void LateStore::WatchObjects(std::function<void(int64_t version)> changed) {
  std::lock_guard lock(watch_mutex_);
  if (Store* store = there_) {
    store->WatchObjects(std::move(changed));
  } else {
    watch_ = std::move(changed);
  }
}

}  // namespace relay
