// SPDX-License-Identifier: MIT
#include "core/store/sqlite_store.h"

#include <array>
#include <string_view>

#include "core/store/journal_lines.h"
#include "core/store/sqlite_store_db.h"

namespace relay {
namespace {

constexpr int64_t kApplication = 0x72656c61;  // "rela"
constexpr int64_t kFolded = 0;                // the epoch of what was folded

constexpr std::array<std::string_view, 11> kCounts = {
    "requests",       "estimated", "input",    "output",      "cache_read",    "cache_write_5m",
    "cache_write_1h", "reasoning", "searches", "nanodollars", "guessed_prices"};

// "requests<each>, estimated<each>, …", where '?' in `each` is the name.
std::string Counts(std::string_view each) {
  std::string text;
  for (std::string_view name : kCounts) {
    if (!text.empty()) text += ", ";
    for (char c : each) {
      if (c == '?') {
        text += name;
      } else {
        text += c;
      }
    }
  }
  return text;
}

std::array<int64_t, kCounts.size()> ValuesOf(const LedgerTotals& t) {
  return {t.requests,   t.estimated,      t.input,          t.output,
          t.cache_read, t.cache_write_5m, t.cache_write_1h, t.reasoning,
          t.searches,   t.nanodollars,    t.guessed_prices};
}

LedgerTotals TotalsAt(const SqliteStatement& row, int first) {
  std::array<int64_t, kCounts.size()> v{};
  for (int64_t& value : v) value = row.Int(first++);
  return {v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10]};
}

std::string SchemaSql() {
  return "CREATE TABLE epochs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
         " sequence INTEGER NOT NULL, folded INTEGER NOT NULL DEFAULT 0);"
         "CREATE TABLE day_rows (epoch INTEGER NOT NULL, day INTEGER NOT NULL, key TEXT NOT NULL,"
         " model TEXT NOT NULL, account TEXT NOT NULL, " +
         Counts("? INTEGER NOT NULL") +
         ", PRIMARY KEY (epoch, day, key, model, account)) WITHOUT ROWID;"
         "CREATE TABLE hour_rows (epoch INTEGER NOT NULL, hour INTEGER NOT NULL,"
         " key TEXT NOT NULL, " +
         Counts("? INTEGER NOT NULL") +
         ", PRIMARY KEY (epoch, hour, key)) WITHOUT ROWID;"
         "CREATE TABLE recent (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
         " entry TEXT NOT NULL);"
         "CREATE TABLE states (kind TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL,"
         " PRIMARY KEY (kind, id)) WITHOUT ROWID;"
         "CREATE TABLE objects (kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,"
         " value BLOB NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;"
         "CREATE TABLE directory (version INTEGER NOT NULL);"
         "INSERT INTO directory VALUES (0);";
}

// An absolute row, in place of what is there.
std::string PutSql(const std::string& table, const std::string& names, int names_count) {
  std::string places = "?";
  for (size_t i = 1; i < static_cast<size_t>(names_count) + kCounts.size(); ++i) places += ", ?";
  std::string sql = "INSERT OR REPLACE INTO ";
  sql.append(table).append(" (").append(names).append(", ").append(Counts("?"));
  return sql.append(") VALUES (").append(places).append(")");
}

// The rows of epoch ?1 added to the folded ones.
std::string FoldSql(const std::string& table, const std::string& names) {
  std::string sql = "INSERT INTO ";
  sql.append(table).append(" SELECT 0, ").append(names).append(", ").append(Counts("?"));
  sql.append(" FROM ").append(table).append(" WHERE epoch = ?1 ON CONFLICT DO UPDATE SET ");
  for (std::string_view name : kCounts) {
    if (name != kCounts.front()) sql += ", ";
    sql.append(name).append(" = ").append(table).append(".").append(name);
    sql.append(" + excluded.").append(name);
  }
  return sql;
}

}  // namespace

