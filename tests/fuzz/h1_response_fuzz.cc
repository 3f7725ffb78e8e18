// SPDX-License-Identifier: MIT
// Bytes of an upstream into the HTTP/1 client, as the answer to GET and to HEAD, until the
// connection ends: the body and its end are the reference's, and a fault is met where it meets one.
#include "tests/core/http/http1_peer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reference_http1.h"

namespace relay {
namespace {

constexpr ReferenceBounds kBounds = {size_t{64} << 10, size_t{64} << 10, 256, UINT64_MAX};

struct Told {
  Record record;
  bool failed = false;  // Receive did
};

void Ask(std::string_view method, const CutText& pieces, Told& told) {
  std::unique_ptr<ClientCodec> codec = MakeHttp1Client();
  Head head;
  head.method = method;
  head.target = "/";
  head.authority = "upstream.test";
  Result<StreamId> id = codec->Open(head, /*end=*/true);
  Check(id.has_value(), "a plain request cannot be sent");
  for (std::string_view piece : pieces) {
    if (!codec->Receive(ExactChunk(piece), told.record)) told.failed = true;
  }
  const auto& messages = told.record.messages;
  bool done = !messages.empty() && messages.back().end;
  if (told.failed) Check(codec->FreeStreams() == 0, "a broken connection is used again");
  if (done && !told.failed && !codec->must_close()) {
    Check(codec->FreeStreams() == 1, "a good connection is not used again");
  }
  codec->ReceiveEof(told.record);
  Check(codec->FreeStreams() == 0 && codec->must_close(), "an ended connection is used again");
  Check(!told.record.misuse, "events out of order", told.record.Text());
  Check(messages.size() <= 1, "two answers to one request", told.record.Text());
}

void CheckAgainst(const Told& told, const Reading& reading) {
  const auto& messages = told.record.messages;
  if (told.failed && reading.doubtful) return;
  bool answered = !messages.empty() && messages.front().head;
  Check(answered == (reading.messages.size() == 1), "an answer or none", told.record.Text());
  if (!reading.open) {
    Check(told.failed == reading.refused, "refused or not", told.record.Text());
  }
  if (!answered) return;
  const ReferenceMessage& reference = reading.messages.front();
  const Record::Message& message = messages.front();
  Check(message.head->status == reference.status, "another status");
  Check(message.head->close == reference.close, "another life of the connection");
  Check(message.body == reference.body, "another body", message.body);
  Check(message.end == reference.complete, "another end", told.record.Text());
  Check(message.end != message.fault.has_value(), "neither ended nor broken", told.record.Text());
  Check(message.head->fields.size() == reference.fields.size(), "more or fewer fields");
  for (size_t i = 0; i < reference.fields.size(); ++i) {
    Check(message.head->fields[i].name == reference.fields[i].first, "another name");
    Check(message.head->fields[i].value == reference.fields[i].second, "another value");
  }
}

}  // namespace

void Fuzz(std::string_view input) {
  for (std::string_view method : {"GET", "HEAD"}) {
    Reading reading = ReadAnswer(input, method == "HEAD", kBounds);
    std::string first;
    for (int way = 0; way < kCuts; ++way) {
      Told told;
      Ask(method, Cut(input, way), told);
      CheckAgainst(told, reading);
      std::string text = told.record.Text();
      if (way == 0) first = text;
      Check(text == first, "the pieces matter", first + "\n" + text);
    }
  }
}

}  // namespace relay
