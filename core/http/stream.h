// SPDX-License-Identifier: MIT
// One request and its answer on a connection, as coroutines see it: the same class for both sides
// and both protocols. A server's stream reads the request's body and sends the answer; a client's
// sends the request and reads the answer.
#pragma once

#include <coroutine>
#include <memory>
#include <string_view>

#include "core/async/event.h"
#include "core/http/codec.h"

namespace relay {

class Connection;

class Stream {
 public:
  // Told at once, from the poll phase, when the peer is gone or the stream was reset: whoever runs
  // on this stream should be cancelled. Not told for faults that can still be answered.
  class Watcher {
   public:
    virtual void OnStreamLost(const Error& why) = 0;

   protected:
    ~Watcher() = default;
  };

  // `peer_party`: who is at the other end, for errors about it.
  Stream(Connection& connection, StreamId id, Party peer_party);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  // Resets what is unfinished and frees the place on the connection. A message that was ended is
  // finished: what of it waits for the peer's window is still sent.
  ~Stream();

  void Watch(Watcher* watcher) { watcher_ = watcher; }

  // Waits for the answer's head (client side). Errors: kTimeout at the deadline, else fault().
  class HeadOp;
  HeadOp ReadHead(TimePoint deadline);
  // Waits for body bytes. An empty chunk is the body's end. Taking bytes reopens the window. What
  // came before a fault is given first. Errors: kTimeout at the deadline, else fault().
  class ReadOp;
  ReadOp Read(TimePoint deadline);
  // The body has been read to its end.
  bool at_end() const { return in_end_ && in_.empty(); }
  // What stopped the inbound side; null: nothing did.
  const Error* fault() const { return fault_.get(); }

  // Sends an answer's head. At most one final head; 1xx may come before.
  void SendHead(const Head& head, bool end);
  // Takes the chunk (and the end of the body) at once; it leaves in this turn.
  void Send(Chunk chunk, bool end);
  // Like Send; co_await waits until no more than the high-water mark is held.
  class WriteOp;
  WriteOp Write(Chunk chunk, bool end = false);
  // The whole message was handed to the connection.
  bool sent_all() const { return out_.ended; }
  bool head_sent() const { return head_sent_; }
  // Nothing can be sent any more.
  bool lost() const { return lost_; }
  // Gives the stream up now: RST_STREAM, or the end of an HTTP/1 connection without a last chunk.
  void Reset(Fault why);

  StreamId id() const { return id_; }
  // Client side: the connection had carried another request before.
  bool reused() const { return reused_; }
  // Client side, once the stream failed: its connection was a used one, which the upstream ended
  // before a byte of an answer came, or the upstream says that it did nothing of the request, which
  // may be sent again at once (R36).
  bool stale() const {
    if (!fault_) return false;
    return fault_->fault == Fault::kUnprocessed ||
           (reused_ && cut_ && !answer_begun_ && fault_->fault == Fault::kReset);
  }
  std::string_view peer() const;
  Loop& loop() { return loop_; }

 private:
  friend class Connection;
  // What is on its way to the peer. It may outlive its stream, within the connection.
  struct Outbound {
    explicit Outbound(StreamId stream) : id(stream) {}
    StreamId id;
    Buffer bytes;        // what the codec has not taken: HTTP/2's window is closed
    bool ended = false;  // the user has given everything
    bool taken = false;  // and the codec has taken everything
    TimePoint since{};   // it waits for the window since then
    bool stuck() const { return ended ? !taken : !bytes.empty(); }
  };
  bool Readable() const { return !in_.empty() || in_end_ || fault_ || lost_; }
  bool HasRoom() const;
  void AwaitRoom();
  void Wake() { inbound_.NotifyAll(); }
  Result<Chunk> Take();
  Error LossError() const;

  Loop& loop_;
  Connection* connection_;  // null once it is gone, and then lost_
  Watcher* watcher_ = nullptr;
  StreamId id_;
  std::unique_ptr<Head> head_;  // of the answer, until it is read
  Buffer in_;
  Outbound out_;
  std::unique_ptr<Error> fault_;
  Event inbound_;
  Event room_;
  const Party peer_party_;
  bool reused_ = false;
  bool answer_begun_ = false;
  bool in_end_ = false;
  bool head_sent_ = false;
  bool lost_ = false;
  bool cut_ = false;  // lost with the connection
};

// The three awaitables. Each keeps its wait inside itself: no frame, no allocation.
class Stream::HeadOp {
 public:
  HeadOp(Stream& stream, TimePoint deadline)
      : stream_(stream), wait_(stream.inbound_.Wait(deadline)) {}
  bool await_ready() const { return stream_.head_ || stream_.fault_ || stream_.lost_; }
  void await_suspend(std::coroutine_handle<> frame) { wait_.await_suspend(frame); }
  Result<Head> await_resume();

 private:
  Stream& stream_;
  TimedWait wait_;
};

class Stream::ReadOp {
 public:
  ReadOp(Stream& stream, TimePoint deadline)
      : stream_(stream), wait_(stream.inbound_.Wait(deadline)) {}
  bool await_ready() const { return stream_.Readable(); }
  void await_suspend(std::coroutine_handle<> frame) { wait_.await_suspend(frame); }
  Result<Chunk> await_resume();

 private:
  Stream& stream_;
  TimedWait wait_;
};

class Stream::WriteOp {
 public:
  explicit WriteOp(Stream& stream) : stream_(stream), wait_(stream.room_.Wait()) {}
  bool await_ready() const { return stream_.lost_ || stream_.HasRoom(); }
  void await_suspend(std::coroutine_handle<> frame) {
    stream_.AwaitRoom();
    wait_.await_suspend(frame);
  }
  // Fails when the peer is gone.
  Result<Unit> await_resume();

 private:
  Stream& stream_;
  TimedWait wait_;
};

inline Stream::HeadOp Stream::ReadHead(TimePoint deadline) {
  return {*this, deadline};
}
inline Stream::ReadOp Stream::Read(TimePoint deadline) {
  return {*this, deadline};
}

}  // namespace relay
