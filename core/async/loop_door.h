// SPDX-License-Identifier: MIT
// A way to a loop for threads that may outlive it: a store answers when it can, and by then the
// loop that asked may be gone.
#pragma once

#include <functional>
#include <mutex>
#include <utility>

#include "core/async/loop.h"

namespace relay {

// Shared by the loop's owner, who closes it before the loop dies, and by whoever posts.
class LoopDoor {
 public:
  explicit LoopDoor(Loop& loop) : loop_(&loop) {}
  // From any thread. False, and `job` is dropped, once the door is closed.
  bool Post(std::function<void()> job) {
    std::lock_guard lock(mutex_);
    if (loop_ == nullptr) return false;
    loop_->Post(std::move(job));
    return true;
  }
  // Asked on the loop's thread: whether what was posted earlier still finds its owner.
  bool open() {
    std::lock_guard lock(mutex_);
    return loop_ != nullptr;
  }
  // Nothing is posted once this has returned.
  void Close() {
    std::lock_guard lock(mutex_);
    loop_ = nullptr;
  }

 private:
  std::mutex mutex_;
  Loop* loop_;
};

}  // namespace relay
