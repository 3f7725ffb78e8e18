// SPDX-License-Identifier: MIT
#include "admin/machine.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>

#include "tests/admin/temporary_folder.h"

namespace relay {
namespace {

int Affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  return CPU_COUNT(&set);
}

TEST(Machine, WithoutACgroupAllOfTheMachineMayBeUsed) {
  TemporaryFolder root;
  EXPECT_EQ(UsableCores(root.path()), Affinity());
  EXPECT_GT(UsableMemory(root.path()), uint64_t{64} << 20);
}

TEST(Machine, AQuotaOfTheCgroupCutsTheCores) {
  TemporaryFolder root;
  root.Write("proc/self/cgroup", "0::/\n");
  root.Write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(UsableCores(root.path()), 1);
  root.Write("sys/fs/cgroup/cpu.max", "160000 100000\n");
  EXPECT_EQ(UsableCores(root.path()), std::min(2, Affinity()));
  root.Write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(UsableCores(root.path()), Affinity());
  root.Write("sys/fs/cgroup/cpu.max", "nonsense\n");
  EXPECT_EQ(UsableCores(root.path()), Affinity());
}

TEST(Machine, TheQuotaOfVersionOneCountsAsWell) {
  TemporaryFolder root;
  root.Write("proc/self/cgroup", "4:cpu,cpuacct:/pod\n3:memory:/pod\n");
  root.Write("sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us", "100000\n");
  root.Write("sys/fs/cgroup/cpu/pod/cpu.cfs_period_us", "100000\n");
  root.Write("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "33554432\n");
  EXPECT_EQ(UsableCores(root.path()), 1);
  EXPECT_EQ(UsableMemory(root.path()), uint64_t{32} << 20);
  root.Write("sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(UsableCores(root.path()), Affinity());
}

TEST(Machine, TheTightestLimitUpToTheRootCounts) {
  TemporaryFolder root;
  root.Write("proc/self/cgroup", "0::/outer/inner\n");
  root.Write("sys/fs/cgroup/outer/memory.max", "16777216\n");
  root.Write("sys/fs/cgroup/outer/inner/memory.max", "67108864\n");
  EXPECT_EQ(UsableMemory(root.path()), uint64_t{16} << 20);
  root.Write("sys/fs/cgroup/outer/memory.max", "max\n");
  EXPECT_EQ(UsableMemory(root.path()), uint64_t{64} << 20);
}

TEST(Machine, DescriptorsAreRaisedToTheHardLimit) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(RaiseDescriptorLimit(), limit.rlim_max);
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, limit.rlim_max);
}

// In a process of its own: the sanitizers look at other threads by ptrace, which it forbids.
TEST(Machine, NoCoreIsEverDumped) {
  EXPECT_EXIT(
      {
        ForbidCoreDumps();
        rlimit limit{};
        bool none = getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0;
        _exit(none && prctl(PR_GET_DUMPABLE) == 0 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(Machine, TheProcessKnowsWhatItTakes) {
  ProcessUsage usage = ReadProcessUsage();
  EXPECT_GT(usage.resident_bytes, 100'000U);
  EXPECT_GE(usage.open_descriptors, 3U);
  EXPECT_GE(usage.cpu_seconds, 0);
}

}  // namespace
}  // namespace relay
