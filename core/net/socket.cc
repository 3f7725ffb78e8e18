// SPDX-License-Identifier: MIT
#include "core/net/socket.h"

#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>
#include <new>

namespace relay {

Socket::~Socket() {
  Close();
}

Socket Socket::Open(const Address& address) {
  return Socket(
      ::socket(address.v6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

void Socket::Close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void Socket::SetOption(int level, int name, int value) const {
  // Only options that Linux knows are set, and none that a connection cannot live without.
  (void)::setsockopt(fd_, level, name, &value, sizeof value);
}

Address Socket::LocalAddress() const {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (::getsockname(fd_, address, &size) != 0) return {};
  return Address::FromSockaddr(address);
}

int Socket::TakeError() const {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

std::string ErrnoText(int error) {
  return uv_strerror(-error);
}  // strerror is not thread-safe

SocketWatch::SocketWatch(Loop& loop, const Socket& socket, SocketEvents& events)
    : events_(events), handle_(new uv_poll_t{}) {
  handle_->data = this;
  // Fails only when the system has no memory left for one more watched descriptor.
  if (uv_poll_init(loop.uv(), handle_, socket.fd()) != 0) {
    delete handle_;
    throw std::bad_alloc();
  }
}

SocketWatch::~SocketWatch() {
  handle_->data = nullptr;
  // The descriptor may be closed right after this; the block goes when libuv lets it go.
  uv_close(reinterpret_cast<uv_handle_t*>(handle_),
           [](uv_handle_t* handle) { delete reinterpret_cast<uv_poll_t*>(handle); });
}

void SocketWatch::Set(uint8_t interest) {
  if (interest == interest_) return;
  interest_ = interest;
  int events = ((interest & kReadable) != 0 ? UV_READABLE : 0) |
               ((interest & kWritable) != 0 ? UV_WRITABLE : 0) |
               ((interest & kHangup) != 0 ? UV_DISCONNECT : 0);
  uv_poll_start(handle_, events, [](uv_poll_t* poll, int status, int ready) {
    auto* self = static_cast<SocketWatch*>(poll->data);
    if (status < 0) self->interest_ = kNone;  // libuv has stopped the watch
    self->events_.OnSocket((ready & UV_READABLE) != 0, (ready & UV_WRITABLE) != 0, status < 0);
  });
}

}  // namespace relay
