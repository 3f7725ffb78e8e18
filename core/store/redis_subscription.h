// SPDX-License-Identifier: MIT
// A connection of its own on which a relay hears what others publish. Messages are lost while it is
// not there, and it may be gone for long before anybody notices: so it says each time when it has
// come to hear (again), and asks the server now and then whether it is still there. That is what a
// relay costs that has others beside it and nothing to do.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/store/redis_connection.h"

namespace relay {

// For one loop's thread, but for what says otherwise.
class RedisSubscription final : private RedisGreeter, private RedisListener {
 public:
  // How late a peer is missed that vanished without a word, but for the time that its answer has.
  static constexpr Duration kPingEvery = std::chrono::seconds(30);

  struct Events {
    // Whatever is published from now on is heard; what was before may have been missed.
    std::function<void()> subscribed;
    std::function<void(std::string_view text)> heard;
  };
  // All of these outlive it. It does nothing before Start.
  RedisSubscription(Loop& loop, Resolver& resolver, const RedisOptions& options,
                    std::string channel, Duration ping_every);
  RedisSubscription(const RedisSubscription&) = delete;
  RedisSubscription& operator=(const RedisSubscription&) = delete;

  // Once.
  void Start(Events events);
  // Somebody has reason to doubt that the server is still there.
  void Check();
  // The last attempt to hear has failed; others follow. From any thread.
  bool refused() const { return connection_.link() == RedisConnection::Link::kDisconnected; }
  // Sent since the start. From any thread.
  uint64_t commands() const { return connection_.commands(); }

 private:
  Task<Result<Unit>> Greet(RedisConnection& connection) override;
  void OnMessage(std::string_view channel, std::string_view text) override;
  void OnPing();

  const std::string channel_;
  const Duration ping_every_;
  Events events_;
  MethodTimer<RedisSubscription, &RedisSubscription::OnPing> ping_;
  RedisConnection connection_;
};

}  // namespace relay
