// SPDX-License-Identifier: MIT
#include "core/base/buffer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace relay {
namespace {

constexpr size_t kReadBlock = size_t{64} << 10;
constexpr size_t kLeastRead = size_t{16} << 10;
constexpr size_t kCopyBlock = size_t{4} << 10;

// The thread's block for small copies: carved from the front, started anew when nobody holds it.
struct CopyArea {
  Block* block = nullptr;
  size_t used = 0;
  ~CopyArea() {
    if (block != nullptr) block->Unref();
  }
};

}  // namespace

Block* Block::Make(size_t capacity) {
  void* memory = std::malloc(sizeof(Block) + capacity);
  if (memory == nullptr) throw std::bad_alloc();
  return new (memory) Block(capacity);
}

void Block::Unref() {
  if (--count_ == 0) std::free(this);
}

Chunk Chunk::Copy(std::string_view bytes) {
  if (bytes.empty()) return {};
  if (bytes.size() > kCopyBlock / 2) {
    Block* own = Block::Make(bytes.size());
    std::memcpy(own->data(), bytes.data(), bytes.size());
    Chunk chunk(own, own->data(), bytes.size());
    own->Unref();
    return chunk;
  }
  thread_local CopyArea area;
  if (area.block != nullptr && !area.block->shared()) area.used = 0;
  if (area.block == nullptr || kCopyBlock - area.used < bytes.size()) {
    if (area.block != nullptr) area.block->Unref();
    area.block = Block::Make(kCopyBlock);
    area.used = 0;
  }
  char* at = area.block->data() + area.used;
  std::memcpy(at, bytes.data(), bytes.size());
  area.used += bytes.size();
  return Chunk(area.block, at, bytes.size());
}

ReadArea& ReadArea::Get() {
  thread_local ReadArea area;
  return area;
}

ReadArea::~ReadArea() {
  if (block_ != nullptr) block_->Unref();
}

std::span<char> ReadArea::Space() {
  if (block_ != nullptr && !block_->shared()) used_ = 0;
  if (block_ == nullptr || kReadBlock - used_ < kLeastRead) {
    if (block_ != nullptr) block_->Unref();
    block_ = Block::Make(kReadBlock);
    used_ = 0;
  }
  return {block_->data() + used_, kReadBlock - used_};
}

Chunk ReadArea::Take(size_t n) {
  Chunk chunk(block_, block_->data() + used_, n);
  used_ += n;
  return chunk;
}

void Buffer::Append(Chunk chunk) {
  if (chunk.empty()) return;
  size_ += chunk.size();
  chunks_.push_back(std::move(chunk));
}

void Buffer::Append(Buffer& other) {
  if (empty()) {
    std::swap(chunks_, other.chunks_);
    std::swap(head_, other.head_);
    std::swap(size_, other.size_);
    other.Clear();
    return;
  }
  for (size_t i = other.head_; i < other.chunks_.size(); ++i) Append(std::move(other.chunks_[i]));
  other.Clear();
}

size_t Buffer::Iovecs(std::span<iovec> out) const {
  size_t count = std::min(out.size(), chunks_.size() - head_);
  for (size_t i = 0; i < count; ++i) {
    const Chunk& chunk = chunks_[head_ + i];
    out[i] = {const_cast<char*>(chunk.data()), chunk.size()};
  }
  return count;
}

void Buffer::Consume(size_t n) {
  size_ -= n;
  while (n > 0) {
    Chunk& first = chunks_[head_];
    if (n < first.size()) {
      first.RemovePrefix(n);
      return;
    }
    n -= first.size();
    first = Chunk();
    ++head_;
  }
  if (empty()) Clear();
}

Chunk Buffer::Pop(size_t most) {
  if (empty()) return {};
  Chunk& first = chunks_[head_];
  Chunk taken = first.size() <= most ? first : first.Slice(0, most);
  Consume(taken.size());
  return taken;
}

void Buffer::Compact() {
  for (size_t i = head_; i < chunks_.size(); ++i) {
    Chunk& chunk = chunks_[i];
    if (chunk.pinned() > 4 * chunk.size() && chunk.pinned() > kCopyBlock) {
      chunk = Chunk::Copy(chunk.view());
    }
  }
}

std::string Buffer::ToString() const {
  std::string text;
  text.reserve(size_);
  for (size_t i = head_; i < chunks_.size(); ++i) text.append(chunks_[i].view());
  return text;
}

void Buffer::Clear() {
  // A long queue's memory is given back; a short one's is kept for the next turn.
  constexpr size_t kKeep = 16;
  if (chunks_.capacity() > kKeep) {
    chunks_ = {};
  } else {
    chunks_.clear();
  }
  head_ = 0;
  size_ = 0;
}

}  // namespace relay
