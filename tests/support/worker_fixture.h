// SPDX-License-Identifier: MIT
// A worker for tests whose client speaks HTTP/1.1 over a line in memory and whose vendor is
// scripted; routes and filters are the test's. All in between is real. Time moves only when the
// test says so.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/exchange/metrics.h"
#include "core/exchange/worker.h"
#include "core/metrics/metrics.h"
#include "tests/support/scripted_upstream.h"

namespace relay {

// Counts how often a filter is entered and finished.
struct Visits {
  int entered = 0;
  int finished = 0;
};

class WitnessFilter final : public Filter {
 public:
  WitnessFilter(std::unique_ptr<Filter> inner, Visits& visits)
      : inner_(std::move(inner)), visits_(visits) {}
  std::string_view name() const override { return inner_->name(); }
  Task<Verdict> OnRequest(Exchange& x) override {
    ++visits_.entered;
    return inner_->OnRequest(x);
  }
  void OnResponseHead(Exchange& x, Head& head) override { inner_->OnResponseHead(x, head); }
  void OnResponseChunk(Exchange& x, std::string_view bytes) override {
    inner_->OnResponseChunk(x, bytes);
  }
  void OnFinish(Exchange& x, const Outcome& outcome) noexcept override {
    ++visits_.finished;
    inner_->OnFinish(x, outcome);
  }

 private:
  std::unique_ptr<Filter> inner_;
  Visits& visits_;
};

class WorkerWorld {
 public:
  explicit WorkerWorld(std::string provider, const ExchangeLimits& limits = {})
      : upstream(loop, std::move(provider)),
        worker(loop, endpoints, bodies, exchange_metrics, limits) {}
  WorkerWorld(const WorkerWorld&) = delete;
  WorkerWorld& operator=(const WorkerWorld&) = delete;
  virtual ~WorkerWorld() { Finish(); }
  // Ends all that is under way. A derived world does it first of all, while what its filters use
  // is there.
  void Finish() {
    // Connections own themselves: they end when their peers do.
    client_.reset();
    for (const auto& call : upstream.calls) call->vendor.reset();
    Run();
    worker.table.reset();
    worker.keys.reset();
  }

  // A request as the client writes it; the content-length is added where there is a body.
  static std::string Request(std::string_view line, const std::vector<std::string>& fields = {},
                             std::string_view body = {}) {
    std::string text = std::string(line) + " HTTP/1.1\r\nHost: relay.test\r\n";
    for (const std::string& field : fields) text += field + "\r\n";
    if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return text + "\r\n" + std::string(body);
  }

  // A new client sends this. The one before, if any, is gone.
  void Begin(std::string_view request) {
    client_.reset();
    Run();
    line_ = std::make_unique<MemoryLine>(loop);
    ServerConnection::Start(loop, line_->Take(MemoryLine::kServer), server_limits, worker);
    client_ = std::make_unique<TextPeer>(line_->Take(MemoryLine::kClient));
    client_->Send(request);
  }
  MemoryLine& line() { return *line_; }
  TextPeer& client() const { return *client_; }
  void HangUp() { client_->Close(); }

  // One piece moves on each line. False: nothing did.
  bool MoveLines() {
    bool moved = line_ != nullptr && line_->Step();
    return upstream.Step() || moved;
  }
  // Until nothing moves any more.
  void Run() {
    for (int still = 0; still < 3;) {
      bool moved = MoveLines();
      loop.Turn();
      still = moved ? 0 : still + 1;
    }
  }
  void Advance(Duration by) {
    clock.Advance(by);
    Run();
  }

  // Begin and Run.
  void Ask(std::string_view line, const std::vector<std::string>& fields = {},
           std::string_view body = {}) {
    Begin(Request(line, fields, body));
    Run();
  }
  // Of what the client got.
  int status() const {
    return client_->text.size() < 12 ? 0 : std::stoi(client_->text.substr(9, 3));
  }
  std::string answer_head() const {
    return client_->text.substr(0, client_->text.find("\r\n\r\n"));
  }
  std::string answer_body() const {
    size_t end = client_->text.find("\r\n\r\n");
    return end == std::string::npos ? "" : client_->text.substr(end + 4);
  }
  // The one exchange under way, or null.
  Exchange* exchange() { return worker.exchanges.front(); }
  // What must hold whenever nothing is under way.
  virtual void ExpectNothingHeld() {
    EXPECT_EQ(exchange(), nullptr);
    EXPECT_EQ(exchange_metrics.active(), 0);
    EXPECT_EQ(bodies.used(), 0U);
    for (const Visits& each : visits) {
      EXPECT_EQ(each.finished, each.entered);
      EXPECT_LE(each.entered, 1);
    }
  }

  struct NoEndpoints final : Endpoints {
    std::optional<Reply> Answer(const Head&, std::string_view) override { return {}; }
  };

  ManualClock clock;
  Loop loop{clock};
  Metrics metrics;
  ExchangeMetrics exchange_metrics{metrics};
  BodyBudget bodies{size_t{16} << 20};
  NoEndpoints endpoints;
  ScriptedUpstream upstream;
  Worker worker;
  ServerLimits server_limits;
  std::vector<Visits> visits;  // of the filters, in the chain's order; never resized

 private:
  std::unique_ptr<MemoryLine> line_;
  std::unique_ptr<TextPeer> client_;
};

}  // namespace relay
