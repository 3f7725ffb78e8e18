// SPDX-License-Identifier: MIT
// Takes the framing off the bodies of HTTP/1 messages (RFC 9112 §6 and §7). Slices come in,
// slices go out.
#pragma once

#include <cstdint>
#include <optional>

#include "core/base/buffer.h"
#include "core/base/error.h"
#include "core/http/http1_head.h"

namespace relay {

class BodyReader {
 public:
  // `party`: whose fault a broken body is. More payload than `most` is kBodyTooLarge.
  BodyReader(Party party, uint64_t most) : party_(party), most_(most) {}

  // Begins a body; done() at once when there is none.
  void Start(Framing framing, uint64_t length);
  struct Piece {
    Chunk data;                  // payload; empty when all that came was framing
    std::optional<Error> fault;  // met behind the data; feed no more
  };
  // Takes from the front of `bytes` the next piece of payload and the framing around it, so that
  // done() is known with the last piece. Small pieces that come together are joined, by a copy:
  // a slice of a few bytes would hold a whole block, and cost as much as a large one.
  Piece Next(Chunk& bytes);
  bool done() const { return state_ == State::kDone; }
  uint64_t most() const { return most_; }
  // A body that lasts until the connection ends, which it now did. False: it was cut.
  bool EndsByClose() const { return state_ == State::kUntilClose; }
  // Payload that is still to come, where that is known: with kLength.
  uint64_t left() const { return left_; }

 private:
  enum class State : uint8_t {
    kDone,
    kLength,
    kUntilClose,
    kSize,  // chunked, from here on
    kExtension,
    kSizeEnd,
    kData,
    kDataEnd,
    kDataEnd2,
    kTrailer,  // at the begin of a line
    kTrailerName,
    kTrailerValue,
    kTrailerEnd,
    kLastEnd,
  };

  Chunk Cut(Chunk& bytes);
  // Payload stands at the front of `bytes`.
  bool AtData(const Chunk& bytes) const;
  // More payload stands there, small enough to be joined to so much.
  bool AtSmallData(const Chunk& bytes, size_t joined) const;
  Chunk Join(const Chunk& first, Chunk& bytes);
  // These are false after Break().
  bool SkipFraming(Chunk& bytes);
  bool ReadFraming(unsigned char byte);
  bool ReadSize(unsigned char byte);
  bool EndSizeLine();
  bool ReadTrailer(unsigned char byte);
  bool Break(const char* what, Fault fault = Fault::kMalformed);

  const Party party_;
  const uint64_t most_;
  State state_ = State::kDone;
  uint64_t left_ = 0;  // of the body (kLength) or of this chunk (kData)
  uint64_t payload_ = 0;
  uint32_t digits_ = 0;
  uint32_t extension_ = 0;   // bytes in this chunk's
  uint32_t extensions_ = 0;  // in all
  uint32_t trailers_ = 0;
  const char* broken_ = nullptr;
  Fault fault_ = Fault::kMalformed;
};

}  // namespace relay
