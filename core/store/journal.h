// SPDX-License-Identifier: MIT
// What is not yet in the store, on the disk of this machine: append-only segments of lines, one
// journal a worker. A line that was written survives the process, however it ends; what a power cut
// may take is what was not yet synced.
//
// A segment opens with the absolute totals of its epoch (one worker of one run) and with the
// exchanges that are under way, so the newest whole segment alone gives all of an epoch. Each line
// is "length crc json\n", both of the JSON and in eight hex digits.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/store/ledger_rows.h"

namespace relay {

// What a segment opens with.
struct EpochImage {
  RowSet rows;
  std::vector<DatedEntry> open;  // begun, used something, and not ended
};

// The system calls that a full or failing disk makes fail: the seam where tests put faults. Each
// returns what the call does and sets errno. Thread-safe.
class JournalFiles {
 public:
  virtual ~JournalFiles() = default;
  virtual int Create(const char* path);  // fails if there is one
  virtual ssize_t Write(int file, const void* data, size_t size);
  virtual int Sync(int file);
  virtual int SyncFolder(const char* path);
  static JournalFiles& System();
  // Take everything and keep nothing, for a journal in kNoFolder: where there is no disk.
  static JournalFiles& None();
};

// A name under which no file can be.
inline constexpr std::string_view kNoFolder = "/dev/null/journal";

// Writes one epoch. Not thread-safe: its owner holds a lock, or is one thread.
enum class LineKind : uint8_t;

class Journal {
 public:
  static constexpr uint64_t kSegmentBytes = uint64_t{16} << 20;

  // Keeps its segments in `folder`, which exists, as "<epoch>.<number>". Writes nothing yet.
  Journal(std::string folder, std::string epoch, JournalFiles& files = JournalFiles::System(),
          uint64_t segment_bytes = kSegmentBytes);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  ~Journal();

  // Begins the next segment with all of `image`. Also the way out after a failed write, since it
  // holds what that lost. On an error, which tells the system's reason, nothing has changed.
  Result<Unit> Begin(const EpochImage& image);
  // Collects one line. Where that fails, or the journal is broken already, it is lost as Write
  // says.
  void Open(const LedgerEntry& entry, Period period) noexcept;
  void Close(const LedgerEntry& entry, Period period) noexcept;
  // Appends what was collected with one write. False: some of it is not there and, until the next
  // Begin, nothing will be.
  bool Write() noexcept;

  // Goes on as that of another epoch, which the next Begin begins. Of this one no segment is
  // removed any more. → their paths; some may be gone.
  std::vector<std::string> GoOnAs(std::string epoch);

  // A write has failed (or none was possible yet): lines are being lost.
  bool broken() const { return file_ == nullptr; }
  // The errno of that, else 0.
  int trouble() const { return trouble_; }
  // Time for the next Begin.
  bool full() const { return size_ >= full_at_; }
  // The number of the segment being written; 0: none was yet.
  uint64_t segment() const { return segment_; }
  const std::string& epoch() const { return epoch_; }

  // A segment as somebody else may hold it while it is synced.
  class File;
  std::shared_ptr<File> file() const { return file_; }
  // Waits for the disk, also for the segment's name in the folder. Any thread. False, errno:
  // failed.
  static bool Sync(File& file);

  // Removes this epoch's segments below `segment`. Only when that one is synced, and when the store
  // has what was in them. Lines may be written meanwhile.
  void RemoveBefore(uint64_t segment);
  // Removes one that the disk did not take, when a newer one has been begun.
  void Remove(uint64_t segment);

 private:
  void Collect(LineKind kind, const LedgerEntry& entry, Period period) noexcept;
  void Break(int trouble) noexcept;
  std::string NameOf(uint64_t segment) const;

  std::string folder_;
  std::string epoch_;
  JournalFiles& files_;
  uint64_t segment_bytes_;
  std::shared_ptr<File> file_;
  int trouble_ = 0;
  uint64_t segment_ = 0;
  uint64_t oldest_ = 1;  // may still be on disk
  uint64_t size_ = 0;
  uint64_t full_at_ = 0;
  std::string lines_;  // collected, not written
};

// What a journal holds of an epoch that has ended, all of it settled.
struct ReplayedEpoch {
  std::string epoch;
  RowSet rows;
  // Singly, in the order of their ends; those never closed come last and are marked estimated.
  std::vector<LedgerEntry> entries;
  size_t unclosed = 0;             // of `entries`
  size_t torn_bytes = 0;           // of a last line that was not written whole
  size_t damaged_lines = 0;        // elsewhere; never from a crash, but from a bad disk
  std::vector<std::string> files;  // paths: to be removed when the store has all of this
};

// Reads every epoch of `folder` but those for which `skip` holds; none if there is no such folder.
// Changes nothing. Errors: cannot be read (retryable), or written by a newer version.
Result<std::vector<ReplayedEpoch>> ReadJournals(
    const std::string& folder, const std::function<bool(std::string_view epoch)>& skip = {});

}  // namespace relay
