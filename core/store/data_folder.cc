// SPDX-License-Identifier: MIT
#include "core/store/data_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace relay {
namespace {

std::unexpected<DataFolderError> Unwritable(const std::string& path, const std::string& why) {
  return std::unexpected(DataFolderError{DataFolderError::Why::kUnwritable,
                                         "the data folder '" + path + "' cannot be used: " + why});
}

std::string TextOf(int code) {
  return std::generic_category().message(code);
}

// 0 or the errno of what failed. Only what is missing gets the mode.
int MakeFolders(const std::string& path) {
  for (size_t at = 1; at <= path.size(); ++at) {
    if (at != path.size() && path[at] != '/') continue;
    std::string folder = path.substr(0, at);
    if (::mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) continue;
    // A parent may be there though nobody may write beside it.
    int code = errno;
    struct stat status{};
    if (::stat(folder.c_str(), &status) != 0) return code;
  }
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return errno;
  return S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
}

// What the holder wrote into the lock file; "" if nothing can be read.
std::string Holder(int lock) {
  std::array<char, 24> text{};
  ssize_t n = ::pread(lock, text.data(), text.size(), 0);
  std::string holder(text.data(), n > 0 ? static_cast<size_t>(n) : 0);
  return holder.substr(0, holder.find_first_not_of("0123456789"));
}

void WriteHolder(int lock) {
  std::string id = std::to_string(::getpid()) + "\n";
  // For people only: on a full disk the lock holds without it.
  if (::ftruncate(lock, 0) != 0) return;
  [[maybe_unused]] ssize_t written = ::pwrite(lock, id.data(), id.size(), 0);
}

}  // namespace

std::expected<std::unique_ptr<DataFolder>, DataFolderError> DataFolder::Open(
    const std::string& path) {
  if (path.empty()) return Unwritable(path, "its name is empty");
  if (int code = MakeFolders(path); code != 0) return Unwritable(path, TextOf(code));
  // Asks for effective rights, and a read-only mount says no here.
  if (::faccessat(AT_FDCWD, path.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    return Unwritable(path, TextOf(errno));
  }
  std::string file = path + "/relay.lock";
  int lock = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) return Unwritable(path, "relay.lock: " + TextOf(errno));
  int taken = 0;
  do {
    taken = ::flock(lock, LOCK_EX | LOCK_NB);
  } while (taken != 0 && errno == EINTR);
  if (taken == 0) {
    WriteHolder(lock);
    return std::unique_ptr<DataFolder>(new DataFolder(path, lock));
  }
  int code = errno;
  std::string holder = Holder(lock);
  ::close(lock);
  if (code != EWOULDBLOCK) return Unwritable(path, "it cannot be locked: " + TextOf(code));
  return std::unexpected(
      DataFolderError{DataFolderError::Why::kTaken,
                      "another relay" + (holder.empty() ? "" : " (process " + holder + ")") +
                          " uses the data folder '" + path +
                          "'; stop it, or give this one a folder of its own with RELAY_DATA"});
}

// The file stays: unlinking it would let two processes lock two files of one name.
DataFolder::~DataFolder() {
  ::close(lock_);
}

}  // namespace relay
