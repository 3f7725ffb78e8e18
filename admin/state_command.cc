// SPDX-License-Identifier: MIT
#include "admin/state_command.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "admin/ask.h"
#include "admin/keyring.h"
#include "admin/load.h"
#include "admin/state.h"
#include "core/base/files.h"
#include "core/store/state_file.h"

namespace relay {
namespace {

constexpr size_t kLeastPassphrase = 8;
constexpr std::string_view kVariable = "RELAY_PASSPHRASE";

std::unexpected<Error> No(std::string what) {
  return Fail(Party::kRelay, Fault::kInternal, std::move(what));
}

Result<std::string> ReadFile(const std::string& path) {
  auto bytes = ReadWholeFile(path);
  if (!bytes) return No(path + " cannot be read: " + std::strerror(bytes.error()));
  return std::move(*bytes);
}

// New, for its owner only, and on the disk.
Result<Unit> WriteFile(const std::string& path, const std::string& bytes) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) {
    return No(path + (errno == EEXIST ? std::string(" is there already; name another file")
                                      : std::string(" cannot be made: ") + std::strerror(errno)));
  }
  size_t at = 0;
  bool good = true;
  while (good && at < bytes.size()) {
    ssize_t count = ::write(fd, bytes.data() + at, bytes.size() - at);
    good = count > 0;
    if (good) at += static_cast<size_t>(count);
  }
  good = good && ::fsync(fd) == 0;
  int error = errno;
  ::close(fd);
  if (good) return Unit{};
  ::unlink(path.c_str());
  return No(path + " cannot be written: " + std::strerror(error));
}

Result<Secret> PassphraseOf(const Options& options, const Environment& environment) {
  std::string text;
  if (!options.passphrase_file.empty()) {
    Result<std::string> read = ReadFile(options.passphrase_file);
    if (!read) return std::unexpected(std::move(read.error()));
    text = std::move(*read);
    while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  } else if (std::optional<std::string> value = environment(kVariable)) {
    text = std::move(*value);
  } else {
    return No("the file needs a passphrase: set " + std::string(kVariable) +
              ", or name a file that holds it with --passphrase-file");
  }
  Secret secret = Secret::Take(text);
  if (secret.size() >= kLeastPassphrase) return secret;
  return No("the passphrase must have " + std::to_string(kLeastPassphrase) + " characters or more");
}

// A store and its keys, opened beside no relay or, to read, beside one that runs.
struct Site {
  std::unique_ptr<DataFolder> folder;  // null: another relay has it
  std::unique_ptr<Keyring> keyring;
  std::unique_ptr<Store> store;
};

Result<Site> OpenSite(const Config& config, const Environment& environment, bool to_write) {
  if (config.store.kind == StoreConfig::Kind::kMemory) {
    return No("relay.yaml says 'store: memory': there is no state to export or import");
  }
  bool redis = config.store.kind == StoreConfig::Kind::kRedis;
  Site site;
  const std::string path = DataFolderOf(config, environment);
  auto folder = DataFolder::Open(path);
  if (folder) {
    site.folder = std::move(*folder);
  } else if (folder.error().why == DataFolderError::Why::kTaken) {
    if (to_write) return No("a relay runs with the data folder " + path + "; stop it first");
  } else if (!redis) {
    return No(folder.error().what);
  }
  auto keyring = Keyring::Load(config.secrets, redis ? "" : path + "/" + std::string(kKeyFile));
  if (!keyring) return std::unexpected(std::move(keyring.error()));
  site.keyring = std::move(*keyring);
  auto store = OpenStoreOf(config.store, path, SystemClock::Get());
  if (!store) return std::unexpected(std::move(store.error()));
  site.store = std::move(*store);
  Result<Contact> met = MeetStore(*site.store, *site.keyring);
  if (!met) return std::unexpected(std::move(met.error()));
  return site;
}

Result<Past> PastOf(const Site& site) {
  std::string journals(kNoFolder);
  if (site.folder != nullptr) journals = site.folder->File(kJournalFolder);
  return ReadPast(*site.store, journals, {});
}

