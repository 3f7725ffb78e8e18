// SPDX-License-Identifier: MIT
// A vendor for tests of exchanges and filters: real HTTP over a line in memory, at whose other end
// the test reads what the relay sent and answers with bytes of its choice.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/exchange/exchange.h"
#include "core/http/connection.h"
#include "tests/support/memory_transport.h"
#include "upstreams/usage.h"

namespace relay {

// One end of a line, in plain bytes.
class TextPeer final : public TransportEvents {
 public:
  explicit TextPeer(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {
    transport_->Start(*this);
  }
  void Send(std::string_view bytes) {
    Buffer buffer;
    buffer.AppendCopy(bytes);
    transport_->Write(buffer);
  }
  // Breaks the connection off.
  void Close() { transport_.reset(); }

  void OnBytes(Chunk bytes) override { text += bytes.view(); }
  void OnEof() override { ended = true; }
  void OnBroken(Error) override { ended = true; }
  void OnDrained() override {}

  std::string text;  // all that came
  bool ended = false;

 private:
  std::unique_ptr<Transport> transport_;
};

// Knows the calls of both vendors, and of OpenAI, well enough for filters; reads model, session
// ("session") and max_tokens from the body's top level. `provider`: "claude", "gemini", "openai".
class ScriptedUpstream final : public Upstream {
 public:
  struct Call {
    explicit Call(Loop& loop) : line(loop) {}
    MemoryLine line;
    std::unique_ptr<TextPeer> vendor;
    bool answered = false;
  };

  ScriptedUpstream(Loop& loop, std::string provider)
      : loop_(loop), provider_(std::move(provider)) {}

  // Sent as soon as a request has arrived; "": the test answers by calls.back()->vendor.
  std::string reply = Json(200, R"({"ok":true})");
  std::vector<std::unique_ptr<Call>> calls;

  static std::string Json(int status, const std::string& body) {
    return "HTTP/1.1 " + std::to_string(status) + " X\r\ncontent-type: application/json\r\n" +
           "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  static std::string EventStream() {
    return "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
           "\r\n";
  }
  static std::string Piece(std::string_view data) {
    std::string size;
    for (size_t n = data.size(); n > 0; n /= 16) size.insert(0, 1, "0123456789abcdef"[n % 16]);
    return (size.empty() ? "0" : size) + "\r\n" + std::string(data) + "\r\n";
  }

  // Moves every line by a step and answers what has arrived. False: nothing moved.
  bool Step() {
    bool moved = false;
    for (const auto& call : calls) {
      moved = call->line.Step() || moved;
      if (call->answered || reply.empty() || call->vendor == nullptr) continue;
      if (!Arrived(call->vendor->text)) continue;
      call->answered = true;
      call->vendor->Send(reply);
      moved = true;
    }
    return moved;
  }
  // What the last request looked like on the wire.
  std::string sent_head() const {
    std::string_view text = calls.empty() ? "" : std::string_view(calls.back()->vendor->text);
    return std::string(text.substr(0, text.find("\r\n\r\n")));
  }
  std::string sent_body() const {
    std::string_view text = calls.empty() ? "" : std::string_view(calls.back()->vendor->text);
    size_t end = text.find("\r\n\r\n");
    return end == std::string_view::npos ? "" : std::string(text.substr(end + 4));
  }

