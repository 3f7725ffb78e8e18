// SPDX-License-Identifier: MIT
// Names to addresses, looked up off the loop and kept for half a minute. One a worker.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/async/event.h"
#include "core/async/task.h"
#include "core/net/address.h"

namespace relay {

// Asks the system (hosts file, DNS); blocks. IPv6 and IPv4 take turns, beginning with the family
// that the system prefers (RFC 8305 §4). The addresses have no port.
Result<std::vector<Address>> SystemLookup(const std::string& host);

class Resolver {
 public:
  static constexpr Duration kFresh = std::chrono::seconds(30);
  // How long after that an old answer still serves while (or although) a new one is looked up.
  static constexpr Duration kStale = std::chrono::minutes(10);
  static constexpr Duration kFailureFresh = std::chrono::seconds(1);
  static constexpr size_t kNames = 512;

  // Runs on a thread of libuv's pool, so it touches nothing but its argument.
  using Lookup = std::function<Result<std::vector<Address>>(const std::string& host)>;

  // Dies before its loop; look-ups under way are orphaned.
  explicit Resolver(Loop& loop, Lookup lookup = SystemLookup);
  ~Resolver();

  // At least one address, or an error of the upstream (kConnect, kTimeout; retryable). A literal
  // needs no look-up; several waiters for a name share one.
  Task<Result<std::vector<Address>>> Resolve(std::string host, uint16_t port, TimePoint deadline);
  // Look-ups begun so far.
  size_t lookups() const { return lookups_; }

 private:
  struct Job;
  struct Entry {
    explicit Entry(Loop& loop) : answered(loop) {}
    std::vector<Address> addresses;  // the last good answer; empty: none yet
    Error why;                       // why the last look-up failed
    bool failed = false;             // the last look-up did
    TimePoint fresh_until{};         // of what the last look-up gave
    TimePoint usable_until{};        // of the addresses
    Job* job = nullptr;              // a look-up under way
    Event answered;
  };

  Entry& Find(const std::string& host);
  void LookUp(const std::string& host, Entry& entry);
  void OnAnswer(Job& job);
  void MakeRoom();

  Loop& loop_;
  Lookup lookup_;
  std::map<std::string, Entry> entries_;
  size_t lookups_ = 0;
};

}  // namespace relay
