// SPDX-License-Identifier: MIT
#include "core/base/vault.h"

#include <algorithm>

namespace relay {
namespace {

constexpr std::string_view kVersion = "v1";
constexpr size_t kIdBytes = 4;
constexpr size_t kIdDigits = 2 * kIdBytes;

// What goes into the seal besides the value. Each part stands behind its length, so that no two
// places have one text.
std::string DataOf(std::string_view key_id, const SealedPlace& place) {
  std::string data;
  for (std::string_view part : {kVersion, key_id, place.type, place.id, place.field}) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      data += static_cast<char>(part.size() >> shift & 255);
    }
    data += part;
  }
  return data;
}

struct Parts {
  std::string_view version;
  std::string_view key_id;
  std::string_view body;
};

// Nothing where the text is not like a sealed value of any version.
std::optional<Parts> Split(std::string_view sealed) {
  size_t first = sealed.find(':');
  if (first == std::string_view::npos || first < 2 || sealed.front() != 'v') return std::nullopt;
  std::string_view version = sealed.substr(0, first);
  if (version.find_first_not_of("0123456789", 1) != std::string_view::npos) return std::nullopt;
  if (version != kVersion) return Parts{version, {}, {}};
  size_t second = sealed.find(':', first + 1);
  if (second != first + 1 + kIdDigits) return std::nullopt;
  std::string_view id = sealed.substr(first + 1, kIdDigits);
  if (id.find_first_not_of("0123456789abcdef") != std::string_view::npos) return std::nullopt;
  return Parts{version, id, sealed.substr(second + 1)};
}

std::unexpected<VaultError> Refuse(VaultError::Why why, std::string what) {
  return std::unexpected(VaultError{why, std::move(what)});
}

}  // namespace

Vault::Key Vault::KeyOf(const Secret& encryption_key) {
  Digest256 id = HkdfSha256(encryption_key.Reveal(), "", "relay vault key id v1");
  Digest256 key = HkdfSha256(encryption_key.Reveal(), "", "relay vault v1");
  Key made{HexEncode(BytesOf(id).substr(0, kIdBytes)), AesGcm(BytesOf(key))};
  WipeBytes(key.data(), key.size());
  return made;
}

Vault::Vault(const Secret& encryption_key)
    : keys_(std::make_shared<const Keys>(Keys{KeyOf(encryption_key)})) {}

std::shared_ptr<const Vault::Keys> Vault::keys() const {
  std::lock_guard lock(mutex_);
  return keys_;
}

void Vault::AddPrevious(const Secret& encryption_key) {
  std::lock_guard lock(mutex_);
  Keys more = *keys_;
  more.push_back(KeyOf(encryption_key));
  keys_ = std::make_shared<const Keys>(std::move(more));
}

void Vault::Renew(const Secret& encryption_key) {
  std::lock_guard lock(mutex_);
  Keys more{KeyOf(encryption_key)};
  more.insert(more.end(), keys_->begin(), keys_->end());
  keys_ = std::make_shared<const Keys>(std::move(more));
}

void Vault::ForgetPrevious() {
  std::lock_guard lock(mutex_);
  keys_ = std::make_shared<const Keys>(Keys{keys_->front()});
}

std::string Vault::Seal(const SealedPlace& place, std::string_view plain) const {
  std::shared_ptr<const Keys> all = keys();
  const Key& key = all->front();
  std::string nonce = RandomBytes(AesGcm::kNonceBytes);
  std::string body = nonce + key.cipher.Seal(nonce, DataOf(key.id, place), plain);
  std::string text(kVersion);
  return text.append(":").append(key.id).append(":").append(Base64Encode(body));
}

std::expected<Secret, VaultError> Vault::Open(const SealedPlace& place,
                                              std::string_view sealed) const {
  using Why = VaultError::Why;
  std::optional<Parts> parts = Split(sealed);
  if (!parts) return Refuse(Why::kMalformed, "it is no sealed value");
  if (parts->version != kVersion) {
    return Refuse(Why::kVersion, "it was sealed by a newer relay (format " +
                                     std::string(parts->version.substr(0, 8)) +
                                     ", this one knows " + std::string(kVersion) + ")");
  }
  std::shared_ptr<const Keys> all = keys();
  auto key = std::ranges::find(*all, parts->key_id, &Key::id);
  if (key == all->end()) {
    return Refuse(Why::kKey, "it was sealed with another encryption key (id " +
                                 std::string(parts->key_id) + ", this one's id is " +
                                 all->front().id + ")");
  }
  std::optional<std::string> body = Base64Decode(parts->body);
  if (body && body->size() >= AesGcm::kNonceBytes) {
    std::string_view bytes = *body;
    std::optional<Secret> plain =
        key->cipher.Open(bytes.substr(0, AesGcm::kNonceBytes), DataOf(key->id, place),
                         bytes.substr(AesGcm::kNonceBytes));
    if (plain) return std::move(*plain);
  }
  return Refuse(Why::kTampered, "it was changed, or moved here from another place");
}

std::optional<std::string_view> Vault::KeyIdOf(std::string_view sealed) {
  std::optional<Parts> parts = Split(sealed);
  if (!parts || parts->version != kVersion) return std::nullopt;
  return parts->key_id;
}

}  // namespace relay
