// SPDX-License-Identifier: MIT
#include "admin/machine.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>

namespace relay {
namespace {

std::string FirstLine(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// A whole number and what follows it; nothing for "max".
std::optional<int64_t> LeadingNumber(std::string_view text) {
  int64_t number = 0;
  auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc()) return std::nullopt;
  return number;
}

// The process's path in the unified hierarchy (`controller` "") or in one of version 1.
std::optional<std::string> CgroupPath(const std::string& root, std::string_view controller) {
  std::ifstream in(root + "/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    size_t first = line.find(':');
    size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    bool mine = controller.empty()
                    ? names == ",,"
                    : names.find("," + std::string(controller) + ",") != std::string::npos;
    if (mine) return line.substr(second + 1);
  }
  return std::nullopt;
}

// Calls f(folder) for the cgroup of that controller and each one above it.
template <class F>
void ForEachCgroup(const std::string& root, std::string_view controller, F f) {
  std::optional<std::string> path = CgroupPath(root, controller);
  if (!path) return;
  std::string mount = root + "/sys/fs/cgroup";
  if (!controller.empty()) mount += "/" + std::string(controller);
  while (true) {
    f(mount + (*path == "/" ? "" : *path));
    if (path->empty() || *path == "/") return;
    path->resize(path->rfind('/'));
  }
}

}  // namespace

int UsableCores(const std::string& root) {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  auto cut = [&](std::optional<int64_t> quota, std::optional<int64_t> period) {
    if (!quota || !period || *quota <= 0 || *period <= 0) return;
    // Half a core more is worth a loop of its own; a tenth is not.
    int64_t allowed = (*quota + *period / 2) / *period;
    cores = static_cast<int>(std::clamp<int64_t>(allowed, 1, cores));
  };
  ForEachCgroup(root, "", [&](const std::string& folder) {
    std::string line = FirstLine(folder + "/cpu.max");  // "200000 100000" or "max 100000"
    size_t space = line.find(' ');
    if (space == std::string::npos) return;
    cut(LeadingNumber(line), LeadingNumber(std::string_view(line).substr(space + 1)));
  });
  ForEachCgroup(root, "cpu", [&](const std::string& folder) {
    cut(LeadingNumber(FirstLine(folder + "/cpu.cfs_quota_us")),
        LeadingNumber(FirstLine(folder + "/cpu.cfs_period_us")));
  });
  return std::max(cores, 1);
}

uint64_t UsableMemory(const std::string& root) {
  auto pages = static_cast<uint64_t>(std::max(sysconf(_SC_PHYS_PAGES), 1L));
  uint64_t bytes = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  auto cut = [&](const std::string& file) {
    std::optional<int64_t> limit = LeadingNumber(FirstLine(file));
    if (limit && *limit > 0) bytes = std::min(bytes, static_cast<uint64_t>(*limit));
  };
  ForEachCgroup(root, "", [&](const std::string& folder) { cut(folder + "/memory.max"); });
  ForEachCgroup(root, "memory",
                [&](const std::string& folder) { cut(folder + "/memory.limit_in_bytes"); });
  return bytes;
}

uint64_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    (void)getrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur;
}

void ForbidCoreDumps() {
  rlimit none{};
  (void)setrlimit(RLIMIT_CORE, &none);
  (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

ProcessUsage ReadProcessUsage() {
  ProcessUsage usage;
  std::istringstream statm(FirstLine("/proc/self/statm"));
  uint64_t total = 0;
  uint64_t resident = 0;
  if (statm >> total >> resident) {
    usage.resident_bytes = resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end;
       at.increment(error)) {
    ++usage.open_descriptors;
  }
  rusage times{};
  if (getrusage(RUSAGE_SELF, &times) == 0) {
    auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    usage.cpu_seconds = seconds(times.ru_utime) + seconds(times.ru_stime);
  }
  return usage;
}

}  // namespace relay
