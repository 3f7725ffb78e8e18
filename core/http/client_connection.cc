// SPDX-License-Identifier: MIT
// A connection to an upstream: opens requests, and is reused while it may be.
#include <utility>

#include "core/http/connection.h"

namespace relay {
namespace {

// The loop's own patience with a peer that takes nothing; the dialer's transports have the same.
constexpr Duration kWriteStall = std::chrono::seconds(60);
// An HTTP/2 upstream that is silent for so long while answers are awaited is asked for a sign of
// life, and given so long to send one. Deadlines of answers belong to those who wait for them.
constexpr Duration kProbeAfter = std::chrono::seconds(30);
constexpr Duration kProbeAnswer = std::chrono::seconds(15);

}  // namespace

ClientConnection* ClientConnection::Start(Loop& loop, std::unique_ptr<Transport> transport,
                                          Duration idle_timeout) {
  auto* connection = new ClientConnection(loop, std::move(transport), idle_timeout);
  connection->transport_->Start(*connection);
  return connection;
}

ClientConnection::ClientConnection(Loop& loop, std::unique_ptr<Transport> transport,
                                   Duration idle_timeout)
    : Connection(loop, std::move(transport), Party::kUpstream, kWriteStall),
      idle_timeout_(idle_timeout),
      timer_(loop.timers(), *this) {
  bool http2 = transport_->alpn() == "h2";
  std::unique_ptr<ClientCodec> codec =
      http2 ? MakeHttp2Client("https", loop.clock()) : MakeHttp1Client();
  client_codec_ = codec.get();
  UseCodec(std::move(codec), http2);
  timer_.ArmIn(idle_timeout_);
}

bool ClientConnection::usable() const {
  return !closing() && !going_away_ && !client_codec_->must_close() &&
         client_codec_->FreeStreams() > 0 && (multiplexed() || active_streams() == 0);
}

Result<std::unique_ptr<Stream>> ClientConnection::Open(const Head& head, Buffer body) {
  if (!usable()) {
    return Fail(Party::kRelay, Fault::kInternal, "the connection is not free", /*retryable=*/true);
  }
  Result<StreamId> id = client_codec_->Open(head, body.empty());
  if (!id) return std::unexpected(id.error());
  if (active_streams() == 0) {
    probed_ = heard_ = false;
    timer_.Disarm();
    if (multiplexed()) timer_.ArmIn(kProbeAfter);
  }
  std::unique_ptr<Stream> stream = MakeStream(*id);
  StartOutbound(*stream, std::move(body), /*reused=*/served_);
  served_ = true;
  FlushSoon();
  return stream;
}

void ClientConnection::OnBytes(Chunk bytes) {
  heard_ = true;
  Connection::OnBytes(std::move(bytes));
}

void ClientConnection::OnHead(StreamId id, Head head, bool end) {
  if (Stream* stream = Find(id)) SetHead(*stream, std::move(head), end);
}

void ClientConnection::OnGoAway(StreamId) {
  going_away_ = true;
}

void ClientConnection::OnIdleChange() {
  bool released = TakeReleased();
  if (active_streams() > 0) return;
  if (going_away_ || client_codec_->must_close()) {
    Close(Error{Party::kUpstream, Fault::kReset, "the upstream ended the connection", true});
  } else if (released) {
    timer_.ArmIn(idle_timeout_);
  }
}

void ClientConnection::OnRefused(std::unique_ptr<Stream>, Error) {
  // Only a server's codec refuses messages with an answer.
}

void ClientConnection::OnTimeout() {
  if (closing()) return;
  if (active_streams() == 0) {
    client_codec_->GoAway();
    Close(Error{Party::kRelay, Fault::kTimeout, "nobody uses the connection"});
  } else if (std::exchange(heard_, false)) {
    probed_ = false;
    timer_.ArmIn(kProbeAfter);
  } else if (!probed_ && client_codec_->Ping()) {
    probed_ = true;
    FlushSoon();
    timer_.ArmIn(kProbeAnswer);
  } else if (probed_) {
    Die(Error{Party::kUpstream, Fault::kTimeout, "the upstream's connection is dead", true});
  }
}

}  // namespace relay
