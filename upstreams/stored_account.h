// SPDX-License-Identifier: MIT
// An account as the store keeps it: an object of kind "account" under "cluster/name", its
// credential sealed. Of an account that relay.yaml has too, only whether it is paused counts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/vault.h"
#include "core/config/root.h"

namespace relay {

struct StoredAccount {
  static constexpr std::string_view kKind = "account";

  std::string cluster;
  AccountConfig config;  // with its name; without a credential it only tells of a pause
  bool paused = false;
  std::string who;   // as the vendor said at the login; "": not asked
  WallTime terms{};  // when a person said yes to the vendor's terms; epoch: not asked

  std::string id() const { return cluster + "/" + config.name; }
  bool serves() const {
    return config.login || !config.api_key.empty() || !config.oauth_token.empty();
  }
};

// What a request for a new account or a change says of its terms: a merge patch (RFC 7396) of
// `terms`, in the words of relay.yaml. Errors (kClient) say all that is wrong.
Result<AccountTerms> PatchTerms(const AccountTerms& terms, const JsonIndex& patch);

std::string WriteStoredAccount(const StoredAccount& account, const Vault& vault);
// `id`: of the object. Errors (kRelay, for people): not an account, or sealed with another key.
Result<StoredAccount> ReadStoredAccount(std::string_view id, std::string_view text,
                                        const Vault& vault);

}  // namespace relay
