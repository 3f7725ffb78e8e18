// SPDX-License-Identifier: MIT
#include "admin/worker_thread.h"

#include <pthread.h>

#include <algorithm>
#include <string>
#include <utility>

namespace relay {
namespace {

constexpr Duration kProbePeriod = std::chrono::seconds(1);
constexpr Duration kDrainStep = std::chrono::milliseconds(20);

const std::vector<double> kLagBounds = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5};

ServerLimits ServerLimitsOf(const ListenerLimits& from) {
  ServerLimits limits;
  limits.codec.header_bytes = from.header_bytes.count;
  limits.codec.target_bytes = std::min(limits.codec.target_bytes, limits.codec.header_bytes);
  limits.codec.header_fields = static_cast<size_t>(from.header_fields);
  limits.codec.body_bytes = from.body_bytes.count;
  limits.codec.streams = static_cast<uint32_t>(from.streams);
  limits.header_timeout = from.header_timeout;
  limits.idle_timeout = from.idle_timeout;
  limits.write_stall = from.write_stall;
  return limits;
}

ExchangeLimits ExchangeLimitsOf(const ListenerLimits& from) {
  ExchangeLimits limits;
  limits.body_timeout = from.body_timeout;
  limits.body_idle = from.body_idle;
  return limits;
}

}  // namespace

WorkerThread::Door::Door(Loop& loop, Endpoints& endpoints, Services& services,
                         const ListenerLimits& from)
    : limits(ServerLimitsOf(from)),
      worker(loop, endpoints, services.bodies, services.exchanges, ExchangeLimitsOf(from)) {}

WorkerThread::WorkerThread(Services& services, Endpoints& endpoints, int number)
    : services_(services),
      endpoints_(endpoints),
      loop_(services.clock),
      resolver_(std::make_unique<Resolver>(loop_)),
      drain_step_(loop_.timers(), *this),
      probe_(loop_.timers(), *this),
      lag_(services.metrics.MakeHistogram("relay_loop_lag_seconds",
                                          "How late the event loop comes to a timer", kLagBounds,
                                          {{"worker", std::to_string(number)}})),
      open_connections_(services.metrics.MakeGauge("relay_client_connections",
                                                   "Connections of clients that are open",
                                                   {{"worker", std::to_string(number)}})) {
  std::vector<Cluster*> clusters;
  std::vector<Upstream*> upstreams;
  for (const auto& shared : services_.clusters) {
    clusters_.push_back(std::make_unique<Cluster>(loop_, *resolver_, shared));
    clusters.push_back(clusters_.back().get());
    upstreams.push_back(clusters_.back().get());
  }
  table_ = MakeRoutes(services_, clusters, upstreams);
}

WorkerThread::~WorkerThread() {
  loop_.Stop();
  if (thread_.joinable()) {
    thread_.join();
  } else {
    TearDown();
  }
}

Result<Unit> WorkerThread::Listen(std::vector<ListenPoint>& points) {
  for (ListenPoint& point : points) {
    auto door = std::make_unique<Door>(loop_, endpoints_, services_, point.limits);
    door->worker.table = table_;
    door->worker.keys = services_.keys;
    ListenOptions options;
    options.address = point.address;
    options.tls = point.tls;
    options.connections = static_cast<size_t>(point.limits.connections);
    options.write_stall = point.limits.write_stall;
    options.handshake_timeout = point.limits.handshake_timeout;
    auto listener = Listener::Open(loop_, std::move(options),
                                   [this, to = door.get()](std::unique_ptr<Transport> transport) {
                                     Accept(*to, std::move(transport));
                                   });
    if (!listener) return std::unexpected(listener.error());
    door->listener = std::move(*listener);
    point.address = door->listener->bound();
    doors_.push_back(std::move(door));
  }
  return Unit{};
}

void WorkerThread::Start(std::function<void()> drained) {
  drained_ = std::move(drained);
  thread_ = std::thread([this] { Run(); });
}

void WorkerThread::Run() {
  pthread_setname_np(pthread_self(), "relay-worker");
  OnProbe();
  loop_.Run();
  TearDown();
}

// On the worker's own thread, so that nothing of a loop is ever touched by two.
void WorkerThread::TearDown() {
  drain_step_.Disarm();
  probe_.Disarm();
  for (const auto& door : doors_) door->listener.reset();
  connections_.ForEach([](Connection& connection) { connection.CloseNow(); });
  // They and their exchanges are buried now, while all that they use is there.
  loop_.Turn();
  for (const auto& door : doors_) door->worker.table.reset();
  table_.reset();
  clusters_.clear();
  resolver_.reset();
  doors_.clear();
}

void WorkerThread::Accept(Door& door, std::unique_ptr<Transport> transport) {
  connections_.PushBack(
      *ServerConnection::Start(loop_, std::move(transport), door.limits, door.worker));
}

void WorkerThread::Drain(Duration timeout) {
  loop_.Post([this, timeout] { BeginDrain(timeout); });
}

void WorkerThread::BeginDrain(Duration timeout) {
  if (draining_) return;
  draining_ = true;
  goodbye_at_ = loop_.Now() + std::min(kIdleGrace, timeout);
  end_at_ = loop_.Now() + timeout;
  for (const auto& door : doors_) door->listener->Close();
  connections_.ForEach([](Connection& connection) { connection.Drain(); });
  drain_step_.ArmIn(kDrainStep);
}

void WorkerThread::OnDrainStep() {
  if (Idle()) {
    drained_();
    return;
  }
  TimePoint now = loop_.Now();
  if (now >= goodbye_at_ && !said_goodbye_) {
    said_goodbye_ = true;
    connections_.ForEach([](Connection& connection) { connection.GoAway(); });
  }
  if (now >= goodbye_at_ + kFarewell) {
    connections_.ForEach([](Connection& connection) {
      if (connection.active_streams() == 0) connection.CloseNow();
    });
  }
  if (now >= end_at_ && !ended_) {
    ended_ = true;
    EndExchanges();
  }
  if (now >= end_at_ + kLastBytes) {
    drained_();
    return;
  }
  drain_step_.ArmIn(kDrainStep);
}

void WorkerThread::EndExchanges() {
  Refusal refusal{.fault = Fault::kOverloaded,
                  .message = "the relay is stopping; send the request again"};
  for (const auto& door : doors_) {
    door->worker.exchanges.ForEach(
        [&](Exchange& exchange) { exchange.Abort(Outcome::End::kDrained, refusal); });
  }
}

// A connection counts until its last bytes have left, beyond the end of its exchanges.
bool WorkerThread::Idle() {
  return std::all_of(doors_.begin(), doors_.end(), [](const auto& door) {
    return door->worker.exchanges.empty() && door->listener->connections() == 0;
  });
}

void WorkerThread::OnProbe() {
  TimePoint now = loop_.Now();
  if (probe_due_ != TimePoint{}) {
    lag_.Observe(std::chrono::duration<double>(now - probe_due_).count());
  }
  size_t open = 0;
  for (const auto& door : doors_) open += door->listener->connections();
  open_connections_.Set(static_cast<double>(open));
  probe_due_ = now + kProbePeriod;
  probe_.ArmAt(probe_due_);
}

}  // namespace relay
