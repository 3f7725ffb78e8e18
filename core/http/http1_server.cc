// SPDX-License-Identifier: MIT
// The server's side of HTTP/1: requests one at a time out of bytes, answers into bytes. A request
// that can be read in two ways is refused, and nothing behind it is read.
#include <utility>

#include "core/http/codec.h"
#include "core/http/http1_body.h"
#include "core/http/http1_head.h"
#include "core/http/http1_writer.h"

namespace relay {
namespace {

// How much of a body that was answered early is still read, so that the connection can live on.
constexpr uint64_t kMostSwallowed = uint64_t{64} << 10;
// How much of later requests is held while one is answered (R8).
constexpr size_t kMostHeld = size_t{16} << 10;
// What a held piece costs beside its bytes.
constexpr size_t kPieceCost = 32;

class Http1Server final : public Codec {
 public:
  explicit Http1Server(const CodecLimits& limits)
      : bounds_{static_cast<uint32_t>(limits.target_bytes),
                static_cast<uint32_t>(limits.header_bytes),
                static_cast<uint32_t>(limits.header_fields)},
        body_(Party::kClient, limits.body_bytes) {}

  Result<Unit> Receive(Chunk bytes, StreamEvents& to) override;
  void ReceiveEof(StreamEvents& to) override;
  void SendHead(StreamId id, const Head& head, bool end) override;
  size_t SendData(StreamId id, Buffer& body, bool end) override;
  void Consumed(StreamId, size_t) override {}
  bool Expire(StreamEvents& to) override;
  void Reset(StreamId id, Fault why) override;
  void GoAway() override;
  void TakeOutput(Buffer& to) override { to.Append(output_); }
  bool must_close() const override;
  bool mid_message() const override;
  bool wants_bytes() const override;

 private:
  // What the next bytes are.
  enum class Input : uint8_t {
    kHead,
    kBody,
    kSwallow,  // of a body whose answer is finished
    kHold,     // later requests: this one's answer is not finished
    kDrop,     // nothing that would be read
  };
  enum class Answer : uint8_t { kNone, kAwaited, kBody, kDone };

  void Read(Chunk& bytes, StreamEvents& to);
  void ReadHead(Chunk& bytes, StreamEvents& to);
  void ReadBody(Chunk& bytes, StreamEvents& to);
  void Hold(Chunk bytes);
  void Refuse(Error why, StreamEvents& to);
  void BreakBody(Error why, StreamEvents& to);
  void EndRequest();
  void EndAnswer();
  void StopReading();
  // The request's body has not come yet, and reading the rest would not be worth it.
  bool MustLeaveBody() const;
  Announcement Announce(const Head& head, bool end) const;
  void SendInterim(const Head& head);
  // Some of a request's head came, and it is not complete.
  bool HeadBegun() const { return scan_ != nullptr && scan_->started(); }

  const HeadBounds bounds_;
  HeadScan::Borrowed scan_;  // null: no head has begun
  BodyReader body_;
  BodyWriter writer_;
  Buffer output_;
  Buffer held_;
  size_t held_pieces_ = 0;
  uint64_t swallowed_ = 0;

  // The present request, the last one before it, or the one that was refused.
  StreamId id_ = 0;
  Input input_ = Input::kHead;
  Answer answer_ = Answer::kNone;
  Version version_ = Version::kHttp11;
  bool to_head_ = false;
  bool expects_continue_ = false;  // and neither was it told to go on nor has it gone on
  bool by_length_ = false;

