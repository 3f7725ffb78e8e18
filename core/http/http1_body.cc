// SPDX-License-Identifier: MIT
#include "core/http/http1_body.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/http/http1_syntax.h"

namespace relay {
namespace {

// R4: more than these is an attack, or a mistake that would be read in two ways.
constexpr uint32_t kMostDigits = 16;
constexpr uint32_t kMostExtension = 1 << 10;
constexpr uint32_t kMostExtensions = 16 << 10;
constexpr uint32_t kMostTrailers = 8 << 10;
// Small pieces that lie within one read are joined, by a copy, up to this size.
constexpr size_t kJoined = size_t{2} << 10;

// The value of a hex digit, or 16.
uint64_t HexValue(unsigned char c) {
  if (c >= '0' && c <= '9') return static_cast<uint64_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint64_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<uint64_t>(c - 'A' + 10);
  return 16;
}

bool IsControl(unsigned char c) {
  return (c < 0x20 && c != '\t') || c == 0x7f;
}

}  // namespace

bool BodyReader::Break(const char* what, Fault fault) {
  broken_ = what;
  fault_ = fault;
  return false;
}

void BodyReader::Start(Framing framing, uint64_t length) {
  left_ = payload_ = 0;
  digits_ = extension_ = extensions_ = trailers_ = 0;
  switch (framing) {
    case Framing::kNone: state_ = State::kDone; break;
    case Framing::kLength:
      left_ = length;
      state_ = length > 0 ? State::kLength : State::kDone;
      break;
    case Framing::kChunked: state_ = State::kSize; break;
    case Framing::kUntilClose: state_ = State::kUntilClose; break;
  }
}

bool BodyReader::AtData(const Chunk& bytes) const {
  return !bytes.empty() &&
         (state_ == State::kData || state_ == State::kLength || state_ == State::kUntilClose);
}

Chunk BodyReader::Cut(Chunk& bytes) {
  if (state_ == State::kUntilClose) return std::exchange(bytes, Chunk());
  auto size = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
  Chunk piece = bytes.Slice(0, size);
  bytes.RemovePrefix(size);
  left_ -= size;
  if (left_ == 0) state_ = state_ == State::kData ? State::kDataEnd : State::kDone;
  return piece;
}

bool BodyReader::SkipFraming(Chunk& bytes) {
  while (!bytes.empty() && !done() && !AtData(bytes)) {
    auto byte = static_cast<unsigned char>(*bytes.data());
    bytes.RemovePrefix(1);
    if (!ReadFraming(byte)) return false;
  }
  return true;
}

bool BodyReader::AtSmallData(const Chunk& bytes, size_t joined) const {
  return broken_ == nullptr && state_ == State::kData && !bytes.empty() &&
         joined + std::min<uint64_t>(left_, bytes.size()) <= kJoined;
}

Chunk BodyReader::Join(const Chunk& first, Chunk& bytes) {
  thread_local std::string joined;
  joined = first.view();
  while (AtSmallData(bytes, joined.size())) {
    joined.append(Cut(bytes).view());
    SkipFraming(bytes);
  }
  return Chunk::Copy(joined);
}

BodyReader::Piece BodyReader::Next(Chunk& bytes) {
  Piece piece;
  if (SkipFraming(bytes) && AtData(bytes)) {
    piece.data = Cut(bytes);
    SkipFraming(bytes);
    if (AtSmallData(bytes, piece.data.size())) piece.data = Join(piece.data, bytes);
  }
  if (broken_ != nullptr) piece.fault = Error{party_, fault_, broken_};
  return piece;
}

bool BodyReader::ReadFraming(unsigned char byte) {
  switch (state_) {
    case State::kSize: return ReadSize(byte);
    case State::kExtension:
      if (byte == '\r') {
        state_ = State::kSizeEnd;
        return true;
      }
      if (IsControl(byte)) return Break("a control byte stands in a chunk's extension");
      ++extensions_;
      if (++extension_ > kMostExtension || extensions_ > kMostExtensions) {
        return Break("the chunks' extensions are too long");
      }
      return true;
    case State::kSizeEnd:
      if (byte != '\n') return Break("a chunk's size does not end in CRLF");
      return EndSizeLine();
    case State::kDataEnd:
    case State::kDataEnd2:
      if (byte != (state_ == State::kDataEnd ? 0x0d : 0x0a)) {
        return Break("a chunk's data do not end where its size says");
      }
      state_ = state_ == State::kDataEnd ? State::kDataEnd2 : State::kSize;
      return true;
    default: return ReadTrailer(byte);
  }
}

bool BodyReader::ReadSize(unsigned char byte) {
  uint64_t digit = HexValue(byte);
  if (digit < 16) {
    if (++digits_ > kMostDigits) return Break("a chunk's size is too long");
    left_ = left_ << 4 | digit;
    return true;
  }
  if (digits_ == 0) return Break("a chunk begins without its size");
  if (byte == '\r') {
    state_ = State::kSizeEnd;
  } else if (byte == ';') {
    ++extensions_;
    state_ = State::kExtension;
  } else {
    return Break("a chunk's size is not a hexadecimal number");
  }
  return true;
}

bool BodyReader::EndSizeLine() {
  digits_ = extension_ = 0;
  if (left_ == 0) {
    state_ = State::kTrailer;
    return true;
  }
  if (left_ > most_ - payload_) {
    return Break("the body is larger than this relay takes", Fault::kBodyTooLarge);
  }
  payload_ += left_;
  state_ = State::kData;
  return true;
}

bool BodyReader::ReadTrailer(unsigned char byte) {
  if (++trailers_ > kMostTrailers) return Break("the trailers are too long");
  bool token = IsToken({reinterpret_cast<const char*>(&byte), 1});
  switch (state_) {
    case State::kTrailer:
      if (byte == '\r') {
        state_ = State::kLastEnd;
      } else if (token) {
        state_ = State::kTrailerName;
      } else {
        return Break("a trailer begins with no name, or is folded");
      }
      return true;
    case State::kTrailerName:
      if (byte == ':') {
        state_ = State::kTrailerValue;
      } else if (!token) {
        return Break("a trailer's name is no token that a colon follows");
      }
      return true;
    case State::kTrailerValue:
      if (byte == '\r') {
        state_ = State::kTrailerEnd;
      } else if (IsControl(byte)) {
        return Break("a control byte stands in a trailer");
      }
      return true;
    default:  // kTrailerEnd, kLastEnd
      if (byte != '\n') return Break("a trailer does not end in CRLF");
      state_ = state_ == State::kLastEnd ? State::kDone : State::kTrailer;
      return true;
  }
}

}  // namespace relay
