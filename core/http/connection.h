// SPDX-License-Identifier: MIT
// Joins one transport and one codec, and hands out streams. Lives until its transport ends, then
// buries itself; streams that outlive it are told that they are lost.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/async/loop.h"
#include "core/http/codec.h"
#include "core/http/stream.h"
#include "core/net/transport.h"

namespace relay {

struct ConnectionTag {};

// Owns itself. Whoever wants to find it later keeps it in a list; it leaves the list when it ends.
class Connection : public Mortal,
                   public ListNode<ConnectionTag>,
                   protected TransportEvents,
                   protected StreamEvents,
                   private Flushable {
 public:
  ~Connection() override;

  Loop& loop() { return loop_; }
  std::string_view peer() const { return transport_ ? transport_->peer() : std::string_view(); }
  // Messages under way, those included that only wait for the peer's window.
  size_t active_streams() const { return streams_.size() + tails_.size(); }
  bool closing() const { return closing_; }
  // No further messages: says so to the peer, and ends once the present ones are done; at once when
  // there are none.
  void GoAway();
  // The same for a peer that nobody can warn: on an idle HTTP/1 connection a request may be on its
  // way. It is answered still, as the last one; GoAway later ends those that stay idle.
  void Drain();
  // Ends in this turn without another word; its streams are told. For a stop that waits no longer.
  void CloseNow();

 protected:
  // `peer_party`: who is at the other end. A peer that takes nothing of what waits for so long as
  // `write_stall` is given up.
  Connection(Loop& loop, std::unique_ptr<Transport> transport, Party peer_party,
             Duration write_stall);

  // GoAway was said to the peer.
  virtual void OnLeaving() {}
  // Output went out, or a stream was given back: timers, reuse, pipelining. From the flush phase.
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

  void UseCodec(std::unique_ptr<Codec> codec, bool multiplexed);
  // The stream of that id, or null.
  Stream* Find(StreamId id) const;
  std::unique_ptr<Stream> MakeStream(StreamId id);
  void Receive(Chunk bytes);
  void SetHead(Stream& stream, Head head, bool end);
  static void EndInbound(Stream& stream) { stream.in_end_ = true; }
  // A client's request: its head went out with Open, the body follows as windows allow.
  void StartOutbound(Stream& stream, Buffer body, bool reused);
  // Tells every stream, then closes in this turn; what was written still goes out.
  void Close(const Error& why);
  // Tells every stream and ends at once.
  void Die(const Error& why);
  void FlushSoon() {
    if (!dead_) loop_.FlushLater(*this);
  }
  size_t Unsent() const { return unsent_ + (transport_ ? transport_->Pending() : 0); }
  bool multiplexed() const { return multiplexed_; }
  bool draining() const { return draining_; }
  // Whether a stream was given back since the last call.
  bool TakeReleased() { return std::exchange(released_, false); }

  Loop& loop_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Codec> codec_;

 private:
  friend class Stream;
  void Flush() override;
  void Release(Stream& stream);
  void Lose(Stream& stream, const Error& why);
  void LoseAll(const Error& why);
  // Hands what waits to the codec as far as it takes it.
  void Pump(Stream::Outbound& out);
  void PumpTail(StreamId id);
  void OnTaken(Stream& stream, size_t bytes);
  // Takes the stream back from the peer.
  void Abandon(StreamId id, Fault why);
  void OnStall();
  void UpdateReading();
  void SetPaused(Pause reason, bool paused);
  void End();
  void Bury();
  std::vector<Stream*>::const_iterator Place(StreamId id) const;

  std::vector<Stream*> streams_;         // by id
  std::vector<Stream::Outbound> tails_;  // of streams that are gone
  Buffer out_;
  size_t unsent_ = 0;  // given to the codec in this turn, not yet to the transport
  size_t held_ = 0;    // came in, not yet taken by the users
  const Duration write_stall_;
  MethodTimer<Connection, &Connection::OnStall> stall_;
  const Party peer_party_;
  uint8_t paused_ = 0;  // bits of Pause
  bool multiplexed_ = false;
  bool crowded_ = false;  // somebody waits for room
  bool released_ = false;
  bool draining_ = false;
  bool ending_ = false;  // whatever is lost now is lost with the connection
  bool closing_ = false;
  bool dead_ = false;
};

// Bounds in time of a client's connection; relay.yaml's listeners.limits.
struct ServerLimits {
  CodecLimits codec;
  Duration header_timeout = std::chrono::seconds(10);  // of a head, from its first byte to its last
  Duration idle_timeout = std::chrono::seconds(60);
  Duration write_stall = std::chrono::seconds(60);  // as TcpOptions has it, for HTTP/2's windows
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

// A client's connection: chooses the protocol, makes requests out of streams, keeps the time. The
// end of its peer's bytes is taken for the client's leave, whatever is under way (R32).
class ServerConnection final : public Connection {
 public:
  // Owns itself from here on: it buries itself on `loop` when it ends. `limits` and `handler`
  // outlive it.
  static ServerConnection* Start(Loop& loop, std::unique_ptr<Transport> transport,
                                 const ServerLimits& limits, ServerHandler& handler);

 private:
  ServerConnection(Loop& loop, std::unique_ptr<Transport> transport, const ServerLimits& limits,
                   ServerHandler& handler);
  void OnBytes(Chunk bytes) override;
  void OnHangup() override { OnEof(); }
  void OnHead(StreamId id, Head head, bool end) override;
  void OnGoAway(StreamId last_id) override;
  void OnLeaving() override;
  void OnIdleChange() override;
  void OnRefused(std::unique_ptr<Stream> stream, Error why) override;
  void OnTimeout();
  // Picks HTTP/1 or HTTP/2 by the first bytes; false while they may be either's.
  bool ChooseCodec(std::string_view first);
  void UpdateTimer();

  const ServerLimits& limits_;
  ServerHandler& handler_;
  MethodTimer<ServerConnection, &ServerConnection::OnTimeout> timer_;
  Buffer sniffed_;  // the first bytes, while they may be either protocol's
  enum class Phase : uint8_t { kHead, kIdle, kBusy, kLeaving } phase_ = Phase::kHead;
};

// A connection to an upstream: opens requests, and is reused while it may be.
class ClientConnection final : public Connection {
 public:
  // ALPN of the transport chooses the codec. It owns itself, as the server's does; ask usable()
  // before each use.
  static ClientConnection* Start(Loop& loop, std::unique_ptr<Transport> transport,
                                 Duration idle_timeout);

  // Room for one more request now. HTTP/1: the stream of the last one was given back.
  bool usable() const;
  using Connection::multiplexed;
  // Sends a request. The stream is the caller's.
  Result<std::unique_ptr<Stream>> Open(const Head& head, Buffer body);

 private:
  ClientConnection(Loop& loop, std::unique_ptr<Transport> transport, Duration idle_timeout);
  void OnBytes(Chunk bytes) override;
  void OnHead(StreamId id, Head head, bool end) override;
  void OnGoAway(StreamId last_id) override;
  void OnIdleChange() override;
  void OnRefused(std::unique_ptr<Stream> stream, Error why) override;
  void OnTimeout();

  ClientCodec* client_codec_;
  const Duration idle_timeout_;
  MethodTimer<ClientConnection, &ClientConnection::OnTimeout> timer_;
  bool going_away_ = false;
  bool served_ = false;
  bool heard_ = false;   // bytes came since the timer was set
  bool probed_ = false;  // a PING waits for its answer
};

}  // namespace relay
