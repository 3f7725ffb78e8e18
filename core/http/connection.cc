// SPDX-License-Identifier: MIT
#include "core/http/connection.h"

#include <algorithm>
#include <utility>

#include "core/net/linger.h"

namespace relay {
namespace {

// Inbound bytes that nobody has taken yet, above which an HTTP/1 connection reads no more. HTTP/2
// bounds each stream by its window.
constexpr size_t kInboundBound = size_t{64} << 10;
// A peer that makes us answer without reading the answers is not read from (R24).
constexpr size_t kOutputBound = size_t{256} << 10;
// A slice that waits for its reader may keep so many times its own size alive.
constexpr size_t kMostPinned = 4;

}  // namespace

Connection::Connection(Loop& loop, std::unique_ptr<Transport> transport, Party peer_party,
                       Duration write_stall)
    : loop_(loop),
      transport_(std::move(transport)),
      write_stall_(write_stall),
      stall_(loop.timers(), *this),
      peer_party_(peer_party) {}

Connection::~Connection() {
  LoseAll(Error{Party::kRelay, Fault::kCancelled, "the relay stops"});
}

void Connection::UseCodec(std::unique_ptr<Codec> codec, bool multiplexed) {
  codec_ = std::move(codec);
  multiplexed_ = multiplexed;
  if (multiplexed_) FlushSoon();  // its SETTINGS
}

// Streams ------------------------------------------------------------------------------------

std::vector<Stream*>::const_iterator Connection::Place(StreamId id) const {
  return std::lower_bound(streams_.begin(), streams_.end(), id,
                          [](const Stream* stream, StreamId than) { return stream->id_ < than; });
}

Stream* Connection::Find(StreamId id) const {
  auto at = Place(id);
  return at == streams_.end() || (*at)->id_ != id ? nullptr : *at;
}

std::unique_ptr<Stream> Connection::MakeStream(StreamId id) {
  auto stream = std::make_unique<Stream>(*this, id, peer_party_);
  streams_.insert(Place(id), stream.get());
  return stream;
}

void Connection::SetHead(Stream& stream, Head head, bool end) {
  stream.head_ = std::make_unique<Head>(std::move(head));
  stream.answer_begun_ = true;
  if (end) stream.in_end_ = true;
  stream.Wake();
}

void Connection::StartOutbound(Stream& stream, Buffer body, bool reused) {
  stream.reused_ = reused;
  stream.head_sent_ = true;
  stream.out_.ended = true;
  stream.out_.taken = body.empty();
  stream.out_.bytes = std::move(body);
  Pump(stream.out_);
}

void Connection::Pump(Stream::Outbound& out) {
  if (out.taken || (out.bytes.empty() && !out.ended)) return;
  size_t before = out.bytes.size();
  size_t taken = codec_->SendData(out.id, out.bytes, out.ended);
  unsent_ += taken;
  if (out.ended && taken == before) out.taken = true;
  if (!out.stuck()) {
    out.since = TimePoint();
  } else if (taken > 0 || out.since == TimePoint()) {
    out.since = loop_.Now();
    if (!stall_.armed()) stall_.ArmIn(write_stall_);
  }
  FlushSoon();
}

void Connection::PumpTail(StreamId id) {
  auto tail = std::find_if(tails_.begin(), tails_.end(),
                           [&](const Stream::Outbound& out) { return out.id == id; });
  if (tail == tails_.end()) return;
  Pump(*tail);
  if (!tail->stuck()) tails_.erase(tail);
}

void Connection::OnStall() {
  TimePoint oldest = loop_.Now() - write_stall_;
  auto stalled = [&](const Stream::Outbound& out) { return out.stuck() && out.since <= oldest; };
  for (Stream* stream : streams_) {
    if (stream->lost_ || !stalled(stream->out_)) continue;
    Abandon(stream->id_, Fault::kTimeout);
    Lose(*stream, Error{peer_party_, Fault::kTimeout, "the peer's window stayed closed", true});
  }
  std::erase_if(tails_, [&](const Stream::Outbound& out) {
    if (!stalled(out)) return false;
    Abandon(out.id, Fault::kTimeout);
    return true;
  });
  // Looked at again before the next can be due, since all stalls last as long.
  TimePoint next = TimePoint::max();
  for (const Stream* stream : streams_) {
    if (!stream->lost_ && stream->out_.stuck()) next = std::min(next, stream->out_.since);
  }
  for (const Stream::Outbound& out : tails_) next = std::min(next, out.since);
  if (next != TimePoint::max()) stall_.ArmAt(next + write_stall_);
}

void Connection::OnTaken(Stream& stream, size_t bytes) {
  held_ -= bytes;
  if (!stream.lost_) codec_->Consumed(stream.id_, bytes);
  if (multiplexed_) {
    FlushSoon();  // a window update may stand in the output
  } else if (paused_ != 0) {
    UpdateReading();
  }
}

void Connection::Abandon(StreamId id, Fault why) {
  // What was sent before goes out before the reset does: HTTP/2 would drop it otherwise.
  codec_->TakeOutput(out_);
  codec_->Reset(id, why);
  FlushSoon();
}

void Connection::Release(Stream& stream) {
  streams_.erase(Place(stream.id_));
  held_ -= stream.in_.size();
  released_ = true;
  FlushSoon();
  if (stream.lost_) return;
  bool server = peer_party_ == Party::kClient;
  if (server && stream.out_.ended) {
    // The codec knows what to do with the rest of a request that was answered early.
    if (stream.out_.stuck()) tails_.push_back(std::move(stream.out_));
  } else if (server || !stream.out_.taken || !stream.in_end_) {
    Abandon(stream.id_, Fault::kCancelled);
  }
}

void Connection::Lose(Stream& stream, const Error& why) {
  if (stream.lost_) return;
  stream.lost_ = true;
  stream.cut_ = ending_;
  if (!stream.in_end_ && !stream.fault_) stream.fault_ = std::make_unique<Error>(why);
  stream.Wake();
  stream.room_.NotifyAll();
  // Whoever has all that the peer owed, or has given all that it owes itself, loses nothing.
  bool done = peer_party_ == Party::kClient ? stream.out_.taken : stream.in_end_;
  if (!done && stream.watcher_ != nullptr) stream.watcher_->OnStreamLost(why);
}

void Connection::LoseAll(const Error& why) {
  ending_ = true;
  for (Stream* stream : streams_) {
    Lose(*stream, why);
    stream->connection_ = nullptr;
  }
  streams_.clear();
  tails_.clear();
}

// What the transport tells ---------------------------------------------------------------------

void Connection::OnBytes(Chunk bytes) {
  if (!closing_) Receive(std::move(bytes));
}

void Connection::Receive(Chunk bytes) {
  Result<Unit> received = codec_->Receive(std::move(bytes), *this);
  if (closing_) return;
  if (!received) {
    Close(received.error());
    return;
  }
  // HTTP/2 answers SETTINGS, PING and the like; HTTP/1 says nothing by itself, but may be done.
  if (multiplexed_ || streams_.empty()) FlushSoon();
  UpdateReading();
}

void Connection::OnEof() {
  if (closing_) return;
  ending_ = true;
  if (codec_ != nullptr) codec_->ReceiveEof(*this);
  bool client = peer_party_ == Party::kClient;
  Close(Error{peer_party_, client ? Fault::kCancelled : Fault::kReset,
              client ? "the client closed the connection" : "the upstream closed the connection",
              !client});
}

void Connection::OnBroken(Error why) {
  if (!multiplexed_ && codec_ != nullptr && codec_->mid_message()) {
    for (Stream* stream : streams_) stream->answer_begun_ = true;
  }
  Die(why);
}

void Connection::OnDrained() {
  FlushSoon();
}

// What the codec tells -------------------------------------------------------------------------

void Connection::OnData(StreamId id, Chunk data, bool end) {
  Stream* stream = Find(id);
  if (stream == nullptr || stream->lost_ || stream->in_end_) {
    codec_->Consumed(id, data.size());
    return;
  }
  held_ += data.size();
  bool waits = !stream->inbound_.awaited() && data.pinned() > kMostPinned * data.size();
  stream->in_.Append(waits ? Chunk::Copy(data.view()) : std::move(data));
  if (end) stream->in_end_ = true;
  stream->Wake();
}

void Connection::OnReset(StreamId id, Error why, bool answerable) {
  if (closing_) return;
  Stream* stream = Find(id);
  if (stream == nullptr) {
    std::erase_if(tails_, [&](const Stream::Outbound& out) { return out.id == id; });
    if (answerable) OnRefused(MakeStream(id), std::move(why));
    return;
  }
  if (!answerable) {
    Lose(*stream, why);
  } else if (!stream->fault_) {
    stream->fault_ = std::make_unique<Error>(std::move(why));
    stream->Wake();
  }
}

void Connection::OnRoom(StreamId id) {
  Stream* stream = Find(id);
  if (stream == nullptr) {
    PumpTail(id);
  } else if (!stream->lost_) {
    Pump(stream->out_);  // the flush that follows tells whoever waits for room
  }
}

// Output, and the end --------------------------------------------------------------------------

void Connection::Flush() {
  if (codec_ != nullptr) codec_->TakeOutput(out_);
  unsent_ = 0;
  if (!out_.empty()) transport_->Write(out_);
  if (closing_) {
    End();
    return;
  }
  if (codec_ == nullptr) return;
  if (crowded_) {
    crowded_ = false;
    for (Stream* stream : streams_) {
      if (stream->HasRoom()) {
        stream->room_.NotifyAll();
      } else {
        crowded_ = crowded_ || stream->room_.awaited();
      }
    }
  }
  UpdateReading();
  OnIdleChange();
}

void Connection::UpdateReading() {
  SetPaused(Pause::kStream, (!multiplexed_ && held_ > kInboundBound) || !codec_->wants_bytes());
  // An upstream is read from however much waits to be sent to it: its answer may come before.
  SetPaused(Pause::kOutput, peer_party_ == Party::kClient && Unsent() > kOutputBound);
}

void Connection::SetPaused(Pause reason, bool paused) {
  auto bit = static_cast<uint8_t>(reason);
  if (((paused_ & bit) != 0) == paused) return;
  paused_ ^= bit;
  if (paused) {
    transport_->PauseReads(reason);
  } else {
    transport_->ResumeReads(reason);
  }
}

void Connection::GoAway() {
  if (closing_) return;
  if (codec_ == nullptr) {
    Close(Error{Party::kRelay, Fault::kCancelled, "the relay stops"});
    return;
  }
  codec_->GoAway();
  OnLeaving();
  FlushSoon();
}

void Connection::Drain() {
  draining_ = true;
  if (multiplexed_ || active_streams() > 0) GoAway();
}

void Connection::CloseNow() {
  Die(Error{Party::kRelay, Fault::kCancelled, "the relay stops"});
}

void Connection::Close(const Error& why) {
  if (closing_) return;
  closing_ = true;
  LoseAll(why);
  FlushSoon();
}

void Connection::Die(const Error& why) {
  if (dead_) return;
  closing_ = true;
  LoseAll(why);
  Bury();
}

void Connection::End() {
  if (peer_party_ == Party::kClient) {
    LingerAndClose(loop_, std::move(transport_));
  } else {
    transport_->ShutdownWrites();
  }
  Bury();
}

void Connection::Bury() {
  dead_ = true;
  ListNode<ConnectionTag>::Unlink();
  ListNode<FlushTag>::Unlink();
  // Destroyed in the drain, never inside the transport's or codec's own callback.
  loop_.Bury(std::unique_ptr<Mortal>(this));
}

}  // namespace relay
