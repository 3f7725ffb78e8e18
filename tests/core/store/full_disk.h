// SPDX-License-Identifier: MIT
// A disk that fails as told, under a journal.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "core/store/journal.h"

namespace relay {

// A disk with room for some bytes.
class FullDisk final : public JournalFiles {
 public:
  int Create(const char* path) override {
    if (no_files) return errno = ENOSPC, -1;
    return JournalFiles::Create(path);
  }
  ssize_t Write(int file, const void* data, size_t size) override {
    if (interrupts > 0) return --interrupts, errno = EINTR, -1;
    if (failure != 0) return errno = failure, -1;
    if (room == 0) return errno = ENOSPC, -1;
    ++writes;
    size_t some = std::min({size, room, piece});
    room -= some;
    return JournalFiles::Write(file, data, some);
  }
  int Sync(int file) override {
    ++syncs;
    if (sync_failure != 0) return errno = sync_failure, -1;
    return JournalFiles::Sync(file);
  }
  size_t room = SIZE_MAX;
  size_t piece = SIZE_MAX;  // the most that one write takes
  int failure = 0;
  int sync_failure = 0;
  int writes = 0;  // that took something
  int syncs = 0;   // that were asked for
  int interrupts = 0;
  bool no_files = false;
};

}  // namespace relay
