// SPDX-License-Identifier: MIT
// What runs inside of Redis: each change of the store is one script, so that it is whole, done once
// and one command (the keys and their layout: README.md).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace relay {

struct RedisScript {
  explicit RedisScript(std::string text);
  std::string text;
  std::string sha;  // its name for EVALSHA
};

namespace redis_scripts {

// KEYS: schema, then others that a store has. ARGV: our schema. → "relay N" of the store, which is
// made when there is none, or "foreign".
const RedisScript& Greet();
// KEYS: epochs, ended, recent, recent:order, commands, then the hash of each epoch.
// ARGV: month, commands to add, exchanges to keep, today, then for each epoch: name, sequence,
// fields × 2 and as many texts, exchanges and as many pairs of id and text. → commands of the
// month, then a list of name and sequence of each epoch told of that was folded.
const RedisScript& Flush();
// KEYS: epochs, ended, buckets, the epoch's hash. ARGV: prefix, name, today.
const RedisScript& Fold();
// KEYS: epochs, ended, buckets, commands. ARGV: prefix, first day, first hour, first month kept.
const RedisScript& Expire();
// KEYS: epochs, ended, buckets, recent, recent:order, commands. ARGV: prefix, month, rows that the
// reply may hold. → epochs with sequences and days, ended, order, recent, commands of the month, a
// mark that another fold changes, names of the hashes with rows (buckets, then the epochs in their
// order) and how many each has, and the rows of each: none at all where all are more than the reply
// may hold.
const RedisScript& Load();
// The rest of such a Load. KEYS: ended. ARGV: prefix, then for each hash: name, into how many
// slices it is cut, which of them is asked for. A day or an hour is in one slice.
// → the mark, the rows of each.
const RedisScript& LoadRows();
// KEYS: the hash of each state's kind. ARGV: id and value of each, "" for none.
const RedisScript& PutStates();
// KEYS: limits.
const RedisScript& ForgetLimits();
// KEYS: objects, directory. → version, the objects' fields and values.
const RedisScript& LoadObjects();
// KEYS: objects, directory. ARGV: field, version expected, "1" if there is a value, value, channel
// on which the directory's new version is told ("": nobody is to know). → 1 for a conflict, the
// version now, that of the directory (0: nothing was written).
const RedisScript& WriteObject();

// Some of the above, one after the other in one command; an error of one leaves the others alone.
// KEYS: of the first, then of the next. ARGV: for each how many keys and how many arguments it has,
// then the arguments. → their replies. From any thread; what it gives lives for ever.
const RedisScript& Together(const std::vector<const RedisScript*>& scripts);

// Days and hours that one bucket of folded rows holds.
inline constexpr int kBucketDays = 32;
inline constexpr int kBucketHours = 256;

}  // namespace redis_scripts
}  // namespace relay
