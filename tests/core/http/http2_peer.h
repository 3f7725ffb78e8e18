// SPDX-License-Identifier: MIT
// What the tests of the HTTP/2 codecs share: frames by hand, the codec's output as text, and a
// record of the events by stream.
#pragma once

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/http/codec.h"
#include "tests/core/http/http1_peer.h"

namespace relay::h2 {

using Lines = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr uint8_t kEnd = 0x1;         // END_STREAM
inline constexpr uint8_t kAck = 0x1;         // of SETTINGS and PING
inline constexpr uint8_t kEndHeaders = 0x4;  // END_HEADERS
inline constexpr uint8_t kPadded = 0x8;

inline std::string Big(uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text.push_back(static_cast<char>(value >> (8 * i)));
  return text;
}

inline std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  return Big(payload.size(), 3) + Big(type, 1) + Big(flags, 1) + Big(stream, 4) +
         std::string(payload);
}

// RFC 7541 §5.1 with a prefix of 7 bits.
inline std::string HpackLength(size_t size) {
  if (size < 127) return Big(size, 1);
  std::string text = Big(127, 1);
  for (size -= 127; size >= 128; size >>= 7) text += Big((size & 127) | 128, 1);
  return text + Big(size, 1);
}

// RFC 7541 §6.2.3: literal, never indexed, new name. Knows no table, so it can say anything.
inline std::string Block(const Lines& lines) {
  std::string block;
  for (const auto& [name, value] : lines) {
    block.append("\x10").append(HpackLength(name.size())).append(name);
    block.append(HpackLength(value.size())).append(value);
  }
  return block;
}

inline std::string Headers(uint32_t stream, const Lines& lines, uint8_t flags = kEnd) {
  return Frame(1, flags | kEndHeaders, stream, Block(lines));
}
inline std::string Data(uint32_t stream, std::string_view bytes, uint8_t flags = 0) {
  return Frame(0, flags, stream, bytes);
}
inline std::string Padded(uint32_t stream, std::string_view bytes, size_t pad, uint8_t flags = 0) {
  return Frame(0, flags | kPadded, stream,
               Big(pad, 1) + std::string(bytes) + std::string(pad, '\0'));
}
inline std::string Rst(uint32_t stream, uint32_t code) {
  return Frame(3, 0, stream, Big(code, 4));
}
inline std::string Settings(const std::vector<std::pair<uint16_t, uint32_t>>& entries = {}) {
  std::string payload;
  for (const auto& [id, value] : entries) payload += Big(id, 2) + Big(value, 4);
  return Frame(4, 0, 0, payload);
}
inline std::string SettingsAck() {
  return Frame(4, kAck, 0, "");
}
inline std::string Ping(uint8_t flags = 0) {
  return Frame(6, flags, 0, "12345678");
}
inline std::string GoAway(uint32_t last, uint32_t code = 0) {
  return Frame(7, 0, 0, Big(last, 4) + Big(code, 4));
}
inline std::string Window(uint32_t stream, uint32_t more) {
  return Frame(8, 0, stream, Big(more, 4));
}

inline Lines Request(std::string method = "GET", std::string path = "/a", Lines more = {}) {
  Lines lines = {{":method", std::move(method)},
                 {":scheme", "https"},
                 {":authority", "a"},
                 {":path", std::move(path)}};
  lines.insert(lines.end(), more.begin(), more.end());
  return lines;
}

