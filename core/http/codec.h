// SPDX-License-Identifier: MIT
// A codec turns bytes into events and messages into bytes. It owns no socket and no timer, and
// never calls the transport: what it wants sent stands in its output until somebody takes it.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/http/message.h"

namespace relay {

using StreamId = uint32_t;  // HTTP/2's stream id; HTTP/1 counts messages from 1

// Bounds of what a peer may make us hold. Defaults are those of relay.yaml.
struct CodecLimits {
  size_t target_bytes = size_t{16} << 10;    // request line: 414
  size_t header_bytes = size_t{32} << 10;    // whole head: 431 (a server), 64 KiB for upstream's
  size_t header_fields = 100;                // 431
  uint64_t body_bytes = uint64_t{32} << 20;  // requests: 413; answers are not bounded
  uint32_t streams = 100;                    // HTTP/2, at once
};

// Called from within Receive and Expire (never from a Send…). The receiver may call any method of
// the codec but those two; it must not delete the codec.
class StreamEvents {
 public:
  // A request (server) or a final answer (client). `end`: no body follows.
  virtual void OnHead(StreamId id, Head head, bool end) = 0;
  // Body bytes, without framing. May be empty when `end`.
  virtual void OnData(StreamId id, Chunk data, bool end) = 0;
  // The peer took the stream back, or it broke this stream's rules; other streams go on. Nothing
  // follows for this id. A server must still be allowed to answer when `why.party` is kClient and
  // the fault has a status of its own (413, 431, …): `answerable` says so, and then a second one,
  // not answerable, follows if the client gives up before it has the answer.
  virtual void OnReset(StreamId id, Error why, bool answerable) = 0;
  // Room for more of this stream's body after SendData took less than all.
  virtual void OnRoom(StreamId id) = 0;
  // HTTP/2: the peer's GOAWAY; streams above last_id were not processed and may be sent again.
  // HTTP/1 client: the answer said Connection: close (last_id = its id).
  virtual void OnGoAway(StreamId last_id) = 0;

 protected:
  ~StreamEvents() = default;
};

class Codec {
 public:
  virtual ~Codec() = default;
  // Feeds bytes. An error is the connection's end: its output (a 400, a GOAWAY) should still be
  // sent, then the connection closes (lingering); nothing further is parsed. A parse error in
  // HTTP/1 with a status for the client is told as OnReset(answerable) of a fresh id, so that the
  // answer has the dialect's shape.
  //
  // Events come from here and from Expire only. An HTTP/1 server holds pipelined bytes back until
  // the present answer is finished: when mid_message() is true after that, call Receive with an
  // empty chunk.
  virtual Result<Unit> Receive(Chunk bytes, StreamEvents& to) = 0;
  // The peer's EOF. Ends a message that only the end of the connection delimits (HTTP/1 answers).
  virtual void ReceiveEof(StreamEvents& to) = 0;
  // Sends a head: a server's answer (1xx with end=false may precede it), or a client's further
  // heads (none today). `end`: no body follows.
  virtual void SendHead(StreamId id, const Head& head, bool end) = 0;
  // Takes from `body` what the protocol's window allows now, all for HTTP/1; `end` when `body` is
  // the last of it. An empty body with `end` is allowed. Returns bytes taken; OnRoom follows when
  // it was not all.
  virtual size_t SendData(StreamId id, Buffer& body, bool end) = 0;
  // The user took n bytes of this stream: HTTP/2 reopens the stream's window.
  virtual void Consumed(StreamId id, size_t n) = 0;
  // The head that has begun to come took too long. An HTTP/1 server tells it as a message that it
  // refuses; false: nobody waits for an answer.
  virtual bool Expire(StreamEvents&) { return false; }
  // Gives the stream up. HTTP/2 sends RST_STREAM; HTTP/1 must then close: see must_close().
  virtual void Reset(StreamId id, Fault why) = 0;
  // No further messages: HTTP/2 GOAWAY, HTTP/1 `Connection: close` on what follows. An HTTP/2
  // server first gives notice, and refuses new streams once the client has answered, or at a second
  // call: before the connection is closed, so that the client knows what was not served.
  virtual void GoAway() = 0;
  // Moves pending output to the end of `to`.
  virtual void TakeOutput(Buffer& to) = 0;
  // The connection may not carry another message once the present ones are done.
  virtual bool must_close() const = 0;
  // Bytes were received that belong to a message not yet begun (pipelining) or half a head, or,
  // with HTTP/1, the rest of a body that was answered early is still being read and dropped.
  virtual bool mid_message() const = 0;
  // False while enough of later messages is held (HTTP/1 pipelining, 16 KiB): read no more until
  // the present answer is finished.
  virtual bool wants_bytes() const { return true; }
};

class ClientCodec : public Codec {
 public:
  // Sends a request head; `end`: no body follows.
  virtual Result<StreamId> Open(const Head& head, bool end) = 0;
  // How many more requests may be opened now: 0 or 1 for HTTP/1.
  virtual size_t FreeStreams() const = 0;
  // HTTP/2 keep-alive probe (PING); false when the protocol has none.
  virtual bool Ping() = 0;
};

std::unique_ptr<Codec> MakeHttp1Server(const CodecLimits& limits);
std::unique_ptr<ClientCodec> MakeHttp1Client();
// The clock, which outlives the codec, is for the rates of what a peer may do. The scheme is a
// literal, and the same for all requests of a connection.
std::unique_ptr<Codec> MakeHttp2Server(const CodecLimits& limits,
                                       const Clock& clock = SystemClock::Get());
std::unique_ptr<ClientCodec> MakeHttp2Client(std::string_view scheme = "https",
                                             const Clock& clock = SystemClock::Get());

}  // namespace relay
