// SPDX-License-Identifier: MIT
// The transport over plain TCP, both for accepted and for dialled connections. Reads go into the
// thread's read area, so an idle connection holds no buffer; a write goes to the kernel at once,
// and only what it did not take is kept.
#pragma once

#include <memory>
#include <string>

#include "core/async/loop.h"
#include "core/net/socket.h"
#include "core/net/transport.h"

namespace relay {

struct TcpOptions {
  // Whose doing a failure of this connection is: the client's or the upstream's.
  Party party = Party::kClient;
  // The peer takes nothing for so long while output waits: OnBroken(kTimeout).
  Duration write_stall = std::chrono::seconds(60);
  // Probes a silent peer after a minute; for upstream connections that wait in a pool.
  bool keepalive = false;
  // Destroyed with the connection: the listener's count of them. May be null.
  std::unique_ptr<Mortal> ticket;
};

class Tcp final : public Transport, private SocketEvents, private Flushable {
 public:
  // `socket` is connected. Nagle's algorithm must be off already or is turned off by Dial.
  Tcp(Loop& loop, Socket socket, const Address& peer, TcpOptions options);
  ~Tcp() override;

  void Start(TransportEvents& events) override;
  void Stop() override;
  void Write(Buffer& from) override;
  size_t Pending() const override { return pending_.size(); }
  void PauseReads(Pause reason) override;
  void ResumeReads(Pause reason) override;
  void ShutdownWrites() override;
  std::string_view alpn() const override { return {}; }
  std::string_view peer() const override { return peer_; }

 private:
  void OnSocket(bool readable, bool writable, bool broken) override;
  void Flush() override;  // tells what happened outside the poll phase
  void OnStall();
  // A socket error stands to be told. The watch has ended.
  void OnSocketError();
  // False when there was nothing to read, not even the end.
  bool Read();
  // Sends from the front of `buffer` until it is empty or the kernel takes no more. False when the
  // connection broke.
  bool Send(Buffer& buffer);
  void SendPending();
  void FinishWrites();
  void Break(int error, const char* doing);
  void Break(Error why);
  void TellEnd();
  bool Reading() const { return events_ != nullptr && paused_ == 0 && !eof_ && !broken_; }
  void UpdateWatch();

  Loop& loop_;
  Socket socket_;
  SocketWatch watch_;
  std::unique_ptr<Mortal> ticket_;
  TransportEvents* events_ = nullptr;
  Buffer pending_;
  std::string peer_;
  std::unique_ptr<Error> why_;  // set when broken_
  Duration write_stall_;
  MethodTimer<Tcp, &Tcp::OnStall> stall_;
  Party party_;
  uint8_t paused_ = 0;  // bits of Pause
  bool above_ = false;  // was above kHighWater, OnDrained is owed
  bool eof_ = false;
  bool hung_up_ = false;  // the peer's end stands behind bytes that are not read
  bool broken_ = false;
  bool end_told_ = false;        // OnBroken was told, or OnEof and nothing worse happened since
  bool no_more_writes_ = false;  // ShutdownWrites was called
  bool fin_sent_ = false;
};

}  // namespace relay
