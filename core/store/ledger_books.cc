// SPDX-License-Identifier: MIT
#include "core/store/ledger_books.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace relay {

struct LedgerBooks::Book {
  Book(std::string folder, std::string epoch, JournalFiles& files, uint64_t segment_bytes)
      : journal(std::move(folder), std::move(epoch), files, segment_bytes) {}

  // By their ids. There is one for each stream under way, however silent.
  struct SameId {
    using is_transparent = void;
    bool operator()(const DatedEntry& a, const DatedEntry& b) const {
      return a.entry.id == b.entry.id;
    }
    bool operator()(std::string_view id, const DatedEntry& of) const { return id == of.entry.id; }
  };
  struct HashOfId {
    using is_transparent = void;
    size_t operator()(std::string_view id) const { return std::hash<std::string_view>{}(id); }
    size_t operator()(const DatedEntry& of) const { return (*this)(of.entry.id); }
  };
  using Opened = std::unordered_set<DatedEntry, HashOfId, SameId>;

  mutable std::mutex mutex;
  Journal journal;
  LedgerRows rows;
  Opened open;
  // Closed and not taken, oldest first; the store keeps no more of them either.
  std::vector<std::shared_ptr<const LedgerEntry>> recent;
  size_t recent_at = 0;                 // where the oldest is, once there are kRecent
  bool touched = false;                 // since the last sync
  std::atomic<bool> unwritten = false;  // the journal has collected lines
  bool must_begin = true;
  int sync_trouble = 0;  // until a sync succeeds

  // The keeper's alone.
  int64_t sequence = 0;
  uint64_t taken_segment = 0;    // the one being written when the last flush was taken
  uint64_t arrived_segment = 0;  // the store has what the segments before this one held
  uint64_t synced_segment = 0;
  Period forgotten;
  LedgerRows arrived;  // of this epoch, as the store has them

  bool WantsBegin() const { return must_begin || journal.broken() || journal.full(); }
  int Trouble() const { return sync_trouble != 0 ? sync_trouble : journal.trouble(); }
  // Allocates nothing: the room was made at the start.
  void KeepRecent(std::shared_ptr<const LedgerEntry>& entry) {
    if (recent.size() < Store::kRecent) {
      recent.push_back(std::move(entry));
    } else {
      std::swap(recent[recent_at], entry);
      recent_at = (recent_at + 1) % Store::kRecent;
    }
  }
};

LedgerBooks::LedgerBooks(std::string folder, const std::string& run, size_t count,
                         JournalFiles& files, uint64_t segment_bytes)
    : folder_(std::move(folder)), run_(run) {
  for (; epochs_ < std::max<size_t>(count, 1); ++epochs_) {
    books_.push_back(
        std::make_unique<Book>(folder_, run + "-" + std::to_string(epochs_), files, segment_bytes));
    books_.back()->recent.reserve(Store::kRecent);
  }
}

LedgerBooks::~LedgerBooks() = default;

size_t LedgerBooks::IndexOf(std::string_view id) const {
  return std::hash<std::string_view>{}(id) % books_.size();
}

LedgerBooks::Book* LedgerBooks::Find(const std::string& epoch) const {
  for (const auto& book : books_) {
    if (book->journal.epoch() == epoch) return book.get();
  }
  return nullptr;
}

// --- Writers -----------------------------------------------------------------------------------

namespace {

// Which books this thread has put lines into since it last wrote: a disk that is slow with another
// journal holds nobody up. Books 64 apart share a bit.
struct Marks {
  const void* of = nullptr;
  uint64_t bits = 0;
  static uint64_t Bit(size_t index) { return uint64_t{1} << (index % 64); }
};
thread_local Marks t_marks;

void Mark(const LedgerBooks* books, size_t index) {
  // Where this thread serves several, all of each are looked at.
  if (t_marks.of != books) t_marks = {books, ~uint64_t{0}};
  t_marks.bits |= Marks::Bit(index);
}

uint64_t TakeMarks(const LedgerBooks* books) {
  const Marks marks = std::exchange(t_marks, {books, 0});
  return marks.of == books ? marks.bits : ~uint64_t{0};
}

}  // namespace

void LedgerBooks::Open(LedgerEntry entry, Period period) {
  const size_t index = IndexOf(entry.id);
  Book& book = *books_[index];
  // Where they are the same, the journal's lines have the model once, too.
  if (entry.usage.model == entry.model) entry.usage.model = std::string();
  // Made outside the lock, and put in as it is.
  Book::Opened one;
  one.insert(DatedEntry{std::move(entry), period});
  Book::Opened::node_type made = one.extract(one.begin());
  {
    std::lock_guard lock(book.mutex);
    made.value().period = book.rows.Held(period);
    const DatedEntry& opened = *book.open.insert(std::move(made)).position;
    book.journal.Open(opened.entry, opened.period);
    book.touched = true;
    book.unwritten = true;
  }
  Mark(this, index);
  Ring();
}

