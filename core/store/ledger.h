// SPDX-License-Identifier: MIT
// What was used, by whom, of whom: absolute totals by day, key, model and account, and the newest
// exchanges. In memory and process-wide; journal and store stand behind the same two calls, in
// books (ledger_books.h).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/base/zone.h"
#include "core/store/usage.h"

namespace relay {

// One exchange, once. No prompt, answer or secret in it.
struct LedgerEntry {
  std::string id;  // the exchange's
  WallTime when{};
  std::string key = {};
  std::string model = {};     // as the answer names it, else the request's
  std::string provider = {};  // "claude"
  std::string account = {};   // "cluster/name"
  Usage usage = {};
  int64_t nanodollars = 0;
  bool guessed_price = false;  // the price table does not have the model
  int status = 0;              // what the client saw
  Duration total{};
};

// Sums of entries that have something in common.
struct LedgerTotals {
  int64_t requests = 0;
  int64_t estimated = 0;  // of them, those whose usage is a guess
  int64_t input = 0;
  int64_t output = 0;
  int64_t cache_read = 0;
  int64_t cache_write_5m = 0;
  int64_t cache_write_1h = 0;
  int64_t reasoning = 0;
  int64_t searches = 0;
  int64_t nanodollars = 0;
  int64_t guessed_prices = 0;

  void Add(const LedgerEntry& entry);
  void Add(const LedgerTotals& other);
  void Subtract(const LedgerTotals& other);
  // Of two states of one that only grows: the later.
  void RaiseTo(const LedgerTotals& other);
  bool operator==(const LedgerTotals&) const = default;
};

struct LedgerRow {
  std::string name;  // of a key, model, account or day
  LedgerTotals totals;
};

enum class LedgerBy : uint8_t { kKey, kModel, kAccount, kDay };

class LedgerBooks;
struct DayRow;
struct Period;

// Thread-safe. Writers hold its mutex for a few lookups; readers for one day's rows at a time.
class Ledger {
 public:
  static constexpr size_t kRecent = 1000;  // exchanges kept singly
  static constexpr int32_t kDays = 400;
  // Answers name their models, so a broken or hostile upstream could invent them.
  static constexpr size_t kModels = 256;
  static constexpr std::string_view kOther = "other";

  // Days are counted in `zone`.
  explicit Ledger(Zone zone = Zone()) : zone_(std::move(zone)) {}

  // From now on what is opened and closed is also put into `books`.
  // Before other threads use this; null: no more, after they did. Not owned.
  void WriteTo(LedgerBooks* books) { books_ = books; }
  // Adds what was used before this run, all of it older than what is there. Its models do not count
  // among the kModels. Other threads may use this meanwhile.
  void Load(const std::vector<DayRow>& days, const std::vector<LedgerEntry>& recent);

  // The upstream has told some usage: should nothing close it, it settles as estimated.
  void Open(LedgerEntry entry) noexcept;
  // The last word on an exchange, said once.
  void Close(LedgerEntry entry) noexcept;
  // What this thread has opened and closed outlives the process when this returns. Before the
  // bytes that tell a client of the end leave; once for all exchanges that end in a loop's turn.
  void Write() noexcept;
  // The name under which `model` is counted: itself, or "other" once kModels are known. Valid as
  // long as this.
  std::string_view CountedAs(std::string_view model) noexcept;

  // The rows that an exchange which ends then counts for.
  Period PeriodOf(WallTime when) const;

  // Sorted by name; days as "2026-11-24".
  std::vector<LedgerRow> Sum(LedgerBy by) const;
  // Newest first.
  std::vector<LedgerEntry> Recent(size_t most) const;
  // Opened and not closed.
  size_t unsettled() const;
  // Entries that found no memory to be kept in.
  int64_t lost() const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using Names = std::unordered_set<std::string, Hash, std::equal_to<>>;  // nodes never move
  // Names are kept once, so that rows are small and copied without allocating.
  struct RowId {
    const std::string* key = nullptr;
    const std::string* model = nullptr;
    const std::string* account = nullptr;
    bool operator==(const RowId&) const = default;
  };
  struct RowHash {
    size_t operator()(const RowId& id) const;
  };
  using Day = std::unordered_map<RowId, LedgerTotals, RowHash>;

  static const std::string* Keep(Names& names, std::string_view name);
  const std::string* KeepModelLocked(std::string_view model);
  void LoadRecent(const std::vector<LedgerEntry>& entries);
  std::vector<int32_t> Days() const;
  std::vector<std::pair<RowId, LedgerTotals>> CopyDay(int32_t day) const;

  const Zone zone_;
  LedgerBooks* books_ = nullptr;
  mutable std::mutex mutex_;
  Names names_;  // of keys and accounts: as many as were ever configured
  Names models_;
  std::map<int32_t, Day> days_;
  std::unordered_set<std::string> open_;  // where there are no books, which know it else
  std::array<std::shared_ptr<const LedgerEntry>, kRecent> recent_;
  size_t closed_ = 0;  // entries ever put into `recent_`
  int64_t lost_ = 0;
};

}  // namespace relay
