// SPDX-License-Identifier: MIT
// Heads of HTTP/1 messages: the strict scan (RFC 9112 §3 to §5), and the one decision how a
// body is framed (§6.3). Both sides use it; nothing ambiguous passes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/buffer.h"
#include "core/base/error.h"
#include "core/http/message.h"

namespace relay {

// How the body after a head ends.
enum class Framing : uint8_t { kNone, kLength, kChunked, kUntilClose };

struct HeadBounds {
  uint32_t line_bytes;  // the first line, without its CRLF
  uint32_t head_bytes;  // all of it, with the empty line
  uint32_t fields;
};

// A head, and what follows it.
struct ScannedHead {
  Head head;
  Framing framing = Framing::kNone;
  uint64_t length = 0;  // with kLength
};

// Scans one head after another, each in pieces as they come. A head that lies within one piece is
// read from there; only what is cut is collected. After a fault nothing more may be fed.
//
// A connection has one only while a head comes: `Borrow` takes the thread's, which most often is
// free, and gives it back when the pointer dies.
class HeadScan {
 public:
  enum class Kind : uint8_t { kRequest, kAnswer };
  struct GiveBack {
    void operator()(HeadScan* scan) const;
  };
  using Borrowed = std::unique_ptr<HeadScan, GiveBack>;
  static Borrowed Borrow(Kind kind, const HeadBounds& bounds);

  HeadScan(Kind kind, const HeadBounds& bounds) : kind_(kind), bounds_(bounds) {}

  // Takes from the front of `bytes` what belongs to the head. True: the head is complete, and
  // take it by one of the next two before more is fed. False: all of `bytes` was taken and more is
  // needed. The fault and its place do not depend on how the bytes were cut.
  Result<bool> Feed(Chunk& bytes);
  // The request: target in origin form, authority from an absolute target or Host.
  Result<ScannedHead> TakeRequest();
  // The answer to a request, to HEAD if `to_head`.
  Result<ScannedHead> TakeAnswer(bool to_head);

  // Forgets what was fed, as after a head was taken.
  void StartOver();
  // Some of a head was fed, and it is not complete.
  bool started() const { return !partial_.empty(); }
  // Of the present head, once its first line was read; also after a fault.
  bool is_head_request() const { return method_ == "HEAD"; }
  Version version() const { return version_; }

 private:
  struct Span {
    uint32_t at = 0;
    uint32_t size = 0;
  };
  struct FieldSpan {
    Span name;
    Span value;
  };

  // Scans complete lines of `bytes`, which begin where the head does. True at the head's end.
  Result<bool> Scan(std::string_view bytes);
  Result<Unit> CheckBounds(size_t reached) const;
  Result<Unit> ReadRequestLine(std::string_view line);
  Result<Unit> ReadStatusLine(std::string_view line);
  Result<Unit> ReadField(std::string_view line);
  // Remembers what framing, host and the connection's life depend on.
  Result<Unit> Note(std::string_view name, std::string_view value);
  Result<Unit> DecideFraming(ScannedHead& scanned) const;
  Result<Unit> SetTarget(Head& head) const;
  // Forgets empty lines before the first, so that started() is about a head.
  void DropEmptyLines();
  void CopyInto(Head& head);
  std::string_view View(Span span) const { return bytes_.substr(span.at, span.size); }
  Span SpanOf(std::string_view part) const {
    return {static_cast<uint32_t>(part.data() - bytes_.data()), static_cast<uint32_t>(part.size())};
  }
  std::unexpected<Error> Malformed(std::string_view what) const;

  Kind kind_;
  HeadBounds bounds_;

  // The bytes of this head: the piece that is being fed, or partial_.
  std::string_view bytes_;
  Chunk piece_;  // keeps a complete head until it is taken
  std::string partial_;
  size_t begin_ = 0;     // of the first line that is not empty
  size_t line_ = 0;      // begin of the line that is not complete
  size_t searched_ = 0;  // no line end before this
  size_t end_ = 0;
  uint8_t empty_lines_ = 0;
  bool first_line_read_ = false;

  std::string_view method_;  // of the table of methods, or empty
  Span target_;
  int status_ = 0;
  Version version_ = Version::kHttp11;
  std::vector<FieldSpan> fields_;
  Span host_;
  uint64_t length_ = 0;
  uint8_t hosts_ = 0;
  uint8_t lengths_ = 0;
  uint8_t encodings_ = 0;
  bool chunked_ = false;
  bool close_ = false;
  bool continue_ = false;
  bool expectation_ = false;  // one that nobody can meet
};

}  // namespace relay
