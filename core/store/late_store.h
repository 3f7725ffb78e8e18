// SPDX-License-Identifier: MIT
// A store that could not be opened at the start: tried again with each call, until it is there.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

#include "core/store/store.h"

namespace relay {

class LateStore final : public Store {
 public:
  using Opener = std::function<Result<std::unique_ptr<Store>>()>;

  // Calls `open` on the thread of the call, which waits for it, until it gives a store. Those for
  // objects do not call it, but fail until then.
  // `coming`, if any, is what the opener will give: kind and status are its own already.
  explicit LateStore(Opener open, const Store* coming = nullptr)
      : open_(std::move(open)), coming_(coming) {}

  // Of the store; "memory" until it is there.
  std::string_view kind() const override;
  StoreStatus status() const override;
  void Load(Done<LedgerImage> done) override;
  void Flush(std::vector<LedgerFlush> flushes, Done<Flushed> done) override;
  void Fold(std::string epoch, Done<Unit> done) override;
  void Expire(Period kept_from, Done<Unit> done) override;
  void LoadStates(std::string kind, Done<std::vector<StateBlob>> done) override;
  void PutStates(std::vector<StateBlob> blobs, Done<Unit> done) override;
  void FlushWithStates(std::vector<LedgerFlush> flushes, std::vector<StateBlob> blobs,
                       Done<Flushed> done) override;
  void ForgetLimits(Done<Unit> done) override;
  void LoadObjects(Done<Directory> done) override;
  void WriteObject(ObjectWrite write, Done<ObjectWritten> done) override;
  void WatchObjects(std::function<void(int64_t version)> changed) override;

 private:
  // Null, and `done` has the error: it is still not to be had.
  template <class T>
  Store* Find(const Done<T>& done);
  // The same without a try to open it: what objects are wanted for are loops, which must not wait.
  template <class T>
  Store* Opened(const Done<T>& done) const;

  // The store, or what will be; null: nobody knows.
  const Store* known() const {
    const Store* store = there_;
    return store == nullptr ? coming_ : store;
  }

  const Opener open_;
  const Store* const coming_;
  std::mutex opening_;
  std::unique_ptr<Store> store_;
  std::mutex watch_mutex_;  // guards the next, and the change of there_
  std::function<void(int64_t)> watch_;
  std::atomic<Store*> there_{nullptr};  // store_, once and for all
};

}  // namespace relay
