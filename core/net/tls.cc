// SPDX-License-Identifier: MIT
#include "core/net/tls.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "core/net/address.h"
#include "core/net/linger.h"

namespace relay {
namespace {

// RFC 8446 §5.1: the most plaintext that one record holds.
constexpr size_t kRecord = size_t{16} << 10;

// For a client that forgot the s of https; it would not understand an alert.
constexpr std::string_view kPlainHttpAnswer =
    "HTTP/1.1 400 Bad Request\r\n"
    "content-type: text/plain\r\n"
    "content-length: 33\r\n"
    "connection: close\r\n"
    "\r\n"
    "This port speaks TLS: use https.\n";

// SSL_free_buffers frees a buffer that is in use in older ones (CVE-2024-4741, fixed in 3.0.14,
// 3.1.6, 3.2.2 and 3.3.1); the library that is there at run time counts.
bool FreesBuffersWell() {
  static const bool kWell = [] {
    constexpr std::array<unsigned, 4> kFixed = {14, 6, 2, 1};  // the patch of 3.0, 3.1, …
    const unsigned minor = OPENSSL_version_minor();
    if (OPENSSL_version_major() != 3) return OPENSSL_version_major() > 3;
    return minor >= kFixed.size() || OPENSSL_version_patch() >= kFixed[minor];
  }();
  return kWell;
}

std::string AlpnWire(const std::vector<std::string>& names) {
  std::string wire;
  for (const std::string& name : names) {
    wire += static_cast<char>(name.size());
    wire += name;
  }
  return wire;
}

}  // namespace

// A BIO over the two buffers of a Tls: no copy of its own, and no memory while it is idle.
struct CipherPipe {
  static Tls& Owner(BIO* bio) { return *static_cast<Tls*>(BIO_get_data(bio)); }

  static int Read(BIO* bio, char* to, size_t most, size_t* got) {
    Buffer& in = Owner(bio).in_;
    BIO_clear_retry_flags(bio);
    *got = 0;
    while (*got < most && !in.empty()) {
      size_t part = std::min(most - *got, in.front()->size());
      std::memcpy(to + *got, in.front()->data(), part);
      in.Consume(part);
      *got += part;
    }
    if (*got > 0) return 1;
    BIO_set_retry_read(bio);
    return 0;
  }
  static int Write(BIO* bio, const char* from, size_t size, size_t* written) {
    Owner(bio).out_.AppendCopy({from, size});
    *written = size;
    return 1;
  }
  static long Control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static BIO* Make(Tls& tls) {
    static BIO_METHOD* method = [] {
      BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "relay");
      if (made == nullptr) throw std::bad_alloc();
      BIO_meth_set_read_ex(made, Read);
      BIO_meth_set_write_ex(made, Write);
      BIO_meth_set_ctrl(made, Control);
      return made;
    }();
    BIO* bio = BIO_new(method);
    if (bio == nullptr) throw std::bad_alloc();
    BIO_set_data(bio, &tls);
    BIO_set_init(bio, 1);
    return bio;
  }
};

std::unique_ptr<Tls> Tls::Accept(Loop& loop, std::unique_ptr<Transport> inner,
                                 std::shared_ptr<const TlsServerContext> context,
                                 Duration handshake_timeout) {
  SSL* ssl = SSL_new(context->get());  // keeps the context alive
  if (ssl == nullptr) throw std::bad_alloc();
  SSL_set_accept_state(ssl);
  std::string name(inner->peer());
  return std::unique_ptr<Tls>(new Tls(loop, std::move(inner), ssl, Party::kClient, std::move(name),
                                      loop.Now() + handshake_timeout));
}

std::unique_ptr<Tls> Tls::Connect(Loop& loop, std::unique_ptr<Transport> inner,
                                  std::shared_ptr<const TlsClientContext> context,
                                  const std::string& host, const std::vector<std::string>& alpn,
                                  TimePoint deadline) {
  SSL* ssl = SSL_new(context->get());
  if (ssl == nullptr) throw std::bad_alloc();
  SSL_set_connect_state(ssl);
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (std::optional<Address> literal = Address::FromLiteral(host, 0)) {
    // RFC 6066 §3: literal addresses are not sent as SNI.
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), literal->HostString().c_str());
  } else {
    SSL_set1_host(ssl, host.c_str());
    SSL_set_tlsext_host_name(ssl, host.c_str());
  }
  std::string wire = AlpnWire(alpn);
  if (!wire.empty()) {
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(wire.data()),
                        static_cast<unsigned>(wire.size()));
  }
  std::unique_ptr<Tls> tls(new Tls(loop, std::move(inner), ssl, Party::kUpstream, host, deadline));
  tls->Advance();
  return tls;
}

