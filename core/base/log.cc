// SPDX-License-Identifier: MIT
// The only file that sees spdlog.
#include "core/base/log.h"

#include <spdlog/async.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cmath>
#include <memory>
#include <mutex>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/text.h"

namespace relay {
namespace {

// Lines gather here and go to standard error in one write, at the latest after a second.
class BatchSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  ~BatchSink() override { WritePending(); }  // the last lines come when nobody flushes any more

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    pending_.append(message.payload.data(), message.payload.size());
    pending_ += '\n';
    if (pending_.size() > kBatch || message.level >= spdlog::level::warn) flush_();
  }
  void flush_() override { WritePending(); }

 private:
  void WritePending() {
    std::string_view rest = pending_;
    while (!rest.empty()) {
      ssize_t n = ::write(STDERR_FILENO, rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;  // nowhere left to complain
      rest.remove_prefix(static_cast<size_t>(n));
    }
    pending_.clear();
  }

  static constexpr size_t kBatch = size_t{32} << 10;
  std::string pending_;
};

std::shared_ptr<spdlog::async_logger> logger;
std::atomic<LogLevel> lowest{LogLevel::kOff};
std::atomic<bool> as_json{true};

spdlog::level::level_enum SpdLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarn: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
    case LogLevel::kOff: return spdlog::level::off;
  }
  return spdlog::level::info;
}

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
  constexpr size_t kQueued = 2048;  // 400 bytes each, whether used or not
  constexpr size_t kKept = 5;
  spdlog::init_thread_pool(kQueued, 1);
  spdlog::sink_ptr sink;
  if (options.file.empty()) {
    sink = std::make_shared<BatchSink>();
  } else {
    sink = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
        options.file, static_cast<size_t>(options.rotate_bytes), kKept);
  }
  sink->set_pattern("%v");
  // A log that cannot keep up loses its oldest lines; it never blocks a loop.
  logger = std::make_shared<spdlog::async_logger>("relay", sink, spdlog::thread_pool(),
                                                  spdlog::async_overflow_policy::overrun_oldest);
  logger->set_level(SpdLevel(options.level));
  spdlog::register_logger(logger);
  spdlog::flush_every(std::chrono::seconds(1));
  as_json = options.json;
  lowest = options.level;
}

void ChangeLog(LogLevel level, bool json) {
  if (logger == nullptr) return;
  logger->set_level(SpdLevel(level));
  as_json = json;
  lowest = level;
}

void StopLog() {
  lowest = LogLevel::kOff;
  logger.reset();
  spdlog::shutdown();
}

bool LogEnabled(LogLevel level) {
  return level >= lowest.load(std::memory_order_relaxed);
}

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level) || logger == nullptr) return;
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
  logger->log(SpdLevel(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace relay
