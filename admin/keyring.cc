// SPDX-License-Identifier: MIT
#include "admin/keyring.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "core/config/texts.h"
#include "core/store/sealed_fields.h"

namespace relay {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr size_t kMostFileBytes = 4096;
constexpr std::string_view kSettingKind = "setting";
constexpr std::string_view kPepperId = "key-pepper";
constexpr std::string_view kPepperField = "pepper";
constexpr SealedPlace kPepperPlace{kSettingKind, kPepperId, kPepperField};

// `retryable`: the disk may give it later.
std::unexpected<Error> FailFile(const std::string& file, const std::string& why,
                                bool retryable = false) {
  return Fail(Party::kRelay, Fault::kInternal, "the key file " + file + " " + why, retryable);
}

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool open() const { return fd_ >= 0; }
  int fd() const { return fd_; }

 private:
  int fd_;
};

// Nothing when there is no such file.
Result<std::optional<std::vector<Secret>>> ReadKeys(const std::string& path) {
  File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) {
    if (errno == ENOENT) return std::nullopt;
    return FailFile(path, std::string("cannot be read: ") + std::strerror(errno));
  }
  struct stat status{};
  if (::fstat(file.fd(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return FailFile(path, "is no file");
  }
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return FailFile(path, "may be read by others; chmod 600 it, and think of who has seen it");
  }
  std::string text(kMostFileBytes, '\0');
  ssize_t size = ::read(file.fd(), text.data(), text.size());
  if (size < 0) return FailFile(path, std::string("cannot be read: ") + std::strerror(errno));
  std::vector<Secret> keys;
  std::string_view rest(text.data(), static_cast<size_t>(size));
  bool good = true;
  while (!rest.empty()) {
    size_t end = std::min(rest.find('\n'), rest.size());
    good = good && IsEncryptionKey(rest.substr(0, end));
    keys.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  WipeString(text);
  if (!good || keys.empty()) return FailFile(path, "holds no key; restore it from a copy");
  return keys;
}

Result<Unit> SyncFolderOf(const std::string& path) {
  size_t slash = path.rfind('/');
  std::string folder =
      slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
  File file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.open() && ::fsync(file.fd()) == 0) return Unit{};
  return FailFile(path, std::string("cannot be kept: ") + std::strerror(errno), true);
}

