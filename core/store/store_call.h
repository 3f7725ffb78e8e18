// SPDX-License-Identifier: MIT
// A call of a store from a coroutine, whose answer comes on another thread:
//
//   auto write = [&](auto done) { store.WriteObject(change, std::move(done)); };
//   Result<ObjectWritten> written = co_await CallStore<ObjectWritten>(loop, door, write);
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "core/async/loop_door.h"
#include "core/store/store.h"

namespace relay {

// What is awaited may die before the answer comes: the call is made all the same, and nobody is
// told.
template <class T, class F>
class StoreCall : public Waiter {
 public:
  StoreCall(Loop& loop, std::shared_ptr<LoopDoor> door, F call)
      : loop_(loop), door_(std::move(door)), call_(std::move(call)) {}
  ~StoreCall() { shared_->caller = nullptr; }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    frame = handle;
    shared_->caller = this;
    call_(typename Store::Done<T>([shared = shared_, door = door_](Result<T> result) {
      auto answer = std::make_shared<Result<T>>(std::move(result));
      door->Post([shared, answer] {
        if (shared->caller != nullptr) shared->caller->Take(std::move(*answer));
      });
    }));
  }
  Result<T> await_resume() { return std::move(*result_); }

 private:
  struct Shared {
    StoreCall* caller = nullptr;  // used on the loop's thread only
  };
  void Take(Result<T> result) {
    result_ = std::move(result);
    loop_.Ready(*this);
  }

  Loop& loop_;
  std::shared_ptr<LoopDoor> door_;
  F call_;
  std::optional<Result<T>> result_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

// `door` leads to `loop`, on whose thread the caller runs.
template <class T, class F>
StoreCall<T, F> CallStore(Loop& loop, std::shared_ptr<LoopDoor> door, F call) {
  return StoreCall<T, F>(loop, std::move(door), std::move(call));
}

}  // namespace relay
