// SPDX-License-Identifier: MIT
// The control socket: HTTP over a Unix socket in the data folder (0600), for commands of the same
// user. Whoever may open it may ask all of it, so it has no keys of its own.
#pragma once

#include <memory>
#include <string>

#include "core/base/error.h"
#include "core/exchange/dialect.h"
#include "core/http/connection.h"
#include "core/net/socket.h"

namespace relay {

// Answers what commands ask. Called on the loop of the control socket.
class ControlHandler {
 public:
  virtual Reply OnControl(const Head& request) = 0;

 protected:
  ~ControlHandler() = default;
};

class ControlSocket final : private SocketEvents, private ServerHandler {
 public:
  // A file that is there already is replaced: whoever holds the lock of the folder owns it. Errors:
  // the path cannot be bound. Handler and loop outlive this.
  static Result<std::unique_ptr<ControlSocket>> Open(Loop& loop, const std::string& path,
                                                     ControlHandler& handler);
  // Removes the file and ends what is open.
  ~ControlSocket();

 private:
  class Pending;
  ControlSocket(Loop& loop, std::string path, Socket socket, ControlHandler& handler);
  void OnSocket(bool readable, bool writable, bool broken) override;
  void OnRequest(std::unique_ptr<Stream> stream, Head head) override;
  void OnRefused(std::unique_ptr<Stream> stream, Error why) override;
  void Answer(std::unique_ptr<Stream> stream, const Reply& reply, bool with_body);

  Loop& loop_;
  const std::string path_;
  Socket socket_;
  SocketWatch watch_;
  ControlHandler& handler_;
  ServerLimits limits_;
  List<Connection, ConnectionTag> connections_;
};

// A connected Unix socket. Errors (kConnect): nobody listens there.
Result<Socket> ConnectUnix(const std::string& path);

}  // namespace relay
