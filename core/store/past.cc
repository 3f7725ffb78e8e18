// SPDX-License-Identifier: MIT
#include "core/store/past.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <unordered_set>
#include <utility>

#include "core/base/log.h"
#include "core/store/journal.h"

namespace relay {
namespace {

// A flush that the killed run had sent may reach a far store behind the replay, and is older.
constexpr int64_t kReplay = 1000;

// Exchanges of all that are known once, in the order of their ends.
std::vector<LedgerEntry> Newest(std::vector<LedgerEntry> entries) {
  std::unordered_set<std::string_view> seen;
  std::vector<LedgerEntry> kept;
  for (LedgerEntry& entry : entries) {
    if (seen.insert(entry.id).second) kept.push_back(entry);
  }
  std::ranges::sort(kept, [](const LedgerEntry& a, const LedgerEntry& b) {
    return a.when != b.when ? a.when < b.when : a.id < b.id;
  });
  size_t surplus = kept.size() - std::min(kept.size(), Store::kRecent);
  kept.erase(kept.begin(), kept.begin() + static_cast<ptrdiff_t>(surplus));
  return kept;
}

void TellOfReplay(const ReplayedEpoch& replayed) {
  if (replayed.damaged_lines > 0) {
    Log(LogLevel::kError, "damaged journal",
        {{"epoch", replayed.epoch},
         {"lines", static_cast<uint64_t>(replayed.damaged_lines)},
         {"note", "the disk has changed what was written: some usage may be missing"}});
  }
  Log(LogLevel::kInfo, "journal replayed",
      {{"epoch", replayed.epoch},
       {"exchanges", static_cast<uint64_t>(replayed.entries.size())},
       {"unclosed", static_cast<uint64_t>(replayed.unclosed)},
       {"torn_bytes", static_cast<uint64_t>(replayed.torn_bytes)}});
}

// The calls of one LoadStored, each made when the last was answered.
class Loading : public std::enable_shared_from_this<Loading> {
 public:
  Loading(Store& store, std::vector<std::string> kinds, Store::Done<StoredPast> done)
      : store_(store), kinds_(std::move(kinds)), done_(std::move(done)) {}

  void Begin() {
    store_.Load([self = shared_from_this()](Result<LedgerImage> image) {
      if (!image) return self->done_(std::unexpected(std::move(image.error())));
      self->stored_.image = std::move(*image);
      self->Next();
    });
  }

 private:
  void Next() {
    if (kinds_.empty()) return done_(std::move(stored_));
    std::string kind = std::move(kinds_.back());
    kinds_.pop_back();
    store_.LoadStates(std::move(kind),
                      [self = shared_from_this()](Result<std::vector<StateBlob>> blobs) {
                        if (!blobs) return self->done_(std::unexpected(std::move(blobs.error())));
                        std::ranges::move(*blobs, std::back_inserter(self->stored_.states));
                        self->Next();
                      });
  }

  Store& store_;
  std::vector<std::string> kinds_;  // not yet asked for
  const Store::Done<StoredPast> done_;
  StoredPast stored_;
};

}  // namespace

void LoadStored(Store& store, std::vector<std::string> kinds, Store::Done<StoredPast> done) {
  std::make_shared<Loading>(store, std::move(kinds), std::move(done))->Begin();
}

Result<Past> PastOf(StoredPast stored, const std::string& journals, std::string_view run) {
  auto ours = [own = std::string(run) + "-"](std::string_view epoch) {
    return own.size() > 1 && epoch.starts_with(own);
  };
  LedgerImage& image = stored.image;
  auto replayed = ReadJournals(journals, ours);
  if (!replayed) return std::unexpected(std::move(replayed.error()));

  Past past;
  past.states = std::move(stored.states);
  past.recent = std::move(image.recent);
  LedgerRows sum;
  sum.AddAll(image.folded);
  std::map<std::string, EpochRows> epochs;
  for (EpochRows& epoch : image.epochs) {
    if (!ours(epoch.epoch)) epochs[epoch.epoch] = std::move(epoch);
  }
  for (ReplayedEpoch& epoch : *replayed) {
    TellOfReplay(epoch);
    if (std::ranges::find(image.ended, epoch.epoch) != image.ended.end()) {
      past.dead.push_back({{}, std::move(epoch.files)});
      continue;
    }
    std::ranges::copy(epoch.entries, std::back_inserter(past.recent));
    // What the store has of it has the rows that the journal forgot, and is older, unless the
    // journal took no lines any more.
    auto known = epochs.extract(epoch.epoch);
    if (!known && epoch.rows.empty()) {
      past.dead.push_back({{}, std::move(epoch.files)});
      continue;
    }
    LedgerRows rows;
    int64_t sequence = 0;
    if (known) {
      LedgerRows latest;
      latest.Set(epoch.rows);
      latest.Raise(known.mapped().rows);
      epoch.rows = latest.All();
      rows.Set(known.mapped().rows);
      sequence = known.mapped().sequence;
    }
    rows.Set(epoch.rows);
    sum.AddAll(rows.All());
    past.dead.push_back({{epoch.epoch, sequence + kReplay, std::move(epoch.rows), epoch.entries},
                         std::move(epoch.files)});
  }
  for (auto& [name, epoch] : epochs) {
    sum.AddAll(epoch.rows);
    if (epoch.may_live) continue;
    past.dead.push_back({{name, epoch.sequence, {}, {}}, {}});
  }
  past.days = sum.All().days;
  past.recent = Newest(std::move(past.recent));
  return past;
}

Result<Past> ReadPast(Store& store, const std::string& journals,
                      const std::vector<std::string>& kinds) {
  auto stored = Await<StoredPast>([&](auto done) { LoadStored(store, kinds, std::move(done)); });
  if (!stored) return std::unexpected(std::move(stored.error()));
  return PastOf(std::move(*stored), journals);
}

std::map<std::string, Spending> SpendingByKey(const std::vector<DayRow>& days, int32_t today) {
  std::map<std::string, Spending> spent;
  for (const DayRow& row : days) {
    spent.try_emplace(row.key, today).first->second.AddPast(row.day, row.totals.nanodollars);
  }
  return spent;
}

}  // namespace relay
