// SPDX-License-Identifier: MIT
// What the tests of the HTTP/1 codecs share: bytes in pieces, and a record of the events as text.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/http/codec.h"

namespace relay {

// A chunk that ends where its memory ends, so that the sanitizer sees a byte too far.
inline Chunk ExactChunk(std::string_view bytes) {
  Block* block = Block::Make(bytes.size());
  std::memcpy(block->data(), bytes.data(), bytes.size());
  Chunk chunk(block, block->data(), bytes.size());
  block->Unref();
  return chunk;
}

inline std::string FaultText(const Error& why) {
  switch (why.fault) {
    case Fault::kMalformed: return why.party == Party::kClient ? "400" : "502";
    case Fault::kMethod: return "405";
    case Fault::kBodyTooLarge: return "413";
    case Fault::kTargetTooLong: return "414";
    case Fault::kExpectation: return "417";
    case Fault::kHeadTooLarge: return "431";
    case Fault::kReset: return "reset";
    case Fault::kTruncated: return "truncated";
    case Fault::kUnprocessed: return "unprocessed";
    default: return "other";
  }
}

// Everything that events said, with body pieces joined:
//   "GET /a end" / "POST /b +hello end" / "200 +body cut:truncated" / "refused:400"
class Record final : public StreamEvents {
 public:
  struct Message {
    StreamId id = 0;
    std::optional<Head> head;
    std::string body;
    bool end = false;
    std::optional<Error> fault;
    bool answerable = false;
  };

  void OnHead(StreamId id, Head head, bool end) override {
    messages.push_back({id, std::move(head), "", end, {}, false});
    if (on_head) on_head(id, *messages.back().head);
  }
  void OnData(StreamId id, Chunk data, bool end) override {
    Message& message = messages.back();
    if (message.id != id || message.end || message.fault) misuse = true;
    if (data.empty() && !end) misuse = true;
    message.body.append(data.view());
    message.end = end;
    pieces.push_back(std::move(data));
    if (on_data) on_data(id, end);
  }
  void OnReset(StreamId id, Error why, bool answerable) override {
    if (messages.empty() || messages.back().id != id)
      messages.push_back({id, {}, "", false, {}, false});
    Message& message = messages.back();
    if (message.end || message.fault) misuse = true;
    message.fault = std::move(why);
    message.answerable = answerable;
  }
  void OnRoom(StreamId) override { misuse = true; }
  void OnGoAway(StreamId id) override { went_away = id; }

  std::string Text() const {
    std::string text;
    for (const Message& message : messages) {
      if (!text.empty()) text += " | ";
      if (message.head && message.head->status != 0) {
        text += std::to_string(message.head->status);
      } else if (message.head) {
        text.append(message.head->method).append(" ").append(message.head->target);
      }
      if (!message.body.empty()) text += " +" + message.body;
      if (message.end) text += " end";
      if (!message.fault) continue;
      text += message.head ? (message.answerable ? " broken:" : " cut:")
                           : (message.answerable ? "refused:" : "lost:");
      text += FaultText(*message.fault);
    }
    return misuse ? "MISUSE " + text : text;
  }

  std::vector<Message> messages;
  std::vector<Chunk> pieces;
  std::optional<StreamId> went_away;
  bool misuse = false;
  std::function<void(StreamId, const Head&)> on_head;
  std::function<void(StreamId, bool)> on_data;
};

inline std::string Output(Codec& codec) {
  Buffer out;
  codec.TakeOutput(out);
  return out.ToString();
}

// The text in pieces of `size` bytes.
inline std::vector<std::string_view> Pieces(std::string_view text, size_t size) {
  std::vector<std::string_view> pieces;
  for (size_t at = 0; at < text.size(); at += size) pieces.push_back(text.substr(at, size));
  return pieces;
}

inline std::vector<std::string_view> CutAt(std::string_view text, size_t at) {
  return {text.substr(0, at), text.substr(at)};
}

}  // namespace relay
