// SPDX-License-Identifier: MIT
#include "core/async/loop.h"

#include <uv.h>

#include <algorithm>
#include <thread>

namespace relay {

struct Loop::Handles {
  uv_loop_t loop{};
  uv_prepare_t prepare{};
  uv_check_t check{};
  uv_idle_t idle{};  // active only while work is left outside the poll phase
  uv_timer_t timer{};
  uv_async_t async{};
  std::atomic<std::thread::id> thread{};
};

namespace {

Loop& Of(void* data) {
  return *static_cast<Loop*>(data);
}

template <class Handle>
uv_handle_t* AsHandle(Handle& handle) {
  return reinterpret_cast<uv_handle_t*>(&handle);  // libuv's own way of inheritance
}

}  // namespace

Loop::Loop(const Clock& clock)
    : clock_(clock), wheel_(clock), handles_(std::make_unique<Handles>()) {
  Handles& h = *handles_;
  uv_ = &h.loop;
  uv_loop_init(uv_);
  for (uv_handle_t* handle : {AsHandle(h.prepare), AsHandle(h.check), AsHandle(h.idle),
                              AsHandle(h.timer), AsHandle(h.async)}) {
    handle->data = this;
  }
  uv_prepare_init(uv_, &h.prepare);
  uv_prepare_start(&h.prepare, [](uv_prepare_t* handle) {
    Loop& self = Of(handle->data);
    // What timers and idle marked is drained before the loop may block.
    self.Drain();
    self.RearmTimer();
    self.wheel_.Stale();
    self.polling_ = true;
  });
  uv_check_init(uv_, &h.check);
  uv_check_start(&h.check, [](uv_check_t* handle) {
    Loop& self = Of(handle->data);
    self.polling_ = false;
    self.Drain();
  });
  uv_idle_init(uv_, &h.idle);
  uv_timer_init(uv_, &h.timer);
  uv_async_init(uv_, &h.async, [](uv_async_t* handle) { Of(handle->data).RunPosted(); });
}

Loop::~Loop() {
  Handles& h = *handles_;
  graves_.clear();
  while (Orphan* orphan = orphans_.PopFront()) delete orphan;
  for (uv_handle_t* handle : {AsHandle(h.prepare), AsHandle(h.check), AsHandle(h.idle),
                              AsHandle(h.timer), AsHandle(h.async)}) {
    uv_close(handle, nullptr);
  }
  uv_run(uv_, UV_RUN_DEFAULT);
  graves_.clear();
  uv_loop_close(uv_);
}

void Loop::Run() {
  handles_->thread = std::this_thread::get_id();
  while (!stopping_) {
    uv_run(uv_, UV_RUN_ONCE);
  }
  Drain();
  handles_->thread = std::thread::id();
}

void Loop::Stop() {
  stopping_ = true;
  uv_async_send(&handles_->async);
}

void Loop::Turn() {
  handles_->thread = std::this_thread::get_id();
  wheel_.Advance();
  uv_run(uv_, UV_RUN_NOWAIT);
  Drain();
}

void Loop::Wake() {
  if (polling_ || draining_ || uv_is_active(AsHandle(handles_->idle)) != 0) return;
  uv_idle_start(&handles_->idle, [](uv_idle_t* handle) { uv_idle_stop(handle); });
}

void Loop::Ready(Waiter& waiter) {
  ready_.PushBack(waiter);
  Wake();
}

void Loop::Bury(std::unique_ptr<Mortal> corpse) {
  graves_.push_back(std::move(corpse));
  Wake();
}

void Loop::FlushLater(Flushable& item) {
  flush_.PushBack(item);
  Wake();
}

void Loop::FlushFirst(Flushable& item) {
  flush_.PushFront(item);
  Wake();
}

void Loop::Post(std::function<void()> job) {
  {
    std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(job));
  }
  uv_async_send(&handles_->async);
}

bool Loop::OnThisThread() const {
  return handles_->thread.load() == std::this_thread::get_id();
}

void Loop::RunPosted() {
  std::vector<std::function<void()>> jobs;
  {
    std::lock_guard lock(posted_mutex_);
    jobs.swap(posted_);
  }
  for (auto& job : jobs) job();
}

void Loop::Drain() {
  if (draining_) return;
  draining_ = true;
  while (true) {
    if (!graves_.empty()) {
      std::vector<std::unique_ptr<Mortal>> dying;
      dying.swap(graves_);
      dying.clear();
    } else if (Waiter* waiter = ready_.PopFront()) {
      waiter->frame.resume();
    } else if (Flushable* item = flush_.front()) {
      item->Unlink();
      item->Flush();
    } else {
      break;
    }
  }
  draining_ = false;
}

void Loop::RearmTimer() {
  std::optional<TimePoint> next = wheel_.Next();
  if (!next) return;  // a timer set earlier fires once in vain
  if (timer_set_ && timer_set_for_ <= *next) return;
  timer_set_ = true;
  timer_set_for_ = *next;
  auto wait = std::chrono::ceil<std::chrono::milliseconds>(*next - clock_.Now());
  uv_update_time(uv_);
  uv_timer_start(
      &handles_->timer,
      [](uv_timer_t* handle) {
        Loop& self = Of(handle->data);
        self.timer_set_ = false;
        self.wheel_.Advance();
      },
      static_cast<uint64_t>(std::max<int64_t>(wait.count(), 0)), 0);
}

}  // namespace relay
