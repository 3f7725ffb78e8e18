// SPDX-License-Identifier: MIT
// The plain SHA-256 calls are "deprecated" for EVP, whose look-up of an algorithm costs more than
// hashing a key does.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "core/base/secret.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/base/percent.h"

namespace relay {
namespace {

const unsigned char* Unsigned(std::string_view bytes) {
  // OpenSSL may not be given null, not even for nothing.
  return reinterpret_cast<const unsigned char*>(bytes.empty() ? "" : bytes.data());
}

// A digest that was not made must never be used as one.
void Demand(bool ok) {
  if (!ok) std::abort();
}

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

OSSL_PARAM OctetParam(const char* name, std::string_view bytes) {
  // The parameters of a key derivation are read only; the interface is not const.
  return OSSL_PARAM_construct_octet_string(name, const_cast<unsigned char*>(Unsigned(bytes)),
                                           bytes.size());
}

}  // namespace

Secret::Secret(std::string_view bytes) : size_(bytes.size()) {
  if (size_ == 0) return;
  bytes_ = std::make_unique<char[]>(size_);
  std::memcpy(bytes_.get(), bytes.data(), size_);
}

Secret Secret::Take(std::string& bytes) {
  Secret secret{std::string_view(bytes)};
  WipeString(bytes);
  return secret;
}

Secret::Secret(const Secret& other) : Secret(other.Reveal()) {}

Secret::Secret(Secret&& other) noexcept
    : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(const Secret& other) {
  if (this != &other) *this = Secret(other);
  return *this;
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    Wipe();
    bytes_ = std::move(other.bytes_);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

Secret::~Secret() {
  Wipe();
}

void Secret::Wipe() noexcept {
  if (bytes_) WipeBytes(bytes_.get(), size_);
  size_ = 0;
}

bool Secret::operator==(const Secret& other) const {
  return SecretEquals(Reveal(), other.Reveal());
}

void WipeBytes(void* data, size_t size) noexcept {
  OPENSSL_cleanse(data, size);
}

void WipeString(std::string& text) noexcept {
  // The capacity too: what was longer before may still lie behind the end.
  text.resize(text.capacity());
  WipeBytes(text.data(), text.size());
  text.clear();
}

bool SecretEquals(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(Unsigned(a), Unsigned(b), a.size()) == 0;
}

Digest256 Sha256(std::string_view data) {
  Digest256 digest;
  Demand(SHA256(Unsigned(data), data.size(), digest.data()) != nullptr);
  return digest;
}

std::string Sha1Hex(std::string_view data) {
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  Demand(SHA1(Unsigned(data), data.size(), digest.data()) != nullptr);
  return HexEncode({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

Digest256 HmacSha256(std::string_view key, std::string_view data) {
  return HmacKey(key).Sign(data);
}

// RFC 2104: both hashes, each after its padded key.
struct HmacKey::State {
  SHA256_CTX inner;
  SHA256_CTX outer;
};

HmacKey::HmacKey(std::string_view key) : state_(std::make_unique<State>()) {
  std::array<unsigned char, SHA256_CBLOCK> block{};
  if (key.size() > block.size()) {
    Digest256 shorter = Sha256(key);
    std::copy(shorter.begin(), shorter.end(), block.begin());
  } else {
    std::copy(key.begin(), key.end(), block.begin());
  }
  auto start = [&](SHA256_CTX& context, unsigned char pad) {
    for (unsigned char& byte : block) byte ^= pad;
    Demand(SHA256_Init(&context) == 1);
    Demand(SHA256_Update(&context, block.data(), block.size()) == 1);
    for (unsigned char& byte : block) byte ^= pad;
  };
  start(state_->inner, 0x36);
  start(state_->outer, 0x5c);
  WipeBytes(block.data(), block.size());
}

HmacKey::~HmacKey() {
  WipeBytes(state_.get(), sizeof(State));
}

Digest256 HmacKey::Sign(std::string_view data) const {
  Digest256 digest;
  SHA256_CTX inner = state_->inner;
  Demand(SHA256_Update(&inner, Unsigned(data), data.size()) == 1);
  Demand(SHA256_Final(digest.data(), &inner) == 1);
  SHA256_CTX outer = state_->outer;
  Demand(SHA256_Update(&outer, digest.data(), digest.size()) == 1);
  Demand(SHA256_Final(digest.data(), &outer) == 1);
  return digest;
}

Digest256 HkdfSha256(std::string_view key, std::string_view salt, std::string_view info) {
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  EVP_KDF_CTX* context = EVP_KDF_CTX_new(kdf);
  EVP_KDF_free(kdf);
  Demand(context != nullptr);
  char digest_name[] = "SHA256";
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest_name, 0),
      OctetParam(OSSL_KDF_PARAM_KEY, key),
      OctetParam(OSSL_KDF_PARAM_SALT, salt),
      OctetParam(OSSL_KDF_PARAM_INFO, info),
      OSSL_PARAM_construct_end(),
  };
  Digest256 out;
  Demand(EVP_KDF_derive(context, out.data(), out.size(), params) == 1);
  EVP_KDF_CTX_free(context);
  return out;
}

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  Demand(count <= INT_MAX);
  Demand(RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count)) == 1);
  return bytes;
}

std::string_view BytesOf(const Digest256& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string HexEncode(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (char c : bytes) {
    auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::optional<std::string> HexDecode(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    int high = HexDigit(text[i]);
    int low = HexDigit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

std::string Base64Encode(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += j <= count ? kBase64[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

std::optional<std::string> Base64Decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  uint32_t group = 0;
  size_t digits = text.size() - padding;
  for (size_t i = 0; i < digits; ++i) {
    size_t value = kBase64.find(text[i]);
    if (value == std::string_view::npos) return std::nullopt;
    group = group << 6 | static_cast<uint32_t>(value);
    if (i % 4 == 3) {
      bytes += static_cast<char>(group >> 16 & 255);
      bytes += static_cast<char>(group >> 8 & 255);
      bytes += static_cast<char>(group & 255);
      group = 0;
    }
  }
  // Bits that encoding would have left zero must be zero: one text for each value.
  if (padding == 1) {
    if (group & 3) return std::nullopt;
    bytes += static_cast<char>(group >> 10 & 255);
    bytes += static_cast<char>(group >> 2 & 255);
  } else if (padding == 2) {
    if (group & 15) return std::nullopt;
    bytes += static_cast<char>(group >> 4 & 255);
  }
  return bytes;
}

}  // namespace relay
