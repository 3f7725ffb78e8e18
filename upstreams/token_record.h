// SPDX-License-Identifier: MIT
// What the store keeps of a subscription's tokens: an object of kind "token" under the account's
// id. Its tokens are sealed for their field.
#pragma once

#include <string>
#include <string_view>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/secret.h"
#include "core/base/vault.h"

namespace relay {

struct TokenRecord {
  static constexpr std::string_view kKind = "token";

  std::string seed;    // fingerprint of relay.yaml's refresh token that this came from; "": a login
  Secret refresh;      // the newest; empty: none
  Secret access;       // empty: none yet
  WallTime expires{};  // of `access`
  WallTime refreshed{};  // when both came
  // The run that is refreshing, and since when: nobody else does for a while.
  std::string claim;
  WallTime claimed{};
};

// Tells a seed from another without telling it.
std::string FingerprintOf(const Secret& seed);

std::string WriteTokenRecord(const TokenRecord& record, std::string_view id, const Vault& vault);
// Errors (kRelay, for people): not a record, or sealed with another encryption key.
Result<TokenRecord> ReadTokenRecord(std::string_view text, std::string_view id, const Vault& vault);

}  // namespace relay
