// SPDX-License-Identifier: MIT
// The control socket: HTTP over a Unix socket in the data folder (0600), for commands of the same
// user. Whoever may open it may ask all of it, so it has no keys of its own.
#pragma once

#include <memory>
#include <string>

#include "admin/api/router.h"
#include "core/base/error.h"
#include "core/exchange/dialect.h"
#include "core/http/connection.h"
#include "core/net/socket.h"

namespace relay {

struct ControlStoryTag {};

class ControlSocket final : private SocketEvents, private ServerHandler {
 public:
  // Of a request; more is 413. The largest is one to explain, with a body of 40 MiB as a JSON text
  // in which each byte may be escaped. No budget counts it: who may ask here may end the process,
  // too.
  static constexpr size_t kBodyBytes = size_t{81} << 20;

  // A file that is there already is replaced: whoever holds the lock of the folder owns it. Errors:
  // the path cannot be bound. Router and loop, on whose thread requests are answered, outlive this.
  static Result<std::unique_ptr<ControlSocket>> Open(Loop& loop, const std::string& path,
                                                     const ApiRouter& router);
  // Removes the file and ends what is open, answered or not.
  ~ControlSocket();

 private:
  class Story;
  ControlSocket(Loop& loop, std::string path, Socket socket, const ApiRouter& router);
  void OnSocket(bool readable, bool writable, bool broken) override;
  void OnRequest(std::unique_ptr<Stream> stream, Head head) override;
  void OnRefused(std::unique_ptr<Stream> stream, Error why) override;

  Loop& loop_;
  const std::string path_;
  Socket socket_;
  SocketWatch watch_;
  const ApiRouter& router_;
  ServerLimits limits_;
  List<Connection, ConnectionTag> connections_;
  List<Story, ControlStoryTag> stories_;
};

// A connected Unix socket. Errors (kRelay): kConnect where nobody listens, kForbidden where another
// user does, kOverloaded while too many wait there, kInternal for all else.
Result<Socket> ConnectUnix(const std::string& path);

}  // namespace relay
