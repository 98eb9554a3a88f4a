-- All counters that one call asks for, in one step: look, then charge all of them or none.
--
-- Does what mcpwatch/policy/counters.py does in memory, number by number; tests compare the two. A counter is two ledgers,
-- sorted sets of "time|total of everything up to then": one by window, one by millisecond once a sliding limit asks.
-- A sum from a moment on is the last total less the one before the moment. An entry at time -1 holds the total of what
-- was dropped. Amounts are decimal texts of any length: a Lua number would round them.
--
-- KEYS   epoch, index, then for each counter: its windows, its log
-- ARGV   the question as JSON, see script.py
-- Reply  status, time, epoch, when there will be room or "", then for each demand: used, when the first of it expires

local KEPT, MOST_ENTRIES, MOST_COUNTERS = 32, 10000, 250000
-- Counters are kept for two windows and this: a clock that jumps back by less finds all that was spent.
local MARGIN_MS = 60000

local function whole(number)
  return string.format("%.0f", number)
end

-- Decimal texts ------------------------------------------------------------------------------------------------------

local CHUNK = 14

local function small(text)
  return #text <= 15 and not string.find(text, ".", 1, true)
end

-- Both as digits of one length, a multiple of CHUNK, and how many of them stand behind the point.
local function aligned(a, b)
  local a_whole, a_part = string.match(a, "^(%d+)%.?(%d*)$")
  local b_whole, b_part = string.match(b, "^(%d+)%.?(%d*)$")
  local part = math.max(#a_part, #b_part)
  local length = math.max(#a_whole, #b_whole) + part + 1
  length = length + (-length) % CHUNK
  local function padded(front, back)
    local digits = front .. back .. string.rep("0", part - #back)
    return string.rep("0", length - #digits) .. digits
  end
  return padded(a_whole, a_part), padded(b_whole, b_part), part
end

local function combined(a, b, sign)
  local x, y, part = aligned(a, b)
  local chunks, carry, base = {}, 0, 10 ^ CHUNK
  for from = #x - CHUNK + 1, 1, -CHUNK do
    local sum = tonumber(string.sub(x, from, from + CHUNK - 1))
      + sign * tonumber(string.sub(y, from, from + CHUNK - 1)) + carry
    carry = 0
    if sum >= base then sum, carry = sum - base, 1 end
    if sum < 0 then sum, carry = sum + base, -1 end
    table.insert(chunks, 1, string.format("%014.0f", sum))
  end
  local digits = table.concat(chunks)
  local front, back = string.sub(digits, 1, #digits - part), string.sub(digits, #digits - part + 1)
  front, back = string.gsub(front, "^0+(%d)", "%1"), string.gsub(back, "0+$", "")
  return back == "" and front or front .. "." .. back
end

local function plus(a, b)
  if small(a) and small(b) then return whole(tonumber(a) + tonumber(b)) end
  return combined(a, b, 1)
end

local function minus(a, b) -- a >= b
  if b == "0" then return a end
  if small(a) and small(b) then return whole(tonumber(a) - tonumber(b)) end
  return combined(a, b, -1)
end

local function less(a, b)
  if small(a) and small(b) then return tonumber(a) < tonumber(b) end
  local x, y = aligned(a, b)
  for from = 1, #x, CHUNK do
    local one, other = tonumber(string.sub(x, from, from + CHUNK - 1)), tonumber(string.sub(y, from, from + CHUNK - 1))
    if one ~= other then return one < other end
  end
  return false
end

-- Ledgers ------------------------------------------------------------------------------------------------------------

local function entry(member)
  local at, total = string.match(member, "^(-?%d+)|(%d+%.?%d*)$")
  if not at then error("somebody else has written to a counter of mcpwatch") end
  return tonumber(at), total
end

local function put(key, at, total)
  redis.call("ZADD", key, whole(at), whole(at) .. "|" .. total)
end

local function last(key)
  local member = redis.call("ZREVRANGE", key, 0, 0)[1]
  if member then return entry(member) end
end

local function before(key, moment)
  local member = redis.call("ZREVRANGEBYSCORE", key, "(" .. whole(moment), "-inf", "LIMIT", 0, 1)[1]
  if not member then return "0" end
  local _, total = entry(member)
  return total
end

local function since(key, moment)
  local at, total = last(key)
  if not at or at < moment then return "0" end
  return minus(total, before(key, moment))
end

local function shift(key, from, amount, change)
  for _, member in ipairs(redis.call("ZRANGEBYSCORE", key, whole(from), "+inf")) do
    local at, total = entry(member)
    local changed = change(total, amount)
    if changed ~= total then
      -- In this order, for a set that is empty in between is gone, and with it when it expires.
      put(key, at, changed)
      redis.call("ZREM", key, member)
    end
  end
end

local function at_exactly(key, at)
  return redis.call("ZCOUNT", key, whole(at), whole(at)) > 0
end

local function add(key, at, amount)
  local newest, total = last(key)
  if not newest or newest < at then
    put(key, at, plus(total or "0", amount))
    return
  end
  if not at_exactly(key, at) then put(key, at, before(key, at)) end
  shift(key, at, amount, plus)
end

local function take_back(key, at, amount)
  if not at_exactly(key, at) then return end
  local there = minus(before(key, at + 1), before(key, at))
  shift(key, at, less(there, amount) and there or amount, minus)
end

local function drop_expired(key, live_from, most)
  local members = redis.call("ZCARD", key)
  if members <= 2 * KEPT then return end
  local based = redis.call("ZCOUNT", key, -1, -1)
  local entries = members - based
  if entries <= 2 * KEPT then return end
  local surplus = math.min(redis.call("ZCOUNT", key, 0, "(" .. whole(live_from)), entries - KEPT)
  if surplus > 0 then
    local _, total = entry(redis.call("ZRANGE", key, based + surplus - 1, based + surplus - 1)[1])
    redis.call("ZREMRANGEBYRANK", key, 0, based + surplus - 1)
    put(key, -1, total)
    based, entries = 1, entries - surplus
  end
  if most and entries > 2 * most then
    redis.call("ZREMRANGEBYRANK", key, based, based + entries - most - 1)
  end
end

-- The time of the entry with which `surplus` of what counts since `moment` will have expired: totals only grow.
local function freed_at(key, moment, surplus)
  local wanted = plus(before(key, moment), surplus)
  local low, high = redis.call("ZCOUNT", key, "-inf", "(" .. whole(moment)), redis.call("ZCARD", key)
  local members = high
  while low < high do
    local middle = math.floor((low + high) / 2)
    local _, total = entry(redis.call("ZRANGE", key, middle, middle)[1])
    if less(total, wanted) then low = middle + 1 else high = middle end
  end
  if low == members then return nil end
  return (entry(redis.call("ZRANGE", key, low, low)[1]))
end

-- Counters -----------------------------------------------------------------------------------------------------------

-- Enough when it is done once in a window: whatever is charged in it counts for one window more at most.
local function keep(counter, at)
  local ttl = 2 * counter.window + MARGIN_MS
  redis.call("PEXPIRE", counter.windows, whole(ttl))
  redis.call("PEXPIRE", counter.log, whole(ttl))
  redis.call("ZADD", KEYS[2], whole(at + ttl), counter.name)
  if redis.call("PTTL", KEYS[2]) < ttl then redis.call("PEXPIRE", KEYS[2], whole(ttl)) end
end

-- When there is no log yet it is made of the windows: charges count to the end of theirs.
local function need_log(counter)
  if redis.call("EXISTS", counter.log) == 1 or redis.call("EXISTS", counter.windows) == 0 then return end
  local dropped = "0"
  for _, member in ipairs(redis.call("ZRANGE", counter.windows, 0, -1)) do
    local start, total = entry(member)
    if start < 0 then dropped = total else put(counter.log, start + counter.window - 1, minus(total, dropped)) end
  end
  redis.call("PEXPIRE", counter.log, redis.call("PTTL", counter.windows))
end

local function look(counter, sliding, now)
  if sliding then
    need_log(counter)
    local from = now - counter.window + 1
    local oldest = redis.call("ZRANGEBYSCORE", counter.log, whole(from), "+inf", "LIMIT", 0, 1)[1]
    return since(counter.log, from), (oldest and entry(oldest) or now) + counter.window
  end
  local start = now - now % counter.window
  local newest, total = last(counter.windows)
  if not newest or newest < start then return "0", start + counter.window end
  return minus(total, before(counter.windows, start)), newest + counter.window
end

local function charge(counter, amount, at)
  local start, newest = at - at % counter.window, last(counter.windows)
  local logged = redis.call("EXISTS", counter.log) == 1 or (counter.logged and not newest)
  add(counter.windows, start, amount)
  if logged then
    add(counter.log, at, amount)
    drop_expired(counter.log, at - counter.window + 1, MOST_ENTRIES)
  end
  if newest ~= start then
    drop_expired(counter.windows, start)
    keep(counter, at)
  end
end

local function uncharge(counter, amount, at)
  take_back(counter.windows, at - at % counter.window, amount)
  take_back(counter.log, at, amount)
end

-- One question -------------------------------------------------------------------------------------------------------

local ask = cjson.decode(ARGV[1])
local now = ask.now
if not now then
  local time = redis.call("TIME")
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local epoch = redis.call("GET", KEYS[1])
if not epoch or ask.probe then
  epoch = epoch or ask.token
  redis.call("SET", KEYS[1], epoch)
end
-- Whoever asked has been refused by now: a call that is refused counts nothing.
if ask.deadline and now > ask.deadline then return { "late", whole(now), epoch, "" } end

for index, counter in ipairs(ask.counters) do
  counter.windows, counter.log = KEYS[2 * index + 1], KEYS[2 * index + 2]
end
for _, back in ipairs(ask.back) do
  uncharge(ask.counters[back.counter], back.amount, back.at)
end

local status, free_at, uses = "fits", "", {}
for _, demand in ipairs(ask.demands) do
  local counter = ask.counters[demand.counter]
  local used, expires = look(counter, demand.sliding, now)
  table.insert(uses, used)
  table.insert(uses, whole(expires))
  if status == "fits" and not demand.observing and not ask.look then
    if not demand.amount then
      status = "full"
    else
      local wanted = plus(used, demand.amount)
      if less(demand.max, wanted) then
        status = "full"
        if demand.sliding and not less(demand.max, demand.amount) then
          local from = now - counter.window + 1
          free_at = whole((freed_at(counter.log, from, minus(wanted, demand.max)) or now) + counter.window)
        end
      end
    end
  end
end

if status == "fits" and not ask.look then
  local amounts, order, fresh = {}, {}, 0
  for _, demand in ipairs(ask.demands) do
    if demand.amount and not amounts[demand.counter] then
      amounts[demand.counter] = demand.amount
      table.insert(order, demand.counter)
      if redis.call("EXISTS", ask.counters[demand.counter].windows) == 0 then fresh = fresh + 1 end
    end
  end
  if fresh > 0 and redis.call("ZCOUNT", KEYS[2], "(" .. whole(now), "+inf") + fresh > MOST_COUNTERS then
    status, order = "crowded", {}
  end
  for _, counter in ipairs(order) do
    charge(ask.counters[counter], amounts[counter], now)
  end
  -- After the first charge: a Redis without memory only refuses what a script writes first.
  if fresh > 0 then redis.call("ZREMRANGEBYSCORE", KEYS[2], "-inf", whole(now)) end
  if ask.restore then
    for _, counter in ipairs(order) do uncharge(ask.counters[counter], amounts[counter], now) end
  end
end
if ask.restore then
  for _, back in ipairs(ask.back) do
    charge(ask.counters[back.counter], back.amount, back.at)
  end
end

local reply = { status, whole(now), epoch, free_at }
for _, use in ipairs(uses) do table.insert(reply, use) end
return reply
