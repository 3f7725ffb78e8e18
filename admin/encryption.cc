// SPDX-License-Identifier: MIT
#include "admin/encryption.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "core/config/texts.h"
#include "core/net/socket.h"

namespace relay {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr size_t kMostKeyFile = 4096;

std::unexpected<Error> FileError(const std::string& file, const std::string& what) {
  return Fail(Party::kRelay, Fault::kInternal, "the key file " + file + " " + what);
}

Result<Secret> ReadKey(const std::string& file, const Socket& open) {
  char room[kMostKeyFile];
  ssize_t got = ::read(open.fd(), room, sizeof room);
  if (got < 0) return FileError(file, "cannot be read: " + ErrnoText(errno));
  std::string text(room, static_cast<size_t>(got));
  WipeBytes(room, sizeof room);
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  bool good = IsEncryptionKey(text);
  Secret key = Secret::Take(text);
  if (!good) return FileError(file, "holds no key: 32 to 1024 characters are needed");
  return key;
}

// Whole or not at all, and on the disk before anything is sealed with it.
Result<Secret> MakeKey(const std::string& file) {
  std::string fresh = file + ".new";
  Socket out(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  std::string key = HexEncode(RandomBytes(kKeyBytes));
  std::string line = key + "\n";
  bool written = out.open() &&
                 ::write(out.fd(), line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
                 ::fsync(out.fd()) == 0;
  WipeString(line);
  if (!written || ::rename(fresh.c_str(), file.c_str()) != 0) {
    return FileError(file, "cannot be made: " + ErrnoText(errno));
  }
  return Secret::Take(key);
}

}  // namespace

Result<std::unique_ptr<Vault>> OpenVault(const Config& config, const DataFolder* folder) {
  if (!config.secrets.encryption_key.empty()) {
    return std::make_unique<Vault>(config.secrets.encryption_key);
  }
  if (folder == nullptr) return nullptr;
  std::string file = folder->File(kKeyFile);
  Socket open(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!open.open() && errno != ENOENT) {
    return FileError(file, "cannot be read: " + ErrnoText(errno));
  }
  Result<Secret> key = open.open() ? ReadKey(file, open) : MakeKey(file);
  if (!key) return std::unexpected(key.error());
  return std::make_unique<Vault>(*key);
}

}  // namespace relay
