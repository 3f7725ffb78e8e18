// SPDX-License-Identifier: MIT
#include "core/http/stream.h"

#include <utility>

#include "core/http/connection.h"

namespace relay {

Stream::Stream(Connection& connection, StreamId id, Party peer_party)
    : loop_(connection.loop()),
      connection_(&connection),
      id_(id),
      out_(id),
      inbound_(loop_),
      room_(loop_),
      peer_party_(peer_party) {}

Stream::~Stream() {
  if (connection_ != nullptr) connection_->Release(*this);
}

std::string_view Stream::peer() const {
  return connection_ == nullptr ? std::string_view() : connection_->peer();
}

void Stream::SendHead(const Head& head, bool end) {
  if (lost_) return;
  if (head.status >= 200) head_sent_ = true;
  if (end) out_.ended = out_.taken = true;
  connection_->codec_->SendHead(id_, head, end);
  connection_->FlushSoon();
}

void Stream::Send(Chunk chunk, bool end) {
  if (lost_ || out_.ended) return;
  out_.bytes.Append(std::move(chunk));
  out_.ended = end;
  connection_->Pump(out_);
}

bool Stream::HasRoom() const {
  return out_.bytes.size() + connection_->Unsent() <= Transport::kHighWater;
}

void Stream::AwaitRoom() {
  connection_->crowded_ = true;
}

Stream::WriteOp Stream::Write(Chunk chunk, bool end) {
  Send(std::move(chunk), end);
  return WriteOp(*this);
}

void Stream::Reset(Fault why) {
  if (lost_) return;
  lost_ = true;
  connection_->Abandon(id_, why);
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
    if (connection_ != nullptr) connection_->OnTaken(*this, chunk.size());
    return chunk;
  }
  if (in_end_) return Chunk();
  return std::unexpected(LossError());
}

Result<Head> Stream::HeadOp::await_resume() {
  wait_.await_resume();
  if (stream_.head_) {
    std::unique_ptr<Head> head = std::move(stream_.head_);
    return std::move(*head);
  }
  if (stream_.fault_ || stream_.lost_) return std::unexpected(stream_.LossError());
  return Fail(stream_.peer_party_, Fault::kTimeout, "no answer came in time", true);
}

Result<Chunk> Stream::ReadOp::await_resume() {
  wait_.await_resume();
  if (stream_.Readable()) return stream_.Take();
  return Fail(stream_.peer_party_, Fault::kTimeout, "no data came in time", true);
}

Result<Unit> Stream::WriteOp::await_resume() {
  wait_.await_resume();
  if (stream_.lost_) return std::unexpected(stream_.LossError());
  return Unit{};
}

}  // namespace relay