// Whole or not at all, and on the disk.
Result<Unit> WriteKeys(const std::string& path, const std::vector<Secret>& keys) {
  std::string text;
  for (const Secret& key : keys) text.append(key.Reveal()).append("\n");
  std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  bool written = false;
  {
    File file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
    written = file.open() &&
              ::write(file.fd(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
              ::fsync(file.fd()) == 0;
  }
  int error = errno;
  WipeString(text);
  if (!written || ::rename(fresh.c_str(), path.c_str()) != 0) {
    if (written) error = errno;
    ::unlink(fresh.c_str());
    return FailFile(path, std::string("cannot be written: ") + std::strerror(error), true);
  }
  return SyncFolderOf(path);
}

Secret NewKey() {
  std::string bytes = RandomBytes(kKeyBytes);
  std::string text = HexEncode(bytes);
  WipeString(bytes);
  return Secret::Take(text);
}

// The id of the key that something in the store was sealed with; "" where nothing is.
std::string SealedWith(const Directory& directory) {
  std::string id;
  for (const StoredObject& object : directory.objects) {
    ForEachSealed(object.value, [&](const std::string&, const std::string& sealed) {
      if (id.empty()) id = Vault::KeyIdOf(sealed).value_or("of a newer relay");
    });
  }
  return id;
}

std::unexpected<Error> WrongKey(const Keyring& ring, const std::string& why) {
  std::string advice = ring.given() ? "give the one it was used with as secrets.encryption-key "
                                      "(ENCRYPTION_KEY); to change it, give the old one as "
                                      "secrets.previous-encryption-key too, and run `relay rekey`"
                                    : "put back the key file " + ring.file() +
                                          " that was beside the store, or give its content as "
                                          "secrets.encryption-key (ENCRYPTION_KEY)";
  return Fail(Party::kRelay, Fault::kForbidden,
              "the store was used with another encryption key: " + why + "; nothing was written; " +
                  advice);
}

const StoredObject* FindPepper(const Directory& directory) {
  auto at = std::ranges::find_if(directory.objects, [](const StoredObject& object) {
    return object.kind == kSettingKind && object.id == kPepperId;
  });
  return at == directory.objects.end() ? nullptr : &*at;
}

Result<Directory> LoadObjects(Store& store) {
  return Await<Directory>([&](auto done) { store.LoadObjects(std::move(done)); });
}

}  // namespace

Result<std::unique_ptr<Keyring>> Keyring::Load(const SecretsConfig& config, std::string file) {
  bool given = !config.encryption_key.empty();
  std::unique_ptr<Keyring> ring(new Keyring(given, std::move(file)));
  Result<std::optional<std::vector<Secret>>> of_file = std::nullopt;
  if (!given && !ring->file_.empty()) of_file = ReadKeys(ring->file_);
  if (!of_file) return std::unexpected(std::move(of_file.error()));
  std::lock_guard lock(ring->mutex_);
  if (given) {
    std::vector<Secret> keys{config.encryption_key};
    if (!config.previous_encryption_key.empty()) keys.push_back(config.previous_encryption_key);
    ring->UseLocked(std::move(keys));
  } else if (*of_file) {
    ring->UseLocked(std::move(**of_file));
  }
  return ring;
}

const Vault* Keyring::vault() const {
  std::lock_guard lock(mutex_);
  return vault_.get();
}

bool Keyring::has_previous() const {
  std::lock_guard lock(mutex_);
  return keys_.size() > 1;
}

void Keyring::UseLocked(std::vector<Secret> keys) {
  vault_ = std::make_unique<Vault>(keys.front());
  for (size_t i = 1; i < keys.size(); ++i) vault_->AddPrevious(keys[i]);
  keys_ = std::move(keys);
}

Result<Unit> Keyring::WriteLocked(const std::vector<Secret>& keys) const {
  if (!given_ && !file_.empty()) return WriteKeys(file_, keys);
  return Fail(Party::kRelay, Fault::kForbidden,
              "there is no key file: the encryption key is relay.yaml's (ENCRYPTION_KEY)");
}

Result<Unit> Keyring::Make() {
  std::lock_guard lock(mutex_);
  if (!keys_.empty()) return Unit{};
  std::vector<Secret> keys{NewKey()};
  Result<Unit> written = WriteLocked(keys);
  if (written) UseLocked(std::move(keys));
  return written;
}

Result<Unit> Keyring::Renew() {
  std::lock_guard lock(mutex_);
  std::vector<Secret> keys{NewKey()};
  keys.insert(keys.end(), keys_.begin(), keys_.end());
  Result<Unit> written = WriteLocked(keys);
  if (!written) return written;
  vault_->Renew(keys.front());
  keys_ = std::move(keys);
  return Unit{};
}

Result<Unit> Keyring::DropPrevious() {
  std::lock_guard lock(mutex_);
  if (given_ || keys_.size() < 2) return Unit{};
  std::vector<Secret> keys{keys_.front()};
  Result<Unit> written = WriteLocked(keys);
  if (!written) return written;
  vault_->ForgetPrevious();
  keys_ = std::move(keys);
  return Unit{};
}

Result<Contact> MeetStore(Store& store, Keyring& ring) {
  // A second replica may make the pepper at the same time: then that one is read.
  for (int tries = 0; tries < 3; ++tries) {
    Result<Directory> directory = LoadObjects(store);
    if (!directory) return std::unexpected(std::move(directory.error()));
    std::string sealed_with = SealedWith(*directory);
    if (ring.vault() == nullptr) {
      if (!sealed_with.empty()) {
        return WrongKey(
            ring, "its secrets are sealed with key " + sealed_with + ", and there is no key here");
      }
      if (Result<Unit> made = ring.Make(); !made) return std::unexpected(std::move(made.error()));
    }
    const Vault* vault = ring.vault();
    if (const StoredObject* object = FindPepper(*directory)) {
      Result<JsonIndex> fields = JsonIndex::Parse(object->value);
      Result<Secret> pepper = fields ? OpenField(*vault, kPepperPlace, *fields)
                                     : Result<Secret>(std::unexpected(fields.error()));
      if (!pepper) return WrongKey(ring, pepper.error().what);
      return Contact{std::move(*directory), std::move(*pepper)};
    }
    if (!sealed_with.empty() && sealed_with != vault->key_id()) {
      return WrongKey(ring, "its secrets are sealed with key " + sealed_with +
                                ", and this is key " + vault->key_id());
    }
    std::string bytes = RandomBytes(sizeof(Digest256));
    JsonText json;
    json.BeginObject().Field(kPepperField, vault->Seal(kPepperPlace, bytes)).EndObject();
    WipeString(bytes);
    ObjectWrite write{std::string(kSettingKind), std::string(kPepperId), 0, json.Take()};
    auto written = Await<ObjectWritten>(
        [&](auto done) { store.WriteObject(std::move(write), std::move(done)); });
    if (!written) return std::unexpected(std::move(written.error()));
  }
  return Fail(Party::kRelay, Fault::kInternal, "the store does not keep what is written to it");
}

}  // namespace relay
