// SPDX-License-Identifier: MIT
// The encryption keys of this process: given by relay.yaml, or kept in a file beside the embedded
// store. And the first contact with a store, where it shows whether they are the right ones.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/secret.h"
#include "core/base/vault.h"
#include "core/config/root.h"
#include "core/store/store.h"

namespace relay {

// In the data folder.
inline constexpr std::string_view kKeyFile = "encryption.key";

// Thread-safe.
class Keyring {
 public:
  // `file`: of a key that is made where relay.yaml gives none; "" where none may be. Errors (for
  // people): the file cannot be read, others may read it (facts: R52), or it holds no key.
  static Result<std::unique_ptr<Keyring>> Load(const SecretsConfig& config, std::string file);

  // Null while there is no key: none is given, and no file was made yet. Else the same for as long
  // as this lives, whichever keys it has.
  const Vault* vault() const;
  const std::string& file() const { return file_; }
  // The keys are relay.yaml's; else the file's.
  bool given() const { return given_; }
  // There is a key that opens what an earlier one sealed.
  bool has_previous() const;

  // Makes a key and its file, which is on the disk (fsync) when this returns.
  Result<Unit> Make();
  // For a key file: a new key, with the old one still there to open. Both are on the disk then.
  Result<Unit> Renew();
  // Nothing needs the previous keys any more: the file forgets them. What relay.yaml gives stays.
  Result<Unit> DropPrevious();

 private:
  Keyring(bool given, std::string file) : given_(given), file_(std::move(file)) {}
  Result<Unit> WriteLocked(const std::vector<Secret>& keys) const;
  void UseLocked(std::vector<Secret> keys);

  const bool given_;
  const std::string file_;
  mutable std::mutex mutex_;
  std::vector<Secret> keys_;  // the first one seals
  std::unique_ptr<Vault> vault_;
};

// What a store holds when it is first met.
struct Contact {
  Directory directory;
  // What relay keys are signed with. Random, sealed in the store as setting "key-pepper" when it is
  // first met, so that it outlives a change of the encryption key; and the proof of that key.
  Secret pepper;
};

// Reads the objects and opens the pepper, before anything is written; makes key file and pepper in
// a store that has nothing sealed. Waits for the store. Errors: those of the store, retryable; the
// encryption key is another one than the store was used with, or its file is gone: not retryable,
// and nothing was written.
Result<Contact> MeetStore(Store& store, Keyring& ring);

}  // namespace relay
