// SPDX-License-Identifier: MIT
// What is counted of exchanges.
#include "core/exchange/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/exchange/events.h"
#include "tests/core/exchange/story_world.h"

namespace relay {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ExchangeMetrics, CountsByRouteStatusAndOutcome) {
  StoryWorld world;
  world.Ask("POST /api/v1/messages", {}, R"({"model":"m"})");
  world.Ask("POST /api/v1/messages", {}, R"({"model":"m"})");
  world.Ask("GET /api/v1/nothing");
  world.Ask("GET /nowhere");
  std::string text = world.metrics.Text(true);
  auto counts = [&](const std::string& labels, int count) {
    EXPECT_THAT(text,
                HasSubstr("relay_requests_total{" + labels + "} " + std::to_string(count) + "\n"));
  };
  counts(R"(code_class="2xx",outcome="complete",route="main")", 2);
  counts(R"(code_class="4xx",outcome="refused",route="main")", 1);
  counts(R"(code_class="4xx",outcome="refused",route="none")", 1);
  EXPECT_THAT(text, HasSubstr(R"(relay_request_duration_seconds_count{route="main"} 3)"));
}

TEST(ExchangeMetrics, CountsWhatIsInFlightAndWhoLeft) {
  StoryWorld world;
  world.BeginStream();
  EXPECT_THAT(world.metrics.Text(true), HasSubstr("relay_active_exchanges 1\n"));
  EXPECT_EQ(world.exchange_metrics.active(), 1);
  world.clock.Advance(std::chrono::seconds(3));
  world.Stream(kStart);
  world.HangUp();
  world.Run();
  std::string text = world.metrics.Text(true);
  EXPECT_THAT(text, HasSubstr("relay_active_exchanges 0\n"));
  EXPECT_THAT(text, HasSubstr("relay_client_disconnects_total 1\n"));
  EXPECT_THAT(text,
              HasSubstr(R"(relay_time_to_first_byte_seconds_bucket{route="main",le="2.5"} 0)"));
  EXPECT_THAT(text, HasSubstr(R"(relay_time_to_first_byte_seconds_bucket{route="main",le="5"} 1)"));
}

TEST(ExchangeMetrics, CountsNoAnswerAsNone) {
  StoryWorld world;
  world.BeginStream();
  world.HangUp();
  world.Run();
  EXPECT_THAT(
      world.metrics.Text(true),
      HasSubstr(R"(relay_requests_total{code_class="none",outcome="client_gone",route="main"} 1)"));
  // What did not come first has no time.
  EXPECT_THAT(world.metrics.Text(true),
              HasSubstr(R"(relay_time_to_first_byte_seconds_count{route="main"} 0)"));
}

}  // namespace
}  // namespace relay
