// SPDX-License-Identifier: MIT
// The client's side of HTTP/1: one request at a time into bytes, its answer out of bytes. An
// answer that could be read in two ways, or that brings more than it said, ends the connection.
#include <limits>
#include <utility>

#include "core/http/codec.h"
#include "core/http/http1_body.h"
#include "core/http/http1_head.h"
#include "core/http/http1_syntax.h"
#include "core/http/http1_writer.h"

namespace relay {
namespace {

constexpr HeadBounds kBounds = {uint32_t{64} << 10, uint32_t{64} << 10, 256};
// 1xx heads before an answer; more would keep us reading for nothing.
constexpr int kMostInterim = 16;

class Http1Client final : public ClientCodec {
 public:
  Http1Client() : body_(Party::kUpstream, std::numeric_limits<uint64_t>::max()) {}

  Result<StreamId> Open(const Head& head, bool end) override;
  size_t FreeStreams() const override { return input_ == Input::kIdle && !must_close() ? 1 : 0; }
  bool Ping() override { return false; }

  Result<Unit> Receive(Chunk bytes, StreamEvents& to) override;
  void ReceiveEof(StreamEvents& to) override;
  void SendHead(StreamId, const Head&, bool) override {}
  size_t SendData(StreamId id, Buffer& body, bool end) override;
  void Consumed(StreamId, size_t) override {}
  void Reset(StreamId id, Fault why) override;
  void GoAway() override { closing_ = true; }
  void TakeOutput(Buffer& to) override { to.Append(output_); }
  bool must_close() const override { return closing_; }
  bool mid_message() const override { return input_ == Input::kHead && answered_; }

 private:
  // What the next bytes are.
  enum class Input : uint8_t {
    kIdle,  // nothing was asked: there must be none
    kHead,
    kBody,
    kDrop,  // nothing that would be read
  };

  Result<Unit> ReadHead(Chunk& bytes, StreamEvents& to);
  Result<Unit> ReadBody(Chunk& bytes, StreamEvents& to);
  // The answer is complete. Decides whether there can be another one.
  void EndAnswer();
  // The connection cannot be understood any longer; tells the present request, if there is one.
  Result<Unit> Break(Error why, StreamEvents& to);

