// SPDX-License-Identifier: MIT
#include "core/store/sqlite_store_db.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace relay {
namespace {

std::unexpected<Error> FileTrouble(const std::string& path, const std::string& what,
                                   bool retryable) {
  return Fail(Party::kRelay, Fault::kInternal, "the store '" + path + "': " + what, retryable);
}

// The disk, its rights or another process are at fault, not what is in the file.
bool IsPassing(int code) {
  switch (code & 0xff) {  // without what extends it
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_PROTOCOL:
    case SQLITE_NOMEM: return true;
    default: return false;
  }
}

}  // namespace

void SqliteDb::Close::operator()(sqlite3* db) const {
  sqlite3_close_v2(db);
}

Result<SqliteDb> SqliteDb::Open(const std::string& path) {
  // SQLite would make it readable for everybody; its other files take after this one.
  int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return FileTrouble(path, std::generic_category().message(errno), true);
  ::close(file);
  sqlite3* opened = nullptr;
  int code =
      sqlite3_open_v2(path.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  SqliteDb db(opened, path);
  if (opened == nullptr) return FileTrouble(path, sqlite3_errstr(code), true);
  if (code != SQLITE_OK) return db.Trouble();
  sqlite3_extended_result_codes(opened, 1);
  // Somebody may be looking with another program.
  constexpr int kPatienceMs = 2000;
  sqlite3_busy_timeout(opened, kPatienceMs);
  return db;
}

std::unexpected<Error> SqliteDb::Trouble() const {
  return FileTrouble(path_, sqlite3_errmsg(db_.get()), IsPassing(sqlite3_errcode(db_.get())));
}

Result<Unit> SqliteDb::Run(const std::string& sql) {
  if (sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return Trouble();
  }
  return Unit();
}

Result<int64_t> SqliteDb::Number(const std::string& sql) {
  SqliteStatement statement(*this, sql);
  auto row = statement.Step();
  if (!row) return std::unexpected(std::move(row.error()));
  return *row ? statement.Int(0) : 0;
}

Result<std::string> SqliteDb::Text(const std::string& sql) {
  SqliteStatement statement(*this, sql);
  auto row = statement.Step();
  if (!row) return std::unexpected(std::move(row.error()));
  return *row ? statement.Text(0) : "";
}

int64_t SqliteDb::Changes() const {
  return sqlite3_changes(db_.get());
}

void SqliteStatement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

SqliteStatement::SqliteStatement(const SqliteDb& db, std::string_view sql) : db_(&db) {
  sqlite3_stmt* made = nullptr;
  sqlite3_prepare_v3(db.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                     &made, nullptr);
  statement_.reset(made);
}

SqliteStatement& SqliteStatement::Reset() {
  if (statement_ != nullptr) sqlite3_reset(statement_.get());
  bound_ = 0;
  return *this;
}

SqliteStatement& SqliteStatement::Bind(std::string_view text) {
  // A null pointer would bind NULL.
  const char* data = text.data() == nullptr ? "" : text.data();
  sqlite3_bind_text(statement_.get(), ++bound_, data, static_cast<int>(text.size()),
                    SQLITE_TRANSIENT);
  return *this;
}

SqliteStatement& SqliteStatement::Bind(int64_t number) {
  sqlite3_bind_int64(statement_.get(), ++bound_, number);
  return *this;
}

SqliteStatement& SqliteStatement::BindBlob(std::string_view bytes) {
  const char* data = bytes.data() == nullptr ? "" : bytes.data();
  sqlite3_bind_blob64(statement_.get(), ++bound_, data, bytes.size(), SQLITE_TRANSIENT);
  return *this;
}

Result<bool> SqliteStatement::Step() {
  if (statement_ == nullptr) return db_->Trouble();
  int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  std::unexpected<Error> trouble = db_->Trouble();
  sqlite3_reset(statement_.get());
  return trouble;
}

Result<Unit> SqliteStatement::Run() {
  auto row = Step();
  if (!row) return std::unexpected(std::move(row.error()));
  Reset();
  return Unit();
}

int64_t SqliteStatement::Int(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string SqliteStatement::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_.get(), column);
  auto size = static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column));
  return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), size);
}

}  // namespace relay
