// SPDX-License-Identifier: MIT
// The structured log: one JSON object a line, written by a thread of its own so that no loop waits
// for a disk or a terminal. Control bytes of values are escaped (no forged lines).
//
// It does not search its lines for secrets: nothing secret is ever given to it. A Secret cannot
// become a field; whoever logs gives keys by their name, paths without their query, and of prompts
// and answers nothing; a text that an upstream sent is cut and redacted where it becomes an Error.
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
  std::variant<std::string_view, int64_t, uint64_t, double, bool> value;

  LogField(std::string_view n, std::string_view v) : name(n), value(v) {}
  LogField(std::string_view n, const char* v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, const std::string& v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, int64_t v) : name(n), value(v) {}
  LogField(std::string_view n, int v) : name(n), value(int64_t{v}) {}
  LogField(std::string_view n, uint64_t v) : name(n), value(v) {}
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
// From now on these count. From any thread.
void ChangeLog(LogLevel level, bool json);
// Writes what waits and ends the writer. No other thread logs any more.
void StopLog();
bool LogEnabled(LogLevel level);
// `event` is a short constant, "exchange" or "reload failed"; fields follow in order.
void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

}  // namespace relay
