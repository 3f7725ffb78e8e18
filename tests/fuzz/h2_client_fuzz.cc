// SPDX-License-Identifier: MIT
// Frames of an upstream into the HTTP/2 client, with requests and resets between them. No request
// stays without an end, no window is overdrawn, nothing is told of a stream that is over; and
// however the bytes are cut, the same is told.
#include "tests/fuzz/h2_script.h"

namespace relay {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kWindow = size_t{256} << 10;
constexpr uint64_t kFirstWindow = 65535;

class Session {
 public:
  explicit Session(int way) : way_(way), codec_(MakeHttp2Client("https", clock_)) {
    events_.on_room = [this](StreamId id) { Send(id); };
  }

  void Run(const std::vector<ScriptStep>& steps) {
    Receive(WireFrame(4, 0, 0, ""));
    for (const ScriptStep& step : steps) Play(step);
    codec_->ReceiveEof(events_);
    Check(codec_->must_close() && codec_->FreeStreams() == 0, "an ended connection is used again");
    wire_.Take(*codec_);
    Check(wire_.data_sent() <= kFirstWindow + granted_, "the connection's window is overdrawn");
    Check(!failed_ || wire_.error_goaway(), "a connection ends without a GOAWAY");
    for (const auto& [id, body] : bodies_) {
      ScriptEvents::Told& stream = events_.told[id];
      Check(stream.over() || failed_, "a request has no end", events_.Text());
      // Whether it is told that it was lost before all of them are is a matter of the pieces.
      if (!stream.over()) stream.lost = true;
    }
    for (const auto& [id, stream] : events_.told) {
      Check(bodies_.contains(id), "an answer that nobody asked for", events_.Text());
      if (stream.head) CheckHead(*stream.head, /*request=*/false);
      Check(stream.unconsumed <= kWindow, "more than the window was taken");
    }
  }

  std::string Text() const { return events_.Text() + (failed_ ? "failed" : ""); }

 private:
  void Receive(const std::string& bytes) {
    for (std::string_view piece : Cut(bytes, way_)) {
      Result<Unit> read = codec_->Receive(Chunk::Copy(piece), events_);
      failed_ = failed_ || !read;
      if (failed_) Check(codec_->must_close(), "a broken connection goes on");
      if (failed_) Check(codec_->FreeStreams() == 0, "a broken connection is used again");
    }
  }

  void Play(const ScriptStep& step) {
    auto at = events_.told.find(step.stream);
    bool told = at != events_.told.end();
    switch (step.kind) {
      case StepKind::kWait: clock_.Advance(std::chrono::milliseconds(10 * step.flags)); return;
      case StepKind::kAnswer: Open(step.flags); return;
      case StepKind::kReset:
        codec_->Reset(step.stream, Fault::kCancelled);
        if (bodies_.contains(step.stream)) events_.told[step.stream].left = true;
        return;
      case StepKind::kConsume:
        if (told) codec_->Consumed(step.stream, std::exchange(at->second.unconsumed, 0));
        return;
      case StepKind::kGoAway: codec_->GoAway(); return;
      case StepKind::kOutput: wire_.Take(*codec_); return;
      default: break;
    }
    if (step.kind == StepKind(8) && step.payload.size() == 4 && step.stream == 0) {
      auto byte = [&](size_t i) { return uint64_t{static_cast<unsigned char>(step.payload[i])}; };
      granted_ += (byte(0) & 0x7f) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
    }
    if (step.kind == StepKind::kRaw) granted_ += uint64_t{1} << 32;  // may be anything
    Receive(WireOf(step));
  }

  // GET, or POST with a body of 1 KiB for each of `flags`.
  void Open(uint8_t flags) {
    size_t free = codec_->FreeStreams();
    Check(free <= 100, "more streams than anybody needs");
    Head head;
    head.method = flags == 0 ? "GET" : "POST";
    head.target = "/v1/messages";
    head.authority = "upstream.test";
    if (flags % 2 == 1) head.content_length = size_t{1024} * flags;
    Result<StreamId> id = codec_->Open(head, flags == 0);
    Check(id.has_value() == (free > 0), "free or not");
    if (!id) return;
    Check(bodies_.insert({*id, size_t{1024} * flags}).second, "a stream's number comes twice");
    events_.told[*id];
    if (flags > 0) Send(*id);
  }

  void Send(StreamId id) {
    size_t& left = bodies_[id];
    Buffer body;
    body.AppendCopy(std::string(left, 'x'));
    size_t taken = codec_->SendData(id, body, /*end=*/true);
    Check(taken <= left, "more was taken than given");
    left -= taken;
  }

  const int way_;
  ManualClock clock_;
  std::unique_ptr<ClientCodec> codec_;
  ScriptEvents events_;
  WireReader wire_{kPreface};
  std::map<StreamId, size_t> bodies_;  // what is left of each request's body
  uint64_t granted_ = 0;
  bool failed_ = false;
};

}  // namespace

void Fuzz(std::string_view input) {
  std::vector<ScriptStep> steps = ReadScript(input);
  std::string first;
  for (int way = 0; way < kCuts; ++way) {
    Session session(way);
    session.Run(steps);
    if (way == 0) first = session.Text();
    Check(session.Text() == first, "the pieces matter", first + "\n---\n" + session.Text());
  }
}

}  // namespace relay