  HeadScan::Borrowed scan_;  // null: no head has begun
  BodyReader body_;
  BodyWriter writer_;
  Buffer output_;
  StreamId id_ = 0;
  Input input_ = Input::kIdle;
  bool request_sent_ = true;
  bool to_head_ = false;
  bool answered_ = false;  // some byte of an answer to this request came
  bool closing_ = false;
  int interim_ = 0;
};

Result<StreamId> Http1Client::Open(const Head& head, bool end) {
  if (FreeStreams() == 0) {
    return Fail(Party::kRelay, Fault::kInternal, "the connection is not free", /*retryable=*/true);
  }
  bool target = head.target.starts_with('/') && head.target.find(' ') == std::string_view::npos &&
                FindControl(head.target, 0) == head.target.size();
  if (!IsToken(head.method) || !target || !IsHostAndPort(head.authority)) {
    return Fail(Party::kRelay, Fault::kInternal, "method, target or host cannot be sent");
  }
  Announcement announced;
  if (!end) {
    announced.framing = head.content_length ? Framing::kLength : Framing::kChunked;
    announced.length = head.content_length.value_or(0);
  } else {
    // RFC 9110 §8.6: a method that has a body says so even when it is empty.
    announced.say_length = head.content_length.has_value() || head.method == "POST" ||
                           head.method == "PUT" || head.method == "PATCH";
  }
  WriteRequestHead(head, announced, output_);
  writer_.Start(announced.framing, announced.length);
  request_sent_ = end;
  to_head_ = head.method == "HEAD";
  answered_ = false;
  interim_ = 0;
  input_ = Input::kHead;
  return ++id_;
}

size_t Http1Client::SendData(StreamId id, Buffer& body, bool end) {
  size_t taken = body.size();
  if (id != id_ || request_sent_) {
    body.Clear();
    return taken;
  }
  if (!writer_.Write(body, end, output_)) closing_ = true;
  request_sent_ = end;
  return taken;
}

Result<Unit> Http1Client::Receive(Chunk bytes, StreamEvents& to) {
  while (!bytes.empty()) {
    Result<Unit> read = Unit{};
    switch (input_) {
      case Input::kIdle:
        return Break(Error{Party::kUpstream, Fault::kMalformed,
                           "the upstream sent more than its answer", /*retryable=*/true},
                     to);
      case Input::kHead:
        answered_ = true;
        read = ReadHead(bytes, to);
        break;
      case Input::kBody: read = ReadBody(bytes, to); break;
      case Input::kDrop: return Unit{};
    }
    if (!read) return read;
  }
  return Unit{};
}

Result<Unit> Http1Client::ReadHead(Chunk& bytes, StreamEvents& to) {
  if (scan_ == nullptr) scan_ = HeadScan::Borrow(HeadScan::Kind::kAnswer, kBounds);
  Result<bool> complete = scan_->Feed(bytes);
  if (!complete) return Break(std::move(complete.error()), to);
  if (!*complete) return Unit{};
  Result<ScannedHead> answer = scan_->TakeAnswer(to_head_);
  if (!answer) return Break(std::move(answer.error()), to);
  scan_.reset();
  Head& head = answer->head;
  if (head.status < 200) {
    if (++interim_ <= kMostInterim) return Unit{};
    return Break(Error{Party::kUpstream, Fault::kMalformed,
                       "the upstream sent too many interim answers", /*retryable=*/true},
                 to);
  }
  bool close = head.close;
  if (close) closing_ = true;
  body_.Start(answer->framing, answer->length);
  input_ = Input::kBody;
  bool end = body_.done();
  StreamId id = id_;
  if (end) EndAnswer();
  to.OnHead(id, std::move(head), end);
  if (close) to.OnGoAway(id);
  return Unit{};
}

Result<Unit> Http1Client::ReadBody(Chunk& bytes, StreamEvents& to) {
  BodyReader::Piece piece = body_.Next(bytes);
  bool end = body_.done();
  StreamId id = id_;
  if (end) EndAnswer();
  if (end || !piece.data.empty()) to.OnData(id, std::move(piece.data), end);
  if (piece.fault) return Break(std::move(*piece.fault), to);
  return Unit{};
}

void Http1Client::EndAnswer() {
  // RFC 9112 §9.5: what an upstream does with the rest of a body that it answered is unknown.
  if (!request_sent_) closing_ = true;
  input_ = Input::kIdle;
}

Result<Unit> Http1Client::Break(Error why, StreamEvents& to) {
  bool asked = input_ == Input::kHead || input_ == Input::kBody;
  input_ = Input::kDrop;
  closing_ = true;
  if (asked) to.OnReset(id_, why, /*answerable=*/false);
  return std::unexpected(std::move(why));
}

void Http1Client::ReceiveEof(StreamEvents& to) {
  Input was = std::exchange(input_, Input::kDrop);
  closing_ = true;
  if (was == Input::kHead) {
    // Before any byte: a pooled connection that the upstream had given up. Nothing was answered.
    Error why = answered_ ? Error{Party::kUpstream, Fault::kTruncated,
                                  "the upstream closed within its answer's head", true}
                          : Error{Party::kUpstream, Fault::kReset,
                                  "the upstream closed without an answer", true};
    to.OnReset(id_, std::move(why), /*answerable=*/false);
  } else if (was == Input::kBody && body_.EndsByClose()) {
    to.OnData(id_, Chunk(), /*end=*/true);
  } else if (was == Input::kBody) {
    to.OnReset(id_,
               Error{Party::kUpstream, Fault::kTruncated, "the upstream closed within its answer"},
               /*answerable=*/false);
  }
}

void Http1Client::Reset(StreamId id, Fault) {
  if (id != id_ || (input_ == Input::kIdle && request_sent_)) return;
  input_ = Input::kDrop;
  request_sent_ = true;
  closing_ = true;
}

}  // namespace

std::unique_ptr<ClientCodec> MakeHttp1Client() {
  return std::make_unique<Http1Client>();
}

}  // namespace relay
