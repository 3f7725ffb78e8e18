// SPDX-License-Identifier: MIT
// A connection to Redis or Valkey over our own transports, opened when there is something to say
// and again when it broke. It speaks RESP2 (no HELLO) and never says anything of its own: an idle
// one costs nothing, also where every command is billed. One that listens is kept open (facts: a
// connection that has subscribed takes only PING and other subscriptions, redis.io/docs/pubsub).
//
// Commands are pipelined. One that was sent and got no answer may have been done or not: whoever
// sends it again makes sure that twice is as good as once.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/async/event.h"
#include "core/async/task.h"
#include "core/base/secret.h"
#include "core/net/dialer.h"
#include "core/store/resp.h"

namespace relay {

struct RedisOptions {
  std::string host = {};
  uint16_t port = 6379;
  std::string username = {};  // "": the default user
  Secret password = {};       // empty: the server asks for none
  int database = 0;
  std::shared_ptr<const TlsClientContext> tls = nullptr;  // null: plain TCP
  Duration connect_timeout = std::chrono::seconds(5);     // name, TCP, TLS and greeting together
  Duration command_timeout = std::chrono::seconds(2);     // without a byte of the answer
  RespLimits replies = {};                                // what one of them may hold
};

class RedisConnection;

// Has the first word on each new connection, behind AUTH and SELECT.
class RedisGreeter {
 public:
  // Speaks by RedisConnection::Ask. An error refuses the connection.
  virtual Task<Result<Unit>> Greet(RedisConnection& connection) = 0;

 protected:
  ~RedisGreeter() = default;
};

// Hears what is published on the channels to which the greeter has subscribed.
class RedisListener {
 public:
  // In the phase in which bytes come; does not take the connection down.
  virtual void OnMessage(std::string_view channel, std::string_view text) = 0;

 protected:
  ~RedisListener() = default;
};

// For one loop's thread, but for what says otherwise.
class RedisConnection {
 public:
  enum class Link : uint8_t {
    kConnecting,    // not yet, or not again
    kConnected,     // or closed by the server while nothing was said, which is as good
    kDisconnected,  // the last attempt failed; others follow
  };
  using Done = std::function<void(Result<RespReply>)>;

  // R37. A server that refuses us (password, schema) is asked less often than one that is away.
  static constexpr Duration kFirstBackoff = std::chrono::milliseconds(50);
  static constexpr Duration kMaxBackoff = std::chrono::seconds(2);
  static constexpr Duration kRefusedBackoff = std::chrono::seconds(5);
  static constexpr Duration kMaxRefusedBackoff = std::chrono::seconds(60);
  // However slowly an answer comes, it is whole by then.
  static constexpr Duration kWholeAnswer = std::chrono::seconds(30);
  // A server that closes after so long without a command does it for idleness.
  static constexpr Duration kIdle = std::chrono::seconds(10);
  static constexpr size_t kMaxWaiting = 1000;

  // All of these outlive it. `listener`: null for one that only asks.
  RedisConnection(Loop& loop, Resolver& resolver, const RedisOptions& options,
                  RedisGreeter& greeter, RedisListener* listener = nullptr);
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;
  // In the loop's own phase, or when it no longer runs. What waits fails.
  ~RedisConnection();

  // Sends a command (AppendCommand), now or when there is a connection. `done` runs once, never
  // from within this call: with a reply, which may be an error of the server's, or with why there
  // is none. While the link is kDisconnected it fails at once.
  void Call(std::string command, Done done);
  // Opens it now, and from then on whenever it is lost.
  void KeepOpen();
  // For the greeter, on the connection that is being opened.
  Task<Result<RespReply>> Ask(std::string command);
  // When the server was last heard on the last connection that had been open: it may have died at
  // once and without a word, which is noticed later. Long ago, if none was open.
  TimePoint last_heard() const { return last_heard_; }

  // From any thread.
  Link link() const { return link_; }
  // Sent since the start, AUTH and SELECT too.
  uint64_t commands() const { return commands_; }

 private:
  class Session;
  struct Waiting {
    std::string command;
    Done done;
  };

  Task<Unit> Run();
  Task<Result<Unit>> Open();
  Task<Result<Unit>> LogIn();
  void OnOpened();
  void OnLost();
  void OnFailed(Error why);
  void FailWaiting();
  Duration NextBackoff();
  std::unexpected<Error> Blame(Error why) const;

  Loop& loop_;
  Resolver& resolver_;
  const RedisOptions& options_;
  RedisGreeter& greeter_;
  RedisListener* const listener_;
  std::atomic<Link> link_{Link::kConnecting};
  std::atomic<uint64_t> commands_{0};
  std::deque<Waiting> waiting_;  // for a connection
  std::unique_ptr<Session> session_;
  TimePoint greet_by_{};
  TimePoint last_heard_{};
  bool open_ = false;    // session_ takes commands
  bool kept_ = false;    // open it even if nothing is said
  bool wanted_ = false;  // open one even if nothing waits
  bool refused_ = false;
  bool told_ = false;  // the log knows that it is away
  Error why_;          // of the last failure
  Duration backoff_{};
  Event wake_;
  Task<Unit> task_;
};

}  // namespace relay