Tls::Tls(Loop& loop, std::unique_ptr<Transport> inner, ssl_st* ssl, Party party, std::string name,
         TimePoint deadline)
    : loop_(loop),
      inner_(std::move(inner)),
      ssl_(ssl),
      name_(std::move(name)),
      changed_(loop),
      deadline_(loop.timers(), *this),
      party_(party) {
  BIO* pipe = CipherPipe::Make(*this);
  SSL_set_bio(ssl_, pipe, pipe);
  deadline_.ArmAt(deadline);
  inner_->Start(*this);
}

Tls::~Tls() {
  SSL_free(ssl_);
  // Closing at once could destroy the alert that tells the peer what was wrong.
  if (parting_) LingerAndClose(loop_, std::move(inner_));
}

void Tls::Start(TransportEvents& events) {
  events_ = &events;
  end_told_ = false;
  if ((paused_ & static_cast<uint8_t>(Pause::kDrain)) == 0) inner_->ResumeReads(Pause::kDrain);
  // What came with the handshake's last bytes, and an end told before, are told soon.
  loop_.FlushLater(*this);
}

void Tls::Stop() {
  events_ = nullptr;
  if (phase_ == Phase::kOpen) inner_->PauseReads(Pause::kDrain);
}

void Tls::OnBytes(Chunk bytes) {
  if (phase_ == Phase::kBroken || eof_) return;
  in_.Append(std::move(bytes));
  Advance();
}

void Tls::OnEof() {
  inner_eof_ = true;
  Advance();
}

void Tls::OnHangup() {
  if (events_ != nullptr && phase_ == Phase::kOpen) events_->OnHangup();
}

void Tls::OnBroken(Error why) {
  if (phase_ == Phase::kHandshake) why.what += " during the TLS handshake";
  Break(std::move(why));
}

void Tls::OnDrained() {
  if (events_ != nullptr && phase_ == Phase::kOpen) events_->OnDrained();
}

void Tls::Flush() {
  if (phase_ == Phase::kOpen && !eof_) Advance();
  if (phase_ == Phase::kBroken || eof_) TellEnd();
}

void Tls::OnDeadline() {
  Break(Fault::kTimeout, "the TLS handshake with " + name_ + " took too long");
}

void Tls::Advance() {
  if (phase_ == Phase::kHandshake) Shake();
  if (phase_ == Phase::kOpen && !eof_) ReadPlain();
  SendCipher();
}

void Tls::Shake() {
  ERR_clear_error();
  int done = SSL_do_handshake(ssl_);
  if (done == 1) {
    Settle();
    return;
  }
  if (SSL_get_error(ssl_, done) != SSL_ERROR_WANT_READ) {
    FailHandshake();
  } else if (inner_eof_) {
    Break(Fault::kTls, name_ + " closed the connection during the TLS handshake");
  }
}

void Tls::Settle() {
  phase_ = Phase::kOpen;
  deadline_.Disarm();
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  alpn_.assign(reinterpret_cast<const char*>(name), size);
  // The owner's reasons to pause count from here on; until it starts, what it would get waits.
  for (Pause reason : {Pause::kStream, Pause::kOutput, Pause::kMemory, Pause::kDrain}) {
    if ((paused_ & static_cast<uint8_t>(reason)) != 0) inner_->PauseReads(reason);
  }
  if (events_ == nullptr) inner_->PauseReads(Pause::kDrain);
  changed_.NotifyAll();
  if (!plain_.empty()) Encrypt(plain_);
  if (no_more_writes_) EndWrites();
  SendCipher();
  if (above_ && phase_ == Phase::kOpen && inner_->Pending() <= kHighWater) {
    above_ = false;
    if (events_ != nullptr && inner_->Pending() < kLowWater) events_->OnDrained();
  }
}

void Tls::FailHandshake() {
  long verdict = SSL_get_verify_result(ssl_);
  int reason = ERR_GET_REASON(ERR_peek_error());
  std::string text = TakeTlsError();
  if (party_ == Party::kUpstream && verdict != X509_V_OK) {
    text = std::string("certificate verify failed: ") + X509_verify_cert_error_string(verdict);
  } else if (reason == SSL_R_HTTP_REQUEST) {
    text = "a plain HTTP request came to this TLS port";
    out_.Clear();
    out_.AppendCopy(kPlainHttpAnswer);
  } else if (reason == SSL_R_WRONG_VERSION_NUMBER) {
    text = "it does not speak TLS on this port";
  }
  SendCipher();  // the alert
  parting_ = true;
  Break(Fault::kTls, "the TLS handshake with " + name_ + " failed: " + text);
}

