// SPDX-License-Identifier: MIT
// What runs inside of Redis where several relays share limits: one script, one command, which
// settles what has ended and reserves for one exchange (the keys: README.md).
#pragma once

#include "core/store/redis_scripts.h"

namespace relay::redis_scripts {

// KEYS: our lease, the relays' names, how far we were heard, how often limits were forgotten.
// ARGV: prefix of leases, prefix of scopes, our name, a lease's ms, the calendar ("day start
// start start": of that day and the next two), "1" if our lease holds something, our fence; then
// sequence (0: nothing is settled), "1" to forget our lease first, count of ends with id and "1"
// where there was no start after all, count of what is held with id and text, count of uses with
// scope, tokens, nanodollars, past, how many seconds ago and on which day; then an id ("": nothing
// is reserved), "1" in shadow, tokens, nanodollars, count of claims with scope, requests, tokens
// and concurrency a minute, cost of five hours, day, week, month and in all, past. → outcome
// (LimitOutcome), denials: seven numbers each (redis_limit_calls.cc), today's day, and of each
// claim with a limit of five hours: when those that run began (ms), and what was spent.
const RedisScript& Limits();

}  // namespace relay::redis_scripts
