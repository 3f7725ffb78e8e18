// SPDX-License-Identifier: MIT
// Reads the answers of one connection, piece by piece: HTTP/1.1 head, a sized or chunked body
// (RFC 9112 section 6), and for streams the SSE events inside. Checks what it can see: the status,
// the JSON answer byte for byte, that every delta of a stream came once and in order, and the
// stream's end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace relay::bench {

// Delays of events in nanoseconds, and how many there were.
struct EventLog {
  std::vector<uint32_t> delays_ns;
  uint64_t events = 0;
};

class AnswerReader {
 public:
  enum class Result { kMore, kDone, kBad };

  // Starts on the next answer; `events` deltas are to come in it, 0 means the JSON message.
  void Expect(uint32_t events);

  // Takes bytes received at `now_ns`. kDone with the last byte of the answer; bytes after it are
  // kBad.
  Result Take(std::string_view bytes, int64_t now_ns, EventLog& log);

  // Why the answer is bad.
  const std::string& problem() const { return problem_; }
  // Deltas seen so far in this answer.
  uint32_t deltas() const { return deltas_; }
  // Whether the head asked to close the connection.
  bool closes() const { return closes_; }
  // Whether a byte of this answer has come.
  bool begun() const { return begun_; }

 private:
  enum class State { kHead, kSized, kChunkSize, kChunkData, kChunkEnd, kTrailer, kDone };

  Result Bad(std::string why);
  bool TakeHead(std::string_view& bytes);
  bool TakeChunkFraming(std::string_view& bytes);
  bool TakeBody(std::string_view piece, int64_t now_ns, EventLog& log);
  bool TakeEvent(std::string_view event, int64_t now_ns, EventLog& log);
  bool AtEnd();

  State state_ = State::kHead;
  uint32_t expected_ = 0;
  uint32_t deltas_ = 0;
  bool stopped_ = false;
  bool closes_ = false;
  bool begun_ = false;
  int status_ = 0;
  size_t left_ = 0;  // of a sized body or of this chunk
  size_t body_seen_ = 0;
  std::string line_;     // a head, chunk line or trailer that has not ended
  std::string partial_;  // an event cut by a read or a chunk
  std::string problem_;
};

}  // namespace relay::bench
