// SPDX-License-Identifier: MIT
#include "core/store/ledger.h"

#include <algorithm>
#include <exception>

#include "core/store/ledger_books.h"
#include "core/store/ledger_rows.h"

namespace relay {

void LedgerTotals::Add(const LedgerEntry& entry) {
  const Usage& usage = entry.usage;
  requests += 1;
  estimated += usage.estimated ? 1 : 0;
  input += usage.input;
  output += usage.output;
  cache_read += usage.cache_read;
  cache_write_5m += usage.cache_write_5m;
  cache_write_1h += usage.cache_write_1h;
  reasoning += usage.reasoning;
  searches += usage.searches;
  nanodollars += entry.nanodollars;
  guessed_prices += entry.guessed_price ? 1 : 0;
}

void LedgerTotals::Add(const LedgerTotals& other) {
  requests += other.requests;
  estimated += other.estimated;
  input += other.input;
  output += other.output;
  cache_read += other.cache_read;
  cache_write_5m += other.cache_write_5m;
  cache_write_1h += other.cache_write_1h;
  reasoning += other.reasoning;
  searches += other.searches;
  nanodollars += other.nanodollars;
  guessed_prices += other.guessed_prices;
}

void LedgerTotals::Subtract(const LedgerTotals& other) {
  requests -= other.requests;
  estimated -= other.estimated;
  input -= other.input;
  output -= other.output;
  cache_read -= other.cache_read;
  cache_write_5m -= other.cache_write_5m;
  cache_write_1h -= other.cache_write_1h;
  reasoning -= other.reasoning;
  searches -= other.searches;
  nanodollars -= other.nanodollars;
  guessed_prices -= other.guessed_prices;
}

void LedgerTotals::RaiseTo(const LedgerTotals& other) {
  requests = std::max(requests, other.requests);
  estimated = std::max(estimated, other.estimated);
  input = std::max(input, other.input);
  output = std::max(output, other.output);
  cache_read = std::max(cache_read, other.cache_read);
  cache_write_5m = std::max(cache_write_5m, other.cache_write_5m);
  cache_write_1h = std::max(cache_write_1h, other.cache_write_1h);
  reasoning = std::max(reasoning, other.reasoning);
  searches = std::max(searches, other.searches);
  nanodollars = std::max(nanodollars, other.nanodollars);
  guessed_prices = std::max(guessed_prices, other.guessed_prices);
}

size_t Ledger::RowHash::operator()(const RowId& id) const {
  std::hash<const void*> hash;
  return (hash(id.key) * 31 + hash(id.model)) * 31 + hash(id.account);
}

const std::string* Ledger::Keep(Names& names, std::string_view name) {
  auto at = names.find(name);
  if (at == names.end()) at = names.emplace(name).first;
  return &*at;
}

const std::string* Ledger::KeepModelLocked(std::string_view model) {
  bool full = models_.size() >= kModels && !models_.contains(model);
  return Keep(models_, full ? kOther : model);
}

void Ledger::Load(const std::vector<DayRow>& days, const std::vector<LedgerEntry>& recent) {
  constexpr size_t kAtOnce = 64;  // so that nobody waits long
  for (size_t at = 0; at < days.size();) {
    std::lock_guard lock(mutex_);
    for (size_t end = std::min(at + kAtOnce, days.size()); at < end; ++at) {
      const DayRow& row = days[at];
      RowId id{Keep(names_, row.key), Keep(names_, row.model), Keep(names_, row.account)};
      days_[row.day][id].Add(row.totals);
    }
  }
  LoadRecent(recent);
}

// Behind the older ones come those that are there already.
void Ledger::LoadRecent(const std::vector<LedgerEntry>& entries) {
  std::vector<std::shared_ptr<const LedgerEntry>> older;
  older.reserve(entries.size() + kRecent);
  for (const LedgerEntry& entry : entries) {
    older.push_back(std::make_shared<const LedgerEntry>(entry));
  }
  std::lock_guard lock(mutex_);
  std::unordered_set<std::string_view> known;
  size_t count = std::min(closed_, kRecent);
  for (size_t i = 1; i <= count; ++i) known.insert(recent_[(closed_ - i) % kRecent]->id);
  std::erase_if(older, [&](const auto& entry) { return known.contains(entry->id); });
  for (size_t i = count; i >= 1; --i) older.push_back(recent_[(closed_ - i) % kRecent]);
  closed_ = 0;
  size_t surplus = older.size() - std::min(older.size(), kRecent);
  for (size_t i = surplus; i < older.size(); ++i) recent_[closed_++ % kRecent] = older[i];
}

Period Ledger::PeriodOf(WallTime when) const {
  return {zone_.DayOf(when), HourOf(when)};
}

void Ledger::Open(LedgerEntry entry) noexcept {
  try {
    {
      std::lock_guard lock(mutex_);
      if (books_ == nullptr) {
        open_.insert(std::move(entry.id));
        return;
      }
      entry.model = *KeepModelLocked(entry.model);
    }
    Period period = PeriodOf(entry.when);
    books_->Open(std::move(entry), period);
  } catch (const std::exception&) {
    // Only a crash would miss it: the close line has all of it again.
  }
}

void Ledger::Close(LedgerEntry entry) noexcept {
  try {
    Period period = PeriodOf(entry.when);
    auto kept = std::make_shared<const LedgerEntry>(std::move(entry));
    // Its old holder's strings are freed behind the lock.
    std::shared_ptr<const LedgerEntry> slot = kept;
    const std::string* model = nullptr;
    {
      std::lock_guard lock(mutex_);
      if (books_ == nullptr) open_.erase(kept->id);
      model = KeepModelLocked(kept->model);
      RowId id{Keep(names_, kept->key), model, Keep(names_, kept->account)};
      days_[period.day][id].Add(*kept);
      while (days_.rbegin()->first - days_.begin()->first >= kDays) days_.erase(days_.begin());
      std::swap(recent_[closed_++ % kRecent], slot);
    }
    if (books_ == nullptr) return;
    if (*model != kept->model) {
      LedgerEntry renamed = *kept;
      renamed.model = *model;
      kept = std::make_shared<const LedgerEntry>(std::move(renamed));
    }
    books_->Close(std::move(kept), period);
  } catch (const std::exception&) {
    std::lock_guard lock(mutex_);
    ++lost_;
  }
}

void Ledger::Write() noexcept {
  if (books_ != nullptr) books_->Write();
}

std::string_view Ledger::CountedAs(std::string_view model) noexcept {
  std::lock_guard lock(mutex_);
  try {
    return *KeepModelLocked(model);
  } catch (const std::exception&) {
    return kOther;
  }
}

std::vector<std::pair<Ledger::RowId, LedgerTotals>> Ledger::CopyDay(int32_t day) const {
  std::vector<std::pair<RowId, LedgerTotals>> rows;
  std::lock_guard lock(mutex_);
  auto at = days_.find(day);
  if (at != days_.end()) rows.assign(at->second.begin(), at->second.end());
  return rows;
}

std::vector<int32_t> Ledger::Days() const {
  std::vector<int32_t> days;
  std::lock_guard lock(mutex_);
  days.reserve(days_.size());
  for (const auto& [day, rows] : days_) days.push_back(day);
  return days;
}

std::vector<LedgerRow> Ledger::Sum(LedgerBy by) const {
  std::map<std::string, LedgerTotals> sums;
  for (int32_t day : Days()) {
    for (const auto& [id, totals] : CopyDay(day)) {
      switch (by) {
        case LedgerBy::kKey: sums[*id.key].Add(totals); break;
        case LedgerBy::kModel: sums[*id.model].Add(totals); break;
        case LedgerBy::kAccount: sums[*id.account].Add(totals); break;
        case LedgerBy::kDay: sums[DayText(day)].Add(totals); break;
      }
    }
  }
  std::vector<LedgerRow> rows;
  rows.reserve(sums.size());
  for (auto& [name, totals] : sums) rows.push_back({name, totals});
  return rows;
}

std::vector<LedgerEntry> Ledger::Recent(size_t most) const {
  std::vector<std::shared_ptr<const LedgerEntry>> newest;
  newest.reserve(std::min(most, kRecent));
  {
    std::lock_guard lock(mutex_);
    size_t count = std::min({most, closed_, kRecent});
    for (size_t i = 1; i <= count; ++i) newest.push_back(recent_[(closed_ - i) % kRecent]);
  }
  std::vector<LedgerEntry> entries;
  entries.reserve(newest.size());
  for (const auto& entry : newest) entries.push_back(*entry);
  return entries;
}

size_t Ledger::unsettled() const {
  if (books_ != nullptr) return books_->open();
  std::lock_guard lock(mutex_);
  return open_.size();
}

int64_t Ledger::lost() const {
  std::lock_guard lock(mutex_);
  return lost_;
}

}  // namespace relay
