// SPDX-License-Identifier: MIT
#include "core/http/connection.h"

#include <algorithm>
#include <utility>

#include "core/net/linger.h"

namespace relay {
namespace {

// Inbound bytes that nobody has taken yet, above which an HTTP/1 connection reads no more.
constexpr size_t kInboundBound = size_t{64} << 10;

}  // namespace

Connection::Connection(Loop& loop, std::unique_ptr<Transport> transport)
    : loop_(loop), transport_(std::move(transport)) {}

Connection::~Connection() {
  for (Stream* stream : streams_) stream->connection_ = nullptr;
}

Stream* Connection::Find(StreamId id) const {
  auto at = std::find_if(streams_.begin(), streams_.end(),
                         [&](const Stream* stream) { return stream->id_ == id; });
  return at == streams_.end() ? nullptr : *at;
}

std::unique_ptr<Stream> Connection::MakeStream(StreamId id) {
  auto stream = std::make_unique<Stream>(*this, id);
  streams_.push_back(stream.get());
  return stream;
}

void Connection::OnBytes(Chunk bytes) {
  if (!closing_) Receive(std::move(bytes));
}

void Connection::Receive(Chunk bytes) {
  Result<Unit> received = codec_->Receive(std::move(bytes), *this);
  FlushSoon();
  if (!received) {
    Close(received.error(), /*gracefully=*/true);
    return;
  }
  UpdateReading();
}

void Connection::OnEof() {
  eof_ = true;
  if (closing_) return;
  if (codec_ != nullptr) codec_->ReceiveEof(*this);
  Close(Error{Party::kClient, Fault::kCancelled, "the peer closed the connection"},
        /*gracefully=*/true);
}

void Connection::OnBroken(Error why) {
  Close(why, /*gracefully=*/false);
}

void Connection::OnDrained() {
  FlushSoon();
}

void Connection::OnData(StreamId id, Chunk data, bool end) {
  Stream* stream = Find(id);
  if (stream == nullptr || stream->in_end_) {
    codec_->Consumed(id, data.size());
    return;
  }
  stream->in_.Append(std::move(data));
  if (end) stream->in_end_ = true;
  stream->Wake();
}

void Connection::SetHead(Stream& stream, Head head, bool end) {
  stream.head_ = std::move(head);
  if (end) stream.in_end_ = true;
  stream.Wake();
}

void Connection::EndInbound(Stream& stream) {
  stream.in_end_ = true;
}

void Connection::StartOutbound(Stream& stream, Buffer body, bool reused) {
  stream.reused_ = reused;
  stream.head_sent_ = true;
  stream.out_end_ = true;
  stream.out_end_taken_ = body.empty();
  stream.out_ = std::move(body);
  stream.Pump();
}

void Connection::OnReset(StreamId id, Error why, bool answerable) {
  Stream* stream = Find(id);
  if (stream == nullptr) {
    if (answerable) OnRefused(MakeStream(id), std::move(why));
    return;
  }
  if (answerable) {
    stream->fault_ = std::move(why);
    stream->Wake();
    return;
  }
  Lose(*stream, why);
}

void Connection::OnRoom(StreamId id) {
  Stream* stream = Find(id);
  if (stream == nullptr) return;
  stream->Pump();
  if (stream->HasRoom()) stream->room_.NotifyAll();
}

void Connection::Lose(Stream& stream, const Error& why) {
  if (stream.lost_) return;
  stream.lost_ = true;
  if (!stream.fault_) stream.fault_ = why;
  stream.Wake();
  stream.room_.NotifyAll();
  if (stream.watcher_ != nullptr) stream.watcher_->OnStreamLost(why);
}

void Connection::Release(Stream& stream) {
  std::erase(streams_, &stream);
  stream.connection_ = nullptr;
  if (closing_) {
    CloseIfDone();
    return;
  }
  bool finished = stream.out_end_taken_ && stream.in_end_;
  if (!stream.lost_ && !finished) codec_->Reset(stream.id_, Fault::kCancelled);
  UpdateReading();
  FlushSoon();
}

void Connection::UpdateReading() {
  if (transport_ == nullptr) return;
  size_t held = 0;
  for (const Stream* stream : streams_) held = std::max(held, stream->in_.size());
  if (held > kInboundBound || !codec_->wants_bytes()) {
    transport_->PauseReads(Pause::kStream);
  } else {
    transport_->ResumeReads(Pause::kStream);
  }
  // A peer that makes us answer without reading the answers is not read from.
  if (Unsent() > (size_t{256} << 10)) {
    transport_->PauseReads(Pause::kOutput);
  } else {
    transport_->ResumeReads(Pause::kOutput);
  }
}

void Connection::Flush() {
  if (dead_) return;
  if (codec_ == nullptr) {
    if (closing_) CloseIfDone();
    return;
  }
  codec_->TakeOutput(out_);
  unsent_ = 0;
  if (!out_.empty()) transport_->Write(out_);
  for (Stream* stream : streams_) {
    if (stream->HasRoom()) stream->room_.NotifyAll();
  }
  if (closing_) {
    CloseIfDone();
    return;
  }
  UpdateReading();
  OnIdleChange();
}

void Connection::GoAway() {
  if (closing_ || codec_ == nullptr) return;
  codec_->GoAway();
  FlushSoon();
}

void Connection::Close(const Error& why, bool gracefully) {
  if (!closing_) {
    closing_ = true;
    // The list may change under us: a watcher gives its stream back only in the loop's own phase.
    for (Stream* stream : streams_) {
      bool done = stream->out_end_taken_ && stream->in_end_;
      // An answerable fault (a refused head) keeps its stream until the answer is out.
      bool answering = gracefully && !eof_ && stream->fault_ && !stream->out_end_;
      if (!done && !answering) Lose(*stream, why);
    }
  }
  if (!gracefully) {
    Die();
    return;
  }
  FlushSoon();
}

void Connection::Die() {
  if (dead_) return;
  dead_ = true;
  for (Stream* stream : streams_) stream->connection_ = nullptr;
  streams_.clear();
  ListNode<ConnectionTag>::Unlink();
  ListNode<FlushTag>::Unlink();
  // Destroyed in the drain, never inside the transport's or codec's own callback.
  loop_.Bury(std::unique_ptr<Mortal>(this));
}

void Connection::CloseIfDone() {
  bool waiting = std::any_of(streams_.begin(), streams_.end(),
                             [](const Stream* stream) { return !stream->lost_; });
  if (waiting || dead_) return;
  if (codec_ != nullptr) codec_->TakeOutput(out_);
  if (!out_.empty()) transport_->Write(out_);
  LingerAndClose(loop_, std::move(transport_));
  Die();
}

}  // namespace relay
