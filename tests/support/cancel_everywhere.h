// SPDX-License-Identifier: MIT
// Cuts an exchange short after each of its steps, one run for each, until a run comes to its own
// end first. What must hold after every cut is the test's to say.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tests/support/worker_fixture.h"

namespace relay {

// How an exchange is cut: the client breaks off, or the relay ends it from outside (a drain).
enum class Cut : uint8_t { kClientGone, kAborted };

template <class World>
struct CancelSceneOf {
  // A fresh world, its request begun.
  std::function<std::unique_ptr<World>()> begin;
  // Called before step n; makes things happen on the way (a place gets free, a clock moves).
  std::function<void(World& world, int step)> on_step = [](World&, int) {};
  // Called after the cut: lets go of what the scene holds beside the exchange.
  std::function<void(World& world)> after_cut = [](World&) {};
  // What must hold once all is over, beside what holds for every exchange.
  std::function<void(World& world)> check = [](World&) {};
};

// Returns the number of steps that were cut at, so that a test can tell that there were some.
template <class World>
int CancelEverywhere(const CancelSceneOf<World>& scene, Cut cut) {
  for (int steps = 0; steps < 10'000; ++steps) {
    SCOPED_TRACE("cut after step " + std::to_string(steps));
    std::unique_ptr<World> world = scene.begin();
    bool began = false;
    bool over = false;
    for (int i = 0; i < steps && !over; ++i) {
      scene.on_step(*world, i);
      // A move of the lines and a turn of the loop are steps of their own: a cut may come between
      // the arrival of what a coroutine waits for and its going on.
      if (i % 2 == 0) {
        world->MoveLines();
      } else {
        world->loop.Turn();
      }
      began = began || world->exchange() != nullptr;
      over = began && world->exchange() == nullptr;
    }
    if (!over && cut == Cut::kAborted && began) {
      world->exchange()->Abort(Outcome::End::kDrained,
                               Refusal{.fault = Fault::kCancelled, .message = "the relay stops"});
    } else if (!over) {
      world->HangUp();
    }
    world->Run();
    if (over) {
      EXPECT_EQ(world->status(), 200) << world->client().text;
    }
    scene.after_cut(*world);
    world->Run();
    world->ExpectNothingHeld();
    scene.check(*world);
    if (over || testing::Test::HasFailure()) return steps;
  }
  ADD_FAILURE() << "it never came to its end";
  return 0;
}

}  // namespace relay
