// SPDX-License-Identifier: MIT
// What the store says to Redis: each call as one or more commands, with the keys of README.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/store/resp.h"
#include "core/store/store.h"

namespace relay {

struct RedisScript;

// One call of a script.
struct RedisRequest {
  const RedisScript* script = nullptr;
  std::vector<std::string> arguments;  // count of keys, keys, others
  size_t bytes = 0;                    // of the arguments
  bool again = false;  // doing it twice is as good as once, and worth it after a kill

  // By the script's name, or `whole` with its text, which the server then knows.
  std::string Command(bool whole) const;
  // The server does not know the script by its name.
  static bool IsUnknown(const RespReply& reply);
};
using SharedRequest = std::shared_ptr<const RedisRequest>;

namespace redis_requests {

// What a flush tells besides.
struct FlushNote {
  std::string month;      // "2026-11"
  uint64_t commands = 0;  // to be added to the month's
  int64_t today = 0;      // since 1970, UTC
};

// Several as one, whose reply is the list of theirs.
SharedRequest Together(const std::vector<SharedRequest>& requests);
SharedRequest Greet(int64_t schema);
// `rows`: that the reply may hold.
SharedRequest Load(const std::string& month, size_t rows);
// Of one of the ledger's hashes, by its name behind the prefix: all rows, or one of some slices.
struct RowsOf {
  std::string hash;
  size_t slices = 1;
  size_t slice = 0;
};
SharedRequest LoadRows(const std::vector<RowsOf>& parts);
// One, or several where there is very much to tell.
std::vector<SharedRequest> Flush(const std::vector<LedgerFlush>& flushes, const FlushNote& note);
SharedRequest Fold(const std::string& epoch, int64_t today);
SharedRequest Expire(Period kept_from, const std::string& first_month);
std::string LoadStates(const std::string& kind);  // the command itself
std::vector<SharedRequest> PutStates(const std::vector<StateBlob>& blobs);
SharedRequest ForgetLimits();
SharedRequest LoadObjects();
// `channel`: where it is told; "": nowhere.
SharedRequest WriteObject(const ObjectWrite& write, const std::string& channel);
// On which relays that share this database tell each other of changed objects. Channels are the
// server's, whichever database a connection has.
std::string Channel(int database);
std::string DirectoryVersion();  // the command itself

}  // namespace redis_requests
}  // namespace relay
