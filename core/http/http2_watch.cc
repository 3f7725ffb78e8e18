// SPDX-License-Identifier: MIT
#include "core/http/http2_watch.h"

#include <algorithm>
#include <cstring>

namespace relay {
namespace {

constexpr size_t kMostContinuations = 8;

}  // namespace

bool TokenBucket::Take(TimePoint now) {
  if (last_ != TimePoint()) {
    double passed = std::chrono::duration<double>(now - last_).count();
    tokens_ = std::min(burst_, tokens_ + passed * per_second_);
  }
  last_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

size_t FrameReader::Next(std::string_view bytes, bool& begun) {
  begun = false;
  if (preface_ > 0) {
    size_t part = std::min(preface_, bytes.size());
    preface_ -= part;
    return part;
  }
  size_t used = 0;
  if (have_ < raw_.size()) {
    used = std::min(raw_.size() - have_, bytes.size());
    std::memcpy(raw_.data() + have_, bytes.data(), used);
    have_ += used;
    if (have_ < raw_.size()) return used;
    auto at = [this](size_t i) { return static_cast<uint32_t>(raw_[i]); };
    header_.length = at(0) << 16 | at(1) << 8 | at(2);
    header_.type = raw_[3];
    header_.flags = raw_[4];
    header_.stream = (at(5) << 24 | at(6) << 16 | at(7) << 8 | at(8)) & 0x7fffffff;
    left_ = header_.length;
    begun = true;
  }
  size_t payload = std::min(left_, bytes.size() - used);
  left_ -= payload;
  if (left_ == 0) have_ = 0;
  return used + payload;
}

std::optional<Http2Error> FrameWatch::OnFrame(const FrameHeader& header, bool known) {
  if (!NoteStream(header, known)) return Http2Error::kProtocol;
  if (!Endure(header, known)) return Http2Error::kEnhanceYourCalm;
  return std::nullopt;
}

bool FrameWatch::NoteStream(const FrameHeader& header, bool known) {
  begins_ = false;
  if (!peer_opens_ || !header.is(FrameType::kHeaders) || known) return true;
  if (header.stream > newest_) {
    // RFC 9113 §5.1.1: with it all before it that were not opened are closed. The library remembers
    // too little to tell them from those whose last frames crossed a reset of ours.
    skipped_ = header.stream - newest_ - 1;
    newest_ = header.stream;
    begins_ = true;
    return true;
  }
  return header.stream == newest_ || header.stream < newest_ - skipped_;
}

bool FrameWatch::Endure(const FrameHeader& header, bool known) {
  if (header.type > static_cast<uint8_t>(FrameType::kContinuation)) return CountOddity();
  switch (static_cast<FrameType>(header.type)) {
    case FrameType::kHeaders:
    case FrameType::kContinuation: return OnBlock(header, known);
    case FrameType::kData:
      return (known && (header.length > 0 || header.end_stream())) || CountOddity();
    case FrameType::kReset: return known || CountOddity();
    case FrameType::kWindowUpdate: return known || header.stream == 0 || CountOddity();
    case FrameType::kSettings: return header.ack() || settings_.Take(clock_.Now()) || CountOddity();
    case FrameType::kPing:
      if (!header.ack()) return ping_rate_.Take(clock_.Now()) || CountOddity();
      if (pings_ == 0) return CountOddity();
      --pings_;
      return true;
    case FrameType::kPriority: return CountOddity();
    case FrameType::kPushPromise:  // never allowed by us: the library ends the connection
    case FrameType::kGoAway: return true;
  }
  return true;
}

bool FrameWatch::OnBlock(const FrameHeader& header, bool known) {
  in_block_ = !header.end_headers();
  if (header.is(FrameType::kHeaders)) {
    continued_ = 0;
    continuations_ = 0;
    return known || begins_ || CountOddity();
  }
  continued_ += header.length;
  return ++continuations_ <= kMostContinuations && continued_ <= continued_bytes_;
}

bool FrameWatch::CountOddity() {
  return oddities_.Take(clock_.Now());
}

}  // namespace relay
