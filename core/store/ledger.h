// SPDX-License-Identifier: MIT
// What was used, by whom, of whom: totals in memory, behind them a Store. Process-wide.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/store/usage.h"

namespace relay {

// One exchange, once. No prompt, answer or secret in it.
struct LedgerEntry {
  std::string id;  // the exchange's
  WallTime when{};
  std::string key;
  std::string model;     // as the answer names it, else the request's
  std::string provider;  // "claude"
  std::string account;   // "cluster/name"
  Usage usage;
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
};

struct LedgerRow {
  std::string name;  // of a key, model, account or day
  LedgerTotals totals;
};

enum class LedgerBy : uint8_t { kKey, kModel, kAccount, kDay };

class Ledger {
 public:
  // Exchanges kept singly, the newest; metadata only.
  static constexpr size_t kRecent = 1000;

  // `zone`: an IANA name, in which days are counted. Errors: a zone that is not known.
  explicit Ledger(std::string_view zone);

  // The upstream has told some usage: should nothing close it, it settles as estimated.
  void Open(const LedgerEntry& entry) noexcept;
  // The last word on an exchange; a second one for the same id is ignored by the caller's doing.
  // Called before the bytes that tell the client of the end leave.
  void Close(LedgerEntry entry) noexcept;

  // Sorted by name; days "2026-11-24".
  std::vector<LedgerRow> Sum(LedgerBy by) const;
  // Newest first.
  std::vector<LedgerEntry> Recent(size_t most) const;

 private:
  struct RowId {
    std::string day;
    std::string key;
    std::string model;
    std::string account;
    auto operator<=>(const RowId&) const = default;
  };
  std::string zone_;
  mutable std::mutex mutex_;
  std::map<RowId, LedgerTotals> rows_;
  std::deque<LedgerEntry> recent_;
};

}  // namespace relay
