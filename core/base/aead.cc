// SPDX-License-Identifier: MIT
#include "core/base/aead.h"

#include <openssl/evp.h>

#include <climits>
#include <cstdlib>
#include <memory>
#include <utility>

namespace relay {
namespace {

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

const unsigned char* Unsigned(std::string_view bytes) {
  // Null would mean something else to OpenSSL than nothing.
  return reinterpret_cast<const unsigned char*>(bytes.empty() ? "" : bytes.data());
}

// What was not encrypted must never be taken for it.
void Demand(bool ok) {
  if (!ok) std::abort();
}

int Length(std::string_view bytes) {
  Demand(bytes.size() <= INT_MAX);
  return static_cast<int>(bytes.size());
}

Context Begin(const Secret& key, std::string_view nonce, bool encrypt) {
  Demand(key.size() == AesGcm::kKeyBytes && nonce.size() == AesGcm::kNonceBytes);
  Context context(EVP_CIPHER_CTX_new());
  Demand(context != nullptr);
  Demand(EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Unsigned(key.Reveal()),
                           Unsigned(nonce), encrypt ? 1 : 0) == 1);
  return context;
}

void Update(const Context& context, unsigned char* out, std::string_view in) {
  int written = 0;
  Demand(EVP_CipherUpdate(context.get(), out, &written, Unsigned(in), Length(in)) == 1);
  Demand(out == nullptr || written == Length(in));
}

}  // namespace

std::string AesGcm::Seal(std::string_view nonce, std::string_view data,
                         std::string_view plain) const {
  Context context = Begin(key_, nonce, true);
  std::string out(plain.size() + kTagBytes, '\0');
  auto* to = reinterpret_cast<unsigned char*>(out.data());
  Update(context, nullptr, data);
  Update(context, to, plain);
  int more = 0;
  Demand(EVP_CipherFinal_ex(context.get(), to + plain.size(), &more) == 1 && more == 0);
  Demand(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, to + plain.size()) ==
         1);
  return out;
}

std::optional<Secret> AesGcm::Open(std::string_view nonce, std::string_view data,
                                   std::string_view sealed) const {
  if (sealed.size() < kTagBytes) return std::nullopt;
  Context context = Begin(key_, nonce, false);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  std::string_view body = sealed.substr(0, sealed.size() - kTagBytes);
  std::string plain(body.size() + 1, '\0');  // one more, so that there is an end to write to
  auto* to = reinterpret_cast<unsigned char*>(plain.data());
  Update(context, nullptr, data);
  Update(context, to, body);
  Demand(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1);
  int more = 0;
  bool genuine = EVP_CipherFinal_ex(context.get(), to + body.size(), &more) == 1;
  plain.resize(body.size());
  Secret secret = Secret::Take(plain);
  if (!genuine) return std::nullopt;
  return secret;
}

Digest256 Scrypt(std::string_view passphrase, std::string_view salt, uint64_t n, uint64_t r,
                 uint64_t p) {
  // What it needs, and some more for what OpenSSL counts besides.
  uint64_t memory = 128 * r * (n + p + 2) + (uint64_t{1} << 20);
  Digest256 out;
  Demand(EVP_PBE_scrypt(passphrase.data(), passphrase.size(), Unsigned(salt), salt.size(), n, r, p,
                        memory, out.data(), out.size()) == 1);
  return out;
}

}  // namespace relay
