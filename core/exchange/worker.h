// SPDX-License-Identifier: MIT
// What exchanges of one worker thread share: its loop, its routes, and the process-wide services
// that all workers use.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/async/loop.h"
#include "core/base/network.h"
#include "core/exchange/body_budget.h"
#include "core/exchange/chain.h"
#include "core/exchange/exchange.h"
#include "core/http/connection.h"

namespace relay {

class ExchangeMetrics;
class Explanation;
class KeyDirectory;
class WrongKeys;

// Answers of the relay itself: /health, /ready, /metrics. Called on any worker's thread.
class Endpoints {
 public:
  virtual std::optional<Reply> Answer(const Head& request, std::string_view path) = 0;
  // Why no request is served now, for the client; nothing: they are.
  virtual std::optional<std::string> Closed() { return std::nullopt; }

 protected:
  ~Endpoints() = default;
};

struct ExchangeLimits {
  Duration body_timeout = std::chrono::seconds(120);
  Duration body_idle = std::chrono::seconds(30);
  Duration body_room = std::chrono::seconds(10);  // how long a body waits for memory
  Duration silence = std::chrono::seconds(15);    // until a keep-alive goes out
  int wrong_keys = 30;                            // a minute and address, before they get 429
};

class Worker final : public ServerHandler {
 public:
  Worker(Loop& worker_loop, Endpoints& process_endpoints, BodyBudget& process_bodies,
         ExchangeMetrics& process_metrics, const ExchangeLimits& exchange_limits)
      : loop(worker_loop),
        endpoints(process_endpoints),
        bodies(process_bodies),
        metrics(process_metrics),
        limits(exchange_limits) {}

  Loop& loop;
  Endpoints& endpoints;
  BodyBudget& bodies;
  ExchangeMetrics& metrics;
  // These three are swapped on this loop's thread when the configuration or a key changes; what the
  // pointers show is immutable.
  ExchangeLimits limits;
  std::shared_ptr<const RouteTable> table;
  std::shared_ptr<const KeyDirectory> keys;
  std::vector<Network> trusted_proxies;  // of the listener
  WrongKeys* wrong_keys = nullptr;       // the process's; null: none are counted
  // Its requests are not served but explained there; null: they are served.
  Explanation* explanation = nullptr;
  List<Exchange, ExchangeTag> exchanges;

  void OnRequest(std::unique_ptr<Stream> stream, Head head) override {
    Exchange::Start(*this, std::move(stream), std::move(head));
  }
  void OnRefused(std::unique_ptr<Stream> stream, Error why) override {
    Exchange::Refuse(*this, std::move(stream), why);
  }
};

}  // namespace relay
