// SPDX-License-Identifier: MIT
// The server's side of HTTP/2: requests on many streams out of bytes, answers into bytes. What
// HTTP/1 could read in two ways, once it is passed on, ends its stream (R25).
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "core/http/http1_syntax.h"
#include "core/http/http2_session.h"

namespace relay {
namespace {

// How much of a body that was answered early is still read, so that the client may see its end.
constexpr uint64_t kMostSwallowed = uint64_t{64} << 10;
// RFC 9113 §6.9.2: what holds without being announced.
constexpr uint32_t kStreamWindow = 65535;
constexpr std::array<std::string_view, 7> kMethods = {"GET",    "HEAD",    "POST", "PUT",
                                                      "DELETE", "OPTIONS", "PATCH"};

std::unexpected<Error> Malformed(std::string_view what) {
  return Fail(Party::kClient, Fault::kMalformed, std::string(what));
}

// A path that HTTP/1 can carry.
bool IsTarget(std::string_view path) {
  return path.starts_with('/') && std::all_of(path.begin(), path.end(), [](char c) {
           auto byte = static_cast<unsigned char>(c);
           return byte > 0x20 && byte < 0x7f && c != '#';
         });
}

// RFC 9113 §8.2.3: what was one Cookie is one again.
void JoinCookies(HeadBlock& block) {
  if (block.cookies < 2) return;
  std::string joined;
  for (const Field& field : block.head.fields) {
    if (field.name != "cookie") continue;
    if (!joined.empty()) joined.append("; ");
    joined.append(field.value);
  }
  block.head.Set("cookie", joined);
}

// The server's part of a stream that was read: a request, or why it is none.
Result<Head> MakeRequest(HeadBlock block, const CodecLimits& limits, bool end) {
  if (block.too_large) {
    return Fail(Party::kClient, Fault::kHeadTooLarge, "the request's head is too large");
  }
  if (block.path.size() > limits.target_bytes) {
    return Fail(Party::kClient, Fault::kTargetTooLong, "the request's path is too long");
  }
  const auto* known = std::find(kMethods.begin(), kMethods.end(), block.method);
  if (known == kMethods.end() || (block.path == "*" && block.method == "OPTIONS")) {
    return Fail(Party::kClient, Fault::kMethod, "this method is not served");
  }
  if (!EqualsIgnoreCase(block.scheme, "http") && !EqualsIgnoreCase(block.scheme, "https")) {
    return Malformed("the scheme is neither http nor https");
  }
  if (!IsTarget(block.path)) return Malformed("the path is not one");
  JoinCookies(block);
  Head head = std::move(block.head);
  const Field* host = head.Find("host");
  if (host != nullptr && !block.authority.empty() &&
      !EqualsIgnoreCase(host->value, block.authority)) {
    return Malformed(":authority and Host differ");
  }
  head.authority = block.authority.empty() && host != nullptr ? host->value : block.authority;
  if (!IsHostAndPort(head.authority)) return Malformed("the authority is not a host and a port");
  if (const Field* length = head.Find("content-length")) {
    uint64_t number = 0;
    if (!ReadDecimal(length->value, number)) return Malformed("content-length is not a number");
    head.content_length = number;
  }
  if (const Field* expect = head.Find("expect")) {
    if (!EqualsIgnoreCase(expect->value, "100-continue")) {
      return Fail(Party::kClient, Fault::kExpectation, "only 100-continue can be expected");
    }
    head.expects_continue = !end;
  }
  head.version = Version::kHttp2;
  head.method = *known;
  head.target = block.path;
  return head;
}

class Http2Server final : public Codec, private Http2Session {
 public:
  Http2Server(const CodecLimits& limits, const Clock& clock)
      : Http2Session(Side::kServer,
                     {limits.header_bytes, limits.header_fields, limits.streams, kStreamWindow},
                     clock),
        limits_(limits) {}

  Result<Unit> Receive(Chunk bytes, StreamEvents& to) override {
    return Read(std::move(bytes), to);
  }
  void ReceiveEof(StreamEvents& to) override { ReadEof(to); }
  void SendHead(StreamId id, const Head& head, bool end) override;
  size_t SendData(StreamId id, Buffer& body, bool end) override { return Write(id, body, end); }
  void Consumed(StreamId id, size_t n) override { Reopen(id, n); }
  void Reset(StreamId id, Fault why) override;
  void GoAway() override;
  void TakeOutput(Buffer& to) override { Http2Session::TakeOutput(to); }
  bool must_close() const override {
    return over() || peer_went_away() || leaving_ == Leaving::kGone;
  }
  bool mid_message() const override { return in_block(); }

 private:
  enum class Leaving : uint8_t { kNo, kNoticed, kGone };

  void HandleHead(Http2Stream& stream, HeadBlock block, bool end, StreamEvents& to) override;
  void HandleData(Http2Stream& stream, Chunk data, bool end, StreamEvents& to) override;
  void HandleClosed(Http2Stream& stream, StreamEvents& to) override;
  void HandleSent(Http2Stream& stream) override;
  void HandlePong() override {
    if (leaving_ == Leaving::kNoticed) Leave();
  }
  // The request's body is larger than may be.
  void RefuseBody(Http2Stream& stream, StreamEvents& to);
  void Leave();

