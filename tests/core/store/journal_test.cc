// SPDX-License-Identifier: MIT
#include "core/store/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <set>

#include "core/store/crc32c.h"
#include "core/store/journal_lines.h"
#include "tests/core/store/entries.h"
#include "tests/core/store/full_disk.h"
#include "tests/core/store/temp_folder.h"

namespace relay {
namespace {

using ::testing::HasSubstr;

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void Write(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// Writes a line of its own. False: it is not there.
bool Open(Journal& journal, const LedgerEntry& entry, Period period) {
  journal.Open(entry, period);
  return journal.Write();
}

bool Close(Journal& journal, const LedgerEntry& entry, Period period) {
  journal.Close(entry, period);
  return journal.Write();
}

// The one epoch of a folder.
ReplayedEpoch ReplayOf(const std::string& folder) {
  auto replayed = ReadJournals(folder);
  EXPECT_TRUE(replayed.has_value()) << replayed.error().what;
  EXPECT_EQ(replayed->size(), 1U);
  return std::move(replayed->front());
}

TEST(Journal, GivesBackEveryFieldOfAnEntry) {
  TempFolder temp;
  Journal journal(temp.path(), "e-0");
  ASSERT_TRUE(journal.Begin({}));
  LedgerEntry entry = TestEntry("req_1", 41);
  entry.key = "al\"ice\n\xc3\xa9";
  entry.usage.model = "claude-haiku-4-5-20251001";
  entry.usage.fast = true;
  entry.usage.us_only = true;
  entry.usage.estimated = true;
  entry.guessed_price = true;
  ASSERT_TRUE(Close(journal, entry, TestPeriod(entry)));

  ReplayedEpoch replayed = ReplayOf(temp.path());
  EXPECT_EQ(replayed.epoch, "e-0");
  ASSERT_EQ(replayed.entries.size(), 1U);
  const LedgerEntry& read = replayed.entries[0];
  EXPECT_EQ(read.id, entry.id);
  EXPECT_EQ(read.when, entry.when);
  EXPECT_EQ(read.key, entry.key);
  EXPECT_EQ(read.model, entry.model);
  EXPECT_EQ(read.provider, entry.provider);
  EXPECT_EQ(read.account, entry.account);
  EXPECT_EQ(read.usage.model, entry.usage.model);
  EXPECT_EQ(read.usage.input, 41);
  EXPECT_EQ(read.usage.output, 82);
  EXPECT_EQ(read.usage.cache_read, 123);
  EXPECT_EQ(read.usage.cache_write_5m, 205);
  EXPECT_EQ(read.usage.cache_write_1h, 287);
  EXPECT_EQ(read.usage.reasoning, 20);
  EXPECT_EQ(read.usage.searches, 2);
  EXPECT_TRUE(read.usage.fast);
  EXPECT_TRUE(read.usage.us_only);
  EXPECT_TRUE(read.usage.estimated);
  EXPECT_EQ(read.nanodollars, 451);
  EXPECT_TRUE(read.guessed_price);
  EXPECT_EQ(read.status, 200);
  EXPECT_EQ(read.total, entry.total);
  ASSERT_EQ(replayed.rows.days.size(), 1U);
  EXPECT_EQ(replayed.rows.days[0].day, kTestDay);
  EXPECT_EQ(replayed.rows.days[0].totals.nanodollars, 451);
  ASSERT_EQ(replayed.rows.hours.size(), 1U);
  EXPECT_EQ(replayed.rows.hours[0].hour, HourOf(entry.when));
  EXPECT_EQ(replayed.files, std::vector{temp.File("e-0.1")});
  EXPECT_EQ(replayed.torn_bytes, 0U);
  EXPECT_EQ(replayed.damaged_lines, 0U);
}

TEST(Journal, SettlesWhatWasOpenedAndNotClosedAsEstimatedOnce) {
  TempFolder temp;
  Journal journal(temp.path(), "e-0");
  ASSERT_TRUE(journal.Begin({}));
  LedgerEntry entry = TestEntry("closed", 1);
  Period period = TestPeriod(entry);
  Open(journal, entry, period);
  Open(journal, TestEntry("open", 10), period);
  Open(journal, TestEntry("open", 20), period);  // more has become known
  Close(journal, entry, period);
  Close(journal, entry, period);  // the caller's mistake, or a line doubled by a disk
  Open(journal, entry, period);   // must not begin anew

  ReplayedEpoch replayed = ReplayOf(temp.path());
  EXPECT_EQ(replayed.unclosed, 1U);
  LedgerTotals sum = SumOf(replayed.rows);
  EXPECT_EQ(sum.requests, 2);
  EXPECT_EQ(sum.estimated, 1);
  EXPECT_EQ(sum.input, 21);
  EXPECT_EQ(SumOfHours(replayed.rows), sum);
  ASSERT_EQ(replayed.entries.size(), 2U);
  EXPECT_EQ(replayed.entries[1].id, "open");
  EXPECT_TRUE(replayed.entries[1].usage.estimated);
}

// A crash may end a journal at any byte: what was written whole is there, once, and nothing else.
TEST(Journal, LosesNothingAndDoublesNothingWhereverItIsCutOff) {
  TempFolder temp;
  LedgerRows before;
  LedgerEntry old = TestEntry("old", 1000);
  Period period = TestPeriod(old);
  before.Add(old, period);
  {
    Journal journal(temp.path(), "e-0");
    ASSERT_TRUE(journal.Begin({before.All(), {{TestEntry("carried", 100), period}}}));
    for (int64_t i = 0; i < 4; ++i) {
      Open(journal, TestEntry("x" + std::to_string(i), 1), period);
      if (i % 2 == 0) Close(journal, TestEntry("x" + std::to_string(i), 10), period);
    }
    Close(journal, TestEntry("carried", 200), period);
  }
  const std::string whole = Read(temp.File("e-0.1"));
  const size_t opening = whole.find(R"({"line":"begin"})") + 17;

  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    TempFolder crashed;
    Write(crashed.File("e-0.1"), std::string_view(whole).substr(0, cut));
    // What a reader of whole lines makes of it, said a second time and differently.
    std::string_view lines = std::string_view(whole).substr(0, cut);
    lines =
        lines.substr(0, lines.rfind('\n') == std::string_view::npos ? 0 : lines.rfind('\n') + 1);
    int64_t requests = 0;
    int64_t input = 0;
    int64_t estimated = 0;
    if (cut >= opening) {
      requests = 2;  // the old one and the carried one
      bool carried_closed = lines.find(R"("close","id":"carried")") != std::string_view::npos;
      input = 1000 + (carried_closed ? 200 : 100);
      estimated = carried_closed ? 0 : 1;
      for (int i = 0; i < 4; ++i) {
        std::string id = R"("id":"x)" + std::to_string(i) + '"';
        if (lines.find(R"("close",)" + id) != std::string_view::npos) {
          input += 10;
          ++requests;
        } else if (lines.find(id) != std::string_view::npos) {
          input += 1;
          ++requests;
          ++estimated;
        }
      }
    }
    ReplayedEpoch replayed = ReplayOf(crashed.path());
    LedgerTotals sum = SumOf(replayed.rows);
    ASSERT_EQ(sum.requests, requests) << "cut at " << cut;
    ASSERT_EQ(sum.input, input) << "cut at " << cut;
    ASSERT_EQ(sum.estimated, estimated) << "cut at " << cut;
    ASSERT_EQ(SumOfHours(replayed.rows), sum) << "cut at " << cut;
    ASSERT_EQ(replayed.torn_bytes, cut - lines.size());
    ASSERT_EQ(replayed.damaged_lines, 0U);
  }
}

// Cut off while the next segment begins: the one before still has all.
TEST(Journal, FallsBackWhereverTheNextSegmentsOpeningIsCutOff) {
  TempFolder temp;
  LedgerEntry entry = TestEntry("1", 7);
  LedgerRows rows;
  {
    Journal journal(temp.path(), "e-0");
    ASSERT_TRUE(journal.Begin({}));
    Close(journal, entry, TestPeriod(entry));
    rows.Add(entry, TestPeriod(entry));
    ASSERT_TRUE(journal.Begin({rows.All(), {{TestEntry("2", 1), TestPeriod(entry)}}}));
  }
  const std::string opening = Read(temp.File("e-0.2"));
  for (size_t cut = 0; cut <= opening.size(); ++cut) {
    Write(temp.File("e-0.2"), std::string_view(opening).substr(0, cut));
    ReplayedEpoch replayed = ReplayOf(temp.path());
    bool whole = cut == opening.size();
    ASSERT_EQ(SumOf(replayed.rows).requests, whole ? 2 : 1) << cut;
    ASSERT_EQ(SumOf(replayed.rows).input, whole ? 8 : 7) << cut;
    ASSERT_EQ(replayed.files.size(), 2U);
  }
}

TEST(Journal, StepsOverADamagedLineAndSaysSo) {
  TempFolder temp;
  {
    Journal journal(temp.path(), "e-0");
    ASSERT_TRUE(journal.Begin({}));
    for (int i = 0; i < 3; ++i) {
      LedgerEntry entry = TestEntry(std::to_string(i), 1);
      Close(journal, entry, TestPeriod(entry));
    }
  }
  const std::string whole = Read(temp.File("e-0.1"));
  const size_t begin = whole.find(R"("id":"1")");
  for (char wrong : {'\0', 'x', '\n'}) {
    std::string bytes = whole;
    bytes[begin + 2] = wrong;
    Write(temp.File("e-0.1"), bytes);
    ReplayedEpoch replayed = ReplayOf(temp.path());
    EXPECT_EQ(SumOf(replayed.rows).requests, 2);
    EXPECT_EQ(replayed.damaged_lines, wrong == '\n' ? 2U : 1U);
    EXPECT_EQ(replayed.torn_bytes, 0U);
  }
}

TEST(Journal, ReadsNoiseWithoutTakingAnythingForALine) {
  std::mt19937 random(7);
  std::string alphabet = "0123456789abcdef {}\":,\n\\line";
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (unsigned size = random() % 200; size > 0; --size) {
      bytes += alphabet[random() % alphabet.size()];
    }
    JournalLines lines(bytes);
    ASSERT_FALSE(lines.Next().has_value()) << bytes;
  }
}

