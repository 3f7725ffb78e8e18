// SPDX-License-Identifier: MIT
// With real threads over loopback: what crosses them is what these tests are for.
#include "admin/worker_thread.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "admin/endpoints.h"
#include "tests/admin/fixture.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

std::string ConfigText(uint16_t upstream) {
  return R"(
listeners: [{address: "127.0.0.1:0"}]
keys: [{name: alice, key: "${RELAY_KEY}"}]
clusters:
  claude:
    provider: claude
    endpoint: http://127.0.0.1:)" +
         std::to_string(upstream) + R"(
    accounts: [{name: team, api-key: "${ACCOUNT_KEY}"}]
routes:
  - name: claude
    match: {prefix: /api}
    filters: [{auth: {service: claude}}, {account-select: {}}, {rewrite: {strip-prefix: true}}]
    cluster: claude
)";
}

constexpr std::string_view kMessage =
    "POST /api/v1/messages HTTP/1.1\r\nhost: relay\r\nx-api-key: cr_worker-thread-test\r\n"
    "content-type: application/json\r\ncontent-length: 57\r\n\r\n"
    R"({"model":"claude-opus-5-5","stream":true,"messages":[]}  )";

constexpr std::string_view kBegun =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    "1c\r\nevent: ping\ndata: {\"a\": 1}\n\n\r\n";

// Two workers on one port, as RunServe makes them.
class Relay {
 public:
  explicit Relay(uint16_t upstream = 1) {
    auto config = ConfigOf(ConfigText(upstream), {{"RELAY_KEY", "cr_worker-thread-test"},
                                                  {"ACCOUNT_KEY", "sk-ant-worker-test"}});
    auto made = Services::Make(config, SystemClock::Get(), uint64_t{1} << 30);
    EXPECT_TRUE(made);
    services = std::move(*made);
    endpoints = std::make_unique<ProcessEndpoints>(*services);
    std::vector<ListenPoint> points(1);
    auto loopback = Address::Parse("127.0.0.1:0");
    EXPECT_TRUE(loopback);
    points[0].address = *loopback;
    for (int number = 0; number < 2; ++number) {
      auto worker = std::make_unique<WorkerThread>(*services, *endpoints, number);
      EXPECT_TRUE(worker->Listen(points));
      workers.push_back(std::move(worker));
    }
    port = points[0].address.port();
    for (const auto& worker : workers) {
      worker->Start([this] {
        std::lock_guard lock(mutex);
        ++drained;
        changed.notify_all();
      });
    }
    endpoints->SetPhase(ProcessEndpoints::Phase::kServing);
  }
  void Drain(Duration timeout) {
    endpoints->SetPhase(ProcessEndpoints::Phase::kDraining);
    for (const auto& worker : workers) worker->Drain(timeout);
  }
  void WaitUntilDrained() {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, 20s, [&] { return drained == workers.size(); }));
  }
  PlainSocket Connect() const { return PlainSocket::Connect(port); }

  std::unique_ptr<Services> services;
  std::unique_ptr<ProcessEndpoints> endpoints;
  std::mutex mutex;
  std::condition_variable changed;
  size_t drained = 0;
  uint16_t port = 0;
  std::vector<std::unique_ptr<WorkerThread>> workers;
};

std::string Get(PlainSocket& client, std::string_view path) {
  client.Send("GET " + std::string(path) + " HTTP/1.1\r\nhost: relay\r\n\r\n");
  return client.ReadUntil("}");
}

TEST(WorkerThread, AllWorkersShareOnePort) {
  Relay relay;
  for (int i = 0; i < 16; ++i) {
    PlainSocket client = relay.Connect();
    ASSERT_TRUE(client.open());
    EXPECT_TRUE(Get(client, "/health").starts_with("HTTP/1.1 200 OK\r\n"));
  }
}

TEST(WorkerThread, KeysRoutesAndPathsAreJudged) {
  Relay relay;
  PlainSocket client = relay.Connect();
  client.Send("POST /api/v1/messages HTTP/1.1\r\nhost: relay\r\ncontent-length: 2\r\n\r\n{}");
  EXPECT_TRUE(client.ReadUntil("request_id").starts_with("HTTP/1.1 401 "));
  PlainSocket other = relay.Connect();
  EXPECT_TRUE(Get(other, "/nowhere").starts_with("HTTP/1.1 404 "));
}

