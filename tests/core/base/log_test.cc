// SPDX-License-Identifier: MIT
#include "core/base/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <thread>
#include <type_traits>

#include "core/base/json.h"
#include "core/base/secret.h"

namespace relay {
namespace {

using testing::HasSubstr;
using testing::Not;

struct LogTest : testing::Test {
  LogTest() {
    std::string name = testing::TempDir() + "relay-log-XXXXXX";
    folder = ::mkdtemp(name.data());
    options.file = folder + "/relay.log";
  }
  ~LogTest() override {
    StopLog();
    std::filesystem::remove_all(folder);
  }
  // Ends the log and gives its lines, each without its time: that is checked here.
  std::vector<std::string> Lines() {
    StopLog();
    std::ifstream file(options.file);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(WithoutTime(line));
    return lines;
  }
  static std::string WithoutTime(const std::string& line) {
    constexpr std::string_view kBegin = R"({"time":")";
    constexpr size_t kTime = 24;
    EXPECT_TRUE(line.starts_with(kBegin)) << line;
    EXPECT_EQ(line.substr(kBegin.size() + kTime, 2), "\",") << line;
    return "{" + line.substr(kBegin.size() + kTime + 2);
  }
  std::string folder;
  LogOptions options;
};

TEST_F(LogTest, WritesOneJsonObjectALine) {
  StartLog(options);
  Log(LogLevel::kInfo, "exchange",
      {{"id", "req_1"},
       {"status", 200},
       {"bytes", uint64_t{5'000'000'000}},
       {"cost", 0.25},
       {"streamed", true}});
  Log(LogLevel::kError, "reload failed");
  EXPECT_THAT(
      Lines(),
      testing::ElementsAre(
          R"({"level":"info","event":"exchange","id":"req_1","status":200,"bytes":5000000000,"cost":0.25,"streamed":true})",
          R"({"level":"error","event":"reload failed"})"));
}

TEST_F(LogTest, LetsNoValueForgeALine) {
  StartLog(options);
  std::string value = "a\"}\n{\"level\":\"error\",\"event\":\"forged\"}\r\n\x1b[2J";
  value += '\0';
  Log(LogLevel::kInfo, "exchange", {{"path", value}});
  std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0], R"({"level":"info","event":"exchange","path":"a\"}\n{\"level\":\"error\",)"
                      R"(\"event\":\"forged\"}\r\n\u001b[2J\u0000"})");
}

TEST_F(LogTest, EscapesEveryControlByteAndRepairsWhatIsNotUtf8) {
  StartLog(options);
  std::string all;
  for (int c = 0; c < 0x20; ++c) all += static_cast<char>(c);
  Log(LogLevel::kInfo, "bytes", {{"controls", all}, {"cut", "\xe6\xbc"}, {"bad", "\xff"}});
  StopLog();
  std::ifstream file(options.file);
  std::stringstream text;
  text << file.rdbuf();
  std::string line = text.str();
  ASSERT_TRUE(line.ends_with('\n'));
  line.pop_back();
  for (char c : line) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  EXPECT_TRUE(JsonIndex::Parse(line)) << line;
}

TEST_F(LogTest, StaysJsonWithNumbersThatJsonHasNot) {
  StartLog(options);
  Log(LogLevel::kInfo, "n",
      {{"nan", std::nan("")},
       {"inf", std::numeric_limits<double>::infinity()},
       {"most", std::numeric_limits<uint64_t>::max()}});
  EXPECT_THAT(
      Lines(),
      testing::ElementsAre(
          R"({"level":"info","event":"n","nan":null,"inf":null,"most":18446744073709551615})"));
}

TEST_F(LogTest, LeavesOutWhatIsBelowItsLevel) {
  options.level = LogLevel::kWarn;
  StartLog(options);
  EXPECT_FALSE(LogEnabled(LogLevel::kDebug));
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  EXPECT_TRUE(LogEnabled(LogLevel::kWarn));
  Log(LogLevel::kDebug, "one");
  Log(LogLevel::kInfo, "two");
  Log(LogLevel::kWarn, "three");
  Log(LogLevel::kError, "four");
  EXPECT_THAT(Lines(), testing::ElementsAre(R"({"level":"warn","event":"three"})",
                                            R"({"level":"error","event":"four"})"));
}

