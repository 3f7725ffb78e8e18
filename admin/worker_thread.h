// SPDX-License-Identifier: MIT
// One worker: a thread with its event loop, its listeners on every address, its connections to the
// upstreams, its chains. Workers share nothing but the Services, and each makes of a snapshot what
// is its own: chains, and clusters with connections.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "admin/services.h"
#include "core/exchange/worker.h"
#include "core/net/listener.h"
#include "core/net/resolver.h"
#include "core/net/tls_context.h"

namespace relay {

class WorkerThread final : private SnapshotFollower {
 public:
  // How long an idle connection may still bring a request when the relay drains: its client learns
  // from /ready or from `connection: close`, instead of losing a request that was on its way.
  static constexpr Duration kIdleGrace = std::chrono::milliseconds(500);
  // From then on, how long a connection without a request may take to end: it may have sent half a
  // head, or not read our farewell.
  static constexpr Duration kFarewell = std::chrono::milliseconds(400);
  // How long what was written may take to leave once exchanges were ended.
  static constexpr Duration kLastBytes = std::chrono::seconds(1);

  // Services and endpoints outlive this. `number` counts from 0.
  WorkerThread(Services& services, Endpoints& endpoints, int number);
  // Stops at once and waits for the thread.
  ~WorkerThread();

  // Opens the listeners of the snapshot, one on each of these addresses; a port 0 becomes the one
  // that was bound. Before Start.
  Result<Unit> Listen(std::vector<Address>& addresses);
  // `drained` is called on the worker's thread when a drain has ended.
  void Start(std::function<void()> drained);
  // From any thread: no new connection; idle ones close, busy ones when their answers have ended;
  // what still runs after `timeout` is broken off with the dialect's error event.
  void Drain(Duration timeout);
  // From any thread: ends everything where it stands.
  void Stop() { loop_.Stop(); }

 private:
  // A listener with what its connections need; limits differ from one to the other.
  struct Door {
    Door(Loop& loop, Endpoints& endpoints, Services& services);
    // For what begins from now on; connections go on with their codec's limits.
    void Take(const ListenerShared& shared);
    ServerLimits limits;
    Worker worker;
    std::unique_ptr<Listener> listener;
  };

  // A snapshot as this worker uses it. Exchanges hold the one with which they began, by its table.
  struct View {
    std::shared_ptr<const Snapshot> snapshot;
    std::vector<std::unique_ptr<Cluster>> clusters;
    std::shared_ptr<const RouteTable> table;  // last: its filters know the clusters
  };

  void Adopt(std::shared_ptr<const Snapshot> snapshot, std::function<void()> adopted) override;
  std::shared_ptr<const View> ViewOf(std::shared_ptr<const Snapshot> snapshot);
  void Take(std::shared_ptr<const Snapshot> snapshot);
  void Furnish(Door& door);
  void Run();
  void TearDown();
  void Accept(Door& door, std::unique_ptr<Transport> transport);
  void BeginDrain(Duration timeout);
  void OnDrainStep();
  void EndExchanges();
  bool Idle();
  void OnProbe();

  Services& services_;
  Endpoints& endpoints_;
  Loop loop_;
  std::unique_ptr<Resolver> resolver_;
  std::shared_ptr<const View> view_;
  std::vector<std::unique_ptr<Door>> doors_;
  List<Connection, ConnectionTag> connections_;
  std::function<void()> drained_;

  bool draining_ = false;
  bool said_goodbye_ = false;  // to connections that were idle when the drain began
  bool ended_ = false;         // exchanges were broken off
  TimePoint goodbye_at_{};
  TimePoint end_at_{};
  MethodTimer<WorkerThread, &WorkerThread::OnDrainStep> drain_step_;

  TimePoint probe_due_{};
  MethodTimer<WorkerThread, &WorkerThread::OnProbe> probe_;  // how late does a timer come?
  Histogram lag_;
  Gauge open_connections_;
  std::thread thread_;
};

}  // namespace relay