TEST(WorkerThread, R39DrainingClosesThePortAndSaysSoOnOpenConnections) {
  Relay relay;
  PlainSocket client = relay.Connect();
  EXPECT_NE(Get(client, "/ready").find("HTTP/1.1 200 OK"), std::string::npos);
  relay.Drain(20s);
  for (int i = 0; i < 1000 && relay.Connect().open(); ++i) std::this_thread::yield();
  std::string ready = Get(client, "/ready");
  EXPECT_TRUE(ready.starts_with("HTTP/1.1 503 ")) << ready;
  EXPECT_NE(ready.find(R"({"status":"draining")"), std::string::npos);
  EXPECT_NE(ready.find("Connection: close\r\n"), std::string::npos) << ready;
  client.ReadAll();  // it ends without our doing
  relay.WaitUntilDrained();
  EXPECT_FALSE(relay.Connect().open());
}

TEST(WorkerThread, ADrainWithoutConnectionsEndsByItself) {
  Relay relay;
  relay.Drain(20s);
  relay.WaitUntilDrained();
}

TEST(WorkerThread, AConnectionThatNeverSpokeDoesNotHoldTheDrain) {
  Relay relay;
  PlainSocket silent = relay.Connect();
  PlainSocket half = relay.Connect();
  half.Send("GET /hea");
  relay.Drain(20s);
  EXPECT_EQ(silent.ReadAll(), "");
  half.ReadAll();
  relay.WaitUntilDrained();
}

TEST(WorkerThread, R39AStreamThatDoesNotEndGetsItsDialectsErrorEvent) {
  HoldingUpstream upstream{std::string(kBegun)};
  Relay relay(upstream.port());
  PlainSocket client = relay.Connect();
  client.Send(kMessage);
  std::string begun = client.ReadUntil("event: ping");
  ASSERT_TRUE(begun.starts_with("HTTP/1.1 200 OK\r\n")) << begun;
  relay.Drain(50ms);
  std::string rest = client.ReadAll();
  EXPECT_NE(rest.find("event: error\n"), std::string::npos) << begun << rest;
  EXPECT_NE(rest.find("the relay is stopping"), std::string::npos);
  EXPECT_NE(rest.find("\r\n0\r\n\r\n"), std::string::npos) << "it ends well-formed";
  relay.WaitUntilDrained();
}

TEST(WorkerThread, R39ARequestWithoutAnAnswerYetIsRefusedAtTheEndOfTheDrain) {
  HoldingUpstream upstream("");
  Relay relay(upstream.port());
  PlainSocket client = relay.Connect();
  client.Send(kMessage);
  // Sent to the upstream once it is counted; before that, the drain could refuse it all the same.
  relay.Drain(50ms);
  std::string answer = client.ReadAll();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 ") || answer.empty()) << answer;
  relay.WaitUntilDrained();
}

TEST(WorkerThread, StoppingAtOnceEndsWhatIsUnderWay) {
  HoldingUpstream upstream{std::string(kBegun)};
  auto relay = std::make_unique<Relay>(upstream.port());
  PlainSocket client = relay->Connect();
  client.Send(kMessage);
  ASSERT_NE(client.ReadUntil("event: ping").find("event: ping"), std::string::npos);
  PlainSocket idle = relay->Connect();
  EXPECT_NE(Get(idle, "/health").find(" 200 OK"), std::string::npos);
  relay->workers.clear();
  EXPECT_EQ(relay->services->exchanges.active(), 0);
  client.ReadAll();
  EXPECT_EQ(idle.ReadAll(), "");
}

TEST(WorkerThread, OneThatWasNeverStartedCanGo) {
  Relay relay;
  std::vector<ListenPoint> points(1);
  points[0].address = *Address::Parse("127.0.0.1:0");
  WorkerThread worker(*relay.services, *relay.endpoints, 7);
  EXPECT_TRUE(worker.Listen(points));
  EXPECT_NE(points[0].address.port(), 0);
}

TEST(WorkerThread, AnAddressThatIsNotOursIsAnError) {
  Relay relay;
  std::vector<ListenPoint> points(1);
  points[0].address = *Address::Parse("192.0.2.1:0");
  WorkerThread worker(*relay.services, *relay.endpoints, 7);
  Result<Unit> listening = worker.Listen(points);
  ASSERT_FALSE(listening);
  EXPECT_NE(listening.error().what.find("192.0.2.1"), std::string::npos);
}

TEST(WorkerThread, LoopLagAndConnectionsAreMeasured) {
  Relay relay;
  PlainSocket client = relay.Connect();
  std::string text = Get(client, "/health");
  client.Send("GET /metrics HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n");
  text = client.ReadAll();
  EXPECT_NE(text.find("relay_loop_lag_seconds_count{worker=\"1\"}"), std::string::npos);
  EXPECT_NE(text.find("relay_loop_lag_seconds_count{worker=\"0\"}"), std::string::npos);
  EXPECT_NE(text.find("relay_client_connections{worker=\"0\"}"), std::string::npos);
}

}  // namespace
}  // namespace relay
