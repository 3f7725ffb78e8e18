// SPDX-License-Identifier: MIT
// The only file that sees zlib.
#include "upstreams/inflate.h"

#include <zlib.h>

#include <algorithm>

#include "core/http/message.h"

namespace relay {

struct Inflater::Zlib {
  z_stream stream{};
  bool open = false;
  ~Zlib() {
    if (open) inflateEnd(&stream);
  }
};

std::unique_ptr<Inflater> Inflater::Make(std::string_view encoding) {
  std::unique_ptr<Inflater> made;
  size_t codings = 0;
  ForEachToken(encoding, [&](std::string_view coding) {
    if (EqualsIgnoreCase(coding, "identity")) return;
    ++codings;
    if (EqualsIgnoreCase(coding, "gzip") || EqualsIgnoreCase(coding, "x-gzip")) {
      made.reset(new Inflater(Kind::kGzip));
    } else if (EqualsIgnoreCase(coding, "deflate")) {
      made.reset(new Inflater(Kind::kDeflate));
    }
  });
  if (codings != 1) made.reset();
  return made;
}

Inflater::Inflater(Kind kind) : zlib_(std::make_unique<Zlib>()), kind_(kind) {}
Inflater::~Inflater() = default;

bool Inflater::Begin(char first) {
  constexpr int kGzipWindow = 16 + MAX_WBITS;
  constexpr int kRawWindow = -MAX_WBITS;
  // "deflate" means the zlib format, but some send it raw. A zlib header begins with the method 8
  // in its low bits (RFC 1950 §2.2), where a raw stream would have a stored block and padding.
  bool raw = kind_ == Kind::kDeflate && (static_cast<unsigned char>(first) & 0xf) != Z_DEFLATED;
  int window = kind_ == Kind::kGzip ? kGzipWindow : raw ? kRawWindow : MAX_WBITS;
  zlib_->open = inflateInit2(&zlib_->stream, window) == Z_OK;
  return zlib_->open;
}

size_t Inflater::Next(std::string_view& in, std::span<char> room) {
  size_t given = 0;
  while (given == 0 && state_ != State::kFailed) {
    // Only a running stream may have output left that its input has led to.
    if (in.empty() && state_ != State::kRunning) return 0;
    if (state_ == State::kStart) {
      state_ = Begin(in.front()) ? State::kRunning : State::kFailed;
      continue;
    }
    z_stream& z = zlib_->stream;
    if (state_ == State::kBetween) {
      // A gzip file may have several members (RFC 1952 §2.2); nothing else has bytes behind it.
      bool next = kind_ == Kind::kGzip && inflateReset(&z) == Z_OK;
      state_ = next ? State::kRunning : State::kFailed;
      continue;
    }
    constexpr size_t kMostAtOnce = size_t{1} << 30;  // zlib counts in 32 bits
    size_t offered = std::min(in.size(), kMostAtOnce);
    size_t space = std::min(room.size(), kMostAtOnce);
    // zlib takes its input as not const but does not write to it.
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    z.avail_in = static_cast<uInt>(offered);
    z.next_out = reinterpret_cast<Bytef*>(room.data());
    z.avail_out = static_cast<uInt>(space);
    int result = inflate(&z, Z_NO_FLUSH);
    taken_ += offered - z.avail_in;
    in.remove_prefix(offered - z.avail_in);
    given = space - z.avail_out;
    given_ += given;
    if (result == Z_STREAM_END) {
      state_ = State::kBetween;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      state_ = State::kFailed;
    }
    if (given == 0 && result == Z_BUF_ERROR) break;  // it wants more
    bool dear = given_ > kFreeOutput && given_ / kMostRatio > taken_;
    if (dear || given_ > kMostOutput) state_ = State::kFailed;
  }
  if (state_ == State::kFailed) in = {};
  return given;
}

}  // namespace relay
