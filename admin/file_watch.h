// SPDX-License-Identifier: MIT
// Tells when files have changed: by inotify on their folders, so that an editor's rename and the
// swap of a symbolic link (as Kubernetes mounts its volumes) count as much as a write.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/net/socket.h"

namespace relay {

class FileWatch final : private SocketEvents {
 public:
  // A change is told when nothing has happened for so long: whoever writes two files, or one in two
  // steps, is done by then.
  static constexpr Duration kQuiet = std::chrono::milliseconds(250);
  // In a folder where something happens all the time it is told then all the same.
  static constexpr Duration kLongest = std::chrono::seconds(2);

  // `changed` is called on the loop, which outlives this. It may call Set.
  FileWatch(Loop& loop, std::function<void()> changed);
  // These are the files from now on. Errors: what the system does not let us watch; the others are
  // watched all the same.
  Result<Unit> Set(const std::vector<std::string>& files);
  // Whoever reads the files does it after this: only what changes from now on is told.
  void Note();

 private:
  void OnSocket(bool readable, bool writable, bool broken) override;
  void OnQuiet();
  Result<Unit> Watch(const std::string& path);
  void Forget();
  // Device, number, size and time of change; "" where there is no file.
  static std::string LookAt(const std::string& file);

  std::function<void()> changed_;
  Socket inotify_;
  std::optional<SocketWatch> watch_;
  std::map<int, std::string> watched_;       // folders and files, by watch descriptor
  std::map<std::string, std::string> seen_;  // what each file was when it was last looked at
  Loop& loop_;
  TimePoint first_{};  // what happened since it was last quiet
  MethodTimer<FileWatch, &FileWatch::OnQuiet> quiet_;
};

}  // namespace relay
