// SPDX-License-Identifier: MIT
// SQLite's handles, each in an object that frees it. For the thread of the embedded store alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace relay {

class SqliteDb {
 public:
  // Opens or makes the file, mode 0600. Errors name it.
  static Result<SqliteDb> Open(const std::string& path);

  // One or more statements without parameters.
  Result<Unit> Run(const std::string& sql);
  // The first column of a statement's first row; 0 when it has none.
  Result<int64_t> Number(const std::string& sql);
  Result<std::string> Text(const std::string& sql);
  // Rows that the last statement changed.
  int64_t Changes() const;
  // What went wrong last, as an error of this file; retryable where the file itself is good.
  std::unexpected<Error> Trouble() const;
  sqlite3* get() const { return db_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  SqliteDb(sqlite3* db, std::string path) : db_(db), path_(std::move(path)) {}
  std::unique_ptr<sqlite3, Close> db_;
  std::string path_;
};

// One prepared statement, run again and again: Bind… from 1, Step until it gives false, columns
// from 0. What goes wrong on the way is told by the next Step.
class SqliteStatement {
 public:
  SqliteStatement() = default;
  // An error of the text shows at the first Step.
  SqliteStatement(const SqliteDb& db, std::string_view sql);

  // Forgets the last run. Texts bound are copied.
  SqliteStatement& Reset();
  SqliteStatement& Bind(std::string_view text);
  SqliteStatement& Bind(int64_t number);
  SqliteStatement& BindBlob(std::string_view bytes);
  // True: there is a row.
  Result<bool> Step();
  // Runs to the end, without rows.
  Result<Unit> Run();
  int64_t Int(int column) const;
  std::string Text(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  const SqliteDb* db_ = nullptr;
  int bound_ = 0;
};

}  // namespace relay