  bool closing_ = false;     // no request is read after the present one
  bool going_away_ = false;  // the next answer says so
};

Result<Unit> Http1Server::Receive(Chunk bytes, StreamEvents& to) {
  if (held_.empty()) Read(bytes, to);
  if (!bytes.empty()) Hold(std::move(bytes));
  while (!held_.empty() && input_ != Input::kHold) {
    Chunk next = *held_.front();
    size_t before = next.size();
    Read(next, to);
    if (held_.empty()) break;  // nothing more is read
    held_.Consume(before - next.size());
    if (next.empty()) --held_pieces_;
  }
  return Unit{};
}

void Http1Server::Hold(Chunk bytes) {
  ++held_pieces_;
  // A small slice must not keep a large block for as long as an answer takes.
  held_.Append(bytes.pinned() > 4 * bytes.size() ? Chunk::Copy(bytes.view()) : std::move(bytes));
}

void Http1Server::Read(Chunk& bytes, StreamEvents& to) {
  while (!bytes.empty()) {
    switch (input_) {
      case Input::kHead: ReadHead(bytes, to); break;
      case Input::kBody:
      case Input::kSwallow: ReadBody(bytes, to); break;
      case Input::kHold: return;
      case Input::kDrop: bytes = Chunk(); return;
    }
  }
}

void Http1Server::ReadHead(Chunk& bytes, StreamEvents& to) {
  if (scan_ == nullptr) scan_ = HeadScan::Borrow(HeadScan::Kind::kRequest, bounds_);
  Result<bool> complete = scan_->Feed(bytes);
  if (complete && !*complete) return;
  to_head_ = scan_->is_head_request();
  version_ = scan_->version();
  if (!complete) {
    Refuse(std::move(complete.error()), to);
    return;
  }
  Result<ScannedHead> request = scan_->TakeRequest();
  if (!request) {
    Refuse(std::move(request.error()), to);
    return;
  }
  scan_.reset();
  ++id_;
  answer_ = Answer::kAwaited;
  Head& head = request->head;
  expects_continue_ = head.expects_continue;
  if (head.close) closing_ = true;
  body_.Start(request->framing, request->length);
  by_length_ = request->framing == Framing::kLength;
  input_ = Input::kBody;
  bool end = body_.done();
  if (end) EndRequest();
  StreamId id = id_;
  to.OnHead(id, std::move(head), end);
  // Told after the head: whoever answers knows the route, and so the answer's dialect.
  if (!end && by_length_ && request->length > body_.most() && input_ == Input::kBody) {
    BreakBody(
        Error{Party::kClient, Fault::kBodyTooLarge, "the body is larger than this relay takes"},
        to);
  }
}

void Http1Server::ReadBody(Chunk& bytes, StreamEvents& to) {
  expects_continue_ = false;
  BodyReader::Piece piece = body_.Next(bytes);
  if (input_ == Input::kSwallow) {
    swallowed_ += piece.data.size();
    if (piece.fault || swallowed_ > kMostSwallowed) {
      closing_ = true;
      StopReading();
    } else if (body_.done()) {
      EndRequest();
    }
    return;
  }
  bool end = body_.done();
  if (end) EndRequest();
  if (end || !piece.data.empty()) to.OnData(id_, std::move(piece.data), end);
  if (piece.fault) BreakBody(std::move(*piece.fault), to);
}

void Http1Server::Refuse(Error why, StreamEvents& to) {
  ++id_;
  answer_ = Answer::kAwaited;
  closing_ = true;
  StopReading();
  to.OnReset(id_, std::move(why), /*answerable=*/true);
}

void Http1Server::BreakBody(Error why, StreamEvents& to) {
  bool told = input_ == Input::kBody;
  closing_ = true;
  StopReading();
  if (told) to.OnReset(id_, std::move(why), /*answerable=*/answer_ == Answer::kAwaited);
}

void Http1Server::StopReading() {
  input_ = Input::kDrop;
  scan_.reset();
  held_.Clear();
  held_pieces_ = 0;
}

void Http1Server::EndRequest() {
  if (closing_) {
    StopReading();
  } else {
    input_ = answer_ == Answer::kDone ? Input::kHead : Input::kHold;
  }
}

void Http1Server::EndAnswer() {
  answer_ = Answer::kDone;
  if (closing_) {
    StopReading();
  } else if (input_ == Input::kHold) {
    input_ = Input::kHead;
  } else if (input_ == Input::kBody) {
    input_ = Input::kSwallow;
    swallowed_ = 0;
  }
}

bool Http1Server::MustLeaveBody() const {
  if (input_ != Input::kBody) return false;
  // The client may send the body or leave it out: nobody can tell what comes next.
  if (expects_continue_) return true;
  return !by_length_ || body_.left() > kMostSwallowed;
}

Announcement Http1Server::Announce(const Head& head, bool end) const {
  Announcement announced;
  announced.close = closing_;
  bool bodiless = head.status == 204 || head.status == 304;
  if (bodiless) return announced;
  if (to_head_) {
    announced.say_length = head.content_length.has_value();
    announced.length = head.content_length.value_or(0);
  } else if (end) {
    announced.say_length = true;
  } else if (head.content_length) {
    announced.framing = Framing::kLength;
    announced.length = *head.content_length;
  } else {
    announced.framing = version_ == Version::kHttp10 ? Framing::kUntilClose : Framing::kChunked;
  }
  return announced;
}

void Http1Server::SendInterim(const Head& head) {
  // RFC 9110 §15.2: HTTP/1.0 knows none. Protocols are never switched, and nobody who is refused
  // is told to go on.
  if (head.status == 101 || version_ == Version::kHttp10 || input_ == Input::kDrop) return;
  if (head.status == 100) expects_continue_ = false;
  WriteAnswerHead(head, Announcement{}, output_);
}

void Http1Server::SendHead(StreamId id, const Head& head, bool end) {
  if (id != id_ || answer_ != Answer::kAwaited) return;
  if (head.status < 200) {
    SendInterim(head);
    return;
  }
  if (going_away_ || MustLeaveBody()) closing_ = true;
  Announcement announced = Announce(head, end);
  WriteAnswerHead(head, announced, output_);
  writer_.Start(announced.framing, announced.length);
  answer_ = Answer::kBody;
  if (end) EndAnswer();
}

size_t Http1Server::SendData(StreamId id, Buffer& body, bool end) {
  size_t taken = body.size();
  if (id != id_ || answer_ != Answer::kBody) {
    body.Clear();
    return taken;
  }
  if (!writer_.Write(body, end, output_)) closing_ = true;
  if (end) EndAnswer();
  return taken;
}

bool Http1Server::Expire(StreamEvents& to) {
  if (input_ != Input::kHead || !HeadBegun()) return false;
  Refuse(Error{Party::kClient, Fault::kTimeout, "the request's head did not come in time"}, to);
  return true;
}

void Http1Server::Reset(StreamId id, Fault) {
  if (id != id_ || answer_ == Answer::kDone || answer_ == Answer::kNone) return;
  answer_ = Answer::kDone;
  closing_ = true;
  StopReading();
}

void Http1Server::GoAway() {
  going_away_ = true;
  if (answer_ == Answer::kBody) closing_ = true;  // too late to say so
}

void Http1Server::ReceiveEof(StreamEvents& to) {
  bool cut = input_ == Input::kBody;
  closing_ = true;
  StopReading();
  if (!cut) return;
  to.OnReset(id_, Error{Party::kClient, Fault::kTruncated, "the request's body was cut"},
             /*answerable=*/false);
}

bool Http1Server::must_close() const {
  if (closing_) return true;
  return going_away_ && input_ == Input::kHead && !mid_message();
}

bool Http1Server::wants_bytes() const {
  return input_ != Input::kHold || held_.size() + held_pieces_ * kPieceCost < kMostHeld;
}

bool Http1Server::mid_message() const {
  return HeadBegun() || !held_.empty() || input_ == Input::kSwallow;
}

}  // namespace

std::unique_ptr<Codec> MakeHttp1Server(const CodecLimits& limits) {
  return std::make_unique<Http1Server>(limits);
}

}  // namespace relay
