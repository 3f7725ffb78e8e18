// SPDX-License-Identifier: MIT
// Hex and base64 both ways: what is decoded is encoded to the same text again, any bytes make the
// round trip, and a flipped bit is never equal.
#include "core/base/secret.h"
#include "tests/fuzz/fuzz.h"

namespace relay {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c;
  return lower;
}

}  // namespace

void Fuzz(std::string_view input) {
  std::optional<std::string> from_hex = HexDecode(input);
  if (from_hex) Check(HexEncode(*from_hex) == Lower(input), "another hex text", input);
  std::optional<std::string> from_base64 = Base64Decode(input);
  if (from_base64) Check(Base64Encode(*from_base64) == input, "another base64 text", input);

  std::optional<std::string> hex = HexDecode(HexEncode(input));
  Check(hex && *hex == input, "hex loses bytes");
  std::optional<std::string> base64 = Base64Decode(Base64Encode(input));
  Check(base64 && *base64 == input, "base64 loses bytes");

  Secret secret(input);
  Check(secret.Reveal() == input && SecretEquals(secret.Reveal(), input), "a secret is not itself");
  Digest256 digest = HmacSha256("key", input);
  Check(SecretEquals(BytesOf(digest), BytesOf(HmacSha256("key", input))), "another digest");
  if (input.empty()) return;
  std::string flipped(input);
  Dice dice(input);
  size_t at = dice.Roll(flipped.size());
  flipped[at] = static_cast<char>(flipped[at] ^ (1 << dice.Roll(8)));
  Check(!SecretEquals(flipped, input), "a flipped bit is equal");
  Check(!(secret == Secret(flipped)), "a flipped bit is equal");
  Check(!SecretEquals(BytesOf(HmacSha256("key", flipped)), BytesOf(digest)), "a flipped bit hides");
  Check(!SecretEquals(input.substr(1), input), "a shorter text is equal");
}

}  // namespace relay