TEST(Journal, RefusesTheFormatOfANewerRelay) {
  TempFolder temp;
  {
    Journal journal(temp.path(), "e-0");
    ASSERT_TRUE(journal.Begin({}));
  }
  std::string newer;
  AppendSegmentLine(newer, "e-1");
  size_t at = newer.find(R"("version":1)");
  newer[at + 10] = '2';
  std::string json = newer.substr(18, newer.size() - 19);
  EXPECT_FALSE(JournalLines(newer).Next()) << "the sum is part of the line";
  std::array<char, 32> frame{};
  std::snprintf(frame.data(), frame.size(), "%08zx %08x ", json.size(), Crc32c(json));
  Write(temp.File("e-1.1"), frame.data() + json + "\n");
  auto replayed = ReadJournals(temp.path());
  ASSERT_FALSE(replayed);
  EXPECT_THAT(replayed.error().what, HasSubstr("e-1.1"));
  EXPECT_THAT(replayed.error().what, HasSubstr("newer relay"));
}

TEST(Journal, IsNothingWithoutAFolderAndLeavesOtherFilesAlone) {
  TempFolder temp;
  auto none = ReadJournals(temp.File("missing"));
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
  for (const char* name : {"README", "e-0.0", "e-0.x", ".1", "e-0.1.bak"})
    Write(temp.File(name), "");
  auto others = ReadJournals(temp.path());
  ASSERT_TRUE(others);
  EXPECT_TRUE(others->empty());
  Write(temp.File("file"), "");
  EXPECT_FALSE(ReadJournals(temp.File("file")));
}

