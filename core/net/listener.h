// SPDX-License-Identifier: MIT
// Accepts connections on one address. Every worker opens its own on the same address (SO_REUSEPORT)
// and the kernel spreads the clients over them.
#pragma once

#include <functional>
#include <memory>

#include "core/async/loop.h"
#include "core/net/socket.h"
#include "core/net/transport.h"

namespace relay {

class TlsServerContext;

struct ListenOptions {
  Address address;                              // port 0: the system chooses one, see bound()
  std::shared_ptr<const TlsServerContext> tls;  // null: plain TCP
  size_t connections = 9000;                    // open at a time; at this many accepting waits
  Duration write_stall = std::chrono::seconds(60);
  Duration handshake_timeout = std::chrono::seconds(10);
  int backlog = 4096;  // the kernel cuts it to net.core.somaxconn
};

class Listener final : private SocketEvents {
 public:
  // Gets each connection, from the loop's poll phase.
  using Accepted = std::function<void(std::unique_ptr<Transport>)>;

  // The error names the address and what to do. The listener dies before its loop; its connections
  // may outlive it.
  static Result<std::unique_ptr<Listener>> Open(Loop& loop, ListenOptions options,
                                                Accepted accepted);
  ~Listener();

  // Accepts what the kernel has already acknowledged, then never again.
  void Close();
  // For connections from now on; the address stays.
  void SetOptions(ListenOptions options);
  // The address in use, with the port that the system chose.
  const Address& bound() const { return bound_; }
  // Connections that it accepted and that are open.
  size_t connections() const;
  // How often accepting had to pause because the process or the system had no descriptor left.
  size_t shortages() const { return shortages_; }

 private:
  struct Seats;
  class Seat;
  Listener(Loop& loop, Socket socket, ListenOptions options, Accepted accepted);
  void OnSocket(bool readable, bool writable, bool broken) override;
  void AcceptSome(int most);
  bool AcceptOne();
  void Deliver(Socket socket, const Address& peer);
  void OnRetry();
  void UpdateWatch();

  Loop& loop_;
  ListenOptions options_;
  Accepted accepted_;
  Socket socket_;
  SocketWatch watch_;
  Address bound_;
  std::shared_ptr<Seats> seats_;
  MethodTimer<Listener, &Listener::OnRetry> retry_;  // armed during a shortage
  size_t shortages_ = 0;
};

}  // namespace relay
