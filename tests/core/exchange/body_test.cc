// SPDX-License-Identifier: MIT
#include "core/exchange/body.h"

#include <gtest/gtest.h>

#include <string>

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

}  // namespace
}  // namespace relay
