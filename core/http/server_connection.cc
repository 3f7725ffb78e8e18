// SPDX-License-Identifier: MIT
// A client's connection: chooses the protocol, makes requests out of streams, keeps the time.
#include <utility>

#include "core/http/connection.h"

namespace relay {
namespace {

// RFC 9113 §3.4: what an HTTP/2 client with prior knowledge sends first.
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// RFC 9113 §6.8: between the notice of a GOAWAY and the last one, if the client does not say
// sooner that it has read the notice.
constexpr Duration kNotice = std::chrono::milliseconds(500);

}  // namespace

ServerConnection* ServerConnection::Start(Loop& loop, std::unique_ptr<Transport> transport,
                                          const ServerLimits& limits, ServerHandler& handler) {
  auto* connection = new ServerConnection(loop, std::move(transport), limits, handler);
  connection->transport_->Start(*connection);
  return connection;
}

ServerConnection::ServerConnection(Loop& loop, std::unique_ptr<Transport> transport,
                                   const ServerLimits& limits, ServerHandler& handler)
    : Connection(loop, std::move(transport), Party::kClient, limits.write_stall),
      limits_(limits),
      handler_(handler),
      timer_(loop.timers(), *this) {
  UpdateTimer();
}

void ServerConnection::OnBytes(Chunk bytes) {
  if (closing()) return;
  if (codec_ == nullptr) {
    size_t missing = kPreface.size() - sniffed_.size();
    std::string first = sniffed_.ToString() + std::string(bytes.view().substr(0, missing));
    if (!ChooseCodec(first)) {
      sniffed_.AppendCopy(bytes.view());
      UpdateTimer();
      return;
    }
    while (!closing() && !sniffed_.empty()) Receive(sniffed_.Pop());
  }
  if (!closing()) Receive(std::move(bytes));
  UpdateTimer();
}

bool ServerConnection::ChooseCodec(std::string_view first) {
  bool http2 = transport_->alpn() == "h2";
  if (transport_->alpn().empty() && kPreface.starts_with(first)) {
    if (first.size() < kPreface.size()) return false;
    http2 = true;
  }
  UseCodec(http2 ? MakeHttp2Server(limits_.codec, loop_.clock()) : MakeHttp1Server(limits_.codec),
           http2);
  return true;
}

void ServerConnection::OnHead(StreamId id, Head head, bool end) {
  if (closing()) return;
  if (phase_ == Phase::kHead) {  // the next head has its own time
    phase_ = Phase::kBusy;
    timer_.Disarm();
  }
  std::unique_ptr<Stream> stream = MakeStream(id);
  if (end) EndInbound(*stream);
  if (draining()) GoAway();
  handler_.OnRequest(std::move(stream), std::move(head));
}

void ServerConnection::OnRefused(std::unique_ptr<Stream> stream, Error why) {
  handler_.OnRefused(std::move(stream), std::move(why));
}

void ServerConnection::OnGoAway(StreamId) {
  // A client that says GOAWAY opens nothing more; its streams run to their end.
}

void ServerConnection::OnLeaving() {
  if (!multiplexed()) return;
  phase_ = Phase::kLeaving;
  timer_.ArmIn(kNotice);
}

void ServerConnection::OnIdleChange() {
  bool released = TakeReleased();
  if (active_streams() == 0) {
    if (codec_->must_close()) {
      Close(Error{Party::kRelay, Fault::kCancelled, "done"});
      return;
    }
    // A pipelined request may wait behind the answer that has just ended.
    if (released && !multiplexed() && codec_->mid_message()) Receive(Chunk());
  }
  UpdateTimer();
}

void ServerConnection::UpdateTimer() {
  if (closing() || phase_ == Phase::kLeaving) return;
  // Later requests may wait behind an HTTP/1 answer; half a head of HTTP/2 waits for nobody.
  bool mid = codec_ == nullptr ? !sniffed_.empty() : codec_->mid_message();
  bool busy = active_streams() > 0;
  Phase now = mid && (multiplexed() || !busy) ? Phase::kHead : busy ? Phase::kBusy : Phase::kIdle;
  if (now == phase_) return;
  phase_ = now;
  // A head has its time in total, from its first byte, not anew for each byte.
  if (now == Phase::kBusy) timer_.Disarm();
  if (now == Phase::kHead) timer_.ArmIn(limits_.header_timeout);
  if (now == Phase::kIdle) timer_.ArmIn(limits_.idle_timeout);
}

void ServerConnection::OnTimeout() {
  if (closing()) return;
  if (phase_ == Phase::kLeaving) {
    codec_->GoAway();
    phase_ = Phase::kBusy;
    FlushSoon();
    return;
  }
  if (codec_ != nullptr) {
    if (phase_ == Phase::kHead && codec_->Expire(*this)) {
      phase_ = Phase::kBusy;
      FlushSoon();
      return;
    }
    codec_->GoAway();
    codec_->GoAway();  // no time for a notice: a request that crosses this was not served
  }
  Close(Error{Party::kClient, Fault::kTimeout, "the client was silent for too long"});
}

}  // namespace relay
