// SPDX-License-Identifier: MIT
// Decodes gzip and deflate (RFC 9110 §8.4.1) beside the traffic, within bounds: what would cost
// more than it can be worth is given up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace relay {

class Inflater {
 public:
  // Output beyond these is refused: in all, and as a multiple of the input once 1 MiB has come.
  static constexpr uint64_t kMostOutput = uint64_t{256} << 20;
  static constexpr uint64_t kMostRatio = 100;
  static constexpr uint64_t kFreeOutput = uint64_t{1} << 20;

  // By the Content-Encoding; null for one that is not read here (br, zstd, several at once).
  static std::unique_ptr<Inflater> Make(std::string_view encoding);
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Takes bytes from the front of `in` and decodes them into `room`, which must not be empty;
  // returns how much of it. Call it again until it gives nothing: then `in` is used up.
  size_t Next(std::string_view& in, std::span<char> room);
  // The data was wrong or over the bounds: nothing more is decoded, all input is taken.
  bool failed() const { return state_ == State::kFailed; }

 private:
  enum class Kind : uint8_t { kGzip, kDeflate };
  enum class State : uint8_t { kStart, kRunning, kBetween, kFailed };
  struct Zlib;

  explicit Inflater(Kind kind);
  bool Begin(char first);

  std::unique_ptr<Zlib> zlib_;
  uint64_t taken_ = 0;
  uint64_t given_ = 0;
  Kind kind_;
  State state_ = State::kStart;
};

}  // namespace relay
