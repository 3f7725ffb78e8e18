// SPDX-License-Identifier: MIT
#include "core/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace relay {

std::expected<std::string, int> ReadWholeFile(const std::string& path) {
  int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::unexpected(errno);
  // What a file says of its size is where to begin: it may grow, and a pipe says nothing.
  constexpr size_t kRoom = size_t{1} << 16;
  struct stat status{};
  bool known = ::fstat(file, &status) == 0;
  std::string bytes(known ? static_cast<size_t>(status.st_size) + 1 : kRoom, '\0');
  size_t size = 0;
  while (true) {
    if (size == bytes.size()) bytes.resize(size + std::max(size / 2, kRoom));
    ssize_t n = ::read(file, bytes.data() + size, bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    int error = n < 0 ? errno : 0;
    if (n > 0) {
      size += static_cast<size_t>(n);
      continue;
    }
    ::close(file);
    if (error != 0) return std::unexpected(error);
    bytes.resize(size);
    return bytes;
  }
}

}  // namespace relay
