// SPDX-License-Identifier: MIT
// A store that ends with its process: for `store: memory`, and the measure of the others in tests.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "core/store/store.h"

namespace relay {

class MemoryStore final : public Store {
 public:
  std::string_view kind() const override { return "memory"; }
  void Load(Done<LedgerImage> done) override;
  void Flush(std::vector<LedgerFlush> flushes, Done<Flushed> done) override;
  void Fold(std::string epoch, Done<Unit> done) override;
  void Expire(Period kept_from, Done<Unit> done) override;
  void LoadStates(std::string kind, Done<std::vector<StateBlob>> done) override;
  void PutStates(std::vector<StateBlob> blobs, Done<Unit> done) override;
  void LoadObjects(Done<Directory> done) override;
  void WriteObject(ObjectWrite write, Done<ObjectWritten> done) override;

 private:
  struct Epoch {
    int64_t sequence = 0;
    bool folded = false;
    LedgerRows rows;
  };
  using Name = std::pair<std::string, std::string>;  // kind, id

  void FlushLocked(LedgerFlush& flush, Flushed& flushed);

  std::mutex mutex_;
  LedgerRows folded_;
  std::map<std::string, Epoch> epochs_;
  std::deque<LedgerEntry> recent_;
  std::map<Name, std::string> states_;
  std::map<Name, StoredObject> objects_;
  int64_t version_ = 0;
};

}  // namespace relay
