// SPDX-License-Identifier: MIT
// CPU time and memory of a process and all its descendants, read from /proc (proc(5)): nginx is a
// master and a worker, relay one process with threads; both are counted whole.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace relay::bench {

struct Memory {
  int64_t rss_kb = 0;  // resident, pages shared between the processes counted in each
  int64_t pss_kb = 0;  // proportional: a shared page is split among its users
};

class ProcessMeter {
 public:
  // 0 measures nothing: all figures are 0.
  explicit ProcessMeter(pid_t root);

  // User and system time so far, in microseconds; steps of 10 ms (utime + stime of
  // /proc/<pid>/stat).
  double CpuMicros() const;
  // From /proc/<pid>/smaps_rollup.
  Memory ReadMemory() const;

 private:
  std::vector<pid_t> processes_;
};

}  // namespace relay::bench
