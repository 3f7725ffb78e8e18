// SPDX-License-Identifier: MIT
// TLS over any other transport, for both sides. Ciphertext goes through our own buffers: OpenSSL
// sees no socket, and nothing of ours is called or destroyed from inside of it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/async/event.h"
#include "core/net/tls_context.h"
#include "core/net/transport.h"

struct bio_st;
struct ssl_st;

namespace relay {

// Start may be called at once; bytes are told when the handshake is done, and what was written
// before goes out then. A peer that ends without close_notify may have been cut off by a third
// party (RFC 8446 §6.1): that is OnBroken(kTruncated), not OnEof. Pending counts ciphertext.
class Tls final : public Transport, private TransportEvents, private Flushable {
 public:
  static std::unique_ptr<Tls> Accept(Loop& loop, std::unique_ptr<Transport> inner,
                                     std::shared_ptr<const TlsServerContext> context,
                                     Duration handshake_timeout);
  // `host` is what the certificate must name: a DNS name, which is also sent as SNI, or a literal
  // address. `alpn` is offered in that order. Wait for settled() before handing it on.
  static std::unique_ptr<Tls> Connect(Loop& loop, std::unique_ptr<Transport> inner,
                                      std::shared_ptr<const TlsClientContext> context,
                                      const std::string& host, const std::vector<std::string>& alpn,
                                      TimePoint deadline);
  ~Tls() override;

  // The handshake is over, well or not.
  bool settled() const { return phase_ != Phase::kHandshake; }
  // Why it is broken; null if it is not.
  const Error* failure() const { return why_.get(); }
  // Announces that it settled.
  Event& changed() { return changed_; }

  void Start(TransportEvents& events) override;
  void Stop() override;
  void Write(Buffer& from) override;
  size_t Pending() const override;
  void PauseReads(Pause reason) override;
  void ResumeReads(Pause reason) override;
  void ShutdownWrites() override;
  std::string_view alpn() const override { return alpn_; }
  std::string_view peer() const override { return inner_->peer(); }

 private:
  friend struct CipherPipe;  // OpenSSL's view of in_ and out_
  enum class Phase : uint8_t { kHandshake, kOpen, kBroken };

  Tls(Loop& loop, std::unique_ptr<Transport> inner, ssl_st* ssl, Party party, std::string name,
      TimePoint deadline);
  void OnBytes(Chunk bytes) override;
  void OnEof() override;
  void OnHangup() override;
  void OnBroken(Error why) override;
  void OnDrained() override;
  void Flush() override;
  void OnDeadline();

  // Goes on with whatever there is to do, then sends what OpenSSL had to say.
  void Advance();
  void Shake();
  void Settle();
  void ReadPlain();
  void Encrypt(Buffer& from);
  void SendCipher();
  void EndWrites();
  void FailHandshake();
  void Break(Fault fault, std::string what);
  void Break(Error why);
  void TellEnd();

  Loop& loop_;
  std::unique_ptr<Transport> inner_;
  ssl_st* ssl_;
  TransportEvents* events_ = nullptr;
  Buffer in_;     // ciphertext that OpenSSL has not taken
  Buffer out_;    // ciphertext that the inner transport has not
  Buffer plain_;  // written before the handshake was done
  std::string name_;
  std::string alpn_;
  std::unique_ptr<Error> why_;
  Event changed_;
  MethodTimer<Tls, &Tls::OnDeadline> deadline_;
  Party party_;
  Phase phase_ = Phase::kHandshake;
  uint8_t paused_ = 0;
  bool eof_ = false;        // close_notify came
  bool inner_eof_ = false;  // TCP's end came
  bool end_told_ = false;
  bool no_more_writes_ = false;
  bool above_ = false;    // plain_ was above kHighWater
  bool parting_ = false;  // an alert or a last word is on its way
};

}  // namespace relay
