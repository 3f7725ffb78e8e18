// SPDX-License-Identifier: MIT
// What is counted of a cluster's accounts. Process-wide; an account's series are resolved when it
// is first met, and live as long as the process: those of one that is gone keep what was counted.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/metrics/metrics.h"
#include "upstreams/account_pool.h"

namespace relay {

class UpstreamMetrics {
 public:
  // What became of an attempt: a judgement of the answer, or how the way to it failed.
  enum class Reason : uint8_t {
    kOk,
    kRequest,
    kUnsuited,
    kLimited,
    kOverloaded,
    kRefused,
    kExpired,   // its token had ended; nothing was sent, or it was sent again with another
    kBroken,    // 5xx, or an answer that is none
    kConnect,   // not reached
    kProxy,     // the account's outbound proxy: not reached, or it will not have us
    kReset,     // broken off before an answer
    kTimeout,   // reached, but silent
    kLocal,     // answered here
    kThinking,  // it will not read another account's thinking; sent again without that
  };

  // `metrics` outlives this.
  UpstreamMetrics(Metrics& metrics, std::string cluster);
  void Count(std::string_view account, Reason reason);
  // How long a request waited for an account that was busy; zero: it did not.
  void Waited(Duration wait);
  // A request was not tried again, since the cluster's RetryBudget was spent.
  void CountSpentBudget() { spent_budget_.Add(); }
  // A session left an account that had so many tokens of its prompt cached.
  void CountLostCache(int64_t tokens) { lost_cache_.Add(static_cast<double>(tokens)); }
  // Sets relay_account_state, the cooldown, the mean time to content and the queue's depth. After a
  // report that changed them, when accounts come or go, and before metrics are read: a rest ends by
  // itself. Who is gone is in no state.
  void Show(AccountPool& pool, TimePoint now);

 private:
  static constexpr size_t kReasons = 14;
  static constexpr size_t kHealths = 9;
  struct Series {
    std::vector<Counter> attempts;     // by Reason
    std::vector<Gauge> states;         // by Health
    std::vector<Gauge> in_flight;      // one
    std::vector<Gauge> cooldown;       // one
    std::vector<Gauge> first_content;  // one
    std::vector<Gauge> windows;        // five hours, week
  };
  Series& SeriesOf(std::string_view account);
  static void Set(Series& series, const AccountPool::View* view, TimePoint now);

  Metrics& metrics_;
  const std::string cluster_;
  Gauge queue_depth_;
  Histogram queue_wait_;
  Counter spent_budget_;
  Counter lost_cache_;
  std::mutex mutex_;
  std::map<std::string, Series, std::less<>> series_;  // by the account's name
};

std::string_view NameOf(UpstreamMetrics::Reason reason);

}  // namespace relay
