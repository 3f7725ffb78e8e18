// SPDX-License-Identifier: MIT
// With real threads over loopback: what crosses them is what these tests are for.
#include "admin/worker_thread.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/admin/relay_fixture.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

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
  std::vector<Address> addresses = {*Address::Parse("127.0.0.1:0")};
  WorkerThread worker(*relay.services, *relay.endpoints, 7);
  EXPECT_TRUE(worker.Listen(addresses));
  EXPECT_NE(addresses[0].port(), 0);
}

TEST(WorkerThread, AnAddressThatIsNotOursIsAnError) {
  Relay relay;
  std::vector<Address> addresses = {*Address::Parse("192.0.2.1:0")};
  WorkerThread worker(*relay.services, *relay.endpoints, 7);
  Result<Unit> listening = worker.Listen(addresses);
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
