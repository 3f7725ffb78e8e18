// SPDX-License-Identifier: MIT
// See process_meter.h.
#include "tests/bench/process_meter.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

namespace relay::bench {

namespace {

constexpr size_t kParent = 1;  // fields of /proc/<pid>/stat, counted after the name's ')'
constexpr size_t kUserTime = 11;
constexpr size_t kSystemTime = 12;

// The numeric fields of /proc/<pid>/stat that follow the process's name and state; empty if it is
// gone.
std::vector<int64_t> StatFields(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream rest(text.substr(name_end + 1));
  std::string state;
  rest >> state;
  std::vector<int64_t> fields = {0};
  for (int64_t value = 0; rest >> value;) fields.push_back(value);
  return fields;
}

void AddWithChildren(pid_t pid, const std::multimap<pid_t, pid_t>& children,
                     std::vector<pid_t>& to) {
  to.push_back(pid);
  const auto [first, last] = children.equal_range(pid);
  for (auto it = first; it != last; ++it) AddWithChildren(it->second, children, to);
}

}  // namespace

ProcessMeter::ProcessMeter(pid_t root) {
  if (root <= 0) return;
  std::multimap<pid_t, pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    const auto fields = StatFields(pid);
    if (fields.size() > kParent) children.emplace(static_cast<pid_t>(fields[kParent]), pid);
  }
  AddWithChildren(root, children, processes_);
}

double ProcessMeter::CpuMicros() const {
  int64_t ticks = 0;
  for (pid_t pid : processes_) {
    const auto fields = StatFields(pid);
    if (fields.size() > kSystemTime) ticks += fields[kUserTime] + fields[kSystemTime];
  }
  return static_cast<double>(ticks) * 1e6 / static_cast<double>(sysconf(_SC_CLK_TCK));
}

Memory ProcessMeter::ReadMemory() const {
  Memory sum;
  for (pid_t pid : processes_) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/smaps_rollup");
    for (std::string line; std::getline(file, line);) {
      int64_t kb = 0;
      if (std::sscanf(line.c_str(), "Rss: %ld kB", &kb) == 1) sum.rss_kb += kb;
      if (std::sscanf(line.c_str(), "Pss: %ld kB", &kb) == 1) sum.pss_kb += kb;
    }
  }
  return sum;
}

}  // namespace relay::bench
