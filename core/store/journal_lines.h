// SPDX-License-Identifier: MIT
// The lines of a journal: framed, checked, and each one object of JSON that people can read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/store/ledger_rows.h"

namespace relay {

// Of the line format. A reader refuses what is newer.
inline constexpr int64_t kJournalVersion = 1;

enum class LineKind : uint8_t {
  kSegment,  // the first
  kDay,      // totals of the epoch
  kHour,
  kOpen,
  kBegin,  // the opening totals are whole
  kClose,
};

// A line as read; what its kind has not is empty.
struct JournalLine {
  LineKind kind = LineKind::kSegment;
  int64_t version = 0;
  std::string epoch;
  DatedEntry entry;
  DayRow day;
  HourRow hour;
};

// Each appends one whole line to `out`.
void AppendSegmentLine(std::string& out, std::string_view epoch);
void AppendBeginLine(std::string& out);
void AppendLine(std::string& out, const DayRow& row);
void AppendLine(std::string& out, const HourRow& row);
void AppendLine(std::string& out, LineKind open_or_close, const LedgerEntry& entry, Period period);

// The object of such a line alone, for other places that keep entries.
std::string EntryJson(const LedgerEntry& entry, Period period);
// Nothing when it is none.
std::optional<DatedEntry> ReadEntryJson(std::string_view json);

// Walks the lines of a segment.
class JournalLines {
 public:
  // `bytes` outlives it.
  explicit JournalLines(std::string_view bytes) : rest_(bytes) {}
  // Nothing at the end. Steps over what is damaged.
  std::optional<JournalLine> Next();

  // Bytes behind the last newline: a line that was not written whole.
  size_t torn_bytes() const { return torn_bytes_; }
  // Lines whose length, sum or content is wrong.
  size_t damaged_lines() const { return damaged_lines_; }

 private:
  std::string_view rest_;
  size_t torn_bytes_ = 0;
  size_t damaged_lines_ = 0;
};

}  // namespace relay
