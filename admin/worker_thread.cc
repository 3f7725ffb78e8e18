// SPDX-License-Identifier: MIT
#include "admin/worker_thread.h"

#include <pthread.h>

#include <algorithm>
#include <string>
#include <utility>

#include "admin/listener_limits.h"

namespace relay {
namespace {

constexpr Duration kProbePeriod = std::chrono::seconds(1);
constexpr Duration kDrainStep = std::chrono::milliseconds(20);

const std::vector<double> kLagBounds = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5};

ListenOptions ListenOptionsOf(const ListenerShared& from) {
  ListenOptions options;
  options.tls = from.tls;
  options.connections = static_cast<size_t>(from.limits.connections);
  options.write_stall = from.limits.write_stall;
  options.handshake_timeout = from.limits.handshake_timeout;
  return options;
}

}  // namespace

WorkerThread::Door::Door(Loop& loop, Endpoints& endpoints, Services& services)
    : worker(loop, endpoints, services.bodies, services.exchanges, ExchangeLimits{}) {
  worker.wrong_keys = &services.wrong_keys;
}

void WorkerThread::Door::Take(const ListenerShared& shared) {
  limits = ServerLimitsOf(shared.limits);
  worker.limits = ExchangeLimitsOf(shared.limits);
  worker.trusted_proxies = shared.trusted_proxies;
  if (listener != nullptr) listener->SetOptions(ListenOptionsOf(shared));
}

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
  view_ = ViewOf(services_.current());
  services_.Follow(*this);
}

WorkerThread::~WorkerThread() {
  services_.Unfollow(*this);
  loop_.Stop();
  if (thread_.joinable()) {
    thread_.join();
  } else {
    TearDown();
  }
}

std::shared_ptr<const WorkerThread::View> WorkerThread::ViewOf(
    std::shared_ptr<const Snapshot> snapshot) {
  auto view = std::make_shared<View>();
  std::vector<Cluster*> clusters;
  std::vector<Upstream*> upstreams;
  for (const auto& shared : snapshot->clusters) {
    const Cluster* before = nullptr;
    for (size_t i = 0; view_ != nullptr && i < view_->clusters.size(); ++i) {
      if (&view_->clusters[i]->pool() == shared->pool.get()) before = view_->clusters[i].get();
    }
    view->clusters.push_back(std::make_unique<Cluster>(loop_, *resolver_, shared, before));
    clusters.push_back(view->clusters.back().get());
    upstreams.push_back(view->clusters.back().get());
  }
  view->table = MakeRoutes(services_, *snapshot->config, clusters, upstreams);
  view->snapshot = std::move(snapshot);
  return view;
}

void WorkerThread::Adopt(std::shared_ptr<const Snapshot> snapshot, std::function<void()> adopted) {
  if (!thread_.joinable()) {
    Take(std::move(snapshot));
    adopted();
    return;
  }
  loop_.Post([this, snapshot = std::move(snapshot), adopted = std::move(adopted)] {
    Take(snapshot);
    adopted();
  });
}

void WorkerThread::Take(std::shared_ptr<const Snapshot> snapshot) {
  view_ = ViewOf(std::move(snapshot));
  for (size_t i = 0; i < doors_.size(); ++i) {
    Furnish(*doors_[i]);
    doors_[i]->Take(view_->snapshot->listeners[i]);
  }
  for (const auto& cluster : view_->clusters) cluster->RetainConnections();
}

void WorkerThread::Furnish(Door& door) {
  door.worker.table = std::shared_ptr<const RouteTable>(view_, view_->table.get());
  door.worker.keys = view_->snapshot->keys;
}

Result<Unit> WorkerThread::Listen(std::vector<Address>& addresses) {
  for (size_t i = 0; i < addresses.size(); ++i) {
    const ListenerShared& shared = view_->snapshot->listeners[i];
    auto door = std::make_unique<Door>(loop_, endpoints_, services_);
    Furnish(*door);
    door->Take(shared);
    ListenOptions options = ListenOptionsOf(shared);
    options.address = addresses[i];
    auto listener = Listener::Open(loop_, std::move(options),
                                   [this, to = door.get()](std::unique_ptr<Transport> transport) {
                                     Accept(*to, std::move(transport));
                                   });
    if (!listener) return std::unexpected(listener.error());
    door->listener = std::move(*listener);
    addresses[i] = door->listener->bound();
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
  view_.reset();
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
