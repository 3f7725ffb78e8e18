// SPDX-License-Identifier: MIT
// The key under which secrets are kept: relay.yaml's, or one that is made in the data folder.
#pragma once

#include <memory>

#include "core/base/error.h"
#include "core/base/vault.h"
#include "core/config/root.h"
#include "core/store/data_folder.h"

namespace relay {

inline constexpr std::string_view kKeyFile = "relay.key";

// Without `secrets.encryption-key` the key is that of relay.key in the folder (mode 0600), which is
// made if there is none; null without a folder. Errors (for people): it cannot be read or made, or
// is no key.
Result<std::unique_ptr<Vault>> OpenVault(const Config& config, const DataFolder* folder);

}  // namespace relay
