// SPDX-License-Identifier: MIT
#include "core/http/stream.h"

#include <utility>

#include "core/http/connection.h"

namespace relay {

Stream::Stream(Connection& connection, StreamId id)
    : loop_(connection.loop()), connection_(&connection), id_(id), inbound_(loop_), room_(loop_) {}

Stream::~Stream() {
  if (connection_ != nullptr) connection_->Release(*this);
}

std::string_view Stream::peer() const {
  return connection_ == nullptr ? std::string_view() : connection_->peer();
}

void Stream::SendHead(const Head& head, bool end) {
  if (lost_) return;
  if (head.status >= 200 || head.status == 0) head_sent_ = true;
  if (end) out_end_ = out_end_taken_ = true;
  connection_->codec_->SendHead(id_, head, end);
  connection_->FlushSoon();
}

void Stream::Send(Chunk chunk, bool end) {
  if (lost_ || out_end_) return;
  out_.Append(std::move(chunk));
  out_end_ = end;
  Pump();
}

void Stream::Pump() {
  if (lost_ || out_end_taken_ || (out_.empty() && !out_end_)) return;
  size_t before = out_.size();
  size_t taken = connection_->codec_->SendData(id_, out_, out_end_);
  connection_->unsent_ += taken;
  if (taken == before && out_end_) out_end_taken_ = true;
  connection_->FlushSoon();
}

bool Stream::HasRoom() const {
  return connection_ != nullptr && out_.size() + connection_->Unsent() < Transport::kHighWater;
}

Stream::WriteOp Stream::Write(Chunk chunk, bool end) {
  Send(std::move(chunk), end);
  return WriteOp(*this);
}

void Stream::Reset(Fault why) {
  if (lost_ || connection_ == nullptr) return;
  lost_ = true;
  // What was sent before goes out before the reset does: HTTP/2 would drop it otherwise.
  connection_->codec_->TakeOutput(connection_->out_);
  connection_->codec_->Reset(id_, why);
  connection_->FlushSoon();
  Wake();
  room_.NotifyAll();
}

Error Stream::LossError() const {
  if (fault_) return *fault_;
  return Error{Party::kRelay, Fault::kCancelled, "the stream was given up"};
}

Result<Chunk> Stream::Take() {
  if (!in_.empty()) {
    Chunk chunk = in_.Pop();
    if (connection_ != nullptr) {
      connection_->codec_->Consumed(id_, chunk.size());
      connection_->UpdateReading();
      connection_->FlushSoon();  // a window update may stand in the output
    }
    return chunk;
  }
  if (in_end_) return Chunk();
  return std::unexpected(LossError());
}

Result<Head> Stream::HeadOp::await_resume() {
  bool in_time = wait_.await_resume();
  if (stream_.head_) {
    Head head = std::move(*stream_.head_);
    stream_.head_.reset();
    return head;
  }
  if (stream_.fault_ || stream_.lost_) return std::unexpected(stream_.LossError());
  (void)in_time;
  return Fail(Party::kUpstream, Fault::kTimeout, "the upstream sent no answer in time", true);
}

Result<Chunk> Stream::ReadOp::await_resume() {
  wait_.await_resume();
  if (stream_.Readable()) return stream_.Take();
  return Fail(Party::kUpstream, Fault::kTimeout, "no data came in time", true);
}

Result<Unit> Stream::WriteOp::await_resume() {
  wait_.await_resume();
  if (stream_.lost_) return std::unexpected(stream_.LossError());
  return Unit{};
}

}  // namespace relay
