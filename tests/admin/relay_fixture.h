// SPDX-License-Identifier: MIT
// A relay of two workers on real threads, with one key, one route and one account.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/endpoints.h"
#include "admin/worker_thread.h"
#include "tests/admin/fixture.h"

namespace relay {

inline std::string RelayConfig(uint16_t upstream) {
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

inline constexpr std::string_view kMessage =
    "POST /api/v1/messages HTTP/1.1\r\nhost: relay\r\nx-api-key: cr_worker-thread-test\r\n"
    "content-type: application/json\r\ncontent-length: 57\r\n\r\n"
    R"({"model":"claude-opus-5-5","stream":true,"messages":[]}  )";

inline constexpr std::string_view kBegun =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    "1c\r\nevent: ping\ndata: {\"a\": 1}\n\n\r\n";

// Two workers on one port, as RunServe makes them.
class Relay {
 public:
  explicit Relay(uint16_t upstream = 1) {
    auto config = ConfigOf(RelayConfig(upstream), {{"RELAY_KEY", "cr_worker-thread-test"},
                                                   {"ACCOUNT_KEY", "sk-ant-worker-test"}});
    auto made = Services::Make(config, SystemClock::Get(), uint64_t{1} << 30);
    EXPECT_TRUE(made);
    services = std::move(*made);
    endpoints = std::make_unique<ProcessEndpoints>(*services);
    auto loopback = Address::Parse("127.0.0.1:0");
    EXPECT_TRUE(loopback);
    std::vector<Address> addresses = {*loopback};
    for (int number = 0; number < 2; ++number) {
      auto worker = std::make_unique<WorkerThread>(*services, *endpoints, number);
      EXPECT_TRUE(worker->Listen(addresses));
      workers.push_back(std::move(worker));
    }
    port = addresses[0].port();
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
    EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(20),
                                 [&] { return drained == workers.size(); }));
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

inline std::string Get(PlainSocket& client, std::string_view path) {
  client.Send("GET " + std::string(path) + " HTTP/1.1\r\nhost: relay\r\n\r\n");
  return client.ReadUntil("}");
}

}  // namespace relay
