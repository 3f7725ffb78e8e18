// SPDX-License-Identifier: MIT
// The embedded store: SQLite in one file of the data folder. A thread of its own does the work, so
// that no caller waits for a disk. Committed is what a crash of the process leaves; a power cut may
// take the last flushes, which the journal still has.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "core/store/store.h"

namespace relay {

class SqliteStore final : public Store {
 public:
  // Of the tables. A file with a newer one is refused, an older one is brought up to date.
  static constexpr int64_t kSchema = 1;

  // Opens or makes the file and looks through it. Errors name the file and say what to do: damaged,
  // not a relay's, a newer relay's; and, retryable, those of the disk: no right, no space.
  static Result<std::unique_ptr<Store>> Open(const std::string& path);
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;
  ~SqliteStore() override;

  std::string_view kind() const override { return "embedded"; }
  void Load(Done<LedgerImage> done) override;
  void Flush(std::vector<LedgerFlush> flushes, Done<Flushed> done) override;
  void Fold(std::string epoch, Done<Unit> done) override;
  void Expire(Period kept_from, Done<Unit> done) override;
  void LoadStates(std::string kind, Done<std::vector<StateBlob>> done) override;
  void PutStates(std::vector<StateBlob> blobs, Done<Unit> done) override;
  void LoadObjects(Done<Directory> done) override;
  void WriteObject(ObjectWrite write, Done<ObjectWritten> done) override;

 private:
  class Tables;
  explicit SqliteStore(std::unique_ptr<Tables> tables);
  // Runs `work` on the thread and gives `done` its result.
  template <class T>
  void Do(std::function<Result<T>(Tables&)> work, Done<T> done);
  void Serve();

  std::unique_ptr<Tables> tables_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace relay
