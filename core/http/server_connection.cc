// SPDX-License-Identifier: MIT
// A client's connection: chooses the protocol, makes requests out of streams, keeps the time.
#include <utility>

#include "core/http/connection.h"

namespace relay {
namespace {

// RFC 9113 §3.4: what an HTTP/2 client with prior knowledge sends first.
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace

ServerConnection* ServerConnection::Start(Loop& loop, std::unique_ptr<Transport> transport,
                                          const ServerLimits& limits, ServerHandler& handler) {
  auto* connection = new ServerConnection(loop, std::move(transport), limits, handler);
  connection->transport_->Start(*connection);
  return connection;
}

ServerConnection::ServerConnection(Loop& loop, std::unique_ptr<Transport> transport,
                                   const ServerLimits& limits, ServerHandler& handler)
    : Connection(loop, std::move(transport)),
      limits_(limits),
      handler_(handler),
      timer_(loop.timers(), *this) {
  timer_.ArmIn(limits.header_timeout);
}

void ServerConnection::OnBytes(Chunk bytes) {
  if (closing()) return;
  if (codec_ == nullptr) {
    sniffed_.Append(std::move(bytes));
    if (!ChooseCodec()) return;
    while (!sniffed_.empty() && !closing()) Receive(sniffed_.Pop());
  } else {
    Receive(std::move(bytes));
  }
  UpdateTimer();
}

bool ServerConnection::ChooseCodec() {
  if (transport_->alpn() == "h2") {
    codec_ = MakeHttp2Server(limits_.codec);
    return true;
  }
  if (transport_->alpn().empty()) {
    std::string begin = sniffed_.ToString().substr(0, kPreface.size());
    if (kPreface.starts_with(begin)) {
      if (begin.size() < kPreface.size()) return false;
      codec_ = MakeHttp2Server(limits_.codec);
      return true;
    }
  }
  codec_ = MakeHttp1Server(limits_.codec);
  return true;
}

void ServerConnection::OnHead(StreamId id, Head head, bool end) {
  std::unique_ptr<Stream> stream = MakeStream(id);
  if (end) EndInbound(*stream);
  handler_.OnRequest(std::move(stream), std::move(head));
}

void ServerConnection::OnRefused(std::unique_ptr<Stream> stream, Error why) {
  handler_.OnRefused(std::move(stream), std::move(why));
}

void ServerConnection::OnGoAway(StreamId) {
  // A client that says GOAWAY opens nothing more; its streams run to their end.
}

void ServerConnection::OnIdleChange() {
  if (active_streams() == 0 && codec_->must_close()) {
    Close(Error{Party::kRelay, Fault::kCancelled, "done"}, /*gracefully=*/true);
    return;
  }
  // A pipelined request may wait behind the answer that has just ended.
  if (active_streams() == 0 && codec_->mid_message()) Receive(Chunk());
  UpdateTimer();
}

void ServerConnection::UpdateTimer() {
  if (closing() || codec_ == nullptr) return;
  Phase now = active_streams() > 0    ? Phase::kBusy
              : codec_->mid_message() ? Phase::kHead
                                      : Phase::kIdle;
  if (now == phase_) return;
  phase_ = now;
  // A head has its time in total, from its first byte, not anew for each byte.
  if (now == Phase::kBusy) timer_.Disarm();
  if (now == Phase::kHead) timer_.ArmIn(limits_.header_timeout);
  if (now == Phase::kIdle) timer_.ArmIn(limits_.idle_timeout);
}

void ServerConnection::OnTimeout() {
  if (codec_ != nullptr) codec_->GoAway();
  Close(Error{Party::kClient, Fault::kTimeout, "the client was silent for too long"},
        /*gracefully=*/true);
}

}  // namespace relay