// A run that has told this store of what it used and has not said that it is over, unless its
// journal is here; "": there is none. One that has used nothing yet cannot be told from none.
Result<std::string> RunElsewhere(const Site& site) {
  auto image = Await<LedgerImage>([&](auto done) { site.store->Load(std::move(done)); });
  if (!image) return std::unexpected(std::move(image.error()));
  Result<Past> past = PastOf(site);
  if (!past) return std::unexpected(std::move(past.error()));
  for (const EpochRows& epoch : image->epochs) {
    bool here = std::ranges::any_of(
        past->dead, [&](const DeadEpoch& dead) { return dead.last.epoch == epoch.epoch; });
    if (epoch.may_live && !here) return epoch.epoch;
  }
  return std::string();
}

Result<std::string> Export(const Config& config, const Options& options,
                           const Environment& environment) {
  Result<Secret> passphrase = PassphraseOf(options, environment);
  if (!passphrase) return std::unexpected(std::move(passphrase.error()));
  Result<Site> site = OpenSite(config, environment, false);
  if (!site) return std::unexpected(std::move(site.error()));
  if (site->folder != nullptr) {
    auto settled = SettleJournals(*site->store, site->folder->File(kJournalFolder));
    if (!settled) return std::unexpected(std::move(settled.error()));
  }
  Result<StateImage> image = ReadState(*site->store, *site->keyring->vault());
  if (!image) return std::unexpected(std::move(image.error()));
  auto written = WriteFile(options.names[0], SealState(*image, *passphrase));
  if (!written) return std::unexpected(std::move(written.error()));
  std::string note = site->folder != nullptr
                         ? ""
                         : "; the relay runs, and what it used in the last seconds may be missing";
  return std::to_string(image->objects.size()) + " objects and " +
         std::to_string(image->rows.days.size()) + " rows of the ledger were exported" + note;
}

Result<std::string> Import(const Config& config, const Options& options,
                           const Environment& environment) {
  Result<Secret> passphrase = PassphraseOf(options, environment);
  if (!passphrase) return std::unexpected(std::move(passphrase.error()));
  Result<std::string> file = ReadFile(options.names[0]);
  if (!file) return std::unexpected(std::move(file.error()));
  Result<StateImage> image = OpenState(*file, *passphrase);
  if (!image) return No(options.names[0] + ": " + image.error().what);
  Result<Site> site = OpenSite(config, environment, true);
  if (!site) return std::unexpected(std::move(site.error()));
  Result<std::string> running = RunElsewhere(*site);
  if (!running) return std::unexpected(std::move(running.error()));
  if (!running->empty() && !options.force) {
    return No("a relay may be running on this store elsewhere (run " + *running +
              "): stop it first, or it goes on with what it has in memory; if it was killed and "
              "runs no more, --force");
  }
  Result<bool> fresh = IsFresh(*site->store);
  if (!fresh) return std::unexpected(std::move(fresh.error()));
  if (!*fresh && !options.replace) {
    return No(
        "the store is not empty; --replace puts what is in the file in the place of all of it");
  }
  // What stands in journals here, of runs that were killed, is of what is replaced.
  Result<Past> past = PastOf(*site);
  if (!past) return std::unexpected(std::move(past.error()));
  auto written = WriteState(*site->store, *site->keyring->vault(), *image);
  if (!written) return std::unexpected(std::move(written.error()));
  for (const DeadEpoch& dead : past->dead) {
    for (const std::string& path : dead.files) ::unlink(path.c_str());
  }
  return std::to_string(image->objects.size()) + " objects and " +
         std::to_string(image->rows.days.size()) + " rows of the ledger were imported";
}

}  // namespace

int RunState(const Options& options, const Environment& environment) {
  Problems problems;
  std::shared_ptr<const Config> config = LoadConfig(options.config, environment, problems);
  if (problems.failed()) {
    Report(*config, problems);
    return kExitUsage;
  }
  Result<std::string> done = options.action == "export" ? Export(*config, options, environment)
                                                        : Import(*config, options, environment);
  if (!done) return Complain(done.error().what);
  std::printf("%s\n", done->c_str());
  return kExitOk;
}

}  // namespace relay
