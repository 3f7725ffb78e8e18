// SPDX-License-Identifier: MIT
#include "admin/alert_states.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace relay {
namespace {

AlertStates StatesOf(StateBell& bell) {
  return AlertStates(bell, [](std::string_view name) { return name == "ops"; });
}

TEST(AlertStatesTest, GiveBackWhatWasToldOnce) {
  StateBell bell;
  AlertStates before = StatesOf(bell);
  AlertBook::Kept kept{.id = "limited account claude/max (opus)",
                       .event = AlertEvent::kLimited,
                       .thing = "account claude/max",
                       .subject = "account claude/max (opus)",
                       .told_at = WallTime(std::chrono::seconds(1'790'000'000)),
                       .told = true,
                       .percent = 80};
  before.Put("ops", {{kept.id, kept}, {"store", std::nullopt}});
  EXPECT_TRUE(bell.Take());
  std::vector<StateBlob> blobs;
  before.TakeChanged(blobs);
  ASSERT_EQ(blobs.size(), 2U);
  EXPECT_EQ(blobs[1].id, "ops/store");
  EXPECT_EQ(blobs[1].value, "") << "forgotten";
  blobs.pop_back();
  std::vector<StateBlob> more;
  before.TakeChanged(more);
  EXPECT_TRUE(more.empty());

  AlertStates after = StatesOf(bell);
  EXPECT_TRUE(after.Restore(blobs).empty());
  EXPECT_TRUE(after.TakeRestored("another").empty());
  std::vector<AlertBook::Kept> restored = after.TakeRestored("ops");
  ASSERT_EQ(restored.size(), 1U);
  EXPECT_EQ(restored[0].id, kept.id);
  EXPECT_EQ(restored[0].event, kept.event);
  EXPECT_EQ(restored[0].thing, kept.thing);
  EXPECT_EQ(restored[0].subject, kept.subject);
  EXPECT_EQ(restored[0].told_at, kept.told_at);
  EXPECT_TRUE(restored[0].told);
  EXPECT_EQ(restored[0].percent, 80);
  EXPECT_TRUE(after.TakeRestored("ops").empty());
}

TEST(AlertStatesTest, OfWhatIsGoneOrDamagedAreDropped) {
  StateBell bell;
  AlertStates states = StatesOf(bell);
  const std::string good = R"({"event":"store","at":1})";
  std::vector<StateBlob> blobs = {{"alert", "gone/store", good},
                                  {"alert", "ops", good},
                                  {"alert", "ops/store", R"({"event":"unheard-of"})"},
                                  {"alert", "ops/journal", "nonsense"}};
  EXPECT_EQ(states.Restore(blobs).size(), 4U);
  EXPECT_TRUE(states.TakeRestored("ops").empty());
}

}  // namespace
}  // namespace relay