void LedgerBooks::Close(std::shared_ptr<const LedgerEntry> entry, Period period) {
  const size_t index = IndexOf(entry->id);
  Book& book = *books_[index];
  Book::Opened::node_type opened;
  {
    std::lock_guard lock(book.mutex);
    period = book.rows.Held(period);
    book.rows.Add(*entry, period);
    if (auto at = book.open.find(std::string_view(entry->id)); at != book.open.end()) {
      opened = book.open.extract(at);
    }
    book.journal.Close(*entry, period);
    book.touched = true;
    book.unwritten = true;
    book.KeepRecent(entry);
  }
  Mark(this, index);
  Ring();
}

void LedgerBooks::Write() {
  const uint64_t marks = TakeMarks(this);
  for (size_t i = 0; i < books_.size(); ++i) {
    Book& book = *books_[i];
    // Another thread that writes for this one says so only when it is done.
    if ((marks & Marks::Bit(i)) == 0 || !book.unwritten) continue;
    std::lock_guard lock(book.mutex);
    book.journal.Write();
    book.unwritten = false;
  }
}

// --- The keeper --------------------------------------------------------------------------------

Result<Unit> LedgerBooks::Begin() {
  Result<Unit> result;
  // Whether it can be made shows when a file is.
  ::mkdir(folder_.c_str(), 0700);
  for (const auto& book : books_) {
    std::lock_guard lock(book->mutex);
    if (!book->WantsBegin()) continue;
    Result<Unit> begun = BeginLocked(*book);
    if (!begun && result) result = std::move(begun);
  }
  return result;
}

Result<Unit> LedgerBooks::BeginLocked(Book& book) {
  EpochImage image{book.rows.All(), {}};
  image.open.assign(book.open.begin(), book.open.end());
  uint64_t before = book.journal.segment();
  Result<Unit> begun = book.journal.Begin(image);
  if (!begun) return begun;
  // Else a disk that fails for long would collect one a second.
  if (book.sync_trouble != 0 && book.synced_segment < before) book.journal.Remove(before);
  book.must_begin = false;
  book.touched = true;
  return begun;
}

bool LedgerBooks::Sync() {
  int failed = 0;
  for (const auto& book : books_) {
    std::shared_ptr<Journal::File> file;
    uint64_t segment = 0;
    {
      std::lock_guard lock(book->mutex);
      if (!std::exchange(book->touched, false)) continue;
      book->journal.Write();
      file = book->journal.file();
      segment = book->journal.segment();
    }
    // Broken since: what it holds is in memory, and goes into the next segment.
    if (file == nullptr) continue;
    bool synced = Journal::Sync(*file);
    int why = errno;
    std::lock_guard lock(book->mutex);
    if (synced) {
      book->synced_segment = segment;
      book->sync_trouble = 0;
      continue;
    }
    failed = why;
    // The system may have dropped what it could not write, and would not say so a second time.
    if (book->journal.segment() == segment) {
      book->must_begin = true;
      book->sync_trouble = failed;
    }
  }
  errno = failed;
  return failed == 0;
}

void LedgerBooks::Tidy() {
  for (const auto& book : books_) {
    uint64_t segment = book->journal.segment();
    uint64_t needed = std::max(book->arrived_segment, segment - std::min(segment, kSegments - 1));
    book->journal.RemoveBefore(std::min(needed, book->synced_segment));
  }
}

std::vector<LedgerFlush> LedgerBooks::Take() {
  std::vector<LedgerFlush> flushes = std::exchange(given_back_, {});
  if (!flushes.empty()) return flushes;
  for (const auto& book : books_) {
    LedgerFlush flush;
    std::vector<std::shared_ptr<const LedgerEntry>> recent;
    recent.reserve(Store::kRecent);
    size_t oldest = 0;
    {
      std::lock_guard lock(book->mutex);
      // The store must not know more of an exchange than the journal, which is replayed beside it.
      book->journal.Write();
      book->taken_segment = book->journal.segment();
      if (!book->rows.changed() && book->recent.empty()) continue;
      flush.rows = book->rows.TakeChanged();
      recent.swap(book->recent);
      oldest = std::exchange(book->recent_at, 0);
    }
    flush.epoch = book->journal.epoch();
    flush.sequence = ++book->sequence;
    std::ranges::rotate(recent, recent.begin() + static_cast<ptrdiff_t>(oldest));
    for (const auto& entry : recent) flush.recent.push_back(*entry);
    flushes.push_back(std::move(flush));
  }
  return flushes;
}

void LedgerBooks::Arrived(const std::vector<LedgerFlush>& flushes, Period before) {
  for (const auto& book : books_) book->arrived_segment = book->taken_segment;
  for (const LedgerFlush& flush : flushes) {
    Book* book = Find(flush.epoch);
    if (book == nullptr) continue;  // it has begun anew
    book->arrived.Set(flush.rows);
    // It walks through all rows: not at every flush.
    if (before.day == book->forgotten.day && before.hour == book->forgotten.hour) continue;
    book->forgotten = before;
    std::lock_guard lock(book->mutex);
    book->rows.Forget(before);
    book->arrived.DropUnknown(book->rows);
  }
}

void LedgerBooks::GiveBack(std::vector<LedgerFlush> flushes) {
  given_back_ = std::move(flushes);
}

