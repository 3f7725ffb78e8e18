// SPDX-License-Identifier: MIT
// Writes HTTP/1 messages (RFC 9112): heads out of their parsed parts, bodies with their framing.
// Payload is never copied.
#pragma once

#include <cstdint>

#include "core/base/buffer.h"
#include "core/http/http1_head.h"
#include "core/http/message.h"

namespace relay {

// What a codec decided for the head that it sends.
struct Announcement {
  Framing framing = Framing::kNone;
  uint64_t length = 0;
  bool say_length = false;  // with kNone: an empty body's, or the one that HEAD would have
  bool close = false;
};

// Writes status line or request line, the fields of `head` that do not belong to this hop or to
// framing, and the announcement.
void WriteAnswerHead(const Head& head, const Announcement& announced, Buffer& to);
void WriteRequestHead(const Head& head, const Announcement& announced, Buffer& to);

class BodyWriter {
 public:
  void Start(Framing framing, uint64_t length);
  // Moves all of `body` to `to`, framed; `end` when it is the last. False: the body is longer or,
  // at its end, shorter than announced. What is too long is dropped, and the connection must close.
  [[nodiscard]] bool Write(Buffer& body, bool end, Buffer& to);

 private:
  Framing framing_ = Framing::kNone;
  uint64_t left_ = 0;
};

}  // namespace relay