void Tls::ReadPlain() {
  while (phase_ == Phase::kOpen && events_ != nullptr && paused_ == 0) {
    std::span<char> space = ReadArea::Get().Space();
    size_t got = 0;
    ERR_clear_error();
    int ok = SSL_read_ex(ssl_, space.data(), space.size(), &got);
    if (ok == 1) {
      events_->OnBytes(ReadArea::Get().Take(got));
      continue;
    }
    switch (SSL_get_error(ssl_, ok)) {
      case SSL_ERROR_WANT_READ:
        if (inner_eof_) {
          Break(Fault::kTruncated, name_ + " ended the connection without TLS's close_notify");
        }
        // A session ticket that was read has left OpenSSL with a buffer for an answer to it.
        // Tickets come from servers alone.
        if (party_ == Party::kUpstream && FreesBuffersWell()) SSL_free_buffers(ssl_);
        return;
      case SSL_ERROR_ZERO_RETURN:
        eof_ = true;
        in_.Clear();
        TellEnd();
        return;
      default:
        SendCipher();  // the alert
        parting_ = true;
        Break(Fault::kTls, "TLS with " + name_ + " broke: " + TakeTlsError());
        return;
    }
  }
}

void Tls::Write(Buffer& from) {
  if (phase_ == Phase::kBroken || no_more_writes_) {
    from.Clear();
    return;
  }
  if (phase_ == Phase::kHandshake) {
    from.Compact();
    plain_.Append(from);
    if (plain_.size() > kHighWater) above_ = true;
    return;
  }
  Encrypt(from);
  SendCipher();
}

void Tls::Encrypt(Buffer& from) {
  // Small slices share a record: each costs 22 bytes or more, and a call of the cipher.
  thread_local std::array<char, kRecord> gathered;
  while (!from.empty()) {
    const Chunk& first = *from.front();
    const char* data = first.data();
    size_t size = std::min(first.size(), kRecord);
    if (size < kRecord && size < from.size()) {
      std::array<iovec, 64> slices;
      size_t count = from.Iovecs(slices);
      data = gathered.data();
      size = 0;
      for (size_t i = 0; i < count && size < kRecord; ++i) {
        size_t part = std::min(slices[i].iov_len, kRecord - size);
        std::memcpy(gathered.data() + size, slices[i].iov_base, part);
        size += part;
      }
    }
    size_t written = 0;
    ERR_clear_error();
    if (SSL_write_ex(ssl_, data, size, &written) != 1) {
      // The pipe takes everything, so only a connection that TLS itself has ended comes here.
      from.Clear();
      Break(Fault::kTls, "TLS with " + name_ + " broke: " + TakeTlsError());
      return;
    }
    from.Consume(written);
  }
}

void Tls::SendCipher() {
  if (!out_.empty()) inner_->Write(out_);
}

size_t Tls::Pending() const {
  return plain_.size() + out_.size() + inner_->Pending();
}

void Tls::PauseReads(Pause reason) {
  paused_ |= static_cast<uint8_t>(reason);
  if (phase_ == Phase::kOpen) inner_->PauseReads(reason);
}

void Tls::ResumeReads(Pause reason) {
  if ((paused_ & static_cast<uint8_t>(reason)) == 0) return;
  paused_ &= static_cast<uint8_t>(~static_cast<unsigned>(reason));
  bool unstarted = events_ == nullptr && reason == Pause::kDrain;
  if (phase_ == Phase::kOpen && !unstarted) inner_->ResumeReads(reason);
  // What was left in the buffer when reads were paused.
  if (paused_ == 0 && (!in_.empty() || inner_eof_ || SSL_has_pending(ssl_) == 1)) {
    loop_.FlushLater(*this);
  }
}

void Tls::ShutdownWrites() {
  if (no_more_writes_) return;
  no_more_writes_ = true;
  if (phase_ == Phase::kHandshake && !plain_.empty()) return;  // Settle ends it
  EndWrites();
}

void Tls::EndWrites() {
  if (phase_ == Phase::kOpen) {
    ERR_clear_error();
    SSL_shutdown(ssl_);  // writes close_notify; reading goes on (RFC 8446 §6.1)
    ERR_clear_error();
    SendCipher();
  }
  inner_->ShutdownWrites();
}

void Tls::Break(Fault fault, std::string what) {
  Break(Error{party_, fault, std::move(what), party_ == Party::kUpstream});
}

void Tls::Break(Error why) {
  if (phase_ == Phase::kBroken) return;
  bool shaking = phase_ == Phase::kHandshake;
  phase_ = Phase::kBroken;
  why_ = std::make_unique<Error>(std::move(why));
  deadline_.Disarm();
  in_.Clear();
  plain_.Clear();
  end_told_ = false;
  if (shaking) changed_.NotifyAll();
  loop_.FlushLater(*this);
}

void Tls::TellEnd() {
  if (events_ == nullptr || end_told_) return;
  end_told_ = true;
  if (phase_ == Phase::kBroken) {
    events_->OnBroken(*why_);
  } else {
    events_->OnEof();
  }
}

}  // namespace relay
