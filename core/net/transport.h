// SPDX-License-Identifier: MIT
// A byte stream to one peer, plain or TLS, as HTTP connections see it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/buffer.h"
#include "core/base/error.h"

namespace relay {

// Told by a transport, from the loop's poll phase or a flush, never from inside a call of its
// methods. The receiver may call any of them here but must not delete it: it buries its owner.
class TransportEvents {
 public:
  // The chunk may be kept; it is a slice of the thread's read area.
  virtual void OnBytes(Chunk bytes) = 0;
  // The peer will send no more. Writing still works.
  virtual void OnEof() = 0;
  // The peer has ended its side while reads are paused: bytes may stand before that end. Told to
  // the server's side only, where it means that the client has gone; once.
  virtual void OnHangup() {}
  // The transport is dead (reset, time-out, TLS error). Told once; nothing follows.
  virtual void OnBroken(Error why) = 0;
  // What waits to be sent fell below kLowWater after having been above kHighWater.
  virtual void OnDrained() = 0;

 protected:
  ~TransportEvents() = default;
};

// Why a transport does not read. It reads only when no reason is left.
enum class Pause : uint8_t { kStream = 1, kOutput = 2, kMemory = 4, kDrain = 8 };

class Transport {
 public:
  static constexpr size_t kHighWater = size_t{64} << 10;
  static constexpr size_t kLowWater = size_t{16} << 10;

  // Destruction closes at once (RST if bytes are unread or unsent).
  virtual ~Transport() = default;
  // Begins to read and to tell `events`, which outlives this transport. A second call hands the
  // transport over to other events; an end that was told already is told to them again.
  virtual void Start(TransportEvents& events) = 0;
  // Tells nobody and reads nothing until the next Start. Not from within a call of the events.
  virtual void Stop() = 0;
  // Takes all of `from` and sends as much as the kernel takes now (one writev); the rest follows.
  virtual void Write(Buffer& from) = 0;
  // Bytes taken by Write that the kernel has not.
  virtual size_t Pending() const = 0;
  virtual void PauseReads(Pause reason) = 0;
  virtual void ResumeReads(Pause reason) = 0;
  // Ends our side after what was written (FIN; for TLS close_notify first).
  virtual void ShutdownWrites() = 0;
  // The protocol that ALPN chose ("h2", "http/1.1"), or "".
  virtual std::string_view alpn() const = 0;
  // The peer as "192.0.2.1:4711", for logs and address rules.
  virtual std::string_view peer() const = 0;
};

}  // namespace relay
