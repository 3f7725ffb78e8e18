// SPDX-License-Identifier: MIT
// Task<T>: a lazy coroutine owned by the frame that awaits it. Destroying a Task destroys its
// frame and, with it, all that it waits for: that is what cancelling means here.
//
// The five rules (core/README.md) hold for every coroutine: only the loop resumes, graves first,
// awaitables are Waiters, one co_await a statement, parameters are values or outlive the exchange.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "core/base/error.h"

namespace relay {

template <class T = Unit>
class Task;

namespace internal {

// Runs when a task's body has ended: resumes its parent if that one really suspended.
struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    auto& promise = frame.promise();
    if (promise.on_done != nullptr) promise.on_done(promise.on_done_arg);
    return promise.parent ? promise.parent : std::noop_coroutine();
  }
  void await_resume() const noexcept {}
};

template <class T>
struct Promise {
  std::coroutine_handle<> parent;  // set once the parent has suspended
  void (*on_done)(void*) noexcept = nullptr;
  void* on_done_arg = nullptr;
  std::optional<T> value;
  std::exception_ptr thrown;

  Task<T> get_return_object() noexcept;
  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  template <class U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  void unhandled_exception() noexcept { thrown = std::current_exception(); }
};

}  // namespace internal

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using Frame = std::coroutine_handle<promise_type>;

  Task() = default;
  // A task that is done already: a function that need not wait says `return`, and no frame is made.
  Task(T value) : ready_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  explicit Task(Frame frame) : frame_(frame) {}
  Task(Task&& other) noexcept
      : frame_(std::exchange(other.frame_, {})), ready_(std::move(other.ready_)) {}
  Task& operator=(Task&& other) noexcept {
    Task old(std::move(*this));
    frame_ = std::exchange(other.frame_, {});
    ready_ = std::move(other.ready_);
    return *this;
  }
  ~Task() {
    if (frame_) frame_.destroy();
  }

  // Like Start, but the loop makes the first step, from its own phase. `waiter` lives as long as
  // this task.
  template <class LoopType, class WaiterType>
  void StartOn(LoopType& loop, WaiterType& waiter, void (*on_done)(void*) noexcept, void* arg) {
    frame_.promise().on_done = on_done;
    frame_.promise().on_done_arg = arg;
    waiter.frame = frame_;
    loop.Ready(waiter);
  }

  // Starts a task that nobody awaits. `on_done(arg)` runs in its last step, while the frame is
  // still there: it may bury the frame's owner, never destroy it.
  void Start(void (*on_done)(void*) noexcept, void* arg) {
    if (!frame_) {
      on_done(arg);
      return;
    }
    frame_.promise().on_done = on_done;
    frame_.promise().on_done_arg = arg;
    frame_.resume();
  }
  bool done() const { return !frame_ || frame_.done(); }
  // What a started task threw, if it did; only when done().
  std::exception_ptr thrown() const { return frame_ ? frame_.promise().thrown : nullptr; }

  bool await_ready() const noexcept { return !frame_; }
  // Runs the child here and goes on at once when it did not wait: no stack growth in loops of
  // ready awaits, which symmetric transfer does not promise without optimisation.
  bool await_suspend(std::coroutine_handle<> parent) {
    frame_.resume();
    if (frame_.done()) return false;
    frame_.promise().parent = parent;
    return true;
  }
  T await_resume() {
    if (!frame_) return std::move(*ready_);
    if (frame_.promise().thrown) std::rethrow_exception(frame_.promise().thrown);
    return std::move(*frame_.promise().value);
  }

 private:
  Frame frame_;
  std::optional<T> ready_;
};

template <class T>
Task<T> internal::Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}

}  // namespace relay