  const CodecLimits limits_;
  Leaving leaving_ = Leaving::kNo;
};

void Http2Server::HandleHead(Http2Stream& stream, HeadBlock block, bool end, StreamEvents& to) {
  stream.to_head = block.method == "HEAD";
  Result<Head> request = MakeRequest(std::move(block), limits_, end);
  if (!request) {
    Error& why = request.error();
    if (why.fault == Fault::kMalformed) {
      Break(stream, Http2Error::kProtocol);
      return;
    }
    stream.known = stream.head_told = true;
    stream.dropping = true;
    to.OnReset(stream.id, std::move(why), /*answerable=*/true);
    return;
  }
  stream.known = stream.head_told = true;
  stream.announced = request->content_length;
  bool too_large = !end && stream.announced.value_or(0) > limits_.body_bytes;
  to.OnHead(stream.id, std::move(*request), end);
  // Told after the head: whoever answers knows the route, and so the answer's dialect.
  if (too_large && !stream.dropping) RefuseBody(stream, to);
}

void Http2Server::HandleData(Http2Stream& stream, Chunk data, bool end, StreamEvents& to) {
  if (stream.received > limits_.body_bytes) {
    RefuseBody(stream, to);
  } else {
    to.OnData(stream.id, std::move(data), end);
  }
}

void Http2Server::RefuseBody(Http2Stream& stream, StreamEvents& to) {
  stream.dropping = true;
  if (stream.out_ended) return;
  Error why{Party::kClient, Fault::kBodyTooLarge, "the body is larger than this relay takes"};
  bool answerable = !stream.head_sent;
  if (!answerable) GiveUp(stream, Http2Error::kCancel);
  to.OnReset(stream.id, std::move(why), answerable);
}

void Http2Server::HandleClosed(Http2Stream& stream, StreamEvents& to) {
  if (stream.out_ended) return;
  Error why{Party::kClient, Fault::kMalformed, "the client broke the rules of its stream"};
  if (stream.peer_reset) {
    why = Error{Party::kClient, Fault::kCancelled, "the client took its request back"};
  } else if (stream.code == Http2Error::kNone) {
    why = Error{Party::kClient, Fault::kTruncated, "the request's body was cut"};
  }
  to.OnReset(stream.id, std::move(why), /*answerable=*/false);
}

void Http2Server::HandleSent(Http2Stream& stream) {
  if (stream.in_ended || stream.given_up) return;
  // The client may send the rest in vain, or stop (RFC 9113 §8.1).
  if (stream.announced && *stream.announced - stream.received <= kMostSwallowed) {
    Swallow(stream);
  } else {
    GiveUp(stream, Http2Error::kNone);
  }
}

void Http2Server::SendHead(StreamId id, const Head& head, bool end) {
  Http2Stream* stream = Find(id);
  if (stream == nullptr || stream->closed || stream->given_up || stream->head_sent) return;
  bool interim = head.status < 200;
  if (head.status == 101) return;  // RFC 9113 §8.6: there is no such thing
  bool bodiless = stream->to_head || head.status == 204 || head.status == 304;
  bool body = !end && !interim && !bodiless;
  std::string status = std::to_string(head.status);
  std::string length;
  std::vector<Field> fields;
  fields.reserve(head.fields.size() + 2);
  fields.push_back({":status", status});
  AppendHttp2Fields(head, /*request=*/false, fields);
  bool says_length = head.content_length && !interim && head.status != 204;
  if (says_length) {
    // An answer without a body has the length 0, but for those that speak of another one's.
    length = std::to_string(body || bodiless ? *head.content_length : 0);
    fields.push_back({"content-length", length});
    if (body) stream->left = head.content_length;
  }
  SubmitAnswer(*stream, fields, interim, body);
  Settle();
}

void Http2Server::Reset(StreamId id, Fault why) {
  Http2Stream* stream = Find(id);
  // After a complete answer there is nothing that the client would have to be told.
  if (stream == nullptr || stream->closed || stream->given_up || stream->out_ended) return;
  Http2Error code = why == Fault::kCancelled   ? Http2Error::kCancel
                    : why == Fault::kMalformed ? Http2Error::kProtocol
                                               : Http2Error::kInternal;
  GiveUp(*stream, code);
  Settle();
}

void Http2Server::GoAway() {
  if (over()) return;
  if (leaving_ == Leaving::kNo) {
    // RFC 9113 §6.8: requests that are under way now are still served. Whoever has answered the
    // PING has read the notice.
    leaving_ = Leaving::kNoticed;
    SubmitGoAway(/*notice=*/true);
    SubmitPing();
  } else if (leaving_ == Leaving::kNoticed) {
    Leave();
  }
  Settle();
}

void Http2Server::Leave() {
  leaving_ = Leaving::kGone;
  SubmitGoAway(/*notice=*/false);
}

}  // namespace

std::unique_ptr<Codec> MakeHttp2Server(const CodecLimits& limits, const Clock& clock) {
  return std::make_unique<Http2Server>(limits, clock);
}

}  // namespace relay