TEST(Journal, RemovesTheSegmentsBeforeOneAndNoOther) {
  TempFolder temp;
  Journal journal(temp.path(), "e-0");
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(journal.Begin({}));
  EXPECT_EQ(journal.segment(), 3U);
  Write(temp.File("e-1.1"), "another's");
  ASSERT_TRUE(Journal::Sync(*journal.file()));
  journal.RemoveBefore(3);
  std::set<std::string> left;
  for (const auto& file : std::filesystem::directory_iterator(temp.path())) {
    left.insert(file.path().filename());
  }
  EXPECT_EQ(left, (std::set<std::string>{"e-0.3", "e-1.1"}));
}

TEST(Journal, WritesOnThroughInterruptsAndShortWrites) {
  TempFolder temp;
  FullDisk disk;
  disk.piece = 7;
  Journal journal(temp.path(), "e-0", disk);
  ASSERT_TRUE(journal.Begin({}));
  LedgerEntry entry = TestEntry("1", 3);
  disk.interrupts = 3;
  EXPECT_TRUE(Close(journal, entry, TestPeriod(entry)));
  EXPECT_EQ(SumOf(ReplayOf(temp.path()).rows).input, 3);
}

TEST(Journal, WritesWhatWasCollectedWithOneCall) {
  TempFolder temp;
  FullDisk disk;
  Journal journal(temp.path(), "e-0", disk);
  ASSERT_TRUE(journal.Begin({}));
  disk.writes = 0;
  LedgerRows rows;
  for (int i = 0; i < 5; ++i) {
    LedgerEntry entry = TestEntry(std::to_string(i), 1);
    journal.Open(entry, TestPeriod(entry));
    journal.Close(entry, TestPeriod(entry));
    rows.Add(entry, TestPeriod(entry));
  }
  EXPECT_EQ(SumOf(ReplayOf(temp.path()).rows).input, 0) << "nothing is there before Write";
  EXPECT_TRUE(journal.Write());
  EXPECT_TRUE(journal.Write()) << "there is nothing more";
  EXPECT_EQ(disk.writes, 1U);
  EXPECT_EQ(SumOf(ReplayOf(temp.path()).rows).input, 5);
  // What the next segment's opening counts is not told again behind it.
  LedgerEntry last = TestEntry("last", 10);
  journal.Close(last, TestPeriod(last));
  rows.Add(last, TestPeriod(last));
  ASSERT_TRUE(journal.Begin({rows.All(), {}}));
  EXPECT_TRUE(journal.Write());
  EXPECT_EQ(SumOf(ReplayOf(temp.path()).rows).input, 15);
}

