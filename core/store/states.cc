// SPDX-License-Identifier: MIT
#include "core/store/states.h"

namespace relay {

std::vector<std::string> StateKeeper::kinds() const {
  std::vector<std::string> kinds;
  kinds.reserve(owners_.size());
  for (const StateOwner* owner : owners_) kinds.emplace_back(owner->kind());
  return kinds;
}

void StateKeeper::Restore(std::vector<StateBlob> blobs) {
  for (StateOwner* owner : owners_) {
    std::string kind(owner->kind());
    std::vector<StateBlob> theirs;
    for (StateBlob& blob : blobs) {
      if (blob.kind == kind) theirs.push_back(std::move(blob));
    }
    for (std::string& id : owner->Restore(theirs)) pending_.try_emplace({kind, std::move(id)});
  }
}

std::vector<StateBlob> StateKeeper::Take() {
  // Before the owners are asked: what changes afterwards rings again.
  if (bell_.Take()) {
    std::vector<StateBlob> changed;
    for (StateOwner* owner : owners_) owner->TakeChanged(changed);
    for (StateBlob& blob : changed) {
      pending_[{std::move(blob.kind), std::move(blob.id)}] = std::move(blob.value);
    }
  }
  std::vector<StateBlob> blobs;
  blobs.reserve(pending_.size());
  for (const auto& [name, value] : pending_) blobs.push_back({name.first, name.second, value});
  return blobs;
}

}  // namespace relay
