// SPDX-License-Identifier: MIT
#include "core/http/http1_writer.h"

#include <array>
#include <charconv>
#include <string>
#include <utility>

#include "core/base/text.h"
#include "core/http/http1_syntax.h"

namespace relay {
namespace {

// Text that goes out is built here first: one buffer a thread, since heads are written at once.
std::string& Scratch() {
  thread_local std::string scratch;
  scratch.clear();
  return scratch;
}

// RFC 9110 §7.6.1: hop-by-hop fields and those that frame the body are the codec's own.
bool IsOwn(std::string_view name) {
  return IsHopByHop(name) || EqualsIgnoreCase(name, "content-length");
}

// Grows once: a head has many of these.
void AppendField(std::string& to, std::string_view name, std::string_view value) {
  AppendFilled(to, name.size() + value.size() + 4,
               [&](char* at) { Put(Put(Put(Put(at, name), ": "), value), "\r\n"); });
}

void AppendFields(std::string& to, const Head& head, bool request) {
  for (const Field& field : head.fields) {
    if (IsOwn(field.name)) continue;
    if (request && (EqualsIgnoreCase(field.name, "host") || EqualsIgnoreCase(field.name, "expect")))
      continue;
    // A line break in what a filter or HTTP/2 brought would begin a head of its own.
    if (!IsToken(field.name) || !IsFieldValue(field.value)) continue;
    AppendField(to, field.name, field.value);
  }
}

void AppendAnnouncement(std::string& to, const Announcement& announced) {
  if (announced.framing == Framing::kChunked) to.append("Transfer-Encoding: chunked\r\n");
  if (announced.framing == Framing::kLength || announced.say_length) {
    AppendField(to, "Content-Length", std::to_string(announced.length));
  }
  if (announced.close) to.append("Connection: close\r\n");
  to.append("\r\n");
}

}  // namespace

void WriteAnswerHead(const Head& head, const Announcement& announced, Buffer& to) {
  std::string& text = Scratch();
  text.append("HTTP/1.1 ").append(std::to_string(head.status)).append(" ");
  text.append(ReasonPhrase(head.status)).append("\r\n");
  AppendFields(text, head, /*request=*/false);
  AppendAnnouncement(text, announced);
  to.AppendCopy(text);
}

void WriteRequestHead(const Head& head, const Announcement& announced, Buffer& to) {
  std::string& text = Scratch();
  text.append(head.method).append(" ").append(head.target).append(" HTTP/1.1\r\n");
  AppendField(text, "Host", head.authority);
  AppendFields(text, head, /*request=*/true);
  AppendAnnouncement(text, announced);
  to.AppendCopy(text);
}

void BodyWriter::Start(Framing framing, uint64_t length) {
  framing_ = framing;
  left_ = length;
}

bool BodyWriter::Write(Buffer& body, bool end, Buffer& to) {
  switch (framing_) {
    case Framing::kNone: body.Clear(); return true;
    case Framing::kUntilClose: to.Append(body); return true;
    case Framing::kLength: {
      bool fits = body.size() <= left_;
      while (!fits && left_ > 0) {
        Chunk piece = body.Pop(static_cast<size_t>(left_));
        left_ -= piece.size();
        to.Append(std::move(piece));
      }
      if (!fits) {
        body.Clear();
        return false;
      }
      left_ -= body.size();
      to.Append(body);
      return !end || left_ == 0;
    }
    case Framing::kChunked: {
      if (body.empty()) {
        if (end) to.Append(Chunk::Static("0\r\n\r\n"));
        return true;
      }
      std::array<char, 18> line{};
      char* tail = std::to_chars(line.data(), line.data() + 16, body.size(), 16).ptr;
      *tail++ = '\r';
      *tail++ = '\n';
      to.AppendCopy({line.data(), static_cast<size_t>(tail - line.data())});
      to.Append(body);
      to.Append(Chunk::Static(end ? "\r\n0\r\n\r\n" : "\r\n"));
      return true;
    }
  }
  return true;
}

}  // namespace relay
