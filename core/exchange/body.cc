// SPDX-License-Identifier: MIT
#include "core/exchange/body.h"

#include <algorithm>
#include <cstring>

namespace relay {

void Body::Reserve(size_t size) {
  if (block_ != nullptr && block_->capacity() >= size + kSpare) return;
  Block* larger = Block::Make(size + kSpare);
  if (block_ != nullptr) {
    std::memcpy(larger->data(), block_->data(), size_);
    block_->Unref();
  }
  block_ = larger;
}

void Body::Append(std::string_view bytes) {
  size_t needed = size_ + bytes.size();
  if (block_ == nullptr || block_->capacity() < needed + kSpare) {
    Reserve(std::max(needed, size_ * 2));
  }
  std::memcpy(block_->data() + size_, bytes.data(), bytes.size());
  size_ = needed;
}

std::string_view Body::view() const {
  return block_ == nullptr ? std::string_view() : std::string_view(block_->data(), size_);
}

Chunk Body::chunk() const {
  return block_ == nullptr ? Chunk() : Chunk(block_, block_->data(), size_);
}

void Body::Clear() {
  if (block_ != nullptr) block_->Unref();
  block_ = nullptr;
  size_ = 0;
}

}  // namespace relay
