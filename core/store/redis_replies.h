// SPDX-License-Identifier: MIT
// What Redis answers, read. Errors: it holds what is not ours, or nobody understands (not
// retryable).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/store/resp.h"
#include "core/store/store.h"

namespace relay::redis_replies {

// What the Greet script says: nothing wrong with the database for a relay of that schema.
Result<Unit> CheckSchema(const RespReply& reply, int64_t schema);
// It holds what is not ours, or nobody understands.
std::unexpected<Error> Garbled();

// What Load tells of a ledger.
struct Ledger {
  LedgerImage image;  // without rows; the epochs in the order of their hashes
  int64_t month_commands = 0;
  std::string mark;  // another fold changes it
  struct Hash {
    std::string name;
    size_t rows = 0;
  };
  std::vector<Hash> hashes;  // buckets of folded rows, and then one for each epoch
};
// An epoch that was told of in the last `may_live_days` may live.
Result<Ledger> ReadLedger(const RespReply& reply, int64_t today, int64_t may_live_days);
// Of Load too, once it was read: the rows of each hash, or none at all.
const std::vector<RespReply>& RowsOfLedger(const RespReply& reply);
// Of one hash: adds them. → how many were damaged.
size_t AddRows(const RespReply& hash, RowSet& to);
// Of Flush: the commands of the month.
int64_t MonthOfFlush(const RespReply& reply);
// Of Flush too: adds the epochs that were folded, each once.
Result<Unit> AddEnded(const RespReply& reply, Flushed& to);
Result<std::vector<StateBlob>> States(const std::string& kind, const RespReply& reply);
Result<Directory> Objects(const RespReply& reply);
Result<ObjectWritten> Written(const RespReply& reply);

}  // namespace relay::redis_replies
