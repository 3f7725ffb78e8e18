// SPDX-License-Identifier: MIT
// Packs texts, for the tests of what reads packed answers.
#pragma once

#include <zlib.h>

#include <string>
#include <string_view>

namespace relay {

enum class Packing { kGzip, kZlib, kRaw };

class Deflater {
 public:
  explicit Deflater(Packing packing) {
    int window = packing == Packing::kGzip   ? 16 + MAX_WBITS
                 : packing == Packing::kZlib ? MAX_WBITS
                                             : -MAX_WBITS;
    deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY);
  }
  ~Deflater() { deflateEnd(&stream_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  // All of it can be decoded from what is returned so far.
  std::string Add(std::string_view text) { return Run(text, Z_SYNC_FLUSH); }
  std::string End(std::string_view text = {}) { return Run(text, Z_FINISH); }

 private:
  std::string Run(std::string_view text, int flush) {
    std::string out(deflateBound(&stream_, text.size()) + 64, '\0');
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream_.avail_in = static_cast<uInt>(text.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    deflate(&stream_, flush);
    out.resize(out.size() - stream_.avail_out);
    return out;
  }
  z_stream stream_{};
};

inline std::string Deflate(std::string_view text, Packing packing) {
  return Deflater(packing).End(text);
}

}  // namespace relay
