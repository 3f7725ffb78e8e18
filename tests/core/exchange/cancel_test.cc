// SPDX-License-Identifier: MIT
// Whatever step an exchange is cut at: nothing leaks, and every filter that was entered is finished
// exactly once.
#include <gtest/gtest.h>

#include "tests/core/exchange/story_world.h"
#include "tests/support/cancel_everywhere.h"

namespace relay {
namespace {

const std::string kEvents =
    "event: message_start\ndata: {\"type\":\"message_start\"}\n\n"
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

TEST(Cancel, LeaksNothingAndFinishesOnceWhereverItIsCut) {
  for (Cut cut : {Cut::kClientGone, Cut::kAborted}) {
    for (bool streams : {false, true}) {
      CancelSceneOf<StoryWorld> scene;
      scene.begin = [&] {
        auto world = std::make_unique<StoryWorld>(
            "claude", std::vector<Act>{Act::kWait, Act::kReadBody, Act::kPass, Act::kWait});
        world->upstream.reply = ScriptedUpstream::Json(200, "{}");
        if (streams) {
          world->upstream.reply =
              ScriptedUpstream::EventStream() + ScriptedUpstream::Piece(kEvents) + "0\r\n\r\n";
        }
        world->Begin(
            StoryWorld::Request("POST /api/v1/messages", {},
                                streams ? R"({"model":"m","stream":true})" : R"({"model":"m"})"));
        world->line().cut = [](size_t waiting) { return std::min<size_t>(waiting, 9); };
        return world;
      };
      // Each wait of a filter ends sometime, between two steps.
      scene.on_step = [](StoryWorld& world, int step) {
        if (step % 20 == 19) world.clock.Advance(kScribeWaits);
      };
      scene.check = [](StoryWorld& world) {
        // Nothing goes to the vendor before the last filter has said yes, and nothing stays there.
        for (const auto& call : world.upstream.calls) {
          EXPECT_EQ(world.visits.back().entered, 1);
          EXPECT_TRUE(call->answered || call->vendor->ended);
        }
      };
      EXPECT_GT(CancelEverywhere(scene, cut), 40);
    }
  }
}

}  // namespace
}  // namespace relay
