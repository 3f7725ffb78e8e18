// SPDX-License-Identifier: MIT
#include "core/store/states.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace relay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class FakeOwner final : public StateOwner {
 public:
  explicit FakeOwner(std::string kind) : kind_(std::move(kind)) {}
  std::string_view kind() const override { return kind_; }
  void TakeChanged(std::vector<StateBlob>& to) override {
    for (auto& [id, value] : std::exchange(changed, {})) to.push_back({kind_, id, value});
  }
  std::vector<std::string> Restore(const std::vector<StateBlob>& blobs) override {
    std::vector<std::string> gone;
    for (const StateBlob& blob : blobs) {
      if (blob.value == "gone") gone.push_back(blob.id);
      restored.push_back(blob.id);
    }
    return gone;
  }
  std::map<std::string, std::string> changed;
  std::vector<std::string> restored;

 private:
  const std::string kind_;
};

struct StatesTest : testing::Test {
  FakeOwner a{"a"};
  FakeOwner b{"b"};
  StateBell bell;
  StateKeeper keeper{{&a, &b}, bell};
};

TEST_F(StatesTest, GiveWhatChangedUntilItHasArrived) {
  EXPECT_FALSE(keeper.changed());
  a.changed = {{"1", "x"}};
  b.changed = {{"1", "y"}};
  bell.Ring();
  EXPECT_TRUE(keeper.changed());
  EXPECT_THAT(keeper.Take(), ElementsAre(StateBlob{"a", "1", "x"}, StateBlob{"b", "1", "y"}));
  EXPECT_TRUE(keeper.changed()) << "it may not have arrived";
  a.changed = {{"1", "z"}, {"2", ""}};
  bell.Ring();
  EXPECT_THAT(keeper.Take(), ElementsAre(StateBlob{"a", "1", "z"}, StateBlob{"a", "2", ""},
                                         StateBlob{"b", "1", "y"}));
  keeper.Arrived();
  EXPECT_FALSE(keeper.changed());
  EXPECT_THAT(keeper.Take(), IsEmpty());
}

TEST_F(StatesTest, AreGivenToTheirOwnersAndDroppedWhereNobodyNeedsThem) {
  EXPECT_THAT(keeper.kinds(), ElementsAre("a", "b"));
  keeper.Restore({{"b", "1", "x"}, {"a", "2", "gone"}, {"a", "3", "x"}});
  EXPECT_THAT(a.restored, ElementsAre("2", "3"));
  EXPECT_THAT(b.restored, ElementsAre("1"));
  EXPECT_THAT(keeper.Take(), ElementsAre(StateBlob{"a", "2", ""}));
}

TEST_F(StatesTest, WakeOnceForAllThatChangesBeforeTheyAreTaken) {
  int woken = 0;
  bell.WakeBy([&] { ++woken; });
  for (int i = 0; i < 3; ++i) bell.Ring();
  EXPECT_EQ(woken, 1);
  keeper.Take();
  bell.Ring();
  EXPECT_EQ(woken, 2);
  bell.WakeBy(nullptr);
  keeper.Take();
  bell.Ring();
  EXPECT_EQ(woken, 2);
}

}  // namespace
}  // namespace relay
