// SPDX-License-Identifier: MIT
// How the HTTP/2 targets read their input: as a list of steps, each four bytes (kind, flags,
// stream, size) and so many bytes of payload. Frames then have the right lengths, and heads can be
// text.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/http/codec.h"
#include "tests/fuzz/fuzz.h"

namespace relay {

// Kinds 0 to 9 are frames of that type (RFC 9113 §6), as are all others that are not here.
enum class StepKind : uint8_t {
  kHead = 0x20,      // a HEADERS frame; the payload is "name: value" by lines, and becomes literals
  kWait = 0x21,      // time passes: 10 ms for each of `flags`
  kAnswer = 0x22,    // head and 64 bytes of body for each of `flags`; also opens a request (client)
  kReset = 0x23,     // of `stream`, by us
  kConsume = 0x24,   // what `stream` has brought
  kRaw = 0x25,       // bytes that are no frame
  kGoAway = 0x26,    // ours
  kOutput = 0x27,    // ours is taken
  kHeadPart = 0x28,  // like kHead, without END_HEADERS
};

struct ScriptStep {
  StepKind kind = StepKind::kRaw;
  uint8_t flags = 0;
  StreamId stream = 0;
  std::string_view payload;
};

std::vector<ScriptStep> ReadScript(std::string_view input);
// The bytes on the wire; "" for a step that is ours.
std::string WireOf(const ScriptStep& step);
std::string WireFrame(uint8_t type, uint8_t flags, StreamId stream, std::string_view payload);

// What a codec told, by stream, with everything that must not happen checked at once.
class ScriptEvents final : public StreamEvents {
 public:
  struct Told {
    std::optional<Head> head;
    std::string body;
    size_t unconsumed = 0;
    bool end = false;
    bool refused = false;  // reset, and may still be answered
    bool lost = false;     // reset for good
    bool left = false;     // we have reset it: nothing may be told
    bool over() const { return end || lost || left; }
  };

  void OnHead(StreamId id, Head head, bool end) override;
  void OnData(StreamId id, Chunk data, bool end) override;
  void OnReset(StreamId id, Error why, bool answerable) override;
  void OnRoom(StreamId id) override;
  void OnGoAway(StreamId) override {}

  // All of it, for comparing.
  std::string Text() const;

  std::map<StreamId, Told> told;
  std::function<void(StreamId)> on_room;

 private:
  Told& At(StreamId id);
};

// Walks through a codec's output. Whole frames within their bounds, and none behind the last GOAWAY
// that ends a connection.
class WireReader {
 public:
  explicit WireReader(std::string_view preface) : preface_(preface) {}
  // Takes what there is; returns how many bytes.
  size_t Take(Codec& codec);
  uint64_t data_sent() const { return data_sent_; }    // payload of DATA, padding too
  bool error_goaway() const { return error_goaway_; }  // one with a code

 private:
  void Frame(uint8_t type, std::string_view payload);

  std::string bytes_;
  std::string_view preface_;
  uint64_t data_sent_ = 0;
  bool error_goaway_ = false;
};

// R25: what an HTTP/2 request or answer may bring to the exchange.
void CheckHead(const Head& head, bool request);

}  // namespace relay
