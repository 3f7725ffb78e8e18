// SPDX-License-Identifier: MIT
// Joins one transport and one codec, and hands out streams. Lives until its transport ends, then
// buries itself; streams that outlive it are told that they are lost.
#pragma once

#include <memory>
#include <vector>

#include "core/async/loop.h"
#include "core/http/codec.h"
#include "core/http/stream.h"
#include "core/net/transport.h"

namespace relay {

struct ConnectionTag {};

class Connection : public Mortal,
                   public ListNode<ConnectionTag>,
                   protected TransportEvents,
                   protected StreamEvents,
                   private Flushable {
 public:
  ~Connection() override;

  Loop& loop() { return loop_; }
  std::string_view peer() const { return transport_ ? transport_->peer() : std::string_view(); }
  size_t active_streams() const { return streams_.size(); }
  // No further messages; ends once the present ones are done.
  void GoAway();
  bool closing() const { return closing_; }

 protected:
  Connection(Loop& loop, std::unique_ptr<Transport> transport);

  // Called when a stream was given back or output went out: timers, reuse, pipelining.
  virtual void OnIdleChange() = 0;
  // The codec met a message that it refuses; the answer may still be sent on this new stream.
  virtual void OnRefused(std::unique_ptr<Stream> stream, Error why) = 0;

  void OnBytes(Chunk bytes) override;
  void OnEof() override;
  void OnBroken(Error why) override;
  void OnDrained() override;
  void OnData(StreamId id, Chunk data, bool end) override;
  void OnReset(StreamId id, Error why, bool answerable) override;
  void OnRoom(StreamId id) override;

  // The stream of that id, or null.
  Stream* Find(StreamId id) const;
  std::unique_ptr<Stream> MakeStream(StreamId id);
  void Receive(Chunk bytes);
  void SetHead(Stream& stream, Head head, bool end);
  void EndInbound(Stream& stream);
  // A client's request: its head went out with Open, the body follows as windows allow.
  void StartOutbound(Stream& stream, Buffer body, bool reused);
  // Tells every stream, then closes: gracefully (what was written still goes out) or at once.
  void Close(const Error& why, bool gracefully);
  void FlushSoon() { loop_.FlushLater(*this); }
  size_t Unsent() const { return unsent_ + (transport_ ? transport_->Pending() : 0); }

  Loop& loop_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Codec> codec_;

 private:
  friend class Stream;
  void Flush() override;
  void Release(Stream& stream);
  void Lose(Stream& stream, const Error& why);
  void UpdateReading();
  void CloseIfDone();
  void Die();

  std::vector<Stream*> streams_;
  Buffer out_;
  size_t unsent_ = 0;  // given to the codec in this turn, not yet to the transport
  bool closing_ = false;
  bool eof_ = false;
  bool dead_ = false;
};

// Bounds in time of a client's connection; relay.yaml's listeners.limits.
struct ServerLimits {
  CodecLimits codec;
  Duration header_timeout = std::chrono::seconds(10);
  Duration idle_timeout = std::chrono::seconds(60);
};

// What makes exchanges out of requests. Called from the poll phase or a flush: starts nothing at
// once, but marks it ready.
class ServerHandler {
 public:
  virtual void OnRequest(std::unique_ptr<Stream> stream, Head head) = 0;
  // A request that broke the protocol's rules or limits, to be answered with why's status.
  virtual void OnRefused(std::unique_ptr<Stream> stream, Error why) = 0;

 protected:
  ~ServerHandler() = default;
};

class ServerConnection final : public Connection {
 public:
  // Owns itself from here on: it buries itself on `loop` when it ends.
  static ServerConnection* Start(Loop& loop, std::unique_ptr<Transport> transport,
                                 const ServerLimits& limits, ServerHandler& handler);

 private:
  ServerConnection(Loop& loop, std::unique_ptr<Transport> transport, const ServerLimits& limits,
                   ServerHandler& handler);
  void OnBytes(Chunk bytes) override;
  void OnHead(StreamId id, Head head, bool end) override;
  void OnGoAway(StreamId last_id) override;
  void OnIdleChange() override;
  void OnRefused(std::unique_ptr<Stream> stream, Error why) override;
  void OnTimeout();
  // Picks HTTP/1.1 or HTTP/2; false while the bytes so far may be either's.
  bool ChooseCodec();
  void UpdateTimer();

  const ServerLimits& limits_;
  ServerHandler& handler_;
  MethodTimer<ServerConnection, &ServerConnection::OnTimeout> timer_;
  Buffer sniffed_;
  enum class Phase : uint8_t { kHead, kIdle, kBusy } phase_ = Phase::kHead;
};

// A connection to an upstream.
class ClientConnection final : public Connection {
 public:
  // ALPN of the transport chooses the codec. The caller owns nothing: see usable().
  static ClientConnection* Start(Loop& loop, std::unique_ptr<Transport> transport,
                                 Duration idle_timeout);

  // Room for one more request now.
  bool usable() const;
  bool multiplexed() const { return multiplexed_; }
  // Sends a request. The stream is the caller's.
  Result<std::unique_ptr<Stream>> Open(const Head& head, Buffer body);

 private:
  ClientConnection(Loop& loop, std::unique_ptr<Transport> transport, Duration idle_timeout);
  void OnHead(StreamId id, Head head, bool end) override;
  void OnGoAway(StreamId last_id) override;
  void OnIdleChange() override;
  void OnRefused(std::unique_ptr<Stream> stream, Error why) override;
  void OnTimeout();

  ClientCodec* client_codec_;
  Duration idle_timeout_;
  MethodTimer<ClientConnection, &ClientConnection::OnTimeout> timer_;
  bool multiplexed_;
  bool going_away_ = false;
  bool served_ = false;
};

}  // namespace relay
