// SPDX-License-Identifier: MIT
// What becomes of a request whose body finds no room in memory: the wait, seen from the client.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/core/exchange/story_world.h"
#include "tests/support/cancel_everywhere.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::string_view kMessages = "POST /api/v1/messages";
constexpr std::string_view kBody = R"({"model":"m"})";

const char kSomebody = 's';

// Somebody else's bodies take all the memory but so much.
std::unique_ptr<StoryWorld> FullWorld(size_t left = 0) {
  auto world = std::make_unique<StoryWorld>("claude", std::vector<Act>{Act::kPass, Act::kReadBody});
  EXPECT_TRUE(world->bodies.TryTake(&kSomebody, world->bodies.bound() - left));
  return world;
}
void Free(StoryWorld& world, size_t left = 0) {
  world.bodies.Give(&kSomebody, world.bodies.bound() - left);
}

TEST(BodyRoom, ARequestWaitsForRoomAndIsServedThen) {
  std::unique_ptr<StoryWorld> world = FullWorld();
  world->Ask(kMessages, {}, kBody);
  EXPECT_EQ(world->client().text, "");
  EXPECT_EQ(world->bodies.waiting(), 1U);
  Free(*world);
  world->Run();
  EXPECT_EQ(world->status(), 200);
  EXPECT_EQ(world->bodies.used(), 0U);
}

TEST(BodyRoom, AfterTenSecondsItIsTold503AndWhenToComeBack) {
  std::unique_ptr<StoryWorld> world = FullWorld();
  world->Ask(kMessages, {}, kBody);
  world->Advance(9s);
  EXPECT_EQ(world->client().text, "");
  world->Advance(2s);
  EXPECT_EQ(world->status(), 503);
  EXPECT_THAT(world->answer_head(), HasSubstr("retry-after: 1"));
  EXPECT_THAT(world->answer_body(), HasSubstr("overloaded_error"));
  EXPECT_EQ(world->bodies.waiting(), 0U);
}

TEST(BodyRoom, AChunkedBodyWaitsBetweenItsPieces) {
  std::unique_ptr<StoryWorld> world = FullWorld(10);
  world->Begin(StoryWorld::Request(kMessages, {"Transfer-Encoding: chunked"}) +
               ScriptedUpstream::Piece(kBody.substr(0, 9)));
  world->Run();
  EXPECT_EQ(world->bodies.waiting(), 0U);
  world->client().Send(ScriptedUpstream::Piece(kBody.substr(9)) + "0\r\n\r\n");
  world->Run();
  EXPECT_EQ(world->bodies.waiting(), 1U);
  // What the client is kept waiting for is not charged to it.
  world->Advance(9s);
  EXPECT_EQ(world->client().text, "");
  Free(*world, 10);
  world->Run();
  EXPECT_EQ(world->status(), 200);
  EXPECT_EQ(world->upstream.sent_body(), kBody);
}

TEST(BodyRoom, WhatIsOnlyAnnouncedTakesNoRoomFromOthers) {
  std::unique_ptr<StoryWorld> world = FullWorld(10);
  world->Ask(kMessages, {"Content-Length: 1000"});
  EXPECT_EQ(world->bodies.used(), world->bodies.bound() - 10);
  EXPECT_EQ(world->bodies.waiting(), 0U);
  world->client().Send(kBody.substr(0, 7));
  world->Run();
  EXPECT_EQ(world->bodies.used(), world->bodies.bound() - 3);
  world->client().Send(kBody.substr(7));
  world->Run();
  EXPECT_EQ(world->bodies.waiting(), 1U);
}

TEST(BodyRoom, ABodyThatNeverFitsIsTold413AtOnce) {
  std::unique_ptr<StoryWorld> world = FullWorld();
  world->Ask(kMessages, {"Content-Length: " + std::to_string(world->bodies.bound() + 1)});
  EXPECT_EQ(world->status(), 413);
  EXPECT_THAT(world->answer_body(), HasSubstr("larger than all memory for bodies"));
}

TEST(BodyRoom, LeavesTheQueueWhereverItIsCut) {
  for (Cut cut : {Cut::kClientGone, Cut::kAborted}) {
    CancelSceneOf<StoryWorld> scene;
    bool full = false;
    auto free = [&full](StoryWorld& world) {
      if (std::exchange(full, false)) Free(world);
    };
    scene.begin = [&full] {
      std::unique_ptr<StoryWorld> world = FullWorld();
      full = true;
      world->Begin(StoryWorld::Request(kMessages, {}, kBody));
      return world;
    };
    scene.on_step = [&](StoryWorld& world, int step) {
      if (step == 20) free(world);
    };
    scene.after_cut = free;
    scene.check = [](StoryWorld& world) { EXPECT_EQ(world.bodies.waiting(), 0U); };
    EXPECT_GT(CancelEverywhere(scene, cut), 20);
  }
}

}  // namespace
}  // namespace relay
