// SPDX-License-Identifier: MIT
// AES-256-GCM (NIST SP 800-38D): encryption that tells whether a byte of it, or of what goes with
// it, was changed; and scrypt, which makes a key for it of a passphrase.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/secret.h"

namespace relay {

// Thread-safe. Calls fail only when OpenSSL cannot allocate, and then end the process.
class AesGcm {
 public:
  static constexpr size_t kKeyBytes = 32;
  static constexpr size_t kNonceBytes = 12;
  static constexpr size_t kTagBytes = 16;

  // `key` has kKeyBytes.
  explicit AesGcm(std::string_view key) : key_(key) {}

  // The ciphertext, as long as `plain`, and the tag behind it. `nonce` has kNonceBytes and is used
  // once with this key, or nothing is secret any more. `data` is authenticated, not encrypted.
  std::string Seal(std::string_view nonce, std::string_view data, std::string_view plain) const;
  // Nothing when key, nonce, data or a byte of `sealed` is another than it was.
  std::optional<Secret> Open(std::string_view nonce, std::string_view data,
                             std::string_view sealed) const;

 private:
  Secret key_;
};

// RFC 7914, 32 bytes: a key of a passphrase, with 128 * n * r bytes of memory and as much work as
// that takes, p times over. `n` is a power of two.
Digest256 Scrypt(std::string_view passphrase, std::string_view salt, uint64_t n, uint64_t r,
                 uint64_t p);

}  // namespace relay