// Whatever room a disk has left, what the journal says it has is there, and the next segment makes
// good for what it had not.
TEST(Journal, DegradesOnAFullDiskAndComesBackWithNothingLost) {
  LedgerEntry first = TestEntry("1", 1);
  LedgerEntry second = TestEntry("2", 2);
  Period period = TestPeriod(first);
  size_t closes = 0;
  for (size_t room = 0; room < 1200; room += 13) {
    TempFolder temp;
    FullDisk disk;
    disk.room = room;
    LedgerRows rows;
    Journal journal(temp.path(), "e-0", disk);
    bool begun = journal.Begin({}).has_value();
    EXPECT_EQ(journal.broken(), !begun);
    EXPECT_EQ(journal.trouble(), begun ? 0 : ENOSPC);
    bool had_first = Close(journal, first, period);
    bool had_second = Close(journal, second, period);
    rows.Add(first, period);
    rows.Add(second, period);
    EXPECT_EQ(journal.broken(), !had_second);
    EXPECT_TRUE(begun || !had_first);
    EXPECT_TRUE(had_first || !had_second) << "nothing follows a torn line";
    int64_t said = (had_first ? 1 : 0) + (had_second ? 2 : 0);
    closes += had_second ? 1 : 0;
    auto crashed = ReadJournals(temp.path());
    ASSERT_TRUE(crashed);
    EXPECT_EQ(crashed->empty() ? 0 : SumOf((*crashed)[0].rows).input, said);

    disk.room = SIZE_MAX;
    ASSERT_TRUE(journal.Begin({rows.All(), {}}));
    EXPECT_FALSE(journal.broken());
    EXPECT_EQ(journal.trouble(), 0);
    EXPECT_TRUE(Close(journal, TestEntry("3", 4), period));
    EXPECT_EQ(SumOf(ReplayOf(temp.path()).rows).input, 7);
  }
  EXPECT_GT(closes, 10U);
}

TEST(Journal, TellsWhatTheSystemSaid) {
  TempFolder temp;
  FullDisk disk;
  Journal journal(temp.path(), "e-0", disk);
  disk.no_files = true;
  auto begun = journal.Begin({});
  ASSERT_FALSE(begun);
  EXPECT_THAT(begun.error().what, HasSubstr("e-0.1': No space left"));
  EXPECT_EQ(journal.trouble(), ENOSPC);
  disk.no_files = false;
  ASSERT_TRUE(journal.Begin({}));
  disk.failure = EIO;
  LedgerEntry entry = TestEntry("1", 1);
  EXPECT_FALSE(Close(journal, entry, TestPeriod(entry)));
  EXPECT_EQ(journal.trouble(), EIO);
  EXPECT_FALSE(journal.Begin({}));
  EXPECT_FALSE(std::filesystem::exists(temp.File("e-0.2"))) << "half an opening is left";
}

