// SPDX-License-Identifier: MIT
#include "core/store/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace relay {
namespace {

// RFC 3720 B.4, and the usual check value.
TEST(Crc32c, GivesTheSumsOfTheStandard) {
  EXPECT_EQ(Crc32c(""), 0U);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  std::string rising;
  for (char c = 0; c < 32; ++c) rising += c;
  EXPECT_EQ(Crc32c(rising), 0x46dd794eU);
}

TEST(Crc32c, IsTheSameWithAndWithoutTheProcessorsInstruction) {
  std::string text;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(Crc32c(text), Crc32cByTables(text)) << i;
    text += static_cast<char>(i * 89);
  }
}

TEST(Crc32c, SeesEveryFlippedBit) {
  std::string text = "a line of nineteen.";
  uint32_t sum = Crc32c(text);
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string other = text;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_NE(Crc32c(other), sum) << bit;
  }
}

}  // namespace
}  // namespace relay