  std::string_view name() const override { return "vendor"; }
  std::string_view provider() const override { return provider_; }
  Duration idle_timeout() const override { return std::chrono::seconds(300); }
  Dialect DialectOf(std::string_view path) const override {
    if (provider_ == "openai") return Dialect::kOpenai;
    if (provider_ != "gemini") return Dialect::kAnthropic;
    return path.starts_with("/v1internal") ? Dialect::kCodeAssist : Dialect::kGemini;
  }
  std::optional<Ask> Recognise(std::string_view, std::string_view path) const override {
    Ask ask;
    ask.metered = true;
    if (path.ends_with("/messages") || path.ends_with("/chat/completions")) {
      ask.operation = Operation::kGenerate;
    } else if (path.ends_with("/count_tokens") || path.ends_with(":countTokens")) {
      ask.operation = Operation::kCount;
    } else if (path.ends_with("/models")) {
      ask.operation = Operation::kModels;
    } else if (path.ends_with("enerateContent")) {
      ask.operation = Operation::kGenerate;
    } else if (path.ends_with(":loadCodeAssist")) {
      ask.operation = Operation::kStartup;
    } else {
      return {};
    }
    size_t model = path.rfind("/models/");
    if (model != std::string_view::npos) {
      std::string_view rest = path.substr(model + 8);
      ask.model = rest.substr(0, rest.find(':'));
    }
    return ask;
  }
  Result<Unit> ReadBody(Exchange& x) const override {
    if (x.body.size() == 0 || !x.json.text().empty()) return Unit{};
    Result<JsonIndex> json = JsonIndex::Parse(x.body.view());
    if (!json) return std::unexpected(json.error());
    x.json = std::move(*json);
    if (x.ask.model.empty()) x.ask.model = x.json.Find("model").String().value_or("");
    x.ask.session = x.json.Find("session").String().value_or("");
    x.ask.max_tokens = x.json.Find("max_tokens").Int().value_or(0);
    x.ask.streams = x.json.Find("stream").Bool().value_or(false);
    return Unit{};
  }
  Task<std::expected<Answer, Refusal>> Send(Exchange& x) override {
    ++x.outcome.attempts;
    auto& call = *calls.emplace_back(std::make_unique<Call>(loop_));
    call.vendor = std::make_unique<TextPeer>(call.line.Take(MemoryLine::kServer));
    ClientConnection* connection = ClientConnection::Start(
        loop_, call.line.Take(MemoryLine::kClient), std::chrono::seconds(60));
    Head head = HeadOf(x);
    Buffer body;
    x.edits.Apply(x.body.chunk(), body);
    head.content_length = body.size();
    Result<std::unique_ptr<Stream>> stream = connection->Open(head, std::move(body));
    if (!stream) co_return std::unexpected(ToRefusal(stream.error()));
    Result<Head> got = co_await (*stream)->ReadHead(TimePoint::max());
    if (!got) co_return std::unexpected(ToRefusal(got.error()));
    Answer answer;
    answer.head = std::move(*got);
    answer.stream = std::move(*stream);
    answer.event_stream = answer.head.Get("content-type").starts_with("text/event-stream");
    MeterSeed seed{.model = x.ask.model,
                   .request_bytes = static_cast<int64_t>(x.body.size()),
                   .generates = x.ask.operation == Operation::kGenerate};
    answer.meter = provider_ == "gemini" ? MakeGeminiMeter(seed) : MakeClaudeMeter(seed);
    answer.meter->OnHead(
        {answer.head.status, answer.head.Get("content-type"), answer.head.Get("content-encoding")});
    co_return answer;
  }

 private:
  static bool Arrived(std::string_view text) {
    size_t end = text.find("\r\n\r\n");
    if (end == std::string_view::npos) return false;
    size_t length = text.find("ontent-length: ");
    size_t size = 0;
    if (length < end) size = std::stoul(std::string(text.substr(length + 15, 12)));
    return text.size() >= end + 4 + size;
  }
  static Head HeadOf(const Exchange& x) {
    Head head;
    head.method = head.Keep(x.request.method);
    std::string target = x.sent_path;
    if (!x.request.query().empty()) target += "?" + std::string(x.request.query());
    head.target = head.Keep(target);
    head.authority = "vendor.test";
    for (const Field& field : x.request.fields) {
      if (!IsHopByHop(field.name) && !EqualsIgnoreCase(field.name, "host") &&
          !EqualsIgnoreCase(field.name, "content-length")) {
        head.Add(field.name, field.value);
      }
    }
    return head;
  }

  Loop& loop_;
  const std::string provider_;
};

}  // namespace relay
