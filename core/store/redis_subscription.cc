// SPDX-License-Identifier: MIT
#include "core/store/redis_subscription.h"

#include <utility>

namespace relay {
namespace {

std::string CommandOf(std::initializer_list<std::string_view> words) {
  std::string command;
  AppendCommand(command, {words.begin(), words.size()});
  return command;
}

}  // namespace

RedisSubscription::RedisSubscription(Loop& loop, Resolver& resolver, const RedisOptions& options,
                                     std::string channel, Duration ping_every)
    : channel_(std::move(channel)),
      ping_every_(ping_every),
      ping_(loop.timers(), *this),
      connection_(loop, resolver, options, *this, this) {}

void RedisSubscription::Start(Events events) {
  events_ = std::move(events);
  connection_.KeepOpen();
}

Task<Result<Unit>> RedisSubscription::Greet(RedisConnection& connection) {
  std::string subscribe = CommandOf({"SUBSCRIBE", channel_});
  Result<RespReply> reply = co_await connection.Ask(std::move(subscribe));
  if (!reply) co_return std::unexpected(std::move(reply.error()));
  events_.subscribed();
  ping_.ArmIn(ping_every_);
  co_return Unit();
}

void RedisSubscription::OnMessage(std::string_view channel, std::string_view text) {
  if (channel == channel_) events_.heard(text);
}

void RedisSubscription::OnPing() {
  Check();
  ping_.ArmIn(ping_every_);
}

// Who does not answer in time is given up by the connection, which then greets the next one.
void RedisSubscription::Check() {
  if (connection_.link() != RedisConnection::Link::kConnected) return;
  connection_.Call(CommandOf({"PING"}), [](const Result<RespReply>&) {});
}

}  // namespace relay
