// SPDX-License-Identifier: MIT
// See answer_reader.h. The common case (a whole answer or event in one read) copies nothing.
#include "tests/bench/answer_reader.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "tests/bench/wire.h"

namespace relay::bench {

void AnswerReader::Expect(uint32_t events) {
  state_ = State::kHead;
  expected_ = events;
  deltas_ = 0;
  stopped_ = false;
  closes_ = false;
  begun_ = false;
  status_ = 0;
  left_ = 0;
  body_seen_ = 0;
  line_.clear();
  partial_.clear();
}

AnswerReader::Result AnswerReader::Bad(std::string why) {
  if (problem_.empty()) problem_ = std::move(why);
  return Result::kBad;
}

AnswerReader::Result AnswerReader::Take(std::string_view bytes, int64_t now_ns, EventLog& log) {
  begun_ = true;
  while (!bytes.empty()) {
    switch (state_) {
      case State::kHead:
        if (!TakeHead(bytes)) return Result::kBad;
        break;
      case State::kSized:
      case State::kChunkData: {
        const std::string_view piece = bytes.substr(0, left_);
        bytes.remove_prefix(piece.size());
        left_ -= piece.size();
        if (!TakeBody(piece, now_ns, log)) return Result::kBad;
        if (left_ == 0) state_ = state_ == State::kSized ? State::kDone : State::kChunkEnd;
        break;
      }
      case State::kChunkSize:
      case State::kChunkEnd:
      case State::kTrailer:
        if (!TakeChunkFraming(bytes)) return Result::kBad;
        break;
      case State::kDone: return Bad("bytes after the end of the answer");
    }
  }
  if (state_ != State::kDone) return Result::kMore;
  return AtEnd() ? Result::kDone : Result::kBad;
}

bool AnswerReader::TakeHead(std::string_view& bytes) {
  std::string_view head = bytes;
  size_t end = std::string_view::npos;
  if (line_.empty()) {
    end = bytes.find("\r\n\r\n");
    if (end != std::string_view::npos) bytes.remove_prefix(end + 4);
  }
  if (end == std::string_view::npos) {
    const size_t before = line_.size();
    line_ += bytes;
    end = line_.find("\r\n\r\n");
    bytes.remove_prefix(end == std::string::npos ? bytes.size() : end + 4 - before);
    if (end == std::string::npos) return true;
    head = line_;
  }
  head = head.substr(0, end);
  if (!head.starts_with("HTTP/1.1 ") || head.size() < 12) {
    Bad("not an HTTP/1.1 answer: " + std::string(head.substr(0, 40)));
    return false;
  }
  std::from_chars(head.data() + 9, head.data() + 12, status_);
  closes_ = HeaderValue(head, "connection").value_or("") == "close";
  const auto length = HeaderValue(head, "content-length");
  if (HeaderValue(head, "transfer-encoding").value_or("") == "chunked") {
    state_ = State::kChunkSize;
  } else if (length) {
    std::from_chars(length->data(), length->data() + length->size(), left_);
    state_ = left_ > 0 ? State::kSized : State::kDone;
  } else {
    Bad("an answer without a length");
    return false;
  }
  line_.clear();
  return true;
}

bool AnswerReader::TakeChunkFraming(std::string_view& bytes) {
  const size_t end = bytes.find('\n');
  const size_t taken = end == std::string_view::npos ? bytes.size() : end + 1;
  line_ += bytes.substr(0, taken);
  bytes.remove_prefix(taken);
  if (end == std::string_view::npos) return true;
  const bool blank = line_ == "\r\n";
  switch (state_) {
    case State::kChunkEnd: state_ = State::kChunkSize; break;
    case State::kTrailer:
      if (blank) state_ = State::kDone;
      break;
    default: {
      left_ = 0;
      const auto [rest, error] =
          std::from_chars(line_.data(), line_.data() + line_.size(), left_, 16);
      if (error != std::errc() || rest == line_.data()) {
        Bad("a chunk without a size");
        return false;
      }
      state_ = left_ > 0 ? State::kChunkData : State::kTrailer;
    }
  }
  line_.clear();
  return true;
}

bool AnswerReader::TakeBody(std::string_view piece, int64_t now_ns, EventLog& log) {
  if (status_ != 200) {
    Bad("status " + std::to_string(status_) + ": " + std::string(piece.substr(0, 300)));
    return false;
  }
  if (expected_ == 0) {
    const std::string_view right = MessageBody();
    if (body_seen_ + piece.size() > right.size() ||
        right.substr(body_seen_, piece.size()) != piece) {
      Bad("the answer's body was changed");
      return false;
    }
    body_seen_ += piece.size();
    return true;
  }
  if (!partial_.empty()) {
    partial_ += piece;
    piece = partial_;
  }
  size_t start = 0;
  for (;;) {
    const size_t end = piece.find("\n\n", start);
    if (end == std::string_view::npos) break;
    if (!TakeEvent(piece.substr(start, end - start), now_ns, log)) return false;
    start = end + 2;
  }
  std::string rest(piece.substr(start));
  partial_ = std::move(rest);
  return true;
}

bool AnswerReader::TakeEvent(std::string_view event, int64_t now_ns, EventLog& log) {
  if (const auto stamp = ReadDelta(event)) {
    if (stamp->number != deltas_) {
      Bad("delta " + std::to_string(stamp->number) + " came where " + std::to_string(deltas_) +
          " was due");
      return false;
    }
    ++deltas_;
    ++log.events;
    const int64_t delay =
        std::clamp<int64_t>(now_ns - stamp->sent_ns, 0, std::numeric_limits<uint32_t>::max());
    log.delays_ns.push_back(static_cast<uint32_t>(delay));
  } else if (event.starts_with("event: message_stop\n")) {
    stopped_ = true;
  } else if (event.starts_with("event: error\n")) {
    Bad("error event: " + std::string(event.substr(0, 300)));
    return false;
  }
  return true;
}

bool AnswerReader::AtEnd() {
  if (status_ != 200) {
    Bad("status " + std::to_string(status_));
  } else if (expected_ == 0 && body_seen_ != MessageBody().size()) {
    Bad("the answer has " + std::to_string(body_seen_) + " bytes");
  } else if (expected_ > 0 && (deltas_ != expected_ || !stopped_ || !partial_.empty())) {
    Bad("the stream ended after " + std::to_string(deltas_) + " deltas");
  } else {
    return true;
  }
  return false;
}

}  // namespace relay::bench
