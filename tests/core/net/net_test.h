// SPDX-License-Identifier: MIT
// What the tests of this folder share: a loop that turns until something is so, a recorder of what
// a transport tells, and a raw client socket.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/async/loop.h"
#include "core/async/task.h"
#include "core/net/listener.h"
#include "core/net/socket.h"
#include "core/net/transport.h"

namespace relay {

struct Recorder final : TransportEvents {
  void OnBytes(Chunk bytes) override {
    ++calls;
    size += bytes.size();
    if (keep) text += bytes.view();
    if (on_bytes) on_bytes(bytes);
  }
  void OnEof() override { ++eofs; }
  void OnHangup() override { ++hangups; }
  void OnBroken(Error why) override { broken.push_back(std::move(why)); }
  void OnDrained() override {
    ++drained;
    if (on_drained) on_drained();
  }
  bool keep = true;
  std::string text;
  size_t size = 0;
  int calls = 0;
  int eofs = 0;
  int hangups = 0;
  int drained = 0;
  std::vector<Error> broken;
  std::function<void(const Chunk&)> on_bytes;
  std::function<void()> on_drained;
};

// Lets a transport die where it should: in the loop's own phase.
struct Holder : Mortal {
  explicit Holder(std::unique_ptr<Transport> held) : transport(std::move(held)) {}
  std::unique_ptr<Transport> transport;
};

// Runs a task from the loop and keeps its result; `Cancel` destroys it in the loop's own phase.
template <class T>
struct Running {
  Running(Loop& the_loop, Task<T> the_task) : loop(the_loop), owner(new Owner) {
    owner->task = Store(std::move(the_task), owner->result);
    owner->task.Start([](void*) noexcept {}, nullptr);
  }
  ~Running() { Cancel(); }
  void Cancel() {
    if (owner) loop.Bury(std::move(owner));
    loop.Turn();
  }
  bool done() const { return owner && owner->result.has_value(); }
  T& result() { return *owner->result; }

  struct Owner : Mortal {
    std::optional<T> result;
    Task<Unit> task;
  };
  static Task<Unit> Store(Task<T> task, std::optional<T>& into) {
    T value = co_await std::move(task);
    into.emplace(std::move(value));
    co_return Unit{};
  }
  Loop& loop;
  std::unique_ptr<Owner> owner;
};

// Waits for sockets for real, but not for time: turns until `done`, at most for about ten seconds.
inline bool TurnUntil(Loop& loop, const std::function<bool()>& done) {
  for (int i = 0; i < 10'000; ++i) {
    loop.Turn();
    if (done()) return true;
    ::poll(nullptr, 0, 1);
  }
  return false;
}
inline void TurnFor(Loop& loop, int turns) {
  for (int i = 0; i < turns; ++i) loop.Turn();
}

// A blocking socket, as any program has it.
class RawClient {
 public:
  explicit RawClient(const Address& to, int receive_buffer = 0)
      : fd_(::socket(to.v6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    connected_ = ::connect(fd_, to.data(), to.size()) == 0;
  }
  ~RawClient() { Close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  bool Send(std::string_view bytes) {
    return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  // What has come by now, up to about `most` bytes, without waiting. `ended` is set at the end,
  // `error` at an error.
  std::string Receive(size_t most = SIZE_MAX) {
    std::string all;
    std::string part(std::min(most, size_t{256} << 10), '\0');
    while (true) {
      ssize_t got = ::recv(fd_, part.data(), part.size(), MSG_DONTWAIT);
      if (got == 0) ended = true;
      if (got < 0 && errno != EAGAIN) error = errno;
      if (got <= 0) return all;
      all.append(part.data(), static_cast<size_t>(got));
      if (all.size() >= most) return all;
    }
  }
  void ShutdownWrites() { ::shutdown(fd_, SHUT_WR); }
  void Close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void Reset() {
    linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    Close();
  }
  bool ended = false;
  int error = 0;

 private:
  int fd_;
  bool connected_ = false;
};

inline Address Loopback(uint16_t port = 0) {
  return *Address::FromLiteral("127.0.0.1", port);
}

// A loop with a manual clock, and a listener on it.
struct NetTest : ::testing::Test {
  ManualClock clock;
  Loop loop{clock};
  std::vector<std::unique_ptr<Transport>> accepted;

  std::unique_ptr<Listener> Listen(ListenOptions options = {}) {
    if (options.address == Address()) options.address = Loopback();
    auto opened = Listener::Open(loop, std::move(options), [this](auto transport) {
      accepted.push_back(std::move(transport));
    });
    EXPECT_TRUE(opened) << opened.error().what;
    return opened ? *std::move(opened) : nullptr;
  }
  // The server's end of `client`'s connection.
  std::unique_ptr<Transport> TakeAccepted() {
    EXPECT_TRUE(TurnUntil(loop, [&] { return !accepted.empty(); }));
    if (accepted.empty()) return nullptr;
    auto transport = std::move(accepted.front());
    accepted.erase(accepted.begin());
    return transport;
  }
  void After(Duration by) {
    clock.Advance(by);
    TurnFor(loop, 2);
  }
};

}  // namespace relay
