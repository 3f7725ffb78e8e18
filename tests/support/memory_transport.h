// SPDX-License-Identifier: MIT
// A connection without sockets: two transports, and between them a line whose buffers are bounded
// as a kernel's are. Nothing moves but by Step(), in pieces that the test chooses; it may be held,
// ended and broken at any place.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "core/async/loop.h"
#include "core/net/transport.h"

namespace relay {

class MemoryTransport;

class MemoryLine {
 public:
  enum Side : uint8_t { kClient, kServer };

  // `alpn`: what a TLS handshake would have chosen.
  explicit MemoryLine(Loop& loop, std::string alpn = "") : alpn_(std::move(alpn)), loop_(loop) {}
  MemoryLine(const MemoryLine&) = delete;
  MemoryLine& operator=(const MemoryLine&) = delete;
  ~MemoryLine();

  // That side's end, once. The line outlives it, or it is dead from then on.
  std::unique_ptr<MemoryTransport> Take(Side side);
  // Each end reads one piece, if it reads; what was written before goes on. False: nothing moved.
  bool Step();
  // That side is told that the connection broke, whatever is on its way.
  void Break(Side side, Fault fault = Fault::kReset);
  // That side's end was destroyed.
  bool gone(Side side) const { return ends_[side].taken && ends_[side].transport == nullptr; }
  // Calls of Write that brought something, for tests that count system calls.
  int writes(Side side) const { return ends_[side].writes; }
  // Bytes that reached that side, and those that still are on their way to it.
  uint64_t arrived(Side side) const { return ends_[side].arrived; }
  size_t in_flight(Side side) const { return ends_[side].inbox.size(); }

  // How many of the waiting bytes come with the next read; all by default.
  std::function<size_t(size_t)> cut = [](size_t waiting) { return waiting; };
  // Of each direction's buffer; a write that does not fit is taken in part.
  size_t capacity = size_t{64} << 10;
  // That side's kernel: reads nothing while true, as a peer that has stopped.
  std::array<bool, 2> asleep{};

 private:
  friend class MemoryTransport;
  struct End {
    MemoryTransport* transport = nullptr;
    bool taken = false;
    Buffer inbox;
    bool fin = false;  // after inbox
    int writes = 0;
    uint64_t arrived = 0;
  };
  bool StepEnd(Side side);

  std::string alpn_;
  Loop& loop_;
  std::array<End, 2> ends_;
};

class MemoryTransport final : public Transport, private Flushable {
 public:
  MemoryTransport(MemoryLine& line, MemoryLine::Side side) : line_(&line), side_(side) {}
  ~MemoryTransport() override {
    if (line_ == nullptr) return;
    MemoryLine::End& peer = line_->ends_[1 - side_];
    MemoryLine::End& self = line_->ends_[side_];
    self.transport = nullptr;
    peer.fin = true;
    bool reset = !pending_.empty() || !self.inbox.empty();
    self.inbox.Clear();
    if (reset && peer.transport != nullptr) peer.transport->Fail(Fault::kReset);
  }

  void Start(TransportEvents& events) override {
    events_ = &events;
    end_told_ = false;
    if (broken_ || eof_) line_->loop_.FlushLater(*this);
  }
  void Stop() override { events_ = nullptr; }
  void Write(Buffer& from) override {
    if (from.empty()) return;
    ++line_->ends_[side_].writes;
    MemoryLine::End& peer = line_->ends_[1 - side_];
    if (!broken_ && peer.taken && peer.transport == nullptr) Fail(Fault::kReset);
    if (broken_ || no_more_writes_) {
      from.Clear();
      return;
    }
    pending_.Append(from);
    Push();
    if (pending_.size() > kHighWater) above_ = true;
  }
  size_t Pending() const override { return pending_.size(); }
  void PauseReads(Pause reason) override { paused_ |= static_cast<uint8_t>(reason); }
  void ResumeReads(Pause reason) override {
    paused_ &= static_cast<uint8_t>(~static_cast<unsigned>(reason));
  }
  void ShutdownWrites() override {
    no_more_writes_ = true;
    Push();
  }
  std::string_view alpn() const override { return line_->alpn_; }
  std::string_view peer() const override { return "192.0.2.1:4711"; }
  bool paused() const { return paused_ != 0; }