TEST(Journal, GoesOnInAFullSegmentWhenTheNextCannotBegin) {
  TempFolder temp;
  FullDisk disk;
  Journal journal(temp.path(), "e-0", disk, 1000);
  ASSERT_TRUE(journal.Begin({}));
  LedgerRows rows;
  for (int i = 0; !journal.full(); ++i) {
    LedgerEntry entry = TestEntry(std::to_string(i), 1);
    ASSERT_TRUE(Close(journal, entry, TestPeriod(entry)));
    rows.Add(entry, TestPeriod(entry));
    ASSERT_LT(i, 10);
  }
  disk.no_files = true;
  EXPECT_FALSE(journal.Begin({rows.All(), {}}));
  EXPECT_FALSE(journal.broken());
  EXPECT_FALSE(journal.full()) << "not every line tries again";
  LedgerEntry entry = TestEntry("last", 100);
  EXPECT_TRUE(Close(journal, entry, TestPeriod(entry)));
  EXPECT_EQ(SumOf(ReplayOf(temp.path()).rows).input, SumOf(rows.All()).input + 100);
}

// Random opens, closes, rotations and crashes, with a map for a model: two epochs at a time, each
// crash at a random byte of what was not yet "there" for anybody.
TEST(Journal, AgreesWithAModelThroughRandomRunsAndCrashes) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    TempFolder temp;
    struct Model {
      std::map<std::string, int64_t> closed;
      std::map<std::string, int64_t> open;
    };
    std::map<std::string, Model> models;
    for (const char* epoch : {"a-0", "a-1"}) {
      Model& model = models[epoch];
      LedgerRows rows;
      std::map<std::string, DatedEntry> open;
      Journal journal(temp.path(), epoch, JournalFiles::System(), 2000);
      ASSERT_TRUE(journal.Begin({}));
      unsigned steps = random() % 60;
      for (unsigned step = 0; step < steps; ++step) {
        if (journal.full()) {
          EpochImage image{rows.All(), {}};
          for (auto& [id, dated] : open) image.open.push_back(dated);
          ASSERT_TRUE(journal.Begin(image));
          if (random() % 2 == 0) journal.RemoveBefore(journal.segment());
        }
        auto n = static_cast<int64_t>(random() % 1000);
        if (open.empty() || random() % 2 == 0) {
          LedgerEntry entry = TestEntry("r" + std::to_string(step), n);
          open[entry.id] = {entry, TestPeriod(entry)};
          model.open[entry.id] = n;
          ASSERT_TRUE(Open(journal, entry, TestPeriod(entry)));
        } else {
          auto at = std::next(open.begin(), static_cast<long>(random() % open.size()));
          LedgerEntry entry = TestEntry(at->first, n);
          ASSERT_TRUE(Close(journal, entry, TestPeriod(entry)));
          rows.Add(entry, TestPeriod(entry));
          model.open.erase(entry.id);
          model.closed[entry.id] = n;
          open.erase(at);
        }
      }
      // The crash comes within a line that nobody was told is there.
      std::string half;
      LedgerEntry entry = TestEntry("half", 1);
      AppendLine(half, LineKind::kClose, entry, TestPeriod(entry));
      std::ofstream(temp.File(epoch + ("." + std::to_string(journal.segment()))),
                    std::ios::binary | std::ios::app)
          << half.substr(0, random() % half.size());
    }
    // Reading changes nothing, so it may be repeated.
    for (int again = 0; again < 2; ++again) {
      auto replayed = ReadJournals(temp.path());
      ASSERT_TRUE(replayed);
      ASSERT_EQ(replayed->size(), 2U);
      for (const ReplayedEpoch& epoch : *replayed) {
        const Model& model = models[epoch.epoch];
        int64_t input = 0;
        for (const auto& [id, n] : model.closed) input += n;
        for (const auto& [id, n] : model.open) input += n;
        LedgerTotals sum = SumOf(epoch.rows);
        ASSERT_EQ(sum.requests, static_cast<int64_t>(model.closed.size() + model.open.size()))
            << "seed " << seed;
        ASSERT_EQ(sum.input, input) << "seed " << seed;
        ASSERT_EQ(sum.estimated, static_cast<int64_t>(model.open.size())) << "seed " << seed;
        ASSERT_EQ(epoch.unclosed, model.open.size());
        ASSERT_EQ(SumOfHours(epoch.rows), sum);
        ASSERT_EQ(epoch.damaged_lines, 0U);
      }
    }
  }
}

}  // namespace
}  // namespace relay
