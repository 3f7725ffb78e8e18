// SPDX-License-Identifier: MIT
// All that a store holds, as one encrypted file that any other store takes: `relay state export`
// and `import`. A line of JSON says how the key is made of a passphrase (scrypt, RFC 7914); what
// follows is JSON again, sealed by AES-256-GCM with that line as associated data.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/secret.h"
#include "core/base/vault.h"
#include "core/store/store.h"

namespace relay {

struct StateImage {
  // With their secrets opened: what was sealed in `value` stands in `secrets`, by field.
  struct Object {
    std::string kind;
    std::string id;
    std::string value;
    std::vector<std::pair<std::string, Secret>> secrets = {};
  };
  std::vector<Object> objects;
  std::vector<StateBlob> states;
  RowSet rows;                      // of all epochs in sum
  std::vector<LedgerEntry> recent;  // oldest first
};

// Kinds of states that there are (Store::LoadStates).
std::vector<std::string> StateKinds();

// Reads all of a store. Waits for it. Errors: those of the store, and secrets that do not open.
Result<StateImage> ReadState(Store& store, const Vault& vault);
// What a relay that was killed left in its journals goes to the store first, and its epochs are
// folded; those that only the store knows stay as they are. Waits. Nobody writes these journals.
Result<Unit> SettleJournals(Store& store, const std::string& journals);
// True: there is nothing in the store but what a relay makes at its first start.
Result<bool> IsFresh(Store& store);
// Makes the store hold the image and nothing else, secrets sealed for it. Waits. Broken off, it is
// to be done again: it begins by taking away what is there.
Result<Unit> WriteState(Store& store, const Vault& vault, const StateImage& image);

// The work that scrypt makes of a guess; 128 MiB and a third of a second by default.
struct ScryptCost {
  uint64_t n = uint64_t{1} << 17;
  uint64_t r = 8;
  uint64_t p = 1;
};

std::string SealState(const StateImage& image, const Secret& passphrase, ScryptCost cost = {});
// Errors (for people): no such file, of a newer relay, a wrong passphrase or changed bytes.
Result<StateImage> OpenState(std::string_view file, const Secret& passphrase);

}  // namespace relay