// All SQL. Used by Open before the thread begins, and by the thread from then on.
class SqliteStore::Tables {
 public:
  explicit Tables(SqliteDb db) : db_(std::move(db)) {}

  // Looks through the file and makes the tables if it is new.
  Result<Unit> Prepare(const std::string& path);

  Result<LedgerImage> Load();
  Result<Flushed> Flush(const std::vector<LedgerFlush>& flushes);
  Result<Unit> Fold(const std::string& epoch);
  Result<Unit> Expire(Period kept_from);
  Result<std::vector<StateBlob>> LoadStates(const std::string& kind);
  Result<Unit> PutStates(const std::vector<StateBlob>& blobs);
  Result<Directory> LoadObjects();
  Result<ObjectWritten> WriteObject(const ObjectWrite& write);

 private:
  struct Epoch {
    int64_t id = 0;
    int64_t sequence = 0;
    bool folded = false;
  };
  // All of `work` or, when it gives an error, nothing of it.
  template <class F>
  auto Together(F work) -> decltype(work());
  Result<Unit> CheckIdentity(const std::string& path);
  // Makes it when there is none.
  Result<Epoch> FindEpoch(const std::string& name);
  Result<Unit> FlushOne(const LedgerFlush& flush, Flushed& flushed);
  Result<Unit> FoldOne(const std::string& epoch);
  Result<Unit> PutRecent(const std::vector<LedgerEntry>& entries);
  Result<Unit> LoadRows(int64_t epoch, RowSet& to);
  Result<ObjectWritten> WriteChecked(const ObjectWrite& write);
  Result<int64_t> NextVersion();

  SqliteDb db_;
  SqliteStatement begin_, commit_, rollback_;
  SqliteStatement put_day_, put_hour_, find_epoch_, make_epoch_, set_sequence_;
  SqliteStatement put_recent_, trim_recent_, put_state_, drop_state_;
};

Result<Unit> SqliteStore::Tables::CheckIdentity(const std::string& path) {
  auto application = db_.Number("PRAGMA application_id");
  if (!application) return std::unexpected(std::move(application.error()));
  auto tables = db_.Number("SELECT count(*) FROM sqlite_schema");
  if (!tables) return std::unexpected(std::move(tables.error()));
  auto refuse = [&path](const std::string& why) {
    return Fail(Party::kRelay, Fault::kInternal, "the store '" + path + "' " + why);
  };
  if (*tables > 0 && *application != kApplication) {
    return refuse("is a database of something else; give the relay another path");
  }
  auto schema = db_.Number("PRAGMA user_version");
  if (!schema) return std::unexpected(std::move(schema.error()));
  if (*schema > kSchema) {
    return refuse("was written by a newer relay (schema " + std::to_string(*schema) +
                  ", this one knows " + std::to_string(kSchema) + "); start that one");
  }
  auto state = db_.Text("PRAGMA quick_check(1)");
  if (!state) return std::unexpected(std::move(state.error()));
  if (*state != "ok") {
    return refuse("is damaged (" + *state +
                  "); restore a copy, or move it away to begin with an empty one");
  }
  return Unit();
}

