// SPDX-License-Identifier: MIT
// The only file that sees spdlog.
#include "core/base/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <memory>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log_writer.h"
#include "core/base/text.h"

namespace relay {
namespace {

void WriteToStandardError(std::string_view lines) {
  while (!lines.empty()) {
    ssize_t n = ::write(STDERR_FILENO, lines.data(), lines.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // nowhere left to complain
    lines.remove_prefix(static_cast<size_t>(n));
  }
}

// A file that is rotated between two lines.
LogWriter::Output RotatingFile(const LogOptions& options) {
  constexpr size_t kKept = 5;
  auto file = std::make_shared<spdlog::sinks::rotating_file_sink_st>(
      options.file, static_cast<size_t>(options.rotate_bytes), kKept);
  file->set_pattern("%v");
  return [file](std::string_view lines) {
    try {
      while (!lines.empty()) {
        std::string_view line = lines.substr(0, lines.find('\n'));
        file->log({"", spdlog::level::info, {line.data(), line.size()}});
        lines.remove_prefix(line.size() + 1);
      }
      file->flush();
    } catch (const spdlog::spdlog_ex& failed) {
      std::fprintf(stderr, "the log's file fails: %s\n", failed.what());
    }
  };
}

std::unique_ptr<LogWriter> writer;
std::atomic<LogLevel> lowest{LogLevel::kOff};
std::atomic<bool> as_json{true};

std::string_view NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarn: return "warn";
    case LogLevel::kError: return "error";
    case LogLevel::kOff: return "off";
  }
  return "info";
}

void AppendValue(fmt::memory_buffer& out, const LogField& field) {
  struct Visitor {
    fmt::memory_buffer& to;
    void operator()(std::string_view text) const {
      std::string quoted;
      AppendJsonString(quoted, text);
      to.append(quoted);
    }
    void operator()(int64_t number) const { fmt::format_to(fmt::appender(to), "{}", number); }
    void operator()(uint64_t number) const { fmt::format_to(fmt::appender(to), "{}", number); }
    void operator()(double number) const {
      if (std::isfinite(number)) {
        fmt::format_to(fmt::appender(to), "{:.6g}", number);
      } else {
        to.append(std::string_view("null"));
      }
    }
    void operator()(bool flag) const { to.append(std::string_view(flag ? "true" : "false")); }
  };
  std::visit(Visitor{out}, field.value);
}

}  // namespace

void StartLog(const LogOptions& options) {
  writer = std::make_unique<LogWriter>(options.file.empty() ? WriteToStandardError
                                                            : RotatingFile(options));
  as_json = options.json;
  lowest = options.level;
}

void ChangeLog(LogLevel level, bool json) {
  if (writer == nullptr) return;
  as_json = json;
  lowest = level;
}

void StopLog() {
  lowest = LogLevel::kOff;
  writer.reset();
}

bool LogEnabled(LogLevel level) {
  return level >= lowest.load(std::memory_order_relaxed);
}

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level) || writer == nullptr) return;
  fmt::memory_buffer line;
  std::string time = IsoTime(SystemClock::Get().Wall());
  if (as_json) {
    fmt::format_to(fmt::appender(line), R"({{"time":"{}","level":"{}","event":"{}")", time,
                   NameOf(level), event);
    for (const LogField& field : fields) {
      fmt::format_to(fmt::appender(line), R"(,"{}":)", field.name);
      AppendValue(line, field);
    }
    line.push_back('}');
  } else {
    fmt::format_to(fmt::appender(line), "{} {} {}", time, NameOf(level), event);
    for (const LogField& field : fields) {
      fmt::format_to(fmt::appender(line), " {}=", field.name);
      AppendValue(line, field);
    }
  }
  writer->Add({line.data(), line.size()}, /*soon=*/level >= LogLevel::kWarn);
}

}  // namespace relay
