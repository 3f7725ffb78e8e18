// SPDX-License-Identifier: MIT
// The client's side of HTTP/2: requests on many streams into bytes, their answers out of bytes.
#include <algorithm>
#include <string>
#include <utility>

#include "core/http/http1_syntax.h"
#include "core/http/http2_session.h"

namespace relay {
namespace {

constexpr size_t kMostHeadBytes = size_t{64} << 10;
constexpr size_t kMostFields = 256;
// What one answer may run ahead of its reader (R31).
constexpr uint32_t kStreamWindow = uint32_t{256} << 10;
// 1xx heads before an answer; more would keep us reading for nothing.
constexpr int kMostInterim = 16;
// However many the upstream would allow.
constexpr size_t kMostStreams = 100;

bool ReadStatus(std::string_view text, int& status) {
  uint64_t number = 0;
  if (!ReadDecimal(text, number) || number < 100 || number > 599) return false;
  status = static_cast<int>(number);
  return true;
}

class Http2Client final : public ClientCodec, private Http2Session {
 public:
  Http2Client(std::string_view scheme, const Clock& clock)
      : Http2Session(Side::kClient, {kMostHeadBytes, kMostFields, 0, kStreamWindow}, clock),
        scheme_(scheme) {}

  Result<StreamId> Open(const Head& head, bool end) override;
  size_t FreeStreams() const override;
  bool Ping() override {
    SubmitPing();
    return true;
  }

  Result<Unit> Receive(Chunk bytes, StreamEvents& to) override {
    return Read(std::move(bytes), to);
  }
  void ReceiveEof(StreamEvents& to) override { ReadEof(to); }
  void SendHead(StreamId, const Head&, bool) override {}
  size_t SendData(StreamId id, Buffer& body, bool end) override { return Write(id, body, end); }
  void Consumed(StreamId id, size_t n) override { Reopen(id, n); }
  void Reset(StreamId id, Fault why) override;
  void GoAway() override;
  void TakeOutput(Buffer& to) override { Http2Session::TakeOutput(to); }
  bool must_close() const override { return over() || leaving_ || peer_went_away() || !ids_left(); }
  bool mid_message() const override { return in_block(); }

 private:
  void HandleHead(Http2Stream& stream, HeadBlock block, bool end, StreamEvents& to) override;
  void HandleData(Http2Stream& stream, Chunk data, bool end, StreamEvents& to) override {
    to.OnData(stream.id, std::move(data), end);
  }
  void HandleClosed(Http2Stream& stream, StreamEvents& to) override;
  void HandleSent(Http2Stream&) override {}
  void HandlePong() override {}

  const std::string_view scheme_;
  bool leaving_ = false;
};

Result<StreamId> Http2Client::Open(const Head& head, bool end) {
  if (FreeStreams() == 0) {
    return relay::Fail(Party::kRelay, Fault::kInternal, "the connection is not free",
                       /*retryable=*/true);
  }
  bool target = head.target.starts_with('/') && head.target.find(' ') == std::string_view::npos &&
                FindControl(head.target, 0) == head.target.size();
  if (!IsToken(head.method) || !target || !IsHostAndPort(head.authority)) {
    return relay::Fail(Party::kRelay, Fault::kInternal, "method, target or host cannot be sent");
  }
  std::string length;
  std::vector<Field> fields;
  fields.reserve(head.fields.size() + 5);
  fields.push_back({":method", head.method});
  fields.push_back({":scheme", scheme_});
  fields.push_back({":authority", head.authority});
  fields.push_back({":path", head.target});
  AppendHttp2Fields(head, /*request=*/true, fields);
  // RFC 9110 §8.6: a method that has a body says so even when it is empty.
  bool says_length =
      head.content_length ||
      (end && (head.method == "POST" || head.method == "PUT" || head.method == "PATCH"));
  if (says_length) {
    length = std::to_string(end ? 0 : *head.content_length);
    fields.push_back({"content-length", length});
  }
  std::optional<StreamId> id = SubmitRequest(fields, /*body=*/!end);
  if (!id) {
    return relay::Fail(Party::kRelay, Fault::kInternal, "the request cannot be sent",
                       /*retryable=*/true);
  }
  Http2Stream& stream = *Find(*id);
  stream.to_head = head.method == "HEAD";
  if (!end) stream.left = head.content_length;
  return *id;
}

size_t Http2Client::FreeStreams() const {
  return leaving_ ? 0 : Http2Session::FreeStreams(kMostStreams);
}

void Http2Client::HandleHead(Http2Stream& stream, HeadBlock block, bool end, StreamEvents& to) {
  Head head = std::move(block.head);
  bool good = ReadStatus(block.status, head.status) && !block.too_large;
  bool interim = good && head.status < 200;
  uint64_t length = 0;
  if (const Field* announced = head.Find("content-length")) {
    good = good && ReadDecimal(announced->value, length);
    head.content_length = length;
  }
  if (!good || (interim && ++stream.interim > kMostInterim)) {
    stream.in_ended = false;
    Break(stream, Http2Error::kProtocol);
    return;
  }
  if (interim) return;
  head.version = Version::kHttp2;
  stream.head_told = true;
  to.OnHead(stream.id, std::move(head), end);
}

void Http2Client::HandleClosed(Http2Stream& stream, StreamEvents& to) {
  if (stream.in_ended) {
    // An answer that came before all of the request had gone: the rest is sent to nobody.
    if (stream.blocked) to.OnRoom(stream.id);
    return;
  }
  bool before = !stream.head_told;
  Error why{Party::kUpstream, Fault::kMalformed, "the upstream's answer broke HTTP/2", before};
  if (stream.code == Http2Error::kRefusedStream && before) {
    // RFC 9113 §8.7; so end those beyond the last stream of a GOAWAY.
    why = Error{Party::kUpstream, Fault::kUnprocessed, "the upstream refused the stream", true};
  } else if (stream.peer_reset) {
    why = Error{Party::kUpstream, Fault::kReset, "the upstream reset the stream", before};
  } else if (stream.code == Http2Error::kNone) {
    why =
        before
            ? Error{Party::kUpstream, Fault::kReset, "the upstream closed without an answer", true}
            : Error{Party::kUpstream, Fault::kTruncated, "the upstream closed within its answer"};
  }
  to.OnReset(stream.id, std::move(why), /*answerable=*/false);
}

void Http2Client::Reset(StreamId id, Fault why) {
  Http2Stream* stream = Find(id);
  if (stream == nullptr || stream->closed || stream->given_up) return;
  GiveUp(*stream, why == Fault::kMalformed ? Http2Error::kProtocol : Http2Error::kCancel);
  Settle();
}

void Http2Client::GoAway() {
  if (over() || leaving_) return;
  leaving_ = true;
  SubmitGoAway(/*notice=*/false);
  Settle();
}

}  // namespace

std::unique_ptr<ClientCodec> MakeHttp2Client(std::string_view scheme, const Clock& clock) {
  return std::make_unique<Http2Client>(scheme, clock);
}

}  // namespace relay
