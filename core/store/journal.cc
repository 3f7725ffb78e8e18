// SPDX-License-Identifier: MIT
#include "core/store/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>
#include <unordered_map>
#include <unordered_set>

#include "core/base/files.h"
#include "core/store/journal_lines.h"

namespace relay {
namespace {

std::string PathOf(const std::string& folder, const std::string& epoch, uint64_t segment) {
  std::string path = folder;
  path.append("/").append(epoch).append(".").append(std::to_string(segment));
  return path;
}

std::string TextOf(int code) {
  return std::generic_category().message(code);
}

// All of `bytes`; false with errno when some could not be written.
bool WriteAll(JournalFiles& files, int file, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = files.Write(file, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = ENOSPC;  // no system does that; it must not become a loop
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// "<epoch>.<number>"; nothing for other names.
std::optional<std::pair<std::string, uint64_t>> ParseName(const std::string& name) {
  size_t dot = name.rfind('.');
  if (dot == std::string::npos || dot == 0) return std::nullopt;
  uint64_t number = 0;
  const char* end = name.data() + name.size();
  auto [at, error] = std::from_chars(name.data() + dot + 1, end, number);
  if (error != std::errc() || at != end || number == 0) return std::nullopt;
  return std::pair(name.substr(0, dot), number);
}

// One segment as it was read.
struct Segment {
  bool whole = false;  // its opening totals are all there
  std::string epoch;
  LedgerRows rows;
  std::vector<LedgerEntry> entries;
  std::unordered_map<std::string, DatedEntry> open;
  std::unordered_set<std::string> closed;
  size_t torn_bytes = 0;
  size_t damaged_lines = 0;
};

void Take(Segment& segment, JournalLine& line) {
  switch (line.kind) {
    case LineKind::kSegment: segment.epoch = std::move(line.epoch); break;
    case LineKind::kDay: segment.rows.Set({{std::move(line.day)}, {}}); break;
    case LineKind::kHour: segment.rows.Set({{}, {std::move(line.hour)}}); break;
    case LineKind::kBegin: segment.whole = true; break;
    case LineKind::kOpen:
      if (!segment.closed.contains(line.entry.entry.id)) {
        segment.open[line.entry.entry.id] = std::move(line.entry);
      }
      break;
    case LineKind::kClose:
      if (!segment.closed.insert(line.entry.entry.id).second) break;
      segment.open.erase(line.entry.entry.id);
      segment.rows.Add(line.entry.entry, line.entry.period);
      segment.entries.push_back(std::move(line.entry.entry));
      break;
  }
}

Result<Segment> ReadSegment(const std::string& path) {
  auto bytes = ReadWholeFile(path);
  if (!bytes) {
    return Fail(Party::kRelay, Fault::kInternal,
                "the journal '" + path + "' cannot be read: " + TextOf(bytes.error()), true);
  }
  Segment segment;
  JournalLines lines(*bytes);
  while (auto line = lines.Next()) {
    if (line->kind == LineKind::kSegment && line->version > kJournalVersion) {
      return Fail(Party::kRelay, Fault::kInternal,
                  "the journal '" + path + "' was written by a newer relay (format " +
                      std::to_string(line->version) + "); start that one once, so that it is read");
    }
    Take(segment, *line);
  }
  segment.torn_bytes = lines.torn_bytes();
  segment.damaged_lines = lines.damaged_lines();
  return segment;
}

ReplayedEpoch Settle(Segment segment) {
  ReplayedEpoch replayed;
  replayed.unclosed = segment.open.size();
  // In a fixed order, so that a replay which is repeated tells the same.
  std::map<std::string, DatedEntry> open;
  for (auto& [id, dated] : segment.open) open.emplace(id, std::move(dated));
  for (auto& [id, dated] : open) {
    dated.entry.usage.estimated = true;
    segment.rows.Add(dated.entry, dated.period);
    segment.entries.push_back(std::move(dated.entry));
  }
  replayed.epoch = std::move(segment.epoch);
  replayed.rows = segment.rows.All();
  replayed.entries = std::move(segment.entries);
  replayed.torn_bytes = segment.torn_bytes;
  replayed.damaged_lines = segment.damaged_lines;
  return replayed;
}

}  // namespace

int JournalFiles::Create(const char* path) {
  return ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
}
ssize_t JournalFiles::Write(int file, const void* data, size_t size) {
  return ::write(file, data, size);
}
int JournalFiles::Sync(int file) {
  return ::fdatasync(file);
}
int JournalFiles::SyncFolder(const char* path) {
  int folder = ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return -1;
  int synced = ::fsync(folder);
  int code = errno;
  ::close(folder);
  errno = code;
  return synced;
}
JournalFiles& JournalFiles::System() {
  static JournalFiles files;
  return files;
}

namespace {

class NoFiles final : public JournalFiles {
 public:
  int Create(const char*) override { return ::open("/dev/null", O_WRONLY | O_CLOEXEC); }
  int Sync(int) override { return 0; }
  int SyncFolder(const char*) override { return 0; }
};

}  // namespace

JournalFiles& JournalFiles::None() {
  static NoFiles none;
  return none;
}

class Journal::File {
 public:
  File(JournalFiles& files, int file, std::string folder)
      : files_(files), file_(file), folder_(std::move(folder)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { ::close(file_); }
  int get() const { return file_; }

  bool Sync() {
    if (files_.Sync(file_) != 0) return false;
    if (!named_) named_ = files_.SyncFolder(folder_.c_str()) == 0;
    return named_;
  }

 private:
  JournalFiles& files_;
  int file_;
  std::string folder_;
  bool named_ = false;  // its name is on the disk; only the syncing thread looks
};

Journal::Journal(std::string folder, std::string epoch, JournalFiles& files, uint64_t segment_bytes)
    : folder_(std::move(folder)),
      epoch_(std::move(epoch)),
      files_(files),
      segment_bytes_(segment_bytes) {}

Journal::~Journal() = default;

std::string Journal::NameOf(uint64_t segment) const {
  return PathOf(folder_, epoch_, segment);
}

Result<Unit> Journal::Begin(const EpochImage& image) {
  std::string opening;
  AppendSegmentLine(opening, epoch_);
  for (const DayRow& row : image.rows.days) AppendLine(opening, row);
  for (const HourRow& row : image.rows.hours) AppendLine(opening, row);
  for (const DatedEntry& open : image.open) {
    AppendLine(opening, LineKind::kOpen, open.entry, open.period);
  }
  AppendBeginLine(opening);

  std::string path = NameOf(segment_ + 1);
  int file = files_.Create(path.c_str());
  if (file >= 0) {
    auto made = std::make_shared<File>(files_, file, folder_);
    if (WriteAll(files_, file, opening)) {
      file_ = std::move(made);
      lines_.clear();  // the image has them
      trouble_ = 0;
      ++segment_;
      size_ = opening.size();
      full_at_ = size_ + segment_bytes_;
      return Unit();
    }
  }
  int code = errno;
  // Half an opening is of no use, and the next try wants its name.
  if (file >= 0) ::unlink(path.c_str());
  if (file_ == nullptr) trouble_ = code;
  // The present segment goes on; not every line shall try again.
  full_at_ = size_ + segment_bytes_ / 16 + 1;
  return Fail(Party::kRelay, Fault::kInternal, "'" + path + "': " + TextOf(code));
}

void Journal::Open(const LedgerEntry& entry, Period period) noexcept {
  Collect(LineKind::kOpen, entry, period);
}

void Journal::Close(const LedgerEntry& entry, Period period) noexcept {
  Collect(LineKind::kClose, entry, period);
}

void Journal::Collect(LineKind kind, const LedgerEntry& entry, Period period) noexcept {
  if (broken()) return;
  const size_t before = lines_.size();
  try {
    AppendLine(lines_, kind, entry, period);
  } catch (const std::exception&) {
    // What was collected before is not lost with it.
    lines_.resize(before);
    Write();
    Break(ENOMEM);
  }
}

bool Journal::Write() noexcept {
  if (broken()) return false;
  if (lines_.empty()) return true;
  if (!WriteAll(files_, file_->get(), lines_)) {
    // What was written of the last line is torn; replay drops it. Nothing may follow it in this
    // file.
    Break(errno);
    return false;
  }
  size_ += lines_.size();
  lines_.clear();
  return true;
}

void Journal::Break(int trouble) noexcept {
  trouble_ = trouble;
  file_ = nullptr;
  lines_.clear();
}

std::vector<std::string> Journal::GoOnAs(std::string epoch) {
  std::vector<std::string> left;
  for (uint64_t segment = oldest_; segment <= segment_; ++segment) left.push_back(NameOf(segment));
  epoch_ = std::move(epoch);
  Break(0);
  segment_ = 0;
  oldest_ = 1;
  return left;
}

bool Journal::Sync(File& file) {
  return file.Sync();
}

void Journal::RemoveBefore(uint64_t segment) {
  for (; oldest_ < segment; ++oldest_) ::unlink(NameOf(oldest_).c_str());
}

void Journal::Remove(uint64_t segment) {
  ::unlink(NameOf(segment).c_str());
}

Result<std::vector<ReplayedEpoch>> ReadJournals(
    const std::string& folder, const std::function<bool(std::string_view epoch)>& skip) {
  if (folder == kNoFolder) return {};
  std::map<std::string, std::vector<uint64_t>> epochs;
  std::error_code error;
  std::filesystem::directory_iterator files(folder, error);
  if (error == std::errc::no_such_file_or_directory) return {};
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    auto name = ParseName(files->path().filename());
    if (!name || (skip && skip(name->first))) continue;
    epochs[name->first].push_back(name->second);
  }
  if (error) {
    return Fail(Party::kRelay, Fault::kInternal,
                "the journals in '" + folder + "' cannot be read: " + error.message(), true);
  }
  std::vector<ReplayedEpoch> replayed;
  for (auto& [epoch, numbers] : epochs) {
    std::ranges::sort(numbers, std::greater());
    ReplayedEpoch of_epoch;
    size_t torn_bytes = 0;
    size_t damaged_lines = 0;
    for (uint64_t number : numbers) {
      auto segment = ReadSegment(PathOf(folder, epoch, number));
      if (!segment) return std::unexpected(std::move(segment.error()));
      torn_bytes += segment->torn_bytes;
      damaged_lines += segment->damaged_lines;
      if (!segment->whole) continue;  // it ended while it was begun: the one before has all
      of_epoch = Settle(std::move(*segment));
      break;
    }
    of_epoch.epoch = epoch;
    of_epoch.torn_bytes = torn_bytes;
    of_epoch.damaged_lines = damaged_lines;
    for (uint64_t number : numbers) {
      of_epoch.files.push_back(PathOf(folder, epoch, number));
    }
    replayed.push_back(std::move(of_epoch));
  }
  return replayed;
}

}  // namespace relay
