// SPDX-License-Identifier: MIT
// Bytes of a client into the HTTP/1 server. However they are cut, the same requests come out; they
// are those that the reference sees, no more; and each, sent on, is one request again.
#include "tests/core/http/http1_peer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reference_http1.h"
#include "tests/fuzz/sent_on.h"

namespace relay {
namespace {

// Small enough that a short input can be over each.
CodecLimits Tight() {
  CodecLimits limits;
  limits.target_bytes = 64;
  limits.header_bytes = 256;
  limits.header_fields = 6;
  limits.body_bytes = 32;
  return limits;
}

ReferenceBounds BoundsOf(const CodecLimits& limits) {
  return {limits.target_bytes, limits.header_bytes, limits.header_fields, limits.body_bytes};
}

enum class When { kAtEnd, kAfterReceive, kAtHead };

// What a server was told, as the reference would put it, and how it ended.
struct Told {
  Record record;
  bool must_close = false;
};

void Answer(Codec& codec, StreamId id) {
  Head ok;
  ok.status = 200;
  codec.SendHead(id, ok, /*end=*/true);
}

void Serve(const CutText& pieces, const CodecLimits& limits, When when, Told& told) {
  std::unique_ptr<Codec> codec = MakeHttp1Server(limits);
  Record& record = told.record;
  size_t answered = 0;
  record.on_head = [&](StreamId id, const Head&) {
    bool now = when == When::kAtHead || (when == When::kAtEnd && record.messages.back().end);
    if (now) Answer(*codec, id);
  };
  record.on_data = [&](StreamId id, bool end) {
    if (when == When::kAtEnd && end) Answer(*codec, id);
  };
  auto receive = [&](Chunk piece) {
    Check(codec->Receive(std::move(piece), record).has_value(), "an HTTP/1 server never errs");
  };
  for (std::string_view piece : pieces) {
    receive(ExactChunk(piece));
    while (when == When::kAfterReceive && answered < record.messages.size()) {
      const Record::Message& message = record.messages[answered];
      if (!message.end && !message.fault) break;
      ++answered;
      Answer(*codec, message.id);
      if (codec->mid_message()) receive(Chunk());
    }
  }
  told.must_close = codec->must_close();
  Check(!record.misuse, "events out of order", record.Text());
}

// The relay's view of one request is the reference's.
void CheckSame(const Record::Message& message, const ReferenceMessage& reference) {
  const Head& head = *message.head;
  Check(head.method == reference.method, "another method", head.method);
  Check(head.target == reference.target, "another target", head.target);
  Check(head.authority == reference.authority, "another authority", head.authority);
  Check(head.fields.size() == reference.fields.size(), "more or fewer fields");
  for (size_t i = 0; i < head.fields.size(); ++i) {
    Check(head.fields[i].name == reference.fields[i].first, "another name", head.fields[i].name);
    Check(head.fields[i].value == reference.fields[i].second, "another value");
  }
}

void CheckAgainst(const Told& told, const Reading& reading) {
  size_t heads = 0;
  bool refused = false;
  for (const Record::Message& message : told.record.messages) {
    refused = refused || message.fault.has_value();
    Check(!refused || told.must_close, "a connection lives on after a fault");
    if (!message.head) continue;
    Check(heads < reading.messages.size(), "more requests than the reference sees",
          told.record.Text());
    const ReferenceMessage& reference = reading.messages[heads++];
    CheckSame(message, reference);
    Check(message.body == reference.body, "another body", message.body);
    Check(message.end == reference.complete, "another end", told.record.Text());
  }
  if (refused && reading.doubtful) return;
  Check(heads == reading.messages.size(), "fewer requests than the reference sees",
        told.record.Text());
  // Of a head that is not complete the relay may know already that it is wrong.
  if (!reading.open) Check(refused == reading.refused, "refused or not", told.record.Text());
}

// Answered before its body came, a request may end the connection, but never make another one.
void CheckEarly(const Told& told, const Reading& reading) {
  size_t heads = 0;
  for (const Record::Message& message : told.record.messages) {
    if (!message.head) continue;
    Check(heads < reading.messages.size(), "an early answer made a request of a body",
          told.record.Text());
    CheckSame(message, reading.messages[heads++]);
  }
}

void Try(std::string_view input, const CodecLimits& limits) {
  Reading reading = ReadRequests(input, BoundsOf(limits));
  // A body that nobody waits for any more is dropped, and its size matters less.
  ReferenceBounds unbounded = BoundsOf(limits);
  unbounded.body = UINT64_MAX;
  Reading dropping = ReadRequests(input, unbounded);
  std::string first;
  for (int way = 0; way < kCuts; ++way) {
    CutText pieces = Cut(input, way);
    for (When when : {When::kAtEnd, When::kAfterReceive}) {
      Told told;
      Serve(pieces, limits, when, told);
      CheckAgainst(told, reading);
      std::string text = told.record.Text();
      if (way == 0 && when == When::kAtEnd) first = text;
      Check(text == first, "the pieces matter", first + "\n" + text);
    }
    Told early;
    Serve(pieces, limits, When::kAtHead, early);
    CheckEarly(early, dropping);
  }
  Told told;
  Serve({input}, limits, When::kAtEnd, told);
  for (const Record::Message& message : told.record.messages) {
    if (message.head && message.end) CheckSentOn(*message.head, message.body);
  }
}

}  // namespace

void Fuzz(std::string_view input) {
  Try(input, CodecLimits());
  Try(input, Tight());
}

}  // namespace relay
