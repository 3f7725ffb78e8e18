// SPDX-License-Identifier: MIT
#include "core/metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace relay {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Metrics, WritesWhatWasCounted) {
  Metrics metrics;
  metrics.MakeCounter("relay_things_total", "Things", {{"kind", "good"}}).Add(3);
  metrics.MakeGauge("relay_level", "A level").Set(2.5);
  metrics.MakeHistogram("relay_wait_seconds", "Waits", {0.1, 1}).Observe(0.5);
  std::string text = metrics.Text(false);
  EXPECT_THAT(text, HasSubstr("# HELP relay_things_total Things\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE relay_things_total counter\n"));
  EXPECT_THAT(text, HasSubstr("relay_things_total{kind=\"good\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("relay_level 2.5\n"));
  EXPECT_THAT(text, HasSubstr("relay_wait_seconds_bucket{le=\"0.1\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("relay_wait_seconds_bucket{le=\"1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("relay_wait_seconds_count 1\n"));
}

TEST(Metrics, TheSameNameAndLabelsAreTheSameSeries) {
  Metrics metrics;
  Counter a = metrics.MakeCounter("relay_things_total", "Things", {{"kind", "x"}});
  Counter b = metrics.MakeCounter("relay_things_total", "Things", {{"kind", "x"}});
  a.Add();
  b.Add(2);
  EXPECT_THAT(metrics.Text(false), HasSubstr("relay_things_total{kind=\"x\"} 3\n"));
}

TEST(Metrics, NamesOfKeysAndAccountsAreForThoseWhoMaySeeThem) {
  Metrics metrics;
  metrics.MakeCounter("relay_a_total", "A", {{"key", "alice"}}).Add();
  metrics.MakeCounter("relay_b_total", "B", {{"account", "claude/team"}}).Add();
  metrics.MakeCounter("relay_b_total", "B", {{"route", "claude"}}).Add();
  std::string open = metrics.Text(false);
  EXPECT_THAT(open, Not(HasSubstr("alice")));
  EXPECT_THAT(open, Not(HasSubstr("relay_a_total")));
  EXPECT_THAT(open, Not(HasSubstr("team")));
  EXPECT_THAT(open, HasSubstr("relay_b_total{route=\"claude\"} 1\n"));
  std::string all = metrics.Text(true);
  EXPECT_THAT(all, HasSubstr("relay_a_total{key=\"alice\"} 1\n"));
  EXPECT_THAT(all, HasSubstr("relay_b_total{account=\"claude/team\"} 1\n"));
}

TEST(Metrics, CountsFromSeveralThreadsWithoutLoss) {
  Metrics metrics;
  Counter counter = metrics.MakeCounter("relay_things_total", "Things");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      Counter mine = counter;
      for (int i = 0; i < 10'000; ++i) mine.Add();
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(metrics.Text(false), HasSubstr("relay_things_total 40000\n"));
}

}  // namespace
}  // namespace relay
