// SPDX-License-Identifier: MIT
#include "core/store/redis_scripts.h"

#include <map>
#include <mutex>
#include <utility>

#include "core/base/secret.h"

namespace relay {

RedisScript::RedisScript(std::string its_text) : text(std::move(its_text)), sha(Sha1Hex(text)) {}

namespace redis_scripts {

// Lua 5.1 of Redis: numbers are doubles, exact up to 2^53 and printed by %.0f; unpack takes some
// thousand values at most, so lists go in slices.

const RedisScript& Greet() {
  static const RedisScript kScript(R"lua(
local kind = redis.call('TYPE', KEYS[1])
if type(kind) == 'table' then kind = kind.ok end
if kind == 'none' then
  for i = 2, #KEYS do
    if redis.call('EXISTS', KEYS[i]) == 1 then return 'foreign' end
  end
  redis.call('SET', KEYS[1], 'relay ' .. ARGV[1])
end
if kind ~= 'none' and kind ~= 'string' then return 'foreign' end
return redis.call('GET', KEYS[1])
)lua");
  return kScript;
}

const RedisScript& Flush() {
  static const RedisScript kScript(R"lua(
local ended = {}
local at = 5
local function take()
  at = at + 1
  return ARGV[at - 1]
end
for k = 6, #KEYS do
  local epoch = take()
  local sequence = take()
  local known = redis.call('HGET', KEYS[1], epoch)
  local folded = redis.call('HGET', KEYS[2], epoch)
  if folded then
    table.insert(ended, epoch)
    table.insert(ended, string.match(folded, '^(%d+) %d+$') or '0')
  end
  local late = folded or (known and tonumber(sequence) < tonumber(string.match(known, '^%d+')))
  local fields = tonumber(take())
  local last = at + fields - 1
  if not late then
    for i = at, last, 1000 do
      redis.call('HSET', KEYS[k], unpack(ARGV, i, math.min(i + 999, last)))
    end
    redis.call('HSET', KEYS[1], epoch, sequence .. ' ' .. ARGV[4])
  end
  at = last + 1
  for i = 1, tonumber(take()) do
    local id = take()
    local entry = take()
    if not late and redis.call('HSETNX', KEYS[3], id, entry) == 1 then
      redis.call('RPUSH', KEYS[4], id)
    end
  end
end
for i = 1, redis.call('LLEN', KEYS[4]) - tonumber(ARGV[3]) do
  redis.call('HDEL', KEYS[3], redis.call('LPOP', KEYS[4]))
end
return {redis.call('HINCRBY', KEYS[5], ARGV[1], ARGV[2]), ended}
)lua");
  return kScript;
}

const RedisScript& Fold() {
  static const RedisScript kScript(R"lua(
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1 then return 0 end
local buckets = {}
local rows = redis.call('HGETALL', KEYS[4])
for i = 1, #rows, 2 do
  local kind, number = string.match(rows[i], '^(%a)|(%-?%d+)')
  local name = 'days:' .. math.floor(number / 32)
  if kind == 'h' then name = 'hours:' .. math.floor(number / 256) end
  local bucket = buckets[name] or {fields = {}, values = {}}
  buckets[name] = bucket
  table.insert(bucket.fields, rows[i])
  table.insert(bucket.values, rows[i + 1])
end
local function sum(a, b)
  local counts = {}
  for count in string.gmatch(a, '%-?%d+') do table.insert(counts, tonumber(count)) end
  local i = 0
  for count in string.gmatch(b, '%-?%d+') do
    i = i + 1
    counts[i] = string.format('%.0f', (counts[i] or 0) + tonumber(count))
  end
  return table.concat(counts, ' ')
end
for name, bucket in pairs(buckets) do
  local key = ARGV[1] .. name
  redis.call('SADD', KEYS[3], name)
  for first = 1, #bucket.fields, 500 do
    local last = math.min(first + 499, #bucket.fields)
    local old = redis.call('HMGET', key, unpack(bucket.fields, first, last))
    local pairs_to_set = {}
    for i = first, last do
      local value = bucket.values[i]
      if old[i - first + 1] then value = sum(old[i - first + 1], value) end
      table.insert(pairs_to_set, bucket.fields[i])
      table.insert(pairs_to_set, value)
    end
    redis.call('HSET', key, unpack(pairs_to_set))
  end
end
local sequence = string.match(redis.call('HGET', KEYS[1], ARGV[2]) or '0', '^%d+')
redis.call('DEL', KEYS[4])
redis.call('HDEL', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], sequence .. ' ' .. ARGV[3])
return 1
)lua");
  return kScript;
}

const RedisScript& Expire() {
  static const RedisScript kScript(R"lua(
local from = {d = tonumber(ARGV[2]), h = tonumber(ARGV[3])}
local function drop(key)
  local old = {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local kind, number = string.match(field, '^(%a)|(%-?%d+)')
    if tonumber(number) < from[kind] then table.insert(old, field) end
  end
  for i = 1, #old, 1000 do
    redis.call('HDEL', key, unpack(old, i, math.min(i + 999, #old)))
  end
end
for _, name in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  local kind, number = string.match(name, '^(%a)%a+:(%-?%d+)$')
  local size = kind == 'd' and 32 or 256
  local key = ARGV[1] .. name
  if (number + 1) * size <= from[kind] then
    redis.call('DEL', key)
  elseif number * size < from[kind] then
    drop(key)
  end
  if redis.call('EXISTS', key) == 0 then redis.call('SREM', KEYS[3], name) end
end
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do drop(ARGV[1] .. 'epoch:' .. name) end
local ended = redis.call('HGETALL', KEYS[2])
for i = 1, #ended, 2 do
  if tonumber(string.match(ended[i + 1], '%d+$')) < from.d then redis.call('HDEL', KEYS[2], ended[i]) end
end
for _, month in ipairs(redis.call('HKEYS', KEYS[4])) do
  if month < ARGV[4] then redis.call('HDEL', KEYS[4], month) end
end
return 1
)lua");
  return kScript;
}

// Epochs are folded under names that never come again.
constexpr std::string_view kMarkOfFolds = R"lua(
local function mark(ended)
  table.sort(ended)
  return redis.sha1hex(table.concat(ended, '\n'))
end
)lua";

const RedisScript& Load() {
  static const RedisScript kScript(std::string(kMarkOfFolds) + R"lua(
local epochs = redis.call('HGETALL', KEYS[1])
local ended = redis.call('HKEYS', KEYS[2])
local hashes = {}
local total = 0
local function note(name)
  local rows = redis.call('HLEN', ARGV[1] .. name)
  total = total + rows
  table.insert(hashes, name)
  table.insert(hashes, rows)
end
for _, name in ipairs(redis.call('SMEMBERS', KEYS[3])) do note(name) end
for i = 1, #epochs, 2 do note('epoch:' .. epochs[i]) end
local rows = {}
if total <= tonumber(ARGV[3]) then
  for i = 1, #hashes, 2 do
    table.insert(rows, redis.call('HGETALL', ARGV[1] .. hashes[i]))
  end
end
return {epochs, ended, redis.call('LRANGE', KEYS[5], 0, -1), redis.call('HGETALL', KEYS[4]),
        redis.call('HGET', KEYS[6], ARGV[2]) or '0', mark(ended), hashes, rows}
)lua");
  return kScript;
}

const RedisScript& LoadRows() {
  static const RedisScript kScript(std::string(kMarkOfFolds) + R"lua(
local reply = {mark(redis.call('HKEYS', KEYS[1]))}
for i = 2, #ARGV, 3 do
  local rows = redis.call('HGETALL', ARGV[1] .. ARGV[i])
  local slices, slice = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if slices > 1 then
    local some = {}
    for j = 1, #rows, 2 do
      if (string.match(rows[j], '^%a|(%-?%d+)') or 0) % slices == slice then
        table.insert(some, rows[j])
        table.insert(some, rows[j + 1])
      end
    end
    rows = some
  end
  table.insert(reply, rows)
end
return reply
)lua");
  return kScript;
}

const RedisScript& PutStates() {
  static const RedisScript kScript(R"lua(
for i = 1, #KEYS do
  if ARGV[2 * i] == '' then
    redis.call('HDEL', KEYS[i], ARGV[2 * i - 1])
  else
    redis.call('HSET', KEYS[i], ARGV[2 * i - 1], ARGV[2 * i])
  end
end
return 1
)lua");
  return kScript;
}

const RedisScript& ForgetLimits() {
  static const RedisScript kScript("return redis.call('INCR', KEYS[1])");
  return kScript;
}

const RedisScript& LoadObjects() {
  static const RedisScript kScript(R"lua(
return {redis.call('GET', KEYS[2]) or '0', redis.call('HGETALL', KEYS[1])}
)lua");
  return kScript;
}

const RedisScript& WriteObject() {
  static const RedisScript kScript(R"lua(
local old = redis.call('HGET', KEYS[1], ARGV[1])
local present = old and string.match(old, '^%d+') or '0'
if present ~= ARGV[2] then return {1, present, '0'} end
if present == '0' and ARGV[3] == '0' then return {0, '0', '0'} end
local version = string.format('%.0f', redis.call('INCR', KEYS[2]))
-- Nobody can look before this script ends; but a user who may not publish ends it here.
if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[5], version) end
if ARGV[3] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return {0, '0', version}
end
redis.call('HSET', KEYS[1], ARGV[1], version .. ' ' .. ARGV[4])
return {0, version, version}
)lua");
  return kScript;
}

const RedisScript& Together(const std::vector<const RedisScript*>& scripts) {
  static std::mutex mutex;
  static std::map<std::vector<const RedisScript*>, RedisScript> known;
  std::lock_guard lock(mutex);
  auto at = known.find(scripts);
  if (at != known.end()) return at->second;
  std::string text = "local scripts = {\n";
  for (const RedisScript* script : scripts) {
    text += "function(KEYS, ARGV)\n" + script->text + "end,\n";
  }
  text += R"lua(}
local key, word = 0, 2 * #scripts
local replies = {}
for i, script in ipairs(scripts) do
  local keys, words = {}, {}
  for j = 1, tonumber(ARGV[2 * i - 1]) do keys[j] = KEYS[key + j] end
  for j = 1, tonumber(ARGV[2 * i]) do words[j] = ARGV[word + j] end
  key, word = key + #keys, word + #words
  local good, reply = pcall(script, keys, words)
  if not good then reply = {err = type(reply) == 'table' and reply.err or tostring(reply)} end
  replies[i] = reply
end
return replies
)lua";
  return known.emplace(scripts, RedisScript(std::move(text))).first->second;
}

}  // namespace redis_scripts
}  // namespace relay
