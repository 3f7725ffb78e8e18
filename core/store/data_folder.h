// SPDX-License-Identifier: MIT
// The folder where a relay keeps its state, held by one process at a time: two of them would tear
// each other's journals and count everything twice.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace relay {

struct DataFolderError {
  enum class Why : uint8_t {
    kTaken,       // another process has it: this one must not start
    kUnwritable,  // no folder, no right or no disk: a relay can do without, and says so
  };
  Why why = Why::kUnwritable;
  std::string what;  // names the folder and says what to do
};

class DataFolder {
 public:
  // Makes `path` (mode 0700, missing parents as well) where there is none, sees that files can be
  // made in it, and locks it until this object dies or the process does, however it ends.
  static std::expected<std::unique_ptr<DataFolder>, DataFolderError> Open(const std::string& path);
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;
  ~DataFolder();

  const std::string& path() const { return path_; }
  // The path of a file in it.
  std::string File(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  DataFolder(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::string path_;
  int lock_;  // relay.lock, which holds the process's id for people to read
};

}  // namespace relay
