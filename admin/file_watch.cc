// SPDX-License-Identifier: MIT
#include "admin/file_watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <set>
#include <utility>

namespace relay {
namespace {

constexpr uint32_t kEvents =
    IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF;

std::string FolderOf(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Where a path leads in the end; "" when nowhere.
std::string RealPath(const std::string& path) {
  std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  return real == nullptr ? "" : real.get();
}

}  // namespace

FileWatch::FileWatch(Loop& loop, std::function<void()> changed)
    : changed_(std::move(changed)),
      inotify_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
      loop_(loop),
      quiet_(loop.timers(), *this) {
  if (!inotify_.open()) return;
  watch_.emplace(loop, inotify_, static_cast<SocketEvents&>(*this));
  watch_->Set(SocketWatch::kReadable);
}

Result<Unit> FileWatch::Set(const std::vector<std::string>& files) {
  std::map<std::string, std::string> before = std::exchange(seen_, {});
  for (const std::string& file : files) {
    auto known = before.find(file);
    seen_[file] = known == before.end() ? LookAt(file) : known->second;
  }
  // A link's own folder and that of its target; and the file itself, for a container into which
  // only that is mounted.
  std::set<std::string> paths;
  for (const std::string& file : files) {
    paths.insert(FolderOf(file));
    std::string real = RealPath(file);
    if (real.empty()) continue;
    paths.insert(FolderOf(real));
    paths.insert(real);
  }
  Forget();
  Result<Unit> all = Unit{};
  for (const std::string& path : paths) {
    Result<Unit> watched = Watch(path);
    if (!watched && all) all = watched;
  }
  return all;
}

Result<Unit> FileWatch::Watch(const std::string& path) {
  int id = inotify_.open() ? ::inotify_add_watch(inotify_.fd(), path.c_str(), kEvents) : -1;
  if (id >= 0) {
    watched_[id] = path;
    return Unit{};
  }
  return Fail(Party::kRelay, Fault::kInternal,
              path + " cannot be watched: " + ErrnoText(inotify_.open() ? errno : EMFILE));
}

void FileWatch::Forget() {
  for (const auto& [id, path] : watched_) ::inotify_rm_watch(inotify_.fd(), id);
  watched_.clear();
}

void FileWatch::OnSocket(bool, bool, bool) {
  alignas(inotify_event) char room[4096];
  while (::read(inotify_.fd(), room, sizeof room) > 0) {
  }
  TimePoint now = loop_.Now();
  if (!quiet_.armed()) first_ = now;
  quiet_.ArmAt(std::min(now + kQuiet, first_ + kLongest));
}

void FileWatch::OnQuiet() {
  bool changes = false;
  // Other files of the folder count for nothing: logs, an editor's own.
  for (const auto& [file, seen] : seen_) changes = changes || LookAt(file) != seen;
  if (changes) changed_();
}

void FileWatch::Note() {
  for (auto& [file, seen] : seen_) seen = LookAt(file);
}

std::string FileWatch::LookAt(const std::string& file) {
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0) return "";
  return std::to_string(status.st_dev) + " " + std::to_string(status.st_ino) + " " +
         std::to_string(status.st_size) + " " + std::to_string(status.st_mtim.tv_sec) + "." +
         std::to_string(status.st_mtim.tv_nsec);
}

}  // namespace relay
