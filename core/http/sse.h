// SPDX-License-Identifier: MIT
// Server-sent events (WHATWG HTML §9.2.6), read on the side: where events end, and what they say.
// Pieces may be cut anywhere. Bytes are kept only of an event that is cut, and 1 MiB at most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace relay {

struct SseEvent {
  std::string_view name;   // "" where the stream gave none (the standard's "message")
  std::string_view data;   // data lines joined by LF
  bool oversized = false;  // over SseSplitter::kMostKept: name and data are empty
};

class SseSplitter {
 public:
  static constexpr size_t kMostKept = size_t{1} << 20;

  SseSplitter() = default;
  SseSplitter(const SseSplitter&) = delete;
  SseSplitter& operator=(const SseSplitter&) = delete;

  // Takes bytes from the front of `piece` up to the end of the next event, which is returned, or
  // all of them. The event's views are good until the next call and while the piece's bytes are.
  // An event without a data line is none, as the standard says.
  std::optional<SseEvent> Next(std::string_view& piece);
  // Calls f(const SseEvent&) for each event that ends in `piece`.
  template <class F>
  void Feed(std::string_view piece, F f) {
    while (std::optional<SseEvent> event = Next(piece)) f(*event);
  }

  // The bytes so far end between events: at the very start, or behind a blank line. Another event
  // may be put in here.
  bool at_boundary() const { return boundary_; }
  // Complete events so far, oversized ones too.
  uint64_t events() const { return events_; }

 private:
  void SkipBom(std::string_view& piece);
  void CutLine(std::string_view bytes);
  void EndLine(std::string_view line);
  std::optional<SseEvent> EndEvent();
  void KeepViews();
  void Oversize();
  void Forget();

  // Of what came in an earlier piece. Most streams come in whole events, and have none.
  struct Kept {
    std::string line;  // the beginning of a line that was cut
    std::string name;  // what name_ and data_ show, where it is not in the current piece
    std::string data;
  };
  Kept& kept();

  std::unique_ptr<Kept> kept_;
  std::string_view name_;
  std::string_view data_;
  uint64_t events_ = 0;
  uint8_t bom_ = 0;        // bytes of the byte order mark seen; kBomDone when it is past
  bool cut_ = false;       // inside a line
  bool after_cr_ = false;  // an LF that comes next belongs to the CR
  bool boundary_ = true;
  bool has_data_ = false;  // the event has a data line
  bool oversized_ = false;
  bool returned_ = false;  // what is kept belongs to an event that was returned
};

// Waits for the first complete event of a stream, on which a commit hangs. Comments and blank
// lines are none.
class FirstEvent {
 public:
  // True from the piece on that completes it.
  bool Feed(std::string_view piece);
  bool seen() const { return seen_; }
  const std::string& name() const { return name_; }
  const std::string& data() const { return data_; }  // "" if the event was oversized

 private:
  SseSplitter splitter_;
  std::string name_;
  std::string data_;
  bool seen_ = false;
};

}  // namespace relay
