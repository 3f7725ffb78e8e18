// SPDX-License-Identifier: MIT
// Reads the whole ledger from Redis. A small one comes in one reply; a large one in parts, so that
// no reply is more than one may be, and none keeps the server from others for long. What is folded
// by another relay meanwhile would count twice or not at all: then it is read from the start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/store/redis_replies.h"
#include "core/store/redis_requests.h"
#include "core/store/store.h"

namespace relay {

// For one loop's thread.
class RedisLoad : public std::enable_shared_from_this<RedisLoad> {
 public:
  // Each fold is one of a start or an end of a relay.
  static constexpr int kTries = 5;

  struct Options {
    std::string month;  // whose commands are told
    int64_t today = 0;  // since 1970, UTC
    int64_t may_live_days = 0;
    size_t rows_in_one = 0;  // reply; a day or an hour of one hash is never cut
  };
  struct Loaded {
    LedgerImage image;
    int64_t month_commands = 0;
  };
  // Sends a command and gives its answer, never from within the call.
  using Call = std::function<void(SharedRequest request, Store::Done<RespReply> done)>;

  static void Start(Call call, Options options, Store::Done<Loaded> done);
  RedisLoad(const RedisLoad&) = delete;
  RedisLoad& operator=(const RedisLoad&) = delete;

 private:
  RedisLoad(Call call, Options options, Store::Done<Loaded> done);

  // Some hashes, or slices of them, that are read by one command.
  struct Page {
    std::vector<redis_requests::RowsOf> parts;
    std::vector<size_t> hashes;  // the parts', by number
  };
  void Begin();
  void OnBegun(const RespReply& reply);
  void Plan();
  void Next();
  void OnPage(const Page& page, const RespReply& reply);
  void Add(size_t hash, const RespReply& rows);
  void Fail(Error why);
  void Finish();

  const Call call_;
  const Options options_;
  const Store::Done<Loaded> done_;
  int tries_ = 0;
  redis_replies::Ledger ledger_;
  std::vector<Page> pages_;  // the last one is next
  size_t damaged_ = 0;
};

}  // namespace relay