TEST_F(LogTest, SaysNothingBeforeItStartsAndAfterItEnds) {
  EXPECT_FALSE(LogEnabled(LogLevel::kError));
  Log(LogLevel::kError, "before");
  StartLog(options);
  Log(LogLevel::kInfo, "between");
  StopLog();
  EXPECT_FALSE(LogEnabled(LogLevel::kError));
  Log(LogLevel::kError, "after");
  EXPECT_THAT(Lines(), testing::ElementsAre(R"({"level":"info","event":"between"})"));
}

TEST_F(LogTest, WritesTextForPeopleWithTheSameEscapes) {
  options.json = false;
  StartLog(options);
  Log(LogLevel::kWarn, "retry", {{"account", "main"}, {"why", "a\nb"}, {"attempt", 2}});
  StopLog();
  std::ifstream file(options.file);
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  EXPECT_EQ(line.substr(24), R"( warn retry account="main" why="a\nb" attempt=2)");
  EXPECT_FALSE(std::getline(file, line));
}

TEST_F(LogTest, GoesToStandardErrorWithoutAFile) {
  int saved = ::dup(STDERR_FILENO);
  int file = ::open(options.file.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
  ASSERT_GE(file, 0);
  ::dup2(file, STDERR_FILENO);
  LogOptions to_stderr;
  StartLog(to_stderr);
  for (int i = 0; i < 1000; ++i) Log(LogLevel::kInfo, "line", {{"n", i}});
  StopLog();
  ::dup2(saved, STDERR_FILENO);
  ::close(saved);
  ::close(file);
  std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 1000U);
  EXPECT_EQ(lines.back(), R"({"level":"info","event":"line","n":999})");
}

TEST_F(LogTest, KeepsTheFileBelowItsBoundByRotating) {
  options.rotate_bytes = 10'000;
  StartLog(options);
  for (int i = 0; i < 1000; ++i) Log(LogLevel::kInfo, "line", {{"n", i}});
  StopLog();
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    ++files;
    EXPECT_LE(entry.file_size(), 10'000U);
  }
  EXPECT_EQ(files, 6U);  // itself, and five old ones
}

// A pipe that nobody reads stands for a disk that hangs.
TEST_F(LogTest, LosesOldLinesRatherThanMakeALoopWait) {
  ASSERT_EQ(::mkfifo(options.file.c_str(), 0600), 0);
  int reader = ::open(options.file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  constexpr int kLines = 30'000;
  StartLog(options);
  for (int i = 0; i < kLines; ++i) Log(LogLevel::kInfo, "line", {{"n", i}});  // comes back
  std::string text;
  std::thread drain([&] {
    std::array<char, 65536> part{};
    while (true) {
      pollfd ready{.fd = reader, .events = POLLIN, .revents = 0};
      ::poll(&ready, 1, -1);
      ssize_t got = ::read(reader, part.data(), part.size());
      if (got == 0) return;
      if (got > 0) text.append(part.data(), static_cast<size_t>(got));
    }
  });
  StopLog();
  drain.join();
  ::close(reader);
  std::istringstream stream(text);
  int count = 0;
  int last = -1;
  for (std::string line; std::getline(stream, line); ++count) {
    std::string rest = WithoutTime(line);
    int n = std::stoi(rest.substr(rest.rfind(':') + 1));
    EXPECT_GT(n, last);
    last = n;
  }
  EXPECT_EQ(last, kLines - 1);
  EXPECT_GT(count, 1000);
  EXPECT_LT(count, kLines);
}

TEST_F(LogTest, TakesLinesOfManyThreadsWhole) {
  StartLog(options);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 500; ++i) Log(LogLevel::kInfo, "line", {{"thread", t}, {"n", i}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<std::string> lines = Lines();
  EXPECT_EQ(lines.size(), 2000U);
  for (const std::string& line : lines) EXPECT_THAT(line, HasSubstr(R"("event":"line","thread":)"));
}

TEST(LogField, CannotHoldASecret) {
  static_assert(!std::is_constructible_v<LogField, std::string_view, Secret>);
  static_assert(!std::is_constructible_v<LogField, std::string_view, const Secret&>);
}

}  // namespace
}  // namespace relay
