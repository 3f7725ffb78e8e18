// SPDX-License-Identifier: MIT
// A worker whose one route has filters that only write down what is asked of them, for tests of
// the story that all filters share.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/worker_fixture.h"

namespace relay {

// What a scribe does with a request beside writing it down.
enum class Act : uint8_t { kPass, kReadBody, kWait, kRefuse, kThrow };

inline constexpr Duration kScribeWaits = std::chrono::seconds(1);

class Scribe final : public Filter {
 public:
  Scribe(std::string name, Act act, std::vector<std::string>& diary)
      : name_(std::move(name)), act_(act), diary_(diary) {}
  std::string_view name() const override { return name_; }

  Task<Verdict> OnRequest(Exchange& x) override {
    Write("request");
    switch (act_) {
      case Act::kPass: return Verdict::Continue();
      case Act::kReadBody: return ReadBody(x);
      case Act::kWait: return Wait(x);
      case Act::kRefuse:
        return Verdict::Refuse(
            Refusal{.fault = Fault::kForbidden, .message = name_ + " says no", .final = true});
      case Act::kThrow: throw std::runtime_error(name_ + " is broken");
    }
    return Verdict::Continue();
  }
  void OnResponseHead(Exchange&, Head& head) override {
    Write("head");
    head.Add("x-scribe", name_);
  }
  void OnResponseChunk(Exchange&, std::string_view bytes) override {
    if (writes_chunks) Write("chunk " + std::to_string(bytes.size()));
  }
  void OnFinish(Exchange& x, const Outcome& outcome) noexcept override {
    Write("finish " + std::string(NameOf(outcome.end)));
    last = outcome;
    usage = Usage();
    if (x.meter() != nullptr) usage = x.meter()->Finish(outcome.end == Outcome::End::kComplete);
  }

  bool writes_chunks = true;
  Outcome last;
  Usage usage;  // as usage-record would record it

 private:
  void Write(std::string_view what) { diary_.push_back(name_ + " " + std::string(what)); }
  static Task<Verdict> ReadBody(Exchange& x) {
    Result<Unit> loaded = co_await x.LoadBody();
    if (!loaded) co_return Verdict::Refuse(ToRefusal(loaded.error()));
    Result<Unit> read = x.route->upstream->ReadBody(x);
    if (!read) co_return Verdict::Refuse(ToRefusal(read.error()));
    co_return Verdict::Continue();
  }
  static Task<Verdict> Wait(Exchange& x) {
    co_await Sleep(x.loop, kScribeWaits);
    co_return Verdict::Continue();
  }

  const std::string name_;
  const Act act_;
  std::vector<std::string>& diary_;
};

class StoryWorld final : public WorkerWorld {
 public:
  // Filters are called a, b, c, … in the chain's order.
  explicit StoryWorld(std::string provider = "claude",
                      const std::vector<Act>& acts = {Act::kPass, Act::kReadBody})
      : WorkerWorld(std::move(provider)) {
    auto table = std::make_shared<RouteTable>();
    Route& route = table->routes.emplace_back();
    route.name = "main";
    route.prefixes = {"/api"};
    route.passthrough = {"/v1/files"};
    route.upstream = &upstream;
    route.metrics = &exchange_metrics.Route("main");
    visits.resize(acts.size());
    for (size_t i = 0; i < acts.size(); ++i) {
      auto scribe =
          std::make_unique<Scribe>(std::string(1, static_cast<char>('a' + i)), acts[i], diary);
      scribes.push_back(scribe.get());
      route.filters.push_back(std::make_unique<WitnessFilter>(std::move(scribe), visits[i]));
    }
    worker.table = std::move(table);
  }
  ~StoryWorld() override { Finish(); }

  // A streamed request in the provider's dialect, whose answer is the test's to give: Say().
  void BeginStream() {
    upstream.reply = "";
    bool gemini = upstream.provider() == "gemini";
    std::string path = gemini                            ? "/v1beta/models/m:streamGenerateContent"
                       : upstream.provider() == "openai" ? "/v1/chat/completions"
                                                         : "/v1/messages";
    Begin(Request("POST /api" + path, {}, R"({"model":"m","stream":true})"));
    Run();
  }
  // The vendor goes on with its answer to the last request.
  void Say(std::string_view bytes) {
    ASSERT_FALSE(upstream.calls.empty());
    upstream.calls.back()->vendor->Send(bytes);
    Run();
  }
  // The vendor begins a stream with this piece, or goes on with it.
  void Stream(std::string_view piece) {
    bool begun = std::exchange(streaming_, true);
    Say((begun ? "" : ScriptedUpstream::EventStream()) + ScriptedUpstream::Piece(piece));
  }
  void EndStream() { Say("0\r\n\r\n"); }
  // The vendor breaks its connection off.
  void Cut() {
    upstream.calls.back()->vendor->Close();
    Run();
  }
  // The answer's body without the framing of chunks, as far as it came.
  std::string Unchunked() const {
    std::string body = answer_body();
    std::string text;
    for (size_t at = 0; at < body.size();) {
      size_t line = body.find("\r\n", at);
      if (line == std::string::npos) break;
      size_t size = std::stoul(body.substr(at, line - at), nullptr, 16);
      text += body.substr(line + 2, size);
      at = line + 2 + size + 2;
    }
    return text;
  }
  // The answer ended as its framing promised.
  bool EndedWell() const { return answer_body().ends_with("\r\n0\r\n\r\n"); }
  const Outcome& outcome() const { return scribes.at(0)->last; }

  std::vector<std::string> diary;
  std::vector<Scribe*> scribes;  // the route's

 private:
  bool streaming_ = false;
};

}  // namespace relay