// --- The end of an epoch -------------------------------------------------------------------------

// A segment that cannot be begun is tried again by the next Begin; until then all is in memory.
DeadEpoch LedgerBooks::GoOnLocked(Book& book, LedgerRows rows) {
  DeadEpoch old{{book.journal.epoch(), book.sequence, {}, {}}, {}};
  old.files = book.journal.GoOnAs(run_ + "-" + std::to_string(epochs_++));
  book.rows = std::move(rows);
  book.arrived = LedgerRows();
  book.must_begin = true;
  book.sync_trouble = 0;
  book.sequence = 0;
  book.taken_segment = book.arrived_segment = book.synced_segment = 0;
  [[maybe_unused]] Result<Unit> begun = BeginLocked(book);
  return old;
}

std::vector<DeadEpoch> LedgerBooks::BeginAnew(const std::vector<EndedEpoch>& ended,
                                              const std::vector<LedgerFlush>& flushes) {
  std::vector<DeadEpoch> old;
  for (const EndedEpoch& end : ended) {
    Book* book = Find(end.epoch);
    auto flush = std::ranges::find(flushes, end.epoch, &LedgerFlush::epoch);
    if (book == nullptr || flush == flushes.end()) continue;
    // The answer to it got lost, and it was folded.
    bool counted = end.sequence >= flush->sequence;
    if (counted) book->arrived.Set(flush->rows);
    std::vector<std::shared_ptr<const LedgerEntry>> recent;
    recent.reserve(Store::kRecent);
    for (const LedgerEntry& entry : flush->recent) {
      if (!counted) recent.push_back(std::make_shared<const LedgerEntry>(entry));
    }
    std::lock_guard lock(book->mutex);
    LedgerRows rest = book->rows.Since(book->arrived);
    recent.swap(book->recent);
    size_t count = recent.size();
    size_t oldest = std::exchange(book->recent_at, 0);
    for (size_t i = 0; i < count; ++i) book->KeepRecent(recent[(oldest + i) % count]);
    old.push_back(GoOnLocked(*book, std::move(rest)));
    old.back().last.epoch.clear();  // there is nothing to fold
  }
  return old;
}

std::vector<DeadEpoch> LedgerBooks::EndQuiet(Period before) {
  std::vector<DeadEpoch> old;
  if (!given_back_.empty()) return old;
  for (const auto& book : books_) {
    if (book->sequence == 0) continue;
    std::lock_guard lock(book->mutex);
    if (book->rows.changed() || !book->recent.empty() || !book->open.empty()) continue;
    book->rows.Forget(before);
    book->arrived.DropUnknown(book->rows);
    // Both journals may be replayed, as nothing is under way: that would stand in both.
    if (book->rows.empty()) old.push_back(GoOnLocked(*book, LedgerRows()));
  }
  return old;
}

int LedgerBooks::trouble() const {
  for (const auto& book : books_) {
    std::lock_guard lock(book->mutex);
    if (int trouble = book->Trouble(); trouble != 0) return trouble;
  }
  return 0;
}

bool LedgerBooks::wants_begin() const {
  return std::ranges::any_of(books_, [](const auto& book) {
    std::lock_guard lock(book->mutex);
    return book->WantsBegin();
  });
}

bool LedgerBooks::changed() const {
  if (!given_back_.empty()) return true;
  return std::ranges::any_of(books_, [](const auto& book) {
    std::lock_guard lock(book->mutex);
    return book->rows.changed() || !book->recent.empty();
  });
}

bool LedgerBooks::touched() const {
  return std::ranges::any_of(books_, [](const auto& book) {
    std::lock_guard lock(book->mutex);
    return book->touched;
  });
}

size_t LedgerBooks::open() const {
  size_t count = 0;
  for (const auto& book : books_) {
    std::lock_guard lock(book->mutex);
    count += book->open.size();
  }
  return count;
}

std::vector<std::string> LedgerBooks::flushed_epochs() const {
  std::vector<std::string> names;
  for (const auto& book : books_) {
    if (book->sequence > 0) names.push_back(book->journal.epoch());
  }
  return names;
}

void LedgerBooks::RemoveAll() {
  for (const auto& book : books_) book->journal.RemoveBefore(book->journal.segment() + 1);
}

// --- Sleeping and waking -----------------------------------------------------------------------

// A sleeper sets the flag before he looks into the books, and a writer looks at it after he left
// his: by the book's lock one of them sees what the other did.
void LedgerBooks::Ring() {
  if (asleep_.load(std::memory_order_relaxed) &&
      asleep_.exchange(false, std::memory_order_relaxed)) {
    Wake();
  }
}

void LedgerBooks::Wake() {
  {
    std::lock_guard lock(mutex_);
    rung_ = true;
  }
  wake_.notify_one();
}

void LedgerBooks::WaitForEntry(Duration most) {
  asleep_.store(true, std::memory_order_relaxed);
  if (!touched()) WaitFor(most);
  asleep_.store(false, std::memory_order_relaxed);
}

void LedgerBooks::WaitFor(Duration most) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, most, [this] { return rung_; });
  rung_ = false;
}

}  // namespace relay