Result<Unit> SqliteStore::Tables::Prepare(const std::string& path) {
  if (auto checked = CheckIdentity(path); !checked) {
    Error error = std::move(checked.error());
    if (error.what.find("not a database") != std::string::npos ||
        error.what.find("malformed") != std::string::npos) {
      error.what += "; restore a copy, or move it away to begin with an empty one";
    }
    return std::unexpected(std::move(error));
  }
  if (auto set = db_.Run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"); !set)
    return set;
  auto schema = db_.Number("PRAGMA user_version");
  if (!schema) return std::unexpected(std::move(schema.error()));
  if (*schema == 0) {
    auto made =
        db_.Run("BEGIN IMMEDIATE; PRAGMA application_id = " + std::to_string(kApplication) + ";" +
                SchemaSql() + "PRAGMA user_version = " + std::to_string(kSchema) + "; COMMIT");
    if (!made) return made;
  }
  begin_ = SqliteStatement(db_, "BEGIN IMMEDIATE");
  commit_ = SqliteStatement(db_, "COMMIT");
  rollback_ = SqliteStatement(db_, "ROLLBACK");
  put_day_ = SqliteStatement(db_, PutSql("day_rows", "epoch, day, key, model, account", 5));
  put_hour_ = SqliteStatement(db_, PutSql("hour_rows", "epoch, hour, key", 3));
  find_epoch_ = SqliteStatement(db_, "SELECT id, sequence, folded FROM epochs WHERE name = ?");
  make_epoch_ = SqliteStatement(db_, "INSERT INTO epochs (name, sequence) VALUES (?, 0)");
  set_sequence_ = SqliteStatement(db_, "UPDATE epochs SET sequence = ? WHERE id = ?");
  put_recent_ = SqliteStatement(db_, "INSERT OR IGNORE INTO recent (id, entry) VALUES (?, ?)");
  trim_recent_ = SqliteStatement(
      db_, "DELETE FROM recent WHERE number <= (SELECT max(number) FROM recent) - ?");
  put_state_ =
      SqliteStatement(db_, "INSERT OR REPLACE INTO states (kind, id, value) VALUES (?, ?, ?)");
  drop_state_ = SqliteStatement(db_, "DELETE FROM states WHERE kind = ? AND id = ?");
  return Unit();
}

template <class F>
auto SqliteStore::Tables::Together(F work) -> decltype(work()) {
  if (auto begun = begin_.Run(); !begun) return std::unexpected(std::move(begun.error()));
  auto result = work();
  if (result) {
    auto committed = commit_.Run();
    if (committed) return result;
    result = std::unexpected(std::move(committed.error()));
  }
  // A full disk may have rolled back already; then this fails, which is as good.
  auto rolled_back [[maybe_unused]] = rollback_.Run();
  return result;
}

Result<SqliteStore::Tables::Epoch> SqliteStore::Tables::FindEpoch(const std::string& name) {
  auto row = find_epoch_.Reset().Bind(name).Step();
  if (!row) return std::unexpected(std::move(row.error()));
  if (*row) {
    Epoch found{find_epoch_.Int(0), find_epoch_.Int(1), find_epoch_.Int(2) != 0};
    find_epoch_.Reset();
    return found;
  }
  if (auto made = make_epoch_.Reset().Bind(name).Run(); !made) {
    return std::unexpected(std::move(made.error()));
  }
  auto id = db_.Number("SELECT last_insert_rowid()");
  if (!id) return std::unexpected(std::move(id.error()));
  return Epoch{*id, 0, false};
}

Result<Unit> SqliteStore::Tables::PutRecent(const std::vector<LedgerEntry>& entries) {
  for (const LedgerEntry& entry : entries) {
    auto put = put_recent_.Reset().Bind(entry.id).Bind(EntryJson(entry, {})).Run();
    if (!put) return put;
  }
  return trim_recent_.Reset().Bind(static_cast<int64_t>(kRecent)).Run();
}

Result<Unit> SqliteStore::Tables::FlushOne(const LedgerFlush& flush, Flushed& flushed) {
  auto epoch = FindEpoch(flush.epoch);
  if (!epoch) return std::unexpected(std::move(epoch.error()));
  if (epoch->folded) flushed.ended.push_back({flush.epoch, epoch->sequence});
  if (epoch->folded || flush.sequence < epoch->sequence) return Unit();
  for (const DayRow& row : flush.rows.days) {
    put_day_.Reset().Bind(epoch->id).Bind(int64_t{row.day});
    put_day_.Bind(row.key).Bind(row.model).Bind(row.account);
    for (int64_t value : ValuesOf(row.totals)) put_day_.Bind(value);
    if (auto put = put_day_.Run(); !put) return put;
  }
  for (const HourRow& row : flush.rows.hours) {
    put_hour_.Reset().Bind(epoch->id).Bind(row.hour).Bind(row.key);
    for (int64_t value : ValuesOf(row.totals)) put_hour_.Bind(value);
    if (auto put = put_hour_.Run(); !put) return put;
  }
  if (auto put = PutRecent(flush.recent); !put) return put;
  return set_sequence_.Reset().Bind(flush.sequence).Bind(epoch->id).Run();
}

Result<Flushed> SqliteStore::Tables::Flush(const std::vector<LedgerFlush>& flushes) {
  return Together([&]() -> Result<Flushed> {
    Flushed flushed;
    for (const LedgerFlush& flush : flushes) {
      auto put = FlushOne(flush, flushed);
      if (!put) return std::unexpected(std::move(put.error()));
    }
    return flushed;
  });
}

Result<Unit> SqliteStore::Tables::Fold(const std::string& name) {
  // This commit waits for the disk, and takes all earlier ones with it.
  if (auto set = db_.Run("PRAGMA synchronous = FULL"); !set) return set;
  Result<Unit> folded = FoldOne(name);
  // Fails for want of memory at most, and then only costs time.
  auto reset [[maybe_unused]] = db_.Run("PRAGMA synchronous = NORMAL");
  return folded;
}

Result<Unit> SqliteStore::Tables::FoldOne(const std::string& name) {
  return Together([&]() -> Result<Unit> {
    auto epoch = FindEpoch(name);
    if (!epoch) return std::unexpected(std::move(epoch.error()));
    if (epoch->folded) return Unit();
    for (const std::string& sql :
         {FoldSql("day_rows", "day, key, model, account"), FoldSql("hour_rows", "hour, key"),
          std::string("DELETE FROM day_rows WHERE epoch = ?1"),
          std::string("DELETE FROM hour_rows WHERE epoch = ?1"),
          std::string("UPDATE epochs SET folded = 1 WHERE id = ?1")}) {
      auto done = SqliteStatement(db_, sql).Bind(epoch->id).Run();
      if (!done) return done;
    }
    return Unit();
  });
}

Result<Unit> SqliteStore::Tables::Expire(Period kept_from) {
  return Together([&]() -> Result<Unit> {
    auto days = SqliteStatement(db_, "DELETE FROM day_rows WHERE day < ?")
                    .Bind(int64_t{kept_from.day})
                    .Run();
    if (!days) return days;
    return SqliteStatement(db_, "DELETE FROM hour_rows WHERE hour < ?").Bind(kept_from.hour).Run();
  });
}

Result<Unit> SqliteStore::Tables::LoadRows(int64_t epoch, RowSet& to) {
  SqliteStatement days(
      db_, "SELECT day, key, model, account, " + Counts("?") + " FROM day_rows WHERE epoch = ?");
  days.Bind(epoch);
  auto row = days.Step();
  for (; row && *row; row = days.Step()) {
    to.days.push_back({static_cast<int32_t>(days.Int(0)), days.Text(1), days.Text(2), days.Text(3),
                       TotalsAt(days, 4)});
  }
  if (!row) return std::unexpected(std::move(row.error()));
  SqliteStatement hours(db_,
                        "SELECT hour, key, " + Counts("?") + " FROM hour_rows WHERE epoch = ?");
  hours.Bind(epoch);
  for (row = hours.Step(); row && *row; row = hours.Step()) {
    to.hours.push_back({hours.Int(0), hours.Text(1), TotalsAt(hours, 2)});
  }
  if (!row) return std::unexpected(std::move(row.error()));
  return Unit();
}

Result<LedgerImage> SqliteStore::Tables::Load() {
  LedgerImage image;
  if (auto loaded = LoadRows(kFolded, image.folded); !loaded) {
    return std::unexpected(std::move(loaded.error()));
  }
  SqliteStatement epochs(db_, "SELECT id, name, sequence FROM epochs WHERE folded = 0 ORDER BY id");
  auto row = epochs.Step();
  for (; row && *row; row = epochs.Step()) {
    EpochRows& epoch = image.epochs.emplace_back(epochs.Text(1), epochs.Int(2), RowSet());
    if (auto loaded = LoadRows(epochs.Int(0), epoch.rows); !loaded) {
      return std::unexpected(std::move(loaded.error()));
    }
  }
  if (!row) return std::unexpected(std::move(row.error()));
  SqliteStatement ended(db_, "SELECT name FROM epochs WHERE folded = 1 ORDER BY id");
  for (row = ended.Step(); row && *row; row = ended.Step()) image.ended.push_back(ended.Text(0));
  if (!row) return std::unexpected(std::move(row.error()));
  SqliteStatement recent(db_, "SELECT entry FROM recent ORDER BY number");
  for (row = recent.Step(); row && *row; row = recent.Step()) {
    if (auto dated = ReadEntryJson(recent.Text(0))) image.recent.push_back(std::move(dated->entry));
  }
  if (!row) return std::unexpected(std::move(row.error()));
  return image;
}

Result<std::vector<StateBlob>> SqliteStore::Tables::LoadStates(const std::string& kind) {
  std::vector<StateBlob> blobs;
  SqliteStatement states(db_, "SELECT id, value FROM states WHERE kind = ? ORDER BY id");
  states.Bind(kind);
  auto row = states.Step();
  for (; row && *row; row = states.Step()) {
    blobs.push_back({kind, states.Text(0), states.Text(1)});
  }
  if (!row) return std::unexpected(std::move(row.error()));
  return blobs;
}

Result<Unit> SqliteStore::Tables::PutStates(const std::vector<StateBlob>& blobs) {
  return Together([&]() -> Result<Unit> {
    for (const StateBlob& blob : blobs) {
      auto put = blob.value.empty()
                     ? drop_state_.Reset().Bind(blob.kind).Bind(blob.id).Run()
                     : put_state_.Reset().Bind(blob.kind).Bind(blob.id).BindBlob(blob.value).Run();
      if (!put) return put;
    }
    return Unit();
  });
}

Result<Directory> SqliteStore::Tables::LoadObjects() {
  Directory directory;
  auto version = db_.Number("SELECT version FROM directory");
  if (!version) return std::unexpected(std::move(version.error()));
  directory.version = *version;
  SqliteStatement objects(db_, "SELECT kind, id, version, value FROM objects ORDER BY kind, id");
  auto row = objects.Step();
  for (; row && *row; row = objects.Step()) {
    directory.objects.push_back(
        {objects.Text(0), objects.Text(1), objects.Int(2), objects.Text(3)});
  }
  if (!row) return std::unexpected(std::move(row.error()));
  return directory;
}

Result<int64_t> SqliteStore::Tables::NextVersion() {
  if (auto next = db_.Run("UPDATE directory SET version = version + 1"); !next) {
    return std::unexpected(std::move(next.error()));
  }
  return db_.Number("SELECT version FROM directory");
}

Result<ObjectWritten> SqliteStore::Tables::WriteChecked(const ObjectWrite& write) {
  SqliteStatement find(db_, "SELECT version FROM objects WHERE kind = ? AND id = ?");
  auto row = find.Bind(write.kind).Bind(write.id).Step();
  if (!row) return std::unexpected(std::move(row.error()));
  int64_t present = *row ? find.Int(0) : 0;
  find.Reset();
  if (present != write.expected) return ObjectWritten{true, present};
  if (present == 0 && !write.value) return ObjectWritten{};
  auto version = NextVersion();
  if (!version) return std::unexpected(std::move(version.error()));
  Result<Unit> written;
  if (write.value) {
    SqliteStatement put(
        db_, "INSERT OR REPLACE INTO objects (kind, id, version, value) VALUES (?, ?, ?, ?)");
    written = put.Bind(write.kind).Bind(write.id).Bind(*version).BindBlob(*write.value).Run();
  } else {
    SqliteStatement drop(db_, "DELETE FROM objects WHERE kind = ? AND id = ?");
    written = drop.Bind(write.kind).Bind(write.id).Run();
  }
  if (!written) return std::unexpected(std::move(written.error()));
  return ObjectWritten{false, write.value ? *version : 0, *version};
}

Result<ObjectWritten> SqliteStore::Tables::WriteObject(const ObjectWrite& write) {
  // Whoever hears that it is kept may destroy the only other copy, or show a key for the only time:
  // this one waits for the disk.
  if (auto set = db_.Run("PRAGMA synchronous = FULL"); !set) {
    return std::unexpected(std::move(set.error()));
  }
  Result<ObjectWritten> written = Together([&] { return WriteChecked(write); });
  // Should it fail, what follows is slower and as safe.
  [[maybe_unused]] auto reset = db_.Run("PRAGMA synchronous = NORMAL");
  return written;
}

Result<std::unique_ptr<Store>> SqliteStore::Open(const std::string& path) {
  auto db = SqliteDb::Open(path);
  if (!db) return std::unexpected(std::move(db.error()));
  auto tables = std::make_unique<Tables>(std::move(*db));
  if (auto prepared = tables->Prepare(path); !prepared) {
    return std::unexpected(std::move(prepared.error()));
  }
  return std::unique_ptr<Store>(new SqliteStore(std::move(tables)));
}

SqliteStore::SqliteStore(std::unique_ptr<Tables> tables)
    : tables_(std::move(tables)), thread_([this] { Serve(); }) {}

SqliteStore::~SqliteStore() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void SqliteStore::Serve() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    job = nullptr;  // what it holds dies outside the lock
    lock.lock();
  }
}

