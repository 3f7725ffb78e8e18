// SPDX-License-Identifier: MIT
// Compressed answers into the side reader's decoder: the bounds hold whatever comes, pieces and
// room do not matter, and what zlib itself decodes is decoded to the same.
#include <zlib.h>

#include <array>

#include "tests/fuzz/fuzz.h"
#include "upstreams/inflate.h"

namespace relay {
namespace {

struct Decoded {
  std::string text;
  bool failed = false;
};

Decoded Run(std::string_view encoding, const CutText& pieces, size_t room_size) {
  std::unique_ptr<Inflater> inflater = Inflater::Make(encoding);
  Check(inflater != nullptr, "an encoding that is read");
  Decoded decoded;
  std::vector<char> room(room_size);
  uint64_t fed = 0;
  for (std::string_view piece : pieces) {
    fed += piece.size();
    std::string_view in = piece;
    while (size_t given = inflater->Next(in, room)) {
      Check(given <= room.size(), "more than there is room for");
      decoded.text.append(room.data(), given);
      uint64_t most = std::max(Inflater::kFreeOutput, Inflater::kMostRatio * (fed + 1));
      Check(decoded.text.size() <= most + room.size(), "more output than its bound");
    }
    Check(in.empty(), "input is left");
  }
  decoded.failed = inflater->failed();
  return decoded;
}

// One gzip member or zlib stream that is all of `input`, as zlib reads it.
bool Reference(std::string_view input, int window, std::string& text) {
  z_stream stream{};
  Check(inflateInit2(&stream, window) == Z_OK, "zlib begins");
  std::string copy(input);
  stream.next_in = reinterpret_cast<Bytef*>(copy.data());
  stream.avail_in = static_cast<uInt>(copy.size());
  std::array<char, 4096> room{};
  int result = Z_OK;
  while (result == Z_OK && text.size() <= Inflater::kFreeOutput) {
    stream.next_out = reinterpret_cast<Bytef*>(room.data());
    stream.avail_out = static_cast<uInt>(room.size());
    result = inflate(&stream, Z_NO_FLUSH);
    text.append(room.data(), room.size() - stream.avail_out);
  }
  bool whole = result == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  return whole && text.size() <= Inflater::kFreeOutput;
}

}  // namespace

void Fuzz(std::string_view input) {
  for (std::string_view encoding : {"gzip", "deflate"}) {
    Decoded whole = Run(encoding, {input}, 4096);
    for (int way = 1; way < kCuts; ++way) {
      for (size_t room : {size_t{1}, size_t{61}, size_t{8192}}) {
        if (room == 1 && whole.text.size() > 10'000) continue;  // slow, and nothing new
        Decoded other = Run(encoding, Cut(input, way), room);
        // What is over the bounds is given up at a place that depends on the room.
        if (whole.text.size() > Inflater::kFreeOutput) continue;
        Check(other.text == whole.text, "the pieces matter");
        Check(other.failed == whole.failed, "the pieces matter to its end");
      }
    }
    std::string text;
    bool zlib = !input.empty() && (static_cast<unsigned char>(input.front()) & 0xf) == Z_DEFLATED;
    int window = encoding == "gzip" ? 16 + MAX_WBITS : zlib ? MAX_WBITS : -MAX_WBITS;
    if (!Reference(input, window, text)) continue;
    Check(!whole.failed && whole.text == text, "zlib decodes it to another text");
  }
}

}  // namespace relay
