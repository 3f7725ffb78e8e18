// SPDX-License-Identifier: MIT
#include "core/exchange/body.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace relay {
namespace {

TEST(Body, IsWhatWasAppendedInOnePiece) {
  Body body;
  EXPECT_EQ(body.view(), "");
  EXPECT_TRUE(body.chunk().empty());
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    std::string piece(static_cast<size_t>(i), static_cast<char>('a' + i % 26));
    body.Append(piece);
    all += piece;
  }
  EXPECT_EQ(body.view(), all);
  EXPECT_EQ(body.size(), all.size());
}

TEST(Body, AReservedOneDoesNotMove) {
  Body body;
  body.Reserve(1 << 20);
  body.Append("x");
  const char* at = body.view().data();
  body.Append(std::string((1 << 20) - 1, 'y'));
  EXPECT_EQ(body.view().data(), at);
}

TEST(Body, ItsChunkOutlivesIt) {
  Chunk chunk;
  {
    Body body;
    body.Append("kept");
    chunk = body.chunk();
    body.Clear();
    EXPECT_EQ(body.size(), 0U);
  }
  EXPECT_EQ(chunk.view(), "kept");
}

TEST(BodyBudget, TakesUpToItsBoundAndNotAByteMore) {
  BodyBudget budget(100);
  EXPECT_TRUE(budget.Take(60));
  EXPECT_FALSE(budget.Take(41));
  EXPECT_EQ(budget.used(), 60U);
  EXPECT_TRUE(budget.Take(40));
  EXPECT_FALSE(budget.Take(1));
  budget.Give(100);
  EXPECT_EQ(budget.used(), 0U);
  EXPECT_TRUE(budget.Take(100));
}

TEST(BodyBudget, HoldsItsBoundOverThreads) {
  constexpr size_t kBound = 1000;
  BodyBudget budget(kBound);
  std::vector<std::thread> threads;
  std::atomic<bool> over{false};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) {
        if (!budget.Take(300)) continue;
        if (budget.used() > kBound + 3 * 300) over = true;  // others' refused tries pass by
        budget.Give(300);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(over);
  EXPECT_EQ(budget.used(), 0U);
}

}  // namespace
}  // namespace relay
