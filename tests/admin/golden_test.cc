// SPDX-License-Identifier: MIT
// Runs the folders of tests/golden with all that is checked of a relay.yaml, its chains included.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "core/config/root.h"
#include "filters/registry.h"

namespace relay {
namespace {

namespace fs = std::filesystem;

std::string ReadAll(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

Environment EnvironmentOf(const fs::path& folder) {
  std::map<std::string, std::string, std::less<>> variables;
  std::istringstream in(ReadAll(folder / "environment"));
  for (std::string line; std::getline(in, line);) {
    size_t equals = line.find('=');
    variables[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return [variables = std::move(variables)](std::string_view name) -> std::optional<std::string> {
    auto at = variables.find(name);
    if (at == variables.end()) return std::nullopt;
    return at->second;
  };
}

// Returns how many of the folder's files are wrong ones.
size_t RunFolder(const fs::path& folder) {
  Environment environment = EnvironmentOf(folder);
  size_t wrong = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path& path = entry.path();
    if (path.extension() != ".yaml") continue;
    SCOPED_TRACE(path.string());
    Problems problems;
    auto config = LoadConfigText(ReadAll(path), path.filename().string(), folder.string(),
                                 environment, problems);
    CheckChains(*config, problems);
    std::string printed;
    for (const std::string& line : ReportLines(*config, problems)) printed += line + "\n";
    EXPECT_EQ(printed, ReadAll(fs::path(path).replace_extension(".expected")));
    bool good = path.filename().string().starts_with("good-");
    EXPECT_EQ(problems.failed(), !good);
    if (!good) ++wrong;
  }
  return wrong;
}

TEST(Golden, ChainsPrintExactlyTheLinesBesideThem) {
  EXPECT_GE(RunFolder(RELAY_SOURCE_DIR "/tests/golden/chains"), 20U);
}

TEST(Golden, ConfigurationsAreJudgedTheSameWithTheirChains) {
  EXPECT_GE(RunFolder(RELAY_SOURCE_DIR "/tests/golden/config"), 60U);
}

}  // namespace
}  // namespace relay
