// SPDX-License-Identifier: MIT
#include "core/store/data_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "tests/core/store/temp_folder.h"

namespace relay {
namespace {

using ::testing::HasSubstr;
using Why = DataFolderError::Why;

TEST(DataFolder, MakesItselfAndItsParentsForItsOwnerOnly) {
  TempFolder temp;
  auto folder = DataFolder::Open(temp.File("a/b/data"));
  ASSERT_TRUE(folder.has_value()) << folder.error().what;
  struct stat status{};
  ASSERT_EQ(::stat(temp.File("a/b/data").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
  ASSERT_EQ(::stat((*folder)->File("relay.lock").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ((*folder)->File("x"), temp.File("a/b/data") + "/x");
}

TEST(DataFolder, TakesOneThatIsThereAndLeavesItsModeAlone) {
  TempFolder temp;
  ASSERT_EQ(::chmod(temp.path().c_str(), 0755), 0);
  ASSERT_TRUE(DataFolder::Open(temp.path() + "/").has_value());
  struct stat status{};
  ASSERT_EQ(::stat(temp.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0755U);
}

TEST(DataFolder, RefusesASecondHolderAndNamesTheFirst) {
  TempFolder temp;
  auto first = DataFolder::Open(temp.path());
  ASSERT_TRUE(first.has_value());
  auto second = DataFolder::Open(temp.path());
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().why, Why::kTaken);
  EXPECT_THAT(second.error().what, HasSubstr("process " + std::to_string(::getpid())));
  EXPECT_THAT(second.error().what, HasSubstr("RELAY_DATA"));
  first->reset();
  EXPECT_TRUE(DataFolder::Open(temp.path()).has_value());
}

TEST(DataFolder, IsFreeWhenItsHolderWasKilled) {
  TempFolder temp;
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe(ready.data()), 0);
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto mine = DataFolder::Open(temp.path());
    char good = mine.has_value() ? 'y' : 'n';
    [[maybe_unused]] ssize_t n = ::write(ready[1], &good, 1);
    while (true) ::pause();
  }
  char told = 0;
  ASSERT_EQ(::read(ready[0], &told, 1), 1);
  EXPECT_EQ(told, 'y');
  auto while_held = DataFolder::Open(temp.path());
  EXPECT_FALSE(while_held.has_value());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(DataFolder::Open(temp.path()).has_value());
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(DataFolder, SaysWhyItCannotBeUsed) {
  TempFolder temp;
  std::ofstream(temp.File("file")) << "no folder";
  for (const std::string& path :
       {std::string(), temp.File("file"), temp.File("file/data"), std::string("/proc/relay")}) {
    auto folder = DataFolder::Open(path);
    ASSERT_FALSE(folder.has_value()) << path;
    EXPECT_EQ(folder.error().why, Why::kUnwritable) << path;
    EXPECT_THAT(folder.error().what, HasSubstr("'" + path + "' cannot be used"));
  }
}

TEST(DataFolder, DoesNotFollowALinkInPlaceOfItsLock) {
  TempFolder temp;
  std::ofstream(temp.File("target")) << "keep";
  std::filesystem::create_symlink(temp.File("target"), temp.File("relay.lock"));
  auto folder = DataFolder::Open(temp.path());
  ASSERT_FALSE(folder.has_value());
  EXPECT_EQ(folder.error().why, Why::kUnwritable);
}

}  // namespace
}  // namespace relay
