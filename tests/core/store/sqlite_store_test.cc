// SPDX-License-Identifier: MIT
#include "core/store/sqlite_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/core/store/entries.h"
#include "tests/core/store/temp_folder.h"

namespace relay {
namespace {

using ::testing::HasSubstr;

std::string WhyNot(const std::string& path) {
  auto store = SqliteStore::Open(path);
  EXPECT_FALSE(store.has_value());
  return store ? "" : store.error().what;
}

LedgerFlush FlushOf(int64_t sequence, int64_t n) {
  LedgerRows rows;
  LedgerEntry entry = TestEntry(std::to_string(sequence), n);
  rows.Add(entry, TestPeriod(entry));
  return {"a", sequence, rows.All(), {entry}};
}

Result<Flushed> Flush(Store& store, LedgerFlush flush) {
  return Await<Flushed>([&](auto done) { store.Flush({std::move(flush)}, std::move(done)); });
}

int64_t InputOf(Store& store) {
  auto image = Await<LedgerImage>([&](auto done) { store.Load(std::move(done)); });
  int64_t input = SumOf(image->folded).input;
  for (const EpochRows& epoch : image->epochs) input += SumOf(epoch.rows).input;
  return input;
}

TEST(SqliteStore, KeepsAllAcrossARestart) {
  TempFolder temp;
  {
    auto store = SqliteStore::Open(temp.File("relay.db"));
    ASSERT_TRUE(store) << store.error().what;
    EXPECT_TRUE(Flush(**store, FlushOf(1, 10)));
    auto put = Await<Unit>(
        [&](auto done) { (*store)->PutStates({{"health", "a", "x"}}, std::move(done)); });
    EXPECT_TRUE(put);
  }
  auto store = SqliteStore::Open(temp.File("relay.db"));
  ASSERT_TRUE(store) << store.error().what;
  EXPECT_EQ(InputOf(**store), 10);
  auto blobs = Await<std::vector<StateBlob>>(
      [&](auto done) { (*store)->LoadStates("health", std::move(done)); });
  ASSERT_TRUE(blobs);
  EXPECT_EQ(blobs->size(), 1U);
}

TEST(SqliteStore, IsReadableForItsOwnerOnly) {
  TempFolder temp;
  auto store = SqliteStore::Open(temp.File("relay.db"));
  ASSERT_TRUE(store);
  ASSERT_TRUE(Flush(**store, FlushOf(1, 10)));
  for (const auto& file : std::filesystem::directory_iterator(temp.path())) {
    struct stat status{};
    ASSERT_EQ(::stat(file.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U) << file.path();
  }
}

TEST(SqliteStore, RefusesWhatIsNoDatabaseOfARelay) {
  TempFolder temp;
  std::ofstream(temp.File("text")) << std::string(4096, 'x');
  EXPECT_THAT(WhyNot(temp.File("text")), HasSubstr("move it away"));
  EXPECT_THAT(WhyNot(temp.File("no/such/folder")), HasSubstr("No such file"));
  EXPECT_THAT(WhyNot(temp.path()), HasSubstr("Is a directory"));
}

// Bytes of the file's head where SQLite keeps numbers for the program that uses it.
void PokeBigEndian(const std::string& path, std::streamoff at, uint32_t number) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(at);
  for (int shift = 24; shift >= 0; shift -= 8) file.put(static_cast<char>(number >> shift));
}

TEST(SqliteStore, RefusesTheSchemaOfANewerRelayAndLeavesItAlone) {
  TempFolder temp;
  {
    ASSERT_TRUE(SqliteStore::Open(temp.File("relay.db")));
  }
  PokeBigEndian(temp.File("relay.db"), 60, 2);
  EXPECT_THAT(WhyNot(temp.File("relay.db")), HasSubstr("newer relay (schema 2, this one knows 1)"));
  PokeBigEndian(temp.File("relay.db"), 60, 1);
  EXPECT_TRUE(SqliteStore::Open(temp.File("relay.db")));
}

TEST(SqliteStore, RefusesTheDatabaseOfAnotherProgram) {
  TempFolder temp;
  {
    ASSERT_TRUE(SqliteStore::Open(temp.File("relay.db")));
  }
  PokeBigEndian(temp.File("relay.db"), 68, 0);
  EXPECT_THAT(WhyNot(temp.File("relay.db")), HasSubstr("a database of something else"));
}

TEST(SqliteStore, RefusesADamagedFileWhereverTheDamageIs) {
  TempFolder temp;
  {
    auto store = SqliteStore::Open(temp.File("relay.db"));
    ASSERT_TRUE(store);
    for (int i = 1; i < 200; ++i) ASSERT_TRUE(Flush(**store, FlushOf(i, i)));
  }
  auto size = static_cast<std::streamoff>(std::filesystem::file_size(temp.File("relay.db")));
  int refused = 0;
  for (std::streamoff page = 0; page < size; page += 4096) {
    std::filesystem::copy_file(temp.File("relay.db"), temp.File("bad.db"),
                               std::filesystem::copy_options::overwrite_existing);
    {
      std::fstream file(temp.File("bad.db"), std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(page);
      file << std::string(4096, '\x5a');
    }
    auto store = SqliteStore::Open(temp.File("bad.db"));
    if (store) continue;  // a page of a free list, or of text alone
    ++refused;
    EXPECT_THAT(store.error().what, HasSubstr("move it away")) << "page at " << page;
  }
  EXPECT_GT(refused, 5);
}

// Nothing may be lost from what is there, nothing of a failed flush may stay, and it must come
// back.
TEST(SqliteStore, ReportsAFullDiskAndGoesOnWhenThereIsRoom) {
  TempFolder temp;
  auto store = SqliteStore::Open(temp.File("relay.db"));
  ASSERT_TRUE(store);
  ASSERT_TRUE(Flush(**store, FlushOf(1, 10)));
  // Files of this process may not grow over what the log is now: like a disk without room.
  struct rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit tight = before;
  tight.rlim_cur = std::filesystem::file_size(temp.File("relay.db-wal"));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  auto failed = Flush(**store, FlushOf(2, 20));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().what, HasSubstr("relay.db"));
  EXPECT_EQ(InputOf(**store), 10);
  EXPECT_TRUE(Flush(**store, FlushOf(3, 20)));
  EXPECT_EQ(InputOf(**store), 20);
}

}  // namespace
}  // namespace relay
