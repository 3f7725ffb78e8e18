// SPDX-License-Identifier: MIT
// Runs tests/golden/config: each configuration prints exactly the lines that stand beside it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "core/config/root.h"

namespace relay {
namespace {

const std::filesystem::path kFolder = RELAY_SOURCE_DIR "/tests/golden/config";

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::filesystem::path> Configs() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".yaml") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::map<std::string, std::string, std::less<>> Variables() {
  std::map<std::string, std::string, std::less<>> variables;
  std::istringstream in(ReadAll(kFolder / "environment"));
  for (std::string line; std::getline(in, line);) {
    size_t equals = line.find('=');
    variables[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return variables;
}

Environment GoldenEnvironment() {
  return [variables = Variables()](std::string_view name) -> std::optional<std::string> {
    auto at = variables.find(name);
    if (at == variables.end()) return std::nullopt;
    return at->second;
  };
}

bool IsGood(const std::filesystem::path& path) {
  return path.filename().string().starts_with("good-");
}

TEST(GoldenConfigs, PrintExactlyTheLinesBesideThem) {
  for (const auto& path : Configs()) {
    SCOPED_TRACE(path.filename().string());
    Problems problems;
    auto config = LoadConfigText(ReadAll(path), path.filename().string(), kFolder.string(),
                                 GoldenEnvironment(), problems);
    std::string printed;
    for (const std::string& line : ReportLines(*config, problems)) printed += line + "\n";
    EXPECT_EQ(printed, ReadAll(std::filesystem::path(path).replace_extension(".expected")));
    EXPECT_EQ(problems.failed(), !IsGood(path));
  }
}

TEST(GoldenConfigs, AreManyAndEachHasItsLines) {
  size_t wrong = 0;
  for (const auto& path : Configs()) {
    if (!IsGood(path)) ++wrong;
    EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(path).replace_extension(".expected")))
        << path;
  }
  EXPECT_GE(wrong, 60U);
}

TEST(GoldenConfigs, ShowNoSecret) {
  // What the files write where a secret belongs; the variables' values are looked at whole.
  std::vector<std::string> secrets = {
      "written-in-the-file", "short-key", "short-tok",     "short-p,",
      "32-characters",       "please",    "a space in it", "user:pass"};
  for (const auto& [name, value] : Variables()) {
    if (value.size() > 8) secrets.push_back(value);
  }
  for (const auto& path : Configs()) {
    std::string lines = ReadAll(std::filesystem::path(path).replace_extension(".expected"));
    for (const std::string& secret : secrets) {
      EXPECT_EQ(lines.find(secret), std::string::npos) << path << " shows " << secret;
    }
  }
}

}  // namespace
}  // namespace relay
