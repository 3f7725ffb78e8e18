// SPDX-License-Identifier: MIT
// A connection to an upstream: opens requests, and is reused while it may be.
#include <utility>

#include "core/http/connection.h"

namespace relay {
namespace {

std::unique_ptr<ClientCodec> MakeCodec(bool http2) {
  return http2 ? MakeHttp2Client() : MakeHttp1Client();
}

}  // namespace

ClientConnection* ClientConnection::Start(Loop& loop, std::unique_ptr<Transport> transport,
                                          Duration idle_timeout) {
  auto* connection = new ClientConnection(loop, std::move(transport), idle_timeout);
  connection->transport_->Start(*connection);
  return connection;
}

ClientConnection::ClientConnection(Loop& loop, std::unique_ptr<Transport> transport,
                                   Duration idle_timeout)
    : Connection(loop, std::move(transport)),
      idle_timeout_(idle_timeout),
      timer_(loop.timers(), *this),
      multiplexed_(transport_->alpn() == "h2") {
  std::unique_ptr<ClientCodec> codec = MakeCodec(multiplexed_);
  client_codec_ = codec.get();
  codec_ = std::move(codec);
  timer_.ArmIn(idle_timeout_);
}

bool ClientConnection::usable() const {
  return !closing() && !going_away_ && !client_codec_->must_close() &&
         client_codec_->FreeStreams() > 0;
}

Result<std::unique_ptr<Stream>> ClientConnection::Open(const Head& head, Buffer body) {
  Result<StreamId> id = client_codec_->Open(head, body.empty());
  if (!id) return std::unexpected(id.error());
  std::unique_ptr<Stream> stream = MakeStream(*id);
  StartOutbound(*stream, std::move(body), /*reused=*/served_);
  served_ = true;
  timer_.Disarm();
  FlushSoon();
  return stream;
}

void ClientConnection::OnHead(StreamId id, Head head, bool end) {
  if (Stream* stream = Find(id)) SetHead(*stream, std::move(head), end);
}

void ClientConnection::OnGoAway(StreamId) {
  going_away_ = true;
}

void ClientConnection::OnIdleChange() {
  if (active_streams() > 0) return;
  if (going_away_ || client_codec_->must_close()) {
    Close(Error{Party::kUpstream, Fault::kReset, "the upstream ended the connection", true},
          /*gracefully=*/true);
    return;
  }
  if (!timer_.armed()) timer_.ArmIn(idle_timeout_);
}

void ClientConnection::OnRefused(std::unique_ptr<Stream>, Error) {
  // Only a server's codec refuses messages with an answer.
}

void ClientConnection::OnTimeout() {
  if (active_streams() > 0) return;
  Close(Error{Party::kRelay, Fault::kTimeout, "idle"}, /*gracefully=*/true);
}

}  // namespace relay
