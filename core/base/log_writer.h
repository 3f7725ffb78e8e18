// SPDX-License-Identifier: MIT
// The thread that writes the log's lines, so that nobody else waits for a disk or a terminal.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace relay {

// Thread-safe. Lines gather and are written together, at the latest after a second.
class LogWriter {
 public:
  // Lines that cannot be written as fast as they come: of more bytes the oldest are lost.
  static constexpr size_t kMostWaiting = size_t{1} << 20;
  // Gets whole lines, on the writer's thread.
  using Output = std::function<void(std::string_view lines)>;

  explicit LogWriter(Output output);
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;
  // Writes what waits.
  ~LogWriter();
  // Without its newline. `soon`: it does not wait for others.
  void Add(std::string_view line, bool soon);

 private:
  static constexpr size_t kBatch = size_t{32} << 10;
  void Run();
  void LoseOldestLocked();

  const Output output_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::string waiting_;
  bool soon_ = false;
  bool ends_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace relay
