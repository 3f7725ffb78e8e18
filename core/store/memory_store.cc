// SPDX-License-Identifier: MIT
#include "core/store/memory_store.h"

#include <algorithm>

namespace relay {

void MemoryStore::Load(Done<LedgerImage> done) {
  LedgerImage image;
  {
    std::lock_guard lock(mutex_);
    image.folded = folded_.All();
    for (const auto& [name, epoch] : epochs_) {
      if (epoch.folded) {
        image.ended.push_back(name);
      } else {
        image.epochs.push_back({name, epoch.sequence, epoch.rows.All()});
      }
    }
    image.recent.assign(recent_.begin(), recent_.end());
  }
  done(std::move(image));
}

void MemoryStore::FlushLocked(LedgerFlush& flush, Flushed& flushed) {
  Epoch& epoch = epochs_[flush.epoch];
  if (epoch.folded) flushed.ended.push_back({flush.epoch, epoch.sequence});
  if (epoch.folded || flush.sequence < epoch.sequence) return;
  epoch.sequence = flush.sequence;
  epoch.rows.Set(flush.rows);
  for (LedgerEntry& entry : flush.recent) {
    bool known =
        std::ranges::any_of(recent_, [&](const LedgerEntry& e) { return e.id == entry.id; });
    if (known) continue;
    recent_.push_back(std::move(entry));
    if (recent_.size() > kRecent) recent_.pop_front();
  }
}

void MemoryStore::Flush(std::vector<LedgerFlush> flushes, Done<Flushed> done) {
  Flushed flushed;
  {
    std::lock_guard lock(mutex_);
    for (LedgerFlush& flush : flushes) FlushLocked(flush, flushed);
  }
  done(std::move(flushed));
}

void MemoryStore::Fold(std::string epoch, Done<Unit> done) {
  {
    std::lock_guard lock(mutex_);
    Epoch& ended = epochs_[epoch];
    if (!ended.folded) folded_.AddAll(ended.rows.All());
    ended.folded = true;
    ended.rows = LedgerRows();
  }
  done(Unit());
}

void MemoryStore::Expire(Period kept_from, Done<Unit> done) {
  {
    std::lock_guard lock(mutex_);
    folded_.DropBefore(kept_from);
    for (auto& [name, epoch] : epochs_) epoch.rows.DropBefore(kept_from);
  }
  done(Unit());
}

void MemoryStore::LoadStates(std::string kind, Done<std::vector<StateBlob>> done) {
  std::vector<StateBlob> blobs;
  {
    std::lock_guard lock(mutex_);
    for (auto at = states_.lower_bound({kind, ""}); at != states_.end() && at->first.first == kind;
         ++at) {
      blobs.push_back({kind, at->first.second, at->second});
    }
  }
  done(std::move(blobs));
}

void MemoryStore::PutStates(std::vector<StateBlob> blobs, Done<Unit> done) {
  {
    std::lock_guard lock(mutex_);
    for (StateBlob& blob : blobs) {
      Name name(std::move(blob.kind), std::move(blob.id));
      if (blob.value.empty()) {
        states_.erase(name);
      } else {
        states_[std::move(name)] = std::move(blob.value);
      }
    }
  }
  done(Unit());
}

void MemoryStore::LoadObjects(Done<Directory> done) {
  Directory directory;
  {
    std::lock_guard lock(mutex_);
    directory.version = version_;
    for (const auto& [name, object] : objects_) directory.objects.push_back(object);
  }
  done(std::move(directory));
}

void MemoryStore::WriteObject(ObjectWrite write, Done<ObjectWritten> done) {
  ObjectWritten written;
  {
    std::lock_guard lock(mutex_);
    Name name(write.kind, write.id);
    auto at = objects_.find(name);
    int64_t present = at == objects_.end() ? 0 : at->second.version;
    if (present != write.expected) {
      written = {true, present};
    } else if (write.value) {
      written.version = written.directory = ++version_;
      objects_[name] = {write.kind, write.id, written.version, std::move(*write.value)};
    } else if (at != objects_.end()) {
      written.directory = ++version_;
      objects_.erase(at);
    }
  }
  done(written);
}

}  // namespace relay