// Reads a codec's output: one line of text a frame, heads decoded, bodies counted and kept.
class Reader {
 public:
  explicit Reader(bool preface = false) : preface_(preface) { nghttp2_hd_inflate_new(&inflater_); }
  ~Reader() { nghttp2_hd_inflate_del(inflater_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // The frames since the last call, joined by " | ".
  std::string Take(Codec& codec) {
    Buffer out;
    codec.TakeOutput(out);
    text_ += out.ToString();
    std::string told;
    if (preface_ && text_.starts_with(kPreface)) {
      text_.erase(0, kPreface.size());
      preface_ = false;
    }
    while (text_.size() >= 9 && text_.size() >= 9 + Number(0, 3)) {
      size_t size = Number(0, 3);
      std::string payload = text_.substr(9, size);
      std::string line = Line(static_cast<uint8_t>(text_[3]), static_cast<uint8_t>(text_[4]),
                              static_cast<uint32_t>(Number(5, 4)), payload);
      text_.erase(0, 9 + size);
      if (line.empty()) continue;
      if (!told.empty()) told += " | ";
      told += line;
    }
    return told;
  }

  std::map<uint32_t, std::string> bodies;
  std::map<uint32_t, size_t> windows;  // what WINDOW_UPDATE gave
  bool quiet = false;                  // say nothing of SETTINGS, WINDOW_UPDATE and PING

 private:
  size_t Number(size_t at, int bytes) const { return NumberOf(text_, at, bytes); }
  static size_t NumberOf(std::string_view text, size_t at, int bytes) {
    size_t value = 0;
    for (int i = 0; i < bytes; ++i)
      value = value << 8 | static_cast<unsigned char>(text[at + static_cast<size_t>(i)]);
    return value;
  }

  std::string Line(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
    std::string id = std::to_string(stream);
    std::string end = (flags & kEnd) != 0 ? " end" : "";
    switch (type) {
      case 0:
        bodies[stream] += payload;
        return "DATA " + id + " " + std::to_string(payload.size()) + end;
      case 1: return "HEADERS " + id + Decode(payload) + end;
      case 3: return "RST " + id + " " + Name(NumberOf(payload, 0, 4));
      case 4:
        if (quiet) return "";
        if ((flags & kAck) != 0) return "SETTINGS ack";
        return "SETTINGS" + Entries(payload);
      case 6:
        if (quiet) return "";
        return (flags & kAck) != 0 ? "PING ack" : "PING";
      case 7:
        return "GOAWAY " + std::to_string(NumberOf(payload, 0, 4)) + " " +
               Name(NumberOf(payload, 4, 4));
      case 8:
        windows[stream] += NumberOf(payload, 0, 4);
        if (quiet) return "";
        return "WINDOW " + id + " " + std::to_string(NumberOf(payload, 0, 4));
      default: return "FRAME " + std::to_string(type);
    }
  }

  static std::string Name(size_t code) {
    return nghttp2_http2_strerror(static_cast<uint32_t>(code));
  }
  static std::string Entries(std::string_view payload) {
    std::string text;
    for (size_t at = 0; at + 6 <= payload.size(); at += 6) {
      text += " " + std::to_string(NumberOf(payload, at, 2)) + "=" +
              std::to_string(NumberOf(payload, at + 2, 4));
    }
    return text;
  }
  std::string Decode(std::string payload) {
    std::string text;
    auto* at = reinterpret_cast<uint8_t*>(payload.data());
    size_t left = payload.size();
    for (;;) {
      nghttp2_nv field;
      int flags = 0;
      ssize_t used = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, at, left, 1);
      if (used < 0) return " BROKEN";
      at += used;
      left -= static_cast<size_t>(used);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        text += ' ';
        text.append(reinterpret_cast<char*>(field.name), field.namelen);
        text += '=';
        text.append(reinterpret_cast<char*>(field.value), field.valuelen);
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    }
    nghttp2_hd_inflate_end_headers(inflater_);
    return text;
  }

  nghttp2_hd_inflater* inflater_ = nullptr;
  std::string text_;
  bool preface_;
};

// Everything that events said, by stream: "1 GET /a end | 3 POST /b +hello broken:413".
class Events final : public StreamEvents {
 public:
  struct Message {
    std::optional<Head> head;
    std::string body;
    bool end = false;
    std::vector<std::pair<Error, bool>> resets;  // and whether they may be answered
    int rooms = 0;
  };

  void OnHead(StreamId id, Head head, bool end) override {
    Message& message = messages[id];
    if (message.head || !message.resets.empty()) misuse = true;
    message.head = std::move(head);
    message.end = end;
    if (on_head) on_head(id, end);
  }
  void OnData(StreamId id, Chunk data, bool end) override {
    Message& message = messages[id];
    if (!message.head || message.end || !message.resets.empty()) misuse = true;
    if (data.empty() && !end) misuse = true;
    message.body.append(data.view());
    message.end = end;
    if (on_data) on_data(id, data.size(), end);
  }
  void OnReset(StreamId id, Error why, bool answerable) override {
    Message& message = messages[id];
    // After one that can be answered there may be one that cannot.
    if (!message.resets.empty() && (answerable || !message.resets.back().second)) misuse = true;
    message.resets.emplace_back(std::move(why), answerable);
    if (on_reset) on_reset(id, answerable);
  }
  void OnRoom(StreamId id) override {
    ++messages[id].rooms;
    if (on_room) on_room(id);
  }
  void OnGoAway(StreamId id) override { went_away = id; }

