// SPDX-License-Identifier: MIT
// Frames of a client into the HTTP/2 server, with answers and resets between them. Every request
// that is told is one that HTTP/1 can carry; streams and output stay in bounds; each stream ends
// once; and however the bytes are cut, the same is told.
#include "tests/fuzz/h2_script.h"
#include "tests/fuzz/sent_on.h"

namespace relay {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr uint32_t kStreams = 4;
constexpr size_t kWindow = 65535;

CodecLimits Limits() {
  CodecLimits limits;
  limits.target_bytes = 64;
  limits.header_bytes = 512;
  limits.header_fields = 8;
  limits.body_bytes = 200;
  limits.streams = kStreams;
  return limits;
}

class Session {
 public:
  explicit Session(int way) : way_(way), codec_(MakeHttp2Server(Limits(), clock_)) {}

  void Run(const std::vector<ScriptStep>& steps) {
    Receive(std::string(kPreface) + WireFrame(4, 0, 0, ""));
    for (const ScriptStep& step : steps) Play(step);
    CheckBounds();
    codec_->ReceiveEof(events_);
    Check(codec_->must_close(), "the connection ended and goes on");
    wire_.Take(*codec_);
    Check(!failed_ || wire_.error_goaway(), "a connection ends without a GOAWAY");
    for (const auto& [id, stream] : events_.told) {
      // One that was answered or refused needs no end of its own; a broken connection loses all.
      bool over = stream.over() || stream.refused || answered_.contains(id) || failed_;
      Check(over, "a stream leaks", events_.Text());
      if (!stream.head) continue;
      CheckHead(*stream.head, /*request=*/true);
      Check(stream.body.size() <= Limits().body_bytes, "a body is too large");
      Check(stream.head->fields.size() <= Limits().header_fields, "too many fields");
      if (!stream.end || stream.lost) continue;
      if (stream.head->content_length) {
        Check(*stream.head->content_length == stream.body.size(), "content-length and body differ");
      }
      CheckSentOn(*stream.head, stream.body);
    }
  }

  std::string Text() const { return events_.Text() + (failed_ ? "failed" : ""); }

 private:
  void Receive(const std::string& bytes) {
    for (std::string_view piece : Cut(bytes, way_)) {
      size_t before = events_.told.size();
      Result<Unit> read = codec_->Receive(Chunk::Copy(piece), events_);
      if (failed_) Check(!read && before == events_.told.size(), "told after the end");
      failed_ = failed_ || !read;
      if (failed_) Check(codec_->must_close(), "a broken connection goes on");
      CheckBounds();
    }
  }

  void Play(const ScriptStep& step) {
    auto at = events_.told.find(step.stream);
    bool told = at != events_.told.end();
    switch (step.kind) {
      case StepKind::kWait: clock_.Advance(std::chrono::milliseconds(10 * step.flags)); return;
      case StepKind::kAnswer: Answer(step, told); return;
      case StepKind::kReset:
        codec_->Reset(step.stream, Fault::kCancelled);
        if (told && !answered_.contains(step.stream)) at->second.left = true;
        return;
      case StepKind::kConsume:
        if (!told) return;
        codec_->Consumed(step.stream, std::exchange(at->second.unconsumed, 0));
        return;
      case StepKind::kGoAway: codec_->GoAway(); return;
      case StepKind::kOutput: wire_.Take(*codec_); return;
      default: Receive(WireOf(step));
    }
  }

  void Answer(const ScriptStep& step, bool told) {
    Head head;
    head.status = step.flags == 255 ? 103 : 200;
    head.Add("x-fuzz", "1");
    size_t size = size_t{64} * step.flags;
    codec_->SendHead(step.stream, head, size == 0);
    if (head.status == 103) return;
    if (told) answered_[step.stream] = true;
    if (size == 0) return;
    Buffer body;
    body.AppendCopy(std::string(size, 'x'));
    size_t taken = codec_->SendData(step.stream, body, /*end=*/true);
    Check(taken <= size && (!told || body.size() == size - taken), "bytes of an answer are lost");
  }

  void CheckBounds() {
    size_t open = 0;
    for (const auto& [id, stream] : events_.told) {
      bool over = stream.lost || stream.left || answered_.contains(id);
      if (!over) ++open;
      Check(stream.unconsumed <= kWindow, "more than the window was taken");
    }
    Check(open <= kStreams, "more streams than are allowed", events_.Text());
  }

  const int way_;
  ManualClock clock_;
  std::unique_ptr<Codec> codec_;
  ScriptEvents events_;
  WireReader wire_{""};
  std::map<StreamId, bool> answered_;
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
