// SPDX-License-Identifier: MIT
#include "core/store/redis_limit_script.h"

namespace relay::redis_scripts {

// The judge of limiter_judge.cc again, in Lua 5.1. Redis's clock is the only one that counts, so
// those of relays may differ; nanodollars are exact up to 2^53, which is nine million dollars.
// A lease is a hash that lives for its ms: `#id` → what is reserved, `=scope` → sums of that. A
// command of an older fence comes out of a connection that we have given up: it is too late.
const RedisScript& Limits() {
  static const RedisScript kScript(R"lua(
local at = 7
local function take()
  at = at + 1
  return ARGV[at]
end
local function number() return tonumber(take()) end
local function numbers(text)
  local list = {}
  for word in string.gmatch(text, '%-?%d+') do table.insert(list, tonumber(word)) end
  return list
end
local function join(list)
  local words = {}
  for i, value in ipairs(list) do words[i] = string.format('%.0f', value) end
  return table.concat(words, ' ')
end

local fence = tonumber(ARGV[7])
local heard = numbers(redis.call('GET', KEYS[3]) or '0 0')
if fence < heard[1] then return {3} end

local time = redis.call('TIME')
local second = tonumber(time[1])
local now = second * 1000 + math.floor(tonumber(time[2]) / 1000)
local calendar = numbers(ARGV[5])
local today = calendar[1] - 1
for i = 2, 4 do
  if second >= calendar[i] then today = calendar[1] + i - 2 end
end

-- Of a minute: second, amount, second, amount…, the oldest first.
local function window(text)
  local list = numbers(text or '')
  local kept = {sum = 0}
  for i = 1, #list, 2 do
    local when = math.min(list[i], second)
    if when > second - 61 and list[i + 1] > 0 then
      table.insert(kept, when)
      table.insert(kept, list[i + 1])
      kept.sum = kept.sum + list[i + 1]
    end
  end
  return kept
end
local function add(list, when, amount)
  list.sum = list.sum + amount
  for i = 1, #list, 2 do
    if list[i] == when then
      list[i + 1] = list[i + 1] + amount
      return
    end
    if list[i] > when then
      table.insert(list, i, amount)
      table.insert(list, i, when)
      return
    end
  end
  table.insert(list, when)
  table.insert(list, amount)
end
local function wait(list, limit)
  local left = list.sum
  for i = 1, #list, 2 do
    if left < limit then break end
    left = left - list[i + 1]
    if left < limit then return (list[i] + 61) * 1000 - now end
  end
  return 0
end

local function week(day) return math.floor((day + 3) / 7) end
-- Months counted from a March, after H. Hinnant's civil_from_days.
local function month(day)
  local z = day + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) -
                          math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  return (yoe + era * 400) * 12 + math.floor((5 * doy + 2) / 153)
end
local function advance(spent)
  local day = spent[1]
  if today == day or today == day - 1 then return end
  spent[2] = 0
  if week(day) ~= week(today) then spent[3] = 0 end
  if month(day) ~= month(today) then spent[4] = 0 end
  spent[1] = today
end
local function runs(five, at) return five[2] > 0 and (at or now) - five[1] < 18000000 end

local forgotten = redis.call('GET', KEYS[4])
local prefix = ARGV[2] .. (forgotten and forgotten .. ':' or '')
local scopes = {}
local function scope(name)
  local it = scopes[name]
  if it then return it end
  local key = prefix .. name
  local had = redis.call('HMGET', key, 'starts', 'tokens', 'spent', 'five')
  it = {key = key, set = {}, starts = window(had[1]), tokens = window(had[2])}
  if had[3] then
    it.spent = numbers(had[3])
    it.five = numbers(had[4] or '0 0')
    advance(it.spent)
  end
  scopes[name] = it
  return it
end
-- What was spent before, as a relay knows it: before relays shared it, or while it was alone.
local function begin(it, past)
  local known = numbers(past)
  local five = {known[6], known[7]}
  advance(known)
  if not it.spent then
    it.spent = {known[1], known[2], known[3], known[4], known[5]}
    it.five = five
    it.set.spent = true
    return
  end
  -- It may have read the calendar a moment before midnight.
  for i = 2, 5 do
    if known[1] == it.spent[1] and known[i] > it.spent[i] then
      it.spent[i] = known[i]
      it.set.spent = true
    end
  end
  if runs(five) and not runs(it.five) then
    it.five = five
    it.set.spent = true
  end
end
local function save()
  for _, it in pairs(scopes) do
    local words = {}
    for field in pairs(it.set) do
      table.insert(words, field)
      table.insert(words, join(it[field]))
      if field == 'spent' then
        table.insert(words, 'five')
        table.insert(words, join(it.five))
      end
    end
    if #words > 0 then
      redis.call('HSET', it.key, unpack(words))
      redis.call('EXPIRE', it.key, it.spent and 34560000 or 120)
    end
  end
end

local function count(name, n, tokens, cost)
  local field = '=' .. name
  local sums = numbers(redis.call('HGET', KEYS[1], field) or '0 0 0')
  sums = {sums[1] + n, sums[2] + tokens, sums[3] + cost}
  if sums[1] <= 0 then
    redis.call('HDEL', KEYS[1], field)
  else
    redis.call('HSET', KEYS[1], field, join(sums))
  end
end
local function hold(id, text)
  if redis.call('HSETNX', KEYS[1], '#' .. id, text) == 0 then return end
  local head = numbers(string.match(text, '^[^\31]*'))
  for _, name in string.gmatch(text, '\31([+-])([^\31]*)') do count(name, 1, head[2], head[3]) end
end
local function release(id, unbegun)
  local text = redis.call('HGET', KEYS[1], '#' .. id)
  if not text then return end
  redis.call('HDEL', KEYS[1], '#' .. id)
  local head = numbers(string.match(text, '^[^\31]*'))
  for sign, name in string.gmatch(text, '\31([+-])([^\31]*)') do
    count(name, -1, -head[2], -head[3])
    if unbegun and sign == '+' then
      local it = scope(name)
      for i = 1, #it.starts, 2 do
        if it.starts[i] == head[1] then
          add(it.starts, head[1], -1)
          it.set.starts = true
          break
        end
      end
    end
  end
end

local lapsed = ARGV[6] == '1' and redis.call('EXISTS', KEYS[1]) == 0
local sequence = number()
local fresh = sequence > heard[2]
local anew = take() == '1'
for _ = 1, number() do
  local id, unbegun = take(), take()
  if fresh then release(id, unbegun == '1') end
end
if fresh and anew then redis.call('DEL', KEYS[1]) end
for _ = 1, number() do
  local id, text = take(), take()
  if fresh then hold(id, text) end
end
for _ = 1, number() do
  local name, tokens, cost, past = take(), number(), number(), take()
  local age, day = number(), number()
  if fresh then
    local it = scope(name)
    if tokens > 0 and age < 61 then
      add(it.tokens, second - age, tokens)
      it.set.tokens = true
    end
    if cost > 0 then
      begin(it, past)
      local of = it.spent[1]
      local holds = {day >= of, day >= of or week(day) == week(of),
                     day >= of or month(day) == month(of), true}
      for i = 1, 4 do
        if holds[i] then it.spent[i + 1] = it.spent[i + 1] + cost end
      end
      if age < 18000 then
        local when = now - age * 1000
        -- What was used in five hours that are over by now counts in those.
        if not runs(it.five, when) then it.five = {when, 0} end
        it.five = {math.min(it.five[1], when), it.five[2] + cost}
      end
      it.set.spent = true
    end
  end
end
if fresh or fence > heard[1] then
  redis.call('SET', KEYS[3], join({fence, math.max(sequence, heard[2])}), 'EX', 86400)
end

-- Ours, that this command has told, are to be seen among all.
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('SADD', KEYS[2], ARGV[3]) end

local outcome = 0
local denials = {}
local running = {}  -- of claims with a limit of five hours: began, spent
local function deny(...)
  for _, value in ipairs({...}) do table.insert(denials, value) end
end
local function reserve(id)
  local shadow, tokens, cost = take() == '1', number(), number()
  local claims, fields = {}, {}
  for i = 1, number() do
    local c = {name = take(), requests = number(), tokens = number(), concurrency = number(),
               five = number(), cost = {number(), number(), number(), number()}, past = take(),
               held = {0, 0, 0}}
    claims[i] = c
    fields[i] = '=' .. c.name
  end
  for _, relay in ipairs(redis.call('SMEMBERS', KEYS[2])) do
    local sums = redis.call('HMGET', ARGV[1] .. relay, unpack(fields))
    local any = false
    for i, c in ipairs(claims) do
      if sums[i] then
        any = true
        for j, value in ipairs(numbers(sums[i])) do c.held[j] = c.held[j] + value end
      end
    end
    if not any and redis.call('EXISTS', ARGV[1] .. relay) == 0 then
      redis.call('SREM', KEYS[2], relay)
    end
  end
  for i, c in ipairs(claims) do
    local it = scope(c.name)
    local busy = c.held[1] > 0
    -- what, claim, window, spent, wait, earliest, whether it then passes by itself
    local function money(what, spent, cap, n, left)
      if cap == 0 then return end
      if spent >= cap then
        deny(what, i - 1, n, 1, left, 0, 0)
      elseif busy and spent + c.held[3] + cost > cap then
        deny(what, i - 1, n, 0, 1000, 0, 0)
      end
    end
    local caps = c.cost[1] + c.cost[2] + c.cost[3] + c.cost[4]
    if c.five + caps > 0 then
      begin(it, c.past)
      local five = runs(it.five) and it.five or {0, 0}
      if c.five > 0 then
        table.insert(running, five[1])
        table.insert(running, five[2])
      end
      money(3, five[2], c.five, 0, math.max(five[1] + 18000000 - now, 1000))
      for n = 1, 4 do money(5, it.spent[n + 1], c.cost[n], n - 1, -1) end
    end
    if c.requests > 0 and it.starts.sum >= c.requests then
      local ms = wait(it.starts, c.requests)
      deny(0, i - 1, 0, 0, ms, ms, 1)
    end
    if c.concurrency > 0 and c.held[1] >= c.concurrency then deny(2, i - 1, 0, 0, 1000, 0, 0) end
    if c.tokens > 0 then
      local room = c.tokens - c.held[2] - tokens + 1
      if not busy then room = math.max(room, c.tokens) end
      if it.tokens.sum >= room then
        local least = wait(it.tokens, c.tokens)
        if room > 0 then
          deny(1, i - 1, 0, 0, wait(it.tokens, room), least, 1)
        else
          deny(1, i - 1, 0, 0, math.max(least, 1000), least, 0)
        end
      end
    end
  end
  if #denials > 0 and not shadow then return 2 end
  local text = join({second, tokens, cost})
  for _, c in ipairs(claims) do
    text = text .. '\31' .. (c.requests > 0 and '+' or '-') .. c.name
    if c.requests > 0 then
      local it = scope(c.name)
      add(it.starts, second, 1)
      it.set.starts = true
    end
  end
  hold(id, text)
  return 1
end
local id = take()
if lapsed then
  outcome = 4
elseif id ~= '' then
  outcome = redis.call('HEXISTS', KEYS[1], '#' .. id) == 1 and 1 or reserve(id)
end
save()
if redis.call('PEXPIRE', KEYS[1], ARGV[4]) == 1 then
  redis.call('SADD', KEYS[2], ARGV[3])
else
  redis.call('SREM', KEYS[2], ARGV[3])
end
return {outcome, denials, today, running}
)lua");
  return kScript;
}

}  // namespace relay::redis_scripts