  std::string Text() const {
    std::string text;
    for (const auto& [id, message] : messages) {
      if (!text.empty()) text += " | ";
      text += std::to_string(id);
      if (message.head && message.head->status != 0) {
        text += " " + std::to_string(message.head->status);
      } else if (message.head) {
        text.append(" ").append(message.head->method).append(" ").append(message.head->target);
      }
      if (!message.body.empty()) text += " +" + message.body;
      if (message.end) text += " end";
      for (const auto& [why, answerable] : message.resets) {
        text += (answerable ? " refused:" : " lost:") + FaultText(why);
      }
    }
    return misuse ? "MISUSE " + text : text;
  }

  std::map<StreamId, Message> messages;
  std::optional<StreamId> went_away;
  bool misuse = false;
  std::function<void(StreamId, bool)> on_head;
  std::function<void(StreamId, size_t, bool)> on_data;
  std::function<void(StreamId, bool)> on_reset;
  std::function<void(StreamId)> on_room;
};

inline std::string FieldsOf(const Head& head) {
  std::string text;
  for (const Field& field : head.fields) {
    text.append(field.name).append("=").append(field.value).append(";");
  }
  return text;
}

// A server's codec, its client's settings exchanged.
struct Server {
  explicit Server(const CodecLimits& limits = {}) : codec(MakeHttp2Server(limits, clock)) {
    reader.quiet = true;
    Feed(std::string(kPreface) + Settings() + SettingsAck());
    Out();
  }

  // Whether the connection goes on.
  bool Feed(std::string_view bytes) {
    Result<Unit> received = codec->Receive(ExactChunk(bytes), events);
    if (!received) failure = received.error();
    return received.has_value();
  }
  std::string Told() const { return events.Text(); }
  std::string Out() { return reader.Take(*codec); }
  const Head& head(StreamId id = 1) const { return *events.messages.at(id).head; }

  void SendHead(StreamId id, int status, bool end, Lines fields = {},
                std::optional<uint64_t> length = std::nullopt) {
    Head answer;
    answer.status = status;
    answer.content_length = length;
    for (const auto& [name, value] : fields) answer.Add(name, value);
    codec->SendHead(id, answer, end);
  }
  // What was not taken.
  size_t Send(StreamId id, std::string_view body, bool end) {
    Buffer buffer;
    buffer.AppendCopy(body);
    EXPECT_EQ(codec->SendData(id, buffer, end) + buffer.size(), body.size());
    return buffer.size();
  }

  ManualClock clock;
  std::unique_ptr<Codec> codec;
  Events events;
  Reader reader;
  std::optional<Error> failure;
};

// A client's codec, its server's settings exchanged.
struct Client {
  explicit Client(const std::vector<std::pair<uint16_t, uint32_t>>& settings = {})
      : codec(MakeHttp2Client("https", clock)), reader(/*preface=*/true) {
    reader.quiet = true;
    Feed(Settings(settings) + SettingsAck());
    Out();
  }

  bool Feed(std::string_view bytes) {
    Result<Unit> received = codec->Receive(ExactChunk(bytes), events);
    if (!received) failure = received.error();
    return received.has_value();
  }
  std::string Told() const { return events.Text(); }
  std::string Out() { return reader.Take(*codec); }
  const Head& head(StreamId id = 1) const { return *events.messages.at(id).head; }

  static Head Ask(std::string_view method = "GET", std::string_view target = "/a") {
    Head head;
    head.method = head.Keep(method);
    head.target = head.Keep(target);
    head.authority = head.Keep("a");
    return head;
  }
  StreamId Open(const Head& head, bool end = true) {
    Result<StreamId> id = codec->Open(head, end);
    EXPECT_TRUE(id) << id.error().what;
    return id.value_or(0);
  }
  size_t Send(StreamId id, std::string_view body, bool end) {
    Buffer buffer;
    buffer.AppendCopy(body);
    EXPECT_EQ(codec->SendData(id, buffer, end) + buffer.size(), body.size());
    return buffer.size();
  }

  ManualClock clock;
  std::unique_ptr<ClientCodec> codec;
  Events events;
  Reader reader;
  std::optional<Error> failure;
};

}  // namespace relay::h2
