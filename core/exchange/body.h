// SPDX-License-Identifier: MIT
// A request's body in one piece.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/base/buffer.h"

namespace relay {

// Grows in one block, so that it can be scanned once and sent by writev. The block has spare
// bytes behind the text, as vectorised scanners need.
class Body {
 public:
  static constexpr size_t kSpare = 64;
  Body() = default;
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;
  ~Body() { Clear(); }

  // Room for `size` bytes in all, when it was announced.
  void Reserve(size_t size);
  void Append(std::string_view bytes);
  std::string_view view() const;
  size_t size() const { return size_; }
  Chunk chunk() const;  // keeps the bytes alive beyond Clear()
  void Clear();
  bool loaded = false;

 private:
  Block* block_ = nullptr;
  size_t size_ = 0;
};

}  // namespace relay
