// SPDX-License-Identifier: MIT
// The structured log: one JSON object a line, written by a thread of its own so that no loop waits
// for a disk or a terminal. Control bytes are escaped (no forged lines); nothing secret is ever
// given to it: keys appear by name, and query strings, prompts and answers not at all.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

namespace relay {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError, kOff };

struct LogField {
  std::string_view name;
  std::variant<std::string_view, int64_t, double, bool> value;

  LogField(std::string_view n, std::string_view v) : name(n), value(v) {}
  LogField(std::string_view n, const char* v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, const std::string& v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, int64_t v) : name(n), value(v) {}
  LogField(std::string_view n, int v) : name(n), value(int64_t{v}) {}
  LogField(std::string_view n, uint64_t v) : name(n), value(static_cast<int64_t>(v)) {}
  LogField(std::string_view n, double v) : name(n), value(v) {}
  LogField(std::string_view n, bool v) : name(n), value(v) {}
};

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  bool json = true;                            // false: "time level event name=value …" for people
  std::string file;                            // "": standard error
  uint64_t rotate_bytes = uint64_t{64} << 20;  // of `file`; five old ones are kept
};

// Starts the writer; called once by main before any thread logs. Without it lines go nowhere.
void StartLog(const LogOptions& options);
// Writes what waits and ends the writer.
void StopLog();
bool LogEnabled(LogLevel level);
// `event` is a short constant, "exchange" or "reload failed"; fields follow in order.
void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

}  // namespace relay
