// SPDX-License-Identifier: MIT
#include "core/base/buffer.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

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

struct Buffer::Spares {
  static constexpr size_t kMost = 32;
  // A longer one's memory is given back.
  static constexpr size_t kMostChunks = 16;
  std::array<std::unique_ptr<Queue>, kMost> queues;
  size_t count = 0;

  static Spares& Get() {
    thread_local Spares spares;
    return spares;
  }
  Queue* Take() { return count == 0 ? new Queue : queues[--count].release(); }
};

void Buffer::GiveBack::operator()(Queue* queue) const {
  std::unique_ptr<Queue> owned(queue);
  Spares& spares = Spares::Get();
  if (spares.count == Spares::kMost || owned->chunks.capacity() > Spares::kMostChunks) return;
  owned->chunks.clear();
  owned->head = owned->size = 0;
  spares.queues[spares.count++] = std::move(owned);
}

void Buffer::Append(Chunk chunk) {
  if (chunk.empty()) return;
  if (empty()) queue_.reset(Spares::Get().Take());
  queue_->size += chunk.size();
  queue_->chunks.push_back(std::move(chunk));
}

void Buffer::Append(Buffer& other) {
  if (empty()) {
    std::swap(queue_, other.queue_);
    return;
  }
  if (other.empty()) return;
  std::vector<Chunk>& chunks = other.queue_->chunks;
  for (size_t i = other.queue_->head; i < chunks.size(); ++i) Append(std::move(chunks[i]));
  other.Clear();
}

size_t Buffer::Iovecs(std::span<iovec> out) const {
  if (empty()) return 0;
  size_t count = std::min(out.size(), queue_->chunks.size() - queue_->head);
  for (size_t i = 0; i < count; ++i) {
    const Chunk& chunk = queue_->chunks[queue_->head + i];
    out[i] = {const_cast<char*>(chunk.data()), chunk.size()};
  }
  return count;
}

void Buffer::Consume(size_t n) {
  if (n == 0) return;
  queue_->size -= n;
  if (queue_->size == 0) {
    Clear();
    return;
  }
  while (n > 0) {
    Chunk& first = queue_->chunks[queue_->head];
    if (n < first.size()) {
      first.RemovePrefix(n);
      return;
    }
    n -= first.size();
    first = Chunk();
    ++queue_->head;
  }
}

Chunk Buffer::Pop(size_t most) {
  if (empty()) return {};
  Chunk& first = queue_->chunks[queue_->head];
  Chunk taken = first.size() <= most ? first : first.Slice(0, most);
  Consume(taken.size());
  return taken;
}

void Buffer::Compact() {
  if (empty()) return;
  for (size_t i = queue_->head; i < queue_->chunks.size(); ++i) {
    Chunk& chunk = queue_->chunks[i];
    if (chunk.pinned() > 4 * chunk.size() && chunk.pinned() > kCopyBlock) {
      chunk = Chunk::Copy(chunk.view());
    }
  }
}

std::string Buffer::ToString() const {
  std::string text;
  if (empty()) return text;
  text.reserve(size());
  for (size_t i = queue_->head; i < queue_->chunks.size(); ++i) {
    text.append(queue_->chunks[i].view());
  }
  return text;
}

}  // namespace relay
