// SPDX-License-Identifier: MIT
#include "admin/file_watch.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/admin/temporary_folder.h"

namespace relay {
namespace {

struct Watched {
  explicit Watched(const std::vector<std::string>& files) { EXPECT_TRUE(watch.Set(files)); }
  // What the kernel has to tell comes in, and the quiet passes. How often was a change told?
  int Settle() {
    int before = told;
    loop.Turn();
    clock.Advance(FileWatch::kQuiet + TimerWheel::kTick);
    loop.Turn();
    return told - before;
  }

  ManualClock clock;
  Loop loop{clock};
  int told = 0;
  FileWatch watch{loop, [this] {
                    ++told;
                    watch.Note();
                  }};
};

TEST(FileWatch, TellsOfAWriteOnceItIsQuiet) {
  TemporaryFolder temp;
  Watched watched({temp.Write("relay.yaml", "one")});
  temp.Write("relay.yaml", "two");
  watched.loop.Turn();
  watched.clock.Advance(FileWatch::kQuiet / 2);
  temp.Write("relay.yaml", "three");
  watched.loop.Turn();
  watched.clock.Advance(FileWatch::kQuiet / 2 + TimerWheel::kTick);
  watched.loop.Turn();
  EXPECT_EQ(watched.told, 0) << "it was written a moment ago";
  EXPECT_EQ(watched.Settle(), 1);
  EXPECT_EQ(watched.Settle(), 0);
}

TEST(FileWatch, TellsInAFolderThatIsNeverQuiet) {
  TemporaryFolder temp;
  Watched watched({temp.Write("relay.yaml", "one")});
  temp.Write("relay.yaml", "two");
  Duration passed{};
  for (; watched.told == 0 && passed < FileWatch::kLongest * 2; passed += FileWatch::kQuiet / 2) {
    temp.Write("access.log", "a line");
    watched.loop.Turn();
    watched.clock.Advance(FileWatch::kQuiet / 2);
    watched.loop.Turn();
  }
  EXPECT_EQ(watched.told, 1);
  EXPECT_GE(passed, FileWatch::kLongest - FileWatch::kQuiet);
  watched.Settle();
  EXPECT_EQ(watched.told, 1);
}

TEST(FileWatch, TellsOfAnEditorsRename) {
  TemporaryFolder temp;
  Watched watched({temp.Write("relay.yaml", "one")});
  for (const char* text : {"two", "three"}) {
    std::string fresh = temp.Write(".relay.yaml.swp", text);
    std::filesystem::rename(fresh, temp.File("relay.yaml"));
    EXPECT_EQ(watched.Settle(), 1);
  }
}

TEST(FileWatch, TellsOfTheSwapOfALinkAsInAKubernetesVolume) {
  TemporaryFolder temp;
  temp.Write("..1/relay.yaml", "one");
  temp.Write("..2/relay.yaml", "two!");
  std::filesystem::create_symlink("..1", temp.File("..data"));
  std::filesystem::create_symlink("..data/relay.yaml", temp.File("relay.yaml"));
  Watched watched({temp.File("relay.yaml")});
  std::filesystem::create_symlink("..2", temp.File("..data_tmp"));
  std::filesystem::rename(temp.File("..data_tmp"), temp.File("..data"));
  EXPECT_EQ(watched.Settle(), 1);
}

TEST(FileWatch, TellsOfAChangeWhereALinkLeads) {
  TemporaryFolder temp;
  TemporaryFolder elsewhere;
  elsewhere.Write("real.yaml", "one");
  std::filesystem::create_symlink(elsewhere.File("real.yaml"), temp.File("relay.yaml"));
  Watched watched({temp.File("relay.yaml")});
  elsewhere.Write("real.yaml", "two!");
  EXPECT_EQ(watched.Settle(), 1);
}

TEST(FileWatch, SaysNothingOfOtherFiles) {
  TemporaryFolder temp;
  Watched watched({temp.Write("relay.yaml", "one")});
  temp.Write("relay.log", "a line");
  temp.Write("data/relay.db", "a row");
  EXPECT_EQ(watched.Settle(), 0);
}

TEST(FileWatch, SaysNothingOfWhatIsKnown) {
  TemporaryFolder temp;
  Watched watched({temp.Write("relay.yaml", "one")});
  temp.Write("relay.yaml", "two!");
  watched.watch.Note();
  EXPECT_EQ(watched.Settle(), 0);
}

TEST(FileWatch, TellsOfAFileThatGoesAndComes) {
  TemporaryFolder temp;
  Watched watched({temp.Write("relay.yaml", "one")});
  std::filesystem::remove(temp.File("relay.yaml"));
  EXPECT_EQ(watched.Settle(), 1);
  temp.Write("relay.yaml", "two!");
  EXPECT_EQ(watched.Settle(), 1);
}

TEST(FileWatch, AChangeWhileTheFilesAreSetIsNotLost) {
  TemporaryFolder temp;
  std::vector<std::string> files = {temp.Write("relay.yaml", "one")};
  Watched watched(files);
  temp.Write("relay.yaml", "two!");
  files.push_back(temp.Write("key.txt", "secret"));
  EXPECT_TRUE(watched.watch.Set(files));
  EXPECT_EQ(watched.Settle(), 1);
  temp.Write("key.txt", "another");
  EXPECT_EQ(watched.Settle(), 1);
  EXPECT_TRUE(watched.watch.Set({temp.File("relay.yaml")}));
  temp.Write("key.txt", "a third");
  EXPECT_EQ(watched.Settle(), 0) << "it is not one of them any more";
}

TEST(FileWatch, SaysWhichFolderCannotBeWatched) {
  TemporaryFolder temp;
  ManualClock clock;
  Loop loop(clock);
  FileWatch watch(loop, [] {});
  Result<Unit> set = watch.Set({temp.File("no-such-folder/relay.yaml")});
  ASSERT_FALSE(set);
  EXPECT_NE(set.error().what.find("no-such-folder cannot be watched: no such file"),
            std::string::npos)
      << set.error().what;
}

}  // namespace
}  // namespace relay