 private:
  friend class MemoryLine;
  void Fail(Fault fault) {
    if (broken_) return;
    broken_ = true;
    end_told_ = false;
    pending_.Clear();
    why_ = Error{side_ == MemoryLine::kClient ? Party::kUpstream : Party::kClient, fault,
                 "the line broke", true};
    line_->loop_.FlushLater(*this);
  }
  void Flush() override {
    if (events_ == nullptr || end_told_) return;
    end_told_ = true;
    if (broken_) {
      events_->OnBroken(why_);
    } else {
      events_->OnEof();
    }
  }
  // Moves what fits into the line's buffer.
  bool Push() {
    MemoryLine::End& peer = line_->ends_[1 - side_];
    size_t before = pending_.size();
    while (!pending_.empty() && peer.inbox.size() < line_->capacity) {
      peer.inbox.Append(pending_.Pop(line_->capacity - peer.inbox.size()));
    }
    if (pending_.empty() && no_more_writes_ && !peer.fin) {
      peer.fin = true;
      return true;
    }
    return pending_.size() != before;
  }

  MemoryLine* line_;
  MemoryLine::Side side_;
  TransportEvents* events_ = nullptr;
  Buffer pending_;
  Error why_;
  uint8_t paused_ = 0;
  bool above_ = false;
  bool eof_ = false;
  bool hung_up_ = false;
  bool broken_ = false;
  bool end_told_ = false;
  bool no_more_writes_ = false;
};

inline MemoryLine::~MemoryLine() {
  for (End& end : ends_) {
    if (end.transport != nullptr) end.transport->line_ = nullptr;
  }
}

inline std::unique_ptr<MemoryTransport> MemoryLine::Take(Side side) {
  auto transport = std::make_unique<MemoryTransport>(*this, side);
  ends_[side].transport = transport.get();
  ends_[side].taken = true;
  return transport;
}

inline bool MemoryLine::Step() {
  bool client = StepEnd(kClient);
  bool server = StepEnd(kServer);
  return client || server;
}

inline bool MemoryLine::StepEnd(Side side) {
  End& end = ends_[side];
  MemoryTransport* at = end.transport;
  if (at == nullptr) {
    end.inbox.Clear();
    return false;
  }
  bool moved = at->Push();
  if (at->above_ && at->pending_.size() < Transport::kLowWater) {
    at->above_ = false;
    if (at->events_ != nullptr) at->events_->OnDrained();
  }
  bool reads = at->events_ != nullptr && at->paused_ == 0 && !at->eof_ && !at->broken_;
  if (!reads && side == kServer && end.fin && at->events_ != nullptr && !at->eof_ &&
      !std::exchange(at->hung_up_, true)) {
    at->events_->OnHangup();
    return true;
  }
  if (!reads || asleep[side]) return moved;
  if (!end.inbox.empty()) {
    std::span<char> space = ReadArea::Get().Space();
    size_t most = std::min(space.size(), end.inbox.size());
    size_t size = std::clamp<size_t>(cut(most), 1, most);
    for (size_t at_byte = 0; at_byte < size;) {
      Chunk piece = end.inbox.Pop(size - at_byte);
      std::memcpy(space.data() + at_byte, piece.data(), piece.size());
      at_byte += piece.size();
    }
    end.arrived += size;
    at->events_->OnBytes(ReadArea::Get().Take(size));
    return true;
  }
  if (!end.fin) return moved;
  at->eof_ = true;
  at->end_told_ = true;
  at->events_->OnEof();
  return true;
}

inline void MemoryLine::Break(Side side, Fault fault) {
  if (ends_[side].transport != nullptr) ends_[side].transport->Fail(fault);
}

}  // namespace relay
