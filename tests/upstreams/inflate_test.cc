// SPDX-License-Identifier: MIT
#include "upstreams/inflate.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/upstreams/deflate.h"

namespace relay {
namespace {

// Decodes what comes in pieces of `size`, in portions of at most `portion`.
std::string Decode(Inflater& inflater, std::string_view packed, size_t size, size_t portion) {
  std::string out;
  std::string room(portion, '\0');
  for (size_t at = 0; at < packed.size(); at += size) {
    std::string_view piece = packed.substr(at, size);
    while (size_t given = inflater.Next(piece, room)) out.append(room, 0, given);
    EXPECT_TRUE(piece.empty());
  }
  return out;
}

std::string Sample() {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "event " + std::to_string(i * 7919) + "\n";
  return text;
}

TEST(Inflater, DecodesEachFormInPiecesOfAnySize) {
  std::string text = Sample();
  for (auto [encoding, packing] : {std::pair{"gzip", Packing::kGzip},
                                   {"X-GZIP", Packing::kGzip},
                                   {"identity, gzip", Packing::kGzip},
                                   {"deflate", Packing::kZlib},
                                   {"deflate", Packing::kRaw}}) {
    std::string packed = Deflate(text, packing);
    for (size_t size : {size_t{1}, size_t{2}, size_t{7}, size_t{1000}, packed.size()}) {
      for (size_t portion : {size_t{5}, size_t{16384}}) {
        std::unique_ptr<Inflater> inflater = Inflater::Make(encoding);
        ASSERT_NE(inflater, nullptr) << encoding;
        EXPECT_EQ(Decode(*inflater, packed, size, portion), text) << encoding << size;
        EXPECT_FALSE(inflater->failed());
      }
    }
  }
}

TEST(Inflater, GivesWhatWasFlushedAtOnce) {
  Deflater deflater(Packing::kGzip);
  std::unique_ptr<Inflater> inflater = Inflater::Make("gzip");
  for (std::string text : {"data: one\n\n", "data: two\n\n"}) {
    EXPECT_EQ(Decode(*inflater, deflater.Add(text), 3, 4096), text);
  }
}

TEST(Inflater, DecodesSeveralGzipMembers) {
  std::unique_ptr<Inflater> inflater = Inflater::Make("gzip");
  std::string packed = Deflate("one,", Packing::kGzip) + Deflate("two", Packing::kGzip);
  EXPECT_EQ(Decode(*inflater, packed, 1, 100), "one,two");
  EXPECT_FALSE(inflater->failed());
}

TEST(Inflater, IsNotMadeForWhatItCannotRead) {
  for (std::string_view encoding :
       {"br", "zstd", "gzip, br", "gzip, gzip", "compress", "", "identity"}) {
    EXPECT_EQ(Inflater::Make(encoding), nullptr) << encoding;
  }
}

TEST(Inflater, FailsForGoodOnWrongData) {
  std::string packed = Deflate(Sample(), Packing::kGzip);
  packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ 0x55);
  std::unique_ptr<Inflater> inflater = Inflater::Make("gzip");
  Decode(*inflater, packed, 100, 4096);
  EXPECT_TRUE(inflater->failed());
  EXPECT_EQ(Decode(*inflater, Deflate("x", Packing::kGzip), 100, 4096), "");
  inflater = Inflater::Make("gzip");
  Decode(*inflater, "{\"plain\":1}", 100, 4096);
  EXPECT_TRUE(inflater->failed());
  inflater = Inflater::Make("deflate");
  Decode(*inflater, Deflate("x", Packing::kZlib) + "trailing", 100, 4096);
  EXPECT_TRUE(inflater->failed());
}

TEST(Inflater, GivesUpOnWhatGrowsOverTheBounds) {
  std::string packed = Deflate(std::string(64 << 20, ' '), Packing::kGzip);
  ASSERT_LT(packed.size(), 100'000U);
  std::unique_ptr<Inflater> inflater = Inflater::Make("gzip");
  std::string out = Decode(*inflater, packed, 1000, 16384);
  EXPECT_TRUE(inflater->failed());
  EXPECT_GT(out.size(), Inflater::kFreeOutput);
  EXPECT_LT(out.size(), Inflater::kFreeOutput * 4);
}

}  // namespace
}  // namespace relay
