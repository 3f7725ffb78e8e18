// SPDX-License-Identifier: MIT
// What the machine and its container allow this process, and what the process takes of it.
#pragma once

#include <cstdint>
#include <string>

namespace relay {

// Processors that this process may use: its affinity, cut by the cgroup's quota; at least 1.
// `root` stands before /proc and /sys, for tests.
int UsableCores(const std::string& root = "");
// Bytes of memory: the machine's, cut by the cgroup's limit.
uint64_t UsableMemory(const std::string& root = "");

// As many descriptors as the hard limit allows; returns that number.
uint64_t RaiseDescriptorLimit();
// No core file, and no other process of this user may read our memory: it holds keys.
void ForbidCoreDumps();

struct ProcessUsage {
  uint64_t resident_bytes = 0;
  uint64_t open_descriptors = 0;
  double cpu_seconds = 0;
};
ProcessUsage ReadProcessUsage();

}  // namespace relay
