// SPDX-License-Identifier: MIT
// What TLS connections share: certificates, trusted authorities and the rules of both sides.
// TLS 1.2 or 1.3, AEAD ciphers with forward secrecy only, no compression, no renegotiation.
#pragma once

#include <memory>
#include <string>

#include "core/base/error.h"

struct ssl_ctx_st;

namespace relay {

// Immutable once made, and shared by all workers.
class TlsContext {
 public:
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ssl_ctx_st* get() const { return context_; }

 protected:
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}
  ~TlsContext();

 private:
  ssl_ctx_st* context_;
};

// The side that accepts. ALPN: h2, then http/1.1; a client that offers only others gets an alert,
// one that offers none gets none. No session is resumed, so no ticket key needs to be kept and
// rotated.
class TlsServerContext final : public TlsContext {
 public:
  // PEM files: the certificate with its chain, and its key without a passphrase. The pair is
  // checked; the error names the file.
  static Result<std::shared_ptr<const TlsServerContext>> Load(const std::string& certificate_file,
                                                              const std::string& key_file);
  ~TlsServerContext() = default;

 private:
  using TlsContext::TlsContext;
};

// The side that dials. Chain and name are always verified; there is no switch to turn that off.
class TlsClientContext final : public TlsContext {
 public:
  // Trusts the authorities in that PEM file, or the system's (SSL_CERT_FILE and SSL_CERT_DIR count)
  // if it is empty.
  static Result<std::shared_ptr<const TlsClientContext>> Make(const std::string& ca_file = "");
  ~TlsClientContext() = default;

 private:
  using TlsContext::TlsContext;
};

// What OpenSSL has to say of this thread's last failure, and forgets then. Never secret.
std::string TakeTlsError();

}  // namespace relay