template <class T>
void SqliteStore::Do(std::function<Result<T>(Tables&)> work, Done<T> done) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(
        [this, work = std::move(work), done = std::move(done)] { done(work(*tables_)); });
  }
  wake_.notify_one();
}

void SqliteStore::Load(Done<LedgerImage> done) {
  Do<LedgerImage>([](Tables& tables) { return tables.Load(); }, std::move(done));
}

void SqliteStore::Flush(std::vector<LedgerFlush> flushes, Done<Flushed> done) {
  Do<Flushed>([flushes = std::move(flushes)](Tables& tables) { return tables.Flush(flushes); },
              std::move(done));
}

void SqliteStore::Fold(std::string epoch, Done<Unit> done) {
  Do<Unit>([epoch = std::move(epoch)](Tables& tables) { return tables.Fold(epoch); },
           std::move(done));
}

void SqliteStore::Expire(Period kept_from, Done<Unit> done) {
  Do<Unit>([kept_from](Tables& tables) { return tables.Expire(kept_from); }, std::move(done));
}

void SqliteStore::LoadStates(std::string kind, Done<std::vector<StateBlob>> done) {
  Do<std::vector<StateBlob>>(
      [kind = std::move(kind)](Tables& tables) { return tables.LoadStates(kind); },
      std::move(done));
}

void SqliteStore::PutStates(std::vector<StateBlob> blobs, Done<Unit> done) {
  Do<Unit>([blobs = std::move(blobs)](Tables& tables) { return tables.PutStates(blobs); },
           std::move(done));
}

void SqliteStore::LoadObjects(Done<Directory> done) {
  Do<Directory>([](Tables& tables) { return tables.LoadObjects(); }, std::move(done));
}

void SqliteStore::WriteObject(ObjectWrite write, Done<ObjectWritten> done) {
  Do<ObjectWritten>(
      [write = std::move(write)](Tables& tables) { return tables.WriteObject(write); },
      std::move(done));
}

}  // namespace relay
