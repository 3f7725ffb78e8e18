// SPDX-License-Identifier: MIT
// A socket of our own and the loop's watch over it. libuv only says when a socket is ready;
// reading, writing, accepting and connecting are ours, so that no request block outlives its
// connection and each event costs one system call.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "core/async/loop.h"
#include "core/net/address.h"

struct uv_poll_s;

namespace relay {

// Owns a file descriptor.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket();
  // A stream socket for that address: non-blocking, closed by exec. fd() is -1 on failure, errno
  // says why.
  static Socket Open(const Address& address);

  int fd() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  // Closes it. A connection with unread bytes is reset by the kernel.
  void Close();
  void SetOption(int level, int name, int value) const;
  // The address of this end; 0.0.0.0:0 if there is none.
  Address LocalAddress() const;
  // What went wrong with it since the last call (SO_ERROR), as an errno, 0 for nothing.
  int TakeError() const;

 private:
  int fd_ = -1;
};

// What an errno means, in English.
std::string ErrnoText(int error);

// Is told that a socket is ready, from the loop's poll phase.
class SocketEvents {
 public:
  // `broken`: the socket has an error that reading or TakeError will tell; it is watched no more.
  // Neither of the three: the peer has ended its side (kHangup).
  virtual void OnSocket(bool readable, bool writable, bool broken) = 0;

 protected:
  ~SocketEvents() = default;
};

// Watches one socket, which must stay open until the watch is stopped or destroyed. May be
// destroyed anywhere but inside a callback of the loop's poll phase.
class SocketWatch {
 public:
  enum Interest : uint8_t { kNone = 0, kReadable = 1, kWritable = 2, kHangup = 4 };

  SocketWatch(Loop& loop, const Socket& socket, SocketEvents& events);
  SocketWatch(const SocketWatch&) = delete;
  SocketWatch& operator=(const SocketWatch&) = delete;
  ~SocketWatch();
  // Tells of these (bits of Interest) from now on, while they last. No cost when it is the same.
  void Set(uint8_t interest);
  uint8_t interest() const { return interest_; }

 private:
  SocketEvents& events_;
  uv_poll_s*
      handle_;  // on the heap until libuv has closed it; its data: this, until it is destroyed
  uint8_t interest_ = kNone;
};

}  // namespace relay
