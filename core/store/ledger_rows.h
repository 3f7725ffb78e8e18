// SPDX-License-Identifier: MIT
// The sums of one epoch as the store keeps them: by day, key, model and account, and by hour and
// key. An epoch is one writer of one run; its sums only grow, and are always given whole, so that
// giving them twice changes nothing.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/store/ledger.h"

namespace relay {

struct DayRow {
  int32_t day = 0;  // since 1970-01-01, on the ledger's calendar
  std::string key;
  std::string model;
  std::string account;
  LedgerTotals totals;
  bool operator==(const DayRow&) const = default;
};

struct HourRow {
  int64_t hour = 0;  // since 1970, UTC
  std::string key;
  LedgerTotals totals;
  bool operator==(const HourRow&) const = default;
};

// Which rows an entry counts for. Decided once, so that the zone may be changed between runs.
struct Period {
  int32_t day = 0;
  int64_t hour = 0;
};

struct DatedEntry {
  LedgerEntry entry;
  Period period;
};

struct RowSet {
  std::vector<DayRow> days;
  std::vector<HourRow> hours;
  bool empty() const { return days.empty() && hours.empty(); }
};

int64_t HourOf(WallTime when);

class LedgerRows {
 public:
  // Allocates only for a row that is new.
  void Add(const LedgerEntry& entry, Period period);
  // Replaces the rows' totals.
  void Set(const RowSet& rows);
  // Raises the totals of rows that are here to these, where they are greater.
  void Raise(const RowSet& rows);
  // Adds to the rows' totals.
  void AddAll(const RowSet& rows);
  // In order of day or hour and names.
  RowSet All() const;

  bool changed() const { return !changed_days_.empty() || !changed_hours_.empty(); }
  // Those changed since the last call, with their present totals.
  RowSet TakeChanged();
  // Drops the rows before `period` that have not changed since they were taken, which must have
  // arrived. They must not begin anew from zero: ask Held before an Add.
  void Forget(Period before);
  // Drops the rows before `period`, whatever became of them.
  void DropBefore(Period period);
  // Drops the rows that `others` has not.
  void DropUnknown(const LedgerRows& others);
  // What these count and `base` does not, all of it changed.
  LedgerRows Since(const LedgerRows& base) const;
  bool empty() const { return days_.empty() && hours_.empty(); }
  // `period`, or the first that was not forgotten.
  Period Held(Period period) const;

 private:
  struct DayId {
    int32_t day;
    std::string key;
    std::string model;
    std::string account;
  };
  struct DayView {
    int32_t day;
    std::string_view key;
    std::string_view model;
    std::string_view account;
  };
  struct HourId {
    int64_t hour;
    std::string key;
  };
  struct HourView {
    int64_t hour;
    std::string_view key;
  };
  // Ids are looked up by views, without making strings.
  struct Before {
    using is_transparent = void;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return Less(a, b);
    }
    template <class A, class B>
      requires requires(const A& a) { a.day; }
    static bool Less(const A& a, const B& b) {
      if (a.day != b.day) return a.day < b.day;
      if (int order = std::string_view(a.key).compare(b.key); order != 0) return order < 0;
      if (int order = std::string_view(a.model).compare(b.model); order != 0) return order < 0;
      return std::string_view(a.account) < std::string_view(b.account);
    }
    template <class A, class B>
      requires requires(const A& a) { a.hour; }
    static bool Less(const A& a, const B& b) {
      if (a.hour != b.hour) return a.hour < b.hour;
      return std::string_view(a.key) < std::string_view(b.key);
    }
  };
  struct Row {
    LedgerTotals totals;
    bool changed = false;
  };
  using Days = std::map<DayId, Row, Before>;
  using Hours = std::map<HourId, Row, Before>;

  Row& DayAt(const DayView& id);
  Row& HourAt(const HourView& id);

  Days days_;
  Hours hours_;
  std::vector<Days::value_type*> changed_days_;
  std::vector<Hours::value_type*> changed_hours_;
  Period held_from_{INT32_MIN, INT64_MIN};
};

}  // namespace relay
