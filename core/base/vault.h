// SPDX-License-Identifier: MIT
// Secrets at rest: each is sealed by AES-256-GCM under a key that HKDF makes of the encryption key,
// for the one place where it belongs (facts: R52). A sealed value is text,
//
//   v1:1f2e3d4c:base64(nonce, ciphertext, tag)
//
// with the format's version and the id of the key in front, so that a value of a newer relay or of
// another key is told from one that was tampered with.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/aead.h"
#include "core/base/secret.h"

namespace relay {

// Which value of which record: goes into the seal, so that it opens nowhere else.
struct SealedPlace {
  std::string_view type;   // "token"
  std::string_view id;     // "claude/alice-max"
  std::string_view field;  // "refresh-token"
};

struct VaultError {
  enum class Why : uint8_t {
    kMalformed,  // no sealed value at all
    kVersion,    // of a newer relay
    kKey,        // sealed with an encryption key that this vault does not have
    kTampered,   // changed, or moved here from another place
  };
  Why why = Why::kMalformed;
  std::string what;  // for people; holds nothing of the value
};

// Thread-safe.
class Vault {
 public:
  // `encryption_key`: of any length, 32 bytes or more of good randomness or a long phrase.
  explicit Vault(const Secret& encryption_key);
  // Values that were sealed with this one open; nothing is sealed with it.
  void AddPrevious(const Secret& encryption_key);
  // This one seals from now on; those before it open only.
  void Renew(const Secret& encryption_key);
  // Nothing that was sealed with another key than the one that seals opens any more.
  void ForgetPrevious();

  // Of the key that seals: eight hex digits, which tell nothing of it.
  std::string key_id() const { return keys()->front().id; }

  // A new text each time, for the same value too.
  std::string Seal(const SealedPlace& place, std::string_view plain) const;
  std::expected<Secret, VaultError> Open(const SealedPlace& place, std::string_view sealed) const;

  // The id of the key that sealed a text; nothing where it is no sealed value of this version.
  static std::optional<std::string_view> KeyIdOf(std::string_view sealed);

 private:
  struct Key {
    std::string id;
    AesGcm cipher;
  };
  using Keys = std::vector<Key>;  // the first one seals
  static Key KeyOf(const Secret& encryption_key);
  std::shared_ptr<const Keys> keys() const;

  mutable std::mutex mutex_;  // guards the next, never what it points to
  std::shared_ptr<const Keys> keys_;
};

}  // namespace relay
