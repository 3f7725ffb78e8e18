// SPDX-License-Identifier: MIT
// What the ledger of this run has not yet brought to the store, and what the journal has of it. A
// line of the journal is written before the call that brings it returns: one write(2) into the page
// cache, and no wait for the disk.
//
// There are as many books as workers, so that these rarely wait for one another. Each is one epoch
// at a time with a journal of its own, and the id of an exchange decides which has it: its two
// lines stand in one file, whoever writes them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/store/journal.h"
#include "core/store/ledger_rows.h"
#include "core/store/past.h"
#include "core/store/store.h"

namespace relay {

class LedgerBooks {
 public:
  static constexpr uint64_t kSegments = 4;

  // The epochs are "<run>-0", "<run>-1", …, later ones count on; no other run has that name. Their
  // journals are in `folder`, which is made when they begin. Writes nothing yet.
  LedgerBooks(std::string folder, const std::string& run, size_t count,
              JournalFiles& files = JournalFiles::System(),
              uint64_t segment_bytes = Journal::kSegmentBytes);
  LedgerBooks(const LedgerBooks&) = delete;
  LedgerBooks& operator=(const LedgerBooks&) = delete;
  ~LedgerBooks();

  // From any thread. When the disk fails they go on in memory, whose sums the next Begin writes.
  // std::bad_alloc: nothing of the entry was kept.
  void Open(LedgerEntry entry, Period period);
  void Close(std::shared_ptr<const LedgerEntry> entry, Period period);
  // Writes what this thread has opened and closed, that of all threads with one system call a
  // journal. It is there when this returns.
  void Write();

  // Exchanges that were opened and not closed. From any thread.
  size_t open() const;

  // The rest is the keeper's: one thread at a time.

  // Begins a segment for each journal that has none, is full, or failed. The first error; the
  // others were tried all the same.
  Result<Unit> Begin();
  // Waits until the disk has every line that was written. False with errno: it failed, and the
  // journal that it concerns wants to begin anew.
  bool Sync();
  // Removes the segments that a crash would not ask for: the disk has a newer one, and the store
  // what was in them. While the store fails kSegments stay: older ones hold nothing that the newest
  // has not, but exchanges singly.
  void Tidy();

  // What changed since the last call, or what was given back; none where nothing did. All is to be
  // told as arrived or given back before the next call.
  std::vector<LedgerFlush> Take();
  // `before`: rows older than this are needed no more once they arrived.
  void Arrived(const std::vector<LedgerFlush>& flushes, Period before);
  // They may have arrived or not: the next Take gives the same ones, and nothing else. So at most
  // one flush of an epoch is in doubt.
  void GiveBack(std::vector<LedgerFlush> flushes);
  // Somebody else has folded these epochs. What was not in them goes on under fresh names, and is
  // taken next. `flushes`: those that told of it, which are to be told as arrived behind this. →
  // the journals of the old names, which nobody needs any more.
  std::vector<DeadEpoch> BeginAnew(const std::vector<EndedEpoch>& ended,
                                   const std::vector<LedgerFlush>& flushes);
  // Epochs of which the store has all, and all of it is older than `before`: they end, before
  // anybody takes their run for dead, and what comes goes on under fresh names. → what is to be
  // folded. Not between Take and Arrived.
  std::vector<DeadEpoch> EndQuiet(Period before);

  // There is a folder for journals; without one what they take is gone with the process.
  bool lasts() const { return folder_ != kNoFolder; }
  // Some journal takes no lines: its errno; 0: all do.
  int trouble() const;
  // A segment is to be begun, for whatever reason.
  bool wants_begin() const;
  // Something was closed and not taken since.
  bool changed() const;
  // An entry came since the last Sync.
  bool touched() const;
  // Those of which something was taken.
  std::vector<std::string> flushed_epochs() const;
  // Removes every segment of every epoch: the store has all, for good.
  void RemoveAll();

  // Both wait until Wake is called or `most` has passed; the first also until an entry comes, and
  // not at all where touched().
  void WaitForEntry(Duration most);
  void Rest(Duration most) { WaitFor(most); }
  void Wake();

 private:
  struct Book;
  size_t IndexOf(std::string_view id) const;
  Book* Find(const std::string& epoch) const;
  Result<Unit> BeginLocked(Book& book);
  DeadEpoch GoOnLocked(Book& book, LedgerRows rows);
  void Ring();
  void WaitFor(Duration most);

  const std::string folder_;
  const std::string run_;
  std::vector<std::unique_ptr<Book>> books_;
  size_t epochs_ = 0;                    // names that were given
  std::vector<LedgerFlush> given_back_;  // the keeper's, as a book's arrived rows are

  // Somebody sleeps until an entry comes; else writers have nothing to do for him.
  std::atomic<bool> asleep_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool rung_ = false;
};

}  // namespace relay
