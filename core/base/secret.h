// SPDX-License-Identifier: MIT
// Secrets in memory, and the few primitives that handle them. A Secret cannot be printed,
// concatenated or compared by accident, and its bytes are wiped when it dies.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace relay {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view bytes);
  // Takes the bytes over and wipes the string.
  static Secret Take(std::string& bytes);
  Secret(const Secret& other);
  Secret(Secret&& other) noexcept;
  Secret& operator=(const Secret& other);
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  // The bytes, valid while this lives. Each use is a place to look at twice.
  std::string_view Reveal() const { return {bytes_.get(), size_}; }

  // The same bytes and length; takes the same time wherever they differ.
  bool operator==(const Secret& other) const;

 private:
  void Wipe() noexcept;
  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0;
};

// Overwrites in a way that no optimiser removes (OPENSSL_cleanse).
void WipeBytes(void* data, size_t size) noexcept;
// Wipes the characters and makes the string empty.
void WipeString(std::string& text) noexcept;

// Exact bytes and length, in constant time for equal lengths: no case folding, no C string.
bool SecretEquals(std::string_view a, std::string_view b);

using Digest256 = std::array<unsigned char, 32>;

// These fail only when OpenSSL cannot allocate or has no entropy, and then end the process.
Digest256 Sha256(std::string_view data);
Digest256 HmacSha256(std::string_view key, std::string_view data);
// The same with a key that is used often: what depends on it alone is worked out once.
class HmacKey {
 public:
  explicit HmacKey(std::string_view key);
  HmacKey(const HmacKey&) = delete;
  HmacKey& operator=(const HmacKey&) = delete;
  ~HmacKey();
  Digest256 Sign(std::string_view data) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};
// RFC 5869 with SHA-256, 32 bytes; `info` separates the uses of one key.
Digest256 HkdfSha256(std::string_view key, std::string_view salt, std::string_view info);
// From OpenSSL's generator; for keys and session ids.
std::string RandomBytes(size_t count);

std::string_view BytesOf(const Digest256& digest);
// 40 hex digits, for protocols that name things so (Redis's scripts); it protects nothing.
std::string Sha1Hex(std::string_view data);

// Lower case; decoding takes either case and nothing else.
std::string HexEncode(std::string_view bytes);
std::optional<std::string> HexDecode(std::string_view text);
// RFC 4648 §4 with padding; decoding refuses what encoding would not write.
std::string Base64Encode(std::string_view bytes);
std::optional<std::string> Base64Decode(std::string_view text);

}  // namespace relay
