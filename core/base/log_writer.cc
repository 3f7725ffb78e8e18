// SPDX-License-Identifier: MIT
#include "core/base/log_writer.h"

#include <chrono>
#include <utility>

namespace relay {

LogWriter::LogWriter(Output output) : output_(std::move(output)), thread_([this] { Run(); }) {}

LogWriter::~LogWriter() {
  {
    std::lock_guard lock(mutex_);
    ends_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void LogWriter::Add(std::string_view line, bool soon) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (waiting_.size() + line.size() >= kMostWaiting) LoseOldestLocked();
    waiting_.append(line);
    waiting_ += '\n';
    soon = soon || waiting_.size() > kBatch;
    wake = soon && !std::exchange(soon_, soon_ || soon);
  }
  if (wake) wake_.notify_one();
}

// A quarter at once, or each further line would move all that waits.
void LogWriter::LoseOldestLocked() {
  size_t end = waiting_.find('\n', waiting_.size() / 4);
  waiting_.erase(0, end == std::string::npos ? end : end + 1);
}

void LogWriter::Run() {
  constexpr std::chrono::seconds kLongest(1);
  std::string lines;
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait_for(lock, kLongest, [this] { return soon_ || ends_; });
    soon_ = false;
    if (waiting_.empty() && ends_) return;
    if (waiting_.empty()) continue;
    std::swap(lines, waiting_);
    lock.unlock();
    output_(lines);
    lines.clear();
    // What a rush needed is given back.
    if (lines.capacity() > 2 * kBatch) lines.shrink_to_fit();
    lock.lock();
  }
}

}  // namespace relay
