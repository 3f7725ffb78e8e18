// SPDX-License-Identifier: MIT
#include "core/net/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "core/net/socket.h"

namespace relay {
namespace {

constexpr char kCiphers12[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr char kCiphers13[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
// Where most systems keep all authorities in one file (Debian, Alpine, distroless images).
constexpr char kBundle[] = "/etc/ssl/certs/ca-certificates.crt";

// RFC 7301 §3.1: names with their length in front, the one that we like best first.
constexpr std::string_view kProtocols("\x02h2\x08http/1.1", 12);

std::unexpected<Error> Refuse(const std::string& what) {
  std::string detail = TakeTlsError();
  return Fail(Party::kRelay, Fault::kTls, detail.empty() ? what : what + ": " + detail);
}

ssl_ctx_st* MakeContext(const SSL_METHOD* method) {
  ssl_ctx_st* context = SSL_CTX_new(method);
  if (context == nullptr) return nullptr;
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context, kCiphers12);
  SSL_CTX_set_ciphersuites(context, kCiphers13);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // An idle connection gives its record buffers (34 KiB) back.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  return context;
}

// RFC 7301 §3.2: no common protocol is a fatal alert.
int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* in, unsigned int in_size, void*) {
  const auto* ours = reinterpret_cast<const unsigned char*>(kProtocols.data());
  unsigned char* chosen = nullptr;
  int found = SSL_select_next_proto(&chosen, out_size, ours, kProtocols.size(), in, in_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Whether a folder has authorities under the hashes of their names, as openssl-rehash(1) makes
// them.
bool IsHashed(const char* folder) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::string name = at->path().filename();
    if (name.size() == 10 && name.ends_with(".0") &&
        name.find_first_not_of("0123456789abcdef") == 8) {
      return true;
    }
  }
  return false;
}

bool TrustSystem(ssl_ctx_st* context) {
  bool chosen = std::getenv(X509_get_default_cert_file_env()) != nullptr ||
                std::getenv(X509_get_default_cert_dir_env()) != nullptr;
  const char* folder = X509_get_default_cert_dir();
  // One authority is read when it is needed: all 140 of a bundle would take a megabyte.
  if (!chosen && IsHashed(folder)) return SSL_CTX_load_verify_dir(context, folder) == 1;
  if (!chosen && ::access(kBundle, R_OK) == 0) {
    return SSL_CTX_load_verify_file(context, kBundle) == 1;
  }
  // Where there are none either, each handshake will say what is missing.
  return SSL_CTX_set_default_verify_paths(context) == 1;
}

}  // namespace

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
}

Result<std::shared_ptr<const TlsServerContext>> TlsServerContext::Load(
    const std::string& certificate_file, const std::string& key_file) {
  ERR_clear_error();
  ssl_ctx_st* raw = MakeContext(TLS_server_method());
  if (raw == nullptr) return Refuse("TLS cannot be set up");
  std::shared_ptr<const TlsServerContext> context(new TlsServerContext(raw));
  SSL_CTX_set_num_tickets(raw, 0);
  SSL_CTX_set_alpn_select_cb(raw, ChooseProtocol, nullptr);
  // Without this OpenSSL would ask for the passphrase on the terminal.
  SSL_CTX_set_default_passwd_cb(raw, [](char*, int, int, void*) { return 0; });
  if (SSL_CTX_use_certificate_chain_file(raw, certificate_file.c_str()) != 1) {
    return Refuse("cannot read the certificate '" + certificate_file + "'");
  }
  if (SSL_CTX_use_PrivateKey_file(raw, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    // OpenSSL compares the two here already, if it could read the key.
    if (ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_X509) {
      TakeTlsError();
      return Refuse("the key '" + key_file + "' does not belong to the certificate '" +
                    certificate_file + "'");
    }
    return Refuse("cannot read the key '" + key_file + "' (PEM, without a passphrase)");
  }
  if (SSL_CTX_check_private_key(raw) != 1) {
    return Refuse("the key '" + key_file + "' and the certificate '" + certificate_file +
                  "' are no pair");
  }
  return context;
}

Result<std::shared_ptr<const TlsClientContext>> TlsClientContext::Make(const std::string& ca_file) {
  ERR_clear_error();
  ssl_ctx_st* raw = MakeContext(TLS_client_method());
  if (raw == nullptr) return Refuse("TLS cannot be set up");
  std::shared_ptr<const TlsClientContext> context(new TlsClientContext(raw));
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  if (ca_file.empty()) {
    if (!TrustSystem(raw)) return Refuse("cannot read the system's certificate authorities");
  } else if (SSL_CTX_load_verify_file(raw, ca_file.c_str()) != 1) {
    return Refuse("cannot read the certificate authorities in '" + ca_file + "'");
  }
  return context;
}

std::string TakeTlsError() {
  // The first in the queue is the cause, those after it are how it travelled upwards.
  unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return {};
  if (ERR_SYSTEM_ERROR(code)) return ErrnoText(ERR_GET_REASON(code));
  const char* text = ERR_reason_error_string(code);
  return text != nullptr ? text : "error " + std::to_string(code);
}

}  // namespace relay
