// SPDX-License-Identifier: MIT
// Bytes on their way through one worker: refcounted blocks, slices of them (Chunk), and queues of
// slices (Buffer) that go out by writev. Blocks belong to one thread; counts are not atomic.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace relay {

// One allocation: a count, and `capacity` bytes behind it. Freed when the last reference goes.
class Block {
 public:
  static Block* Make(size_t capacity);  // count 1; the caller owns it
  void Ref() { ++count_; }
  void Unref();
  bool shared() const { return count_ > 1; }
  char* data() { return reinterpret_cast<char*>(this + 1); }  // the bytes follow the header
  size_t capacity() const { return capacity_; }

 private:
  explicit Block(size_t capacity) : capacity_(capacity) {}
  size_t capacity_;
  uint32_t count_ = 1;
};

// A slice of a block, or of bytes that live for ever. Cheap to copy and to cut.
class Chunk {
 public:
  Chunk() = default;
  // Takes a reference of its own on `block`.
  Chunk(Block* block, const char* data, size_t size) : block_(block), data_(data), size_(size) {
    if (block_ != nullptr) block_->Ref();
  }
  Chunk(const Chunk& other) : Chunk(other.block_, other.data_, other.size_) {}
  Chunk(Chunk&& other) noexcept : block_(other.block_), data_(other.data_), size_(other.size_) {
    other.block_ = nullptr;
    other.size_ = 0;
  }
  Chunk& operator=(Chunk other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Chunk() {
    if (block_ != nullptr) block_->Unref();
  }

  // Copies into the thread's current small block: no allocation for most calls.
  static Chunk Copy(std::string_view bytes);
  // For literals and other bytes that outlive the program's loops; copies nothing.
  static Chunk Static(std::string_view bytes) { return Chunk(nullptr, bytes.data(), bytes.size()); }

  const char* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::string_view view() const { return {data_, size_}; }
  // The same bytes from `offset`, at most `size` of them.
  Chunk Slice(size_t offset, size_t size) const { return Chunk(block_, data_ + offset, size); }
  void RemovePrefix(size_t n) {
    data_ += n;
    size_ -= n;
  }
  // Bytes of memory that this slice may keep alive.
  size_t pinned() const { return block_ == nullptr ? 0 : block_->capacity(); }

 private:
  Block* block_ = nullptr;
  const char* data_ = nullptr;
  size_t size_ = 0;
};

// Where a thread reads from its sockets. Space that no slice holds on to is used again, so a
// stream of small events allocates nothing and an idle connection holds no buffer.
class ReadArea {
 public:
  static ReadArea& Get();  // the calling thread's
  ReadArea() = default;
  ReadArea(const ReadArea&) = delete;
  ReadArea& operator=(const ReadArea&) = delete;
  ~ReadArea();
  // At least 16 KiB to read into, valid until the next call.
  std::span<char> Space();
  // The first n bytes of the last Space() as a chunk.
  Chunk Take(size_t n);

 private:
  Block* block_ = nullptr;
  size_t used_ = 0;
};

// A queue of chunks. While it is empty it holds nothing: what it needs else is the thread's to
// lend, so that neither idle connections nor busy ones allocate it.
class Buffer {
 public:
  bool empty() const { return queue_ == nullptr; }
  size_t size() const { return empty() ? 0 : queue_->size; }
  void Append(Chunk chunk);
  void AppendCopy(std::string_view bytes) { Append(Chunk::Copy(bytes)); }
  // Moves all of `other` to the end of this; `other` is empty afterwards.
  void Append(Buffer& other);
  // Fills up to out.size() entries from the front; returns how many.
  size_t Iovecs(std::span<iovec> out) const;
  // Drops n bytes from the front; n <= size().
  void Consume(size_t n);
  // Takes the first chunk, cut to at most `most` bytes. Empty when the buffer is.
  Chunk Pop(size_t most = SIZE_MAX);
  const Chunk* front() const { return empty() ? nullptr : &queue_->chunks[queue_->head]; }
  // Copies small slices of large shared blocks, so that what is held for long pins little.
  void Compact();
  std::string ToString() const;  // for tests and short texts
  void Clear() { queue_.reset(); }

 private:
  struct Queue {
    std::vector<Chunk> chunks;  // [head, end) are alive
    size_t head = 0;
    size_t size = 0;  // of all bytes, never 0 while a buffer has it
  };
  struct GiveBack {
    void operator()(Queue* queue) const;
  };
  struct Spares;  // queues that no buffer of the thread has

  std::unique_ptr<Queue, GiveBack> queue_;
};

}  // namespace relay
