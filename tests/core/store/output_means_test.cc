// SPDX-License-Identifier: MIT
#include "core/store/output_means.h"

#include <gtest/gtest.h>

#include <string>

namespace relay {
namespace {

TEST(OutputMeans, FollowsTheNewestAnswers) {
  OutputMeans means;
  EXPECT_EQ(means.Of(OutputMeans::IdOf("opus")), std::nullopt);
  means.Note(OutputMeans::IdOf("opus"), 100);
  means.Note(OutputMeans::IdOf("opus"), 300);
  EXPECT_EQ(means.Of(OutputMeans::IdOf("opus")), 200);
  EXPECT_EQ(means.Of(OutputMeans::IdOf("haiku")), std::nullopt);
  for (int i = 0; i < 300; ++i) means.Note(OutputMeans::IdOf("opus"), 1000);
  EXPECT_NEAR(static_cast<double>(*means.Of(OutputMeans::IdOf("opus"))), 1000, 1);
}

TEST(OutputMeans, ForgetsTheModelWithFewestAnswers) {
  OutputMeans means;
  for (size_t i = 0; i < OutputMeans::kModels; ++i) {
    std::string model = "m" + std::to_string(i);
    means.Note(OutputMeans::IdOf(model), 10);
    if (i != 3) means.Note(OutputMeans::IdOf(model), 10);
  }
  means.Note(OutputMeans::IdOf("new"), 5);
  EXPECT_EQ(means.Of(OutputMeans::IdOf("m3")), std::nullopt);
  EXPECT_EQ(means.Of(OutputMeans::IdOf("m4")), 10);
  EXPECT_EQ(means.Of(OutputMeans::IdOf("new")), 5);
}

}  // namespace
}  // namespace relay
