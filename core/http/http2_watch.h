// SPDX-License-Identifier: MIT
// Looks at every frame that a peer sends before the HTTP/2 library does, the ignored ones too, and
// counts what nobody needs to send: a peer that costs more than it may is cut off (R22-R24).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/base/clock.h"

namespace relay {

// RFC 9113 §7, those that we send or tell apart.
enum class Http2Error : uint32_t {
  kNone = 0x0,
  kProtocol = 0x1,
  kInternal = 0x2,
  kRefusedStream = 0x7,
  kCancel = 0x8,
  kEnhanceYourCalm = 0xb,
};

// Allows `burst` events at once and `per_second` in the long run.
class TokenBucket {
 public:
  TokenBucket(double burst, double per_second)
      : burst_(burst), per_second_(per_second), tokens_(burst) {}
  bool Take(TimePoint now);

 private:
  double burst_;
  double per_second_;
  double tokens_;
  TimePoint last_{};
};

// RFC 9113 §6.
enum class FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kReset = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};

// RFC 9113 §4.1.
struct FrameHeader {
  uint32_t length = 0;
  uint8_t type = 0;  // a FrameType, or one that nobody knows
  uint8_t flags = 0;
  uint32_t stream = 0;

  bool is(FrameType known) const { return type == static_cast<uint8_t>(known); }
  bool ack() const { return (flags & 0x1) != 0; }          // SETTINGS, PING
  bool end_stream() const { return (flags & 0x1) != 0; }   // DATA, HEADERS
  bool end_headers() const { return (flags & 0x4) != 0; }  // HEADERS, CONTINUATION
};

// Cuts bytes into frames without keeping them.
class FrameReader {
 public:
  // `preface`: bytes at the connection's begin that are no frame.
  explicit FrameReader(size_t preface) : preface_(preface) {}

  // How many bytes at the front of `bytes` (not empty) belong to one frame, or to its rest.
  // `begun` says whether its header became complete with them: see header().
  size_t Next(std::string_view bytes, bool& begun);
  const FrameHeader& header() const { return header_; }
  // Some of a header block's frame came, and not all of it.
  bool in_block() const {
    return left_ > 0 && (header_.is(FrameType::kHeaders) || header_.is(FrameType::kContinuation));
  }

 private:
  size_t preface_;
  FrameHeader header_;
  std::array<unsigned char, 9> raw_{};
  size_t have_ = 0;  // bytes of the header
  size_t left_ = 0;  // bytes of the payload
};

// What a peer may do that costs us more than it does any good.
class FrameWatch {
 public:
  // `peer_opens`: the peer is a client, whose HEADERS may begin streams. `continued_bytes`: bound
  // of what CONTINUATION adds to one header block, compressed.
  FrameWatch(const Clock& clock, bool peer_opens, size_t continued_bytes)
      : clock_(clock), peer_opens_(peer_opens), continued_bytes_(continued_bytes) {}

  // One frame's header; `known`: its stream is open. The connection must end with what is returned.
  std::optional<Http2Error> OnFrame(const FrameHeader& header, bool known);
  // Something odd that only the payload shows. False: the connection must end.
  bool CountOddity();
  // The peer took a stream back, or made us do it. False: the connection must end.
  bool CountReset() { return resets_.Take(clock_.Now()); }
  // A PING that we send will be answered.
  void OnPingSent() { ++pings_; }
  // A header block has begun, and its last frame has not.
  bool in_block() const { return in_block_; }

 private:
  // False: more than may be endured.
  bool Endure(const FrameHeader& header, bool known);
  bool OnBlock(const FrameHeader& header, bool known);
  // Remembers the stream if the frame begins one. False: none can have been closed by either side.
  bool NoteStream(const FrameHeader& header, bool known);

  const Clock& clock_;
  const bool peer_opens_;
  const size_t continued_bytes_;
  size_t continued_ = 0;
  size_t continuations_ = 0;
  size_t pings_ = 0;
  bool in_block_ = false;
  bool begins_ = false;   // this frame's stream
  uint32_t newest_ = 0;   // stream that the peer opened
  uint32_t skipped_ = 0;  // as many before the newest one were never opened
  TokenBucket resets_{100, 20};
  TokenBucket settings_{10, 10};
  TokenBucket ping_rate_{10, 10};
  TokenBucket oddities_{1000, 100};
};

}  // namespace relay
