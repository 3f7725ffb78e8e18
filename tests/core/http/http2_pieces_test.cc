// SPDX-License-Identifier: MIT
// Frames that come in the smallest pieces: what the fuzz targets found.
#include <gtest/gtest.h>

#include "tests/core/http/http2_peer.h"

namespace relay::h2 {
namespace {

TEST(Http2Pieces, AHeadInSixFramesMayComeByteByByte) {
  Lines lines = Request("GET", "/a", {{"x-last", "1"}});
  std::string bytes = std::string(kPreface) + Settings();
  for (size_t i = 0; i < lines.size() - 1; ++i) {
    bytes += Frame(i == 0 ? 1 : 9, i == 0 ? kEnd : 0, 1, Block({lines[i]}));
  }
  bytes += Frame(9, 0, 1, "") + Frame(9, kEndHeaders, 1, Block({lines.back()}));
  std::unique_ptr<Codec> codec = MakeHttp2Server(CodecLimits());
  Record record;
  for (std::string_view piece : Pieces(bytes, 1)) {
    Result<Unit> read = codec->Receive(ExactChunk(piece), record);
    ASSERT_TRUE(read) << read.error().what;
  }
  EXPECT_EQ(record.Text(), "GET /a end");
  ASSERT_TRUE(record.messages.front().head);
  EXPECT_EQ(record.messages.front().head->Get("x-last"), "1");
}

}  // namespace
}  // namespace relay::h2
