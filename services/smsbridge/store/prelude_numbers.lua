-- What the scripts about numbers share. Account tag: whoever pays for a look-up may use it.
-- Money is counted in ten-thousandths of a rouble, so that Lua's numbers stay whole.
--
--   n:DIGEST    hash, one number. What is known: r (active, unavailable, absent, unknown), c carrier, g region, why, at;
--               co (what it cost), es ("1": nobody told). Its look-up under way: id, to (alive until), by (provider's uid),
--               pr (reserved, until it is settled), dy (of which day), vf (by which verification's quote, where not the day
--               pays), st (asked, unanswered). After a failure: fw (a word), ft (it is not tried again until then).
--   hb:UID:DAY  hash, a provider's day: res (reserved), spent, est (part of spent that nobody told). A day is Moscow's.
--   hv:ID       hash, a verification's quote: the same, and n (how many were bought)
--   look:ID     hash, a look-up whose results come later: uid, body (sealed), all (how many), mine (their places), st, nf, made
--   looks       sorted set, these by the time of their next question

local DAY_MS, MOSCOW_MS, BUDGET_KEPT_MS = 86400000, 10800000, 400 * 86400000

local function today() return string.format('%d', math.floor((now() + MOSCOW_MS) / DAY_MS)) end

-- Who pays: a verification's quote, else the provider's day.
local function purse_key(uid, day, verification)
  if verification and verification ~= '' then return T .. 'hv:' .. verification end
  return T .. 'hb:' .. uid .. ':' .. day
end

local function whole(n) return string.format('%d', n) end

-- A number's record. After a change of the master key it moves from its old digest to the new one.
local function number_key(digests)
  local key = T .. 'n:' .. digests[1]
  for i = 2, #digests do
    if redis.call('EXISTS', key) == 1 then break end
    local old = T .. 'n:' .. digests[i]
    if redis.call('EXISTS', old) == 1 then redis.call('RENAME', old, key) end
  end
  return key
end

local function keep(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, whole(ms)) end
end

-- The reservation of a number's look-up becomes what it cost, or (cost nil) is given back, to whoever reserved it.
local function settle(key, cost, estimated)
  local v = redis.call('HMGET', key, 'by', 'pr', 'dy', 'vf')
  if not v[2] then return end
  local purse = purse_key(v[1], v[3], v[4])
  redis.call('HINCRBY', purse, 'res', whole(-num(v[2])))
  redis.call('HDEL', key, 'pr')
  if not cost then return end
  redis.call('HINCRBY', purse, 'spent', whole(cost))
  if estimated then redis.call('HINCRBY', purse, 'est', whole(cost)) end
  if v[4] then redis.call('HINCRBY', purse, 'n', 1) end
  redis.call('HSET', key, 'co', whole(cost), 'es', estimated and '1' or '0')
end

local function end_flight(key) redis.call('HDEL', key, 'id', 'to', 'by', 'pr', 'dy', 'vf', 'st') end

-- What a number is now: {known}, {flight}, {failed} or {}. `ages`: how old (ms) each outcome may be.
local function look(key, ages)
  local v = redis.call('HMGET', key, 'r', 'c', 'g', 'why', 'at', 'co', 'es', 'id', 'to', 'st', 'fw', 'ft')
  local at, found = now(), {}
  if v[1] and at - num(v[5]) < num(ages[v[1]]) then
    found.known = { r = v[1], c = v[2], g = v[3], why = v[4] or '', at = num(v[5]), co = v[6] or '', es = v[7] == '1' }
  end
  if v[8] and num(v[9]) > at then found.flight = { id = v[8], st = v[10], left = num(v[9]) - at } end
  if num(v[12]) > at then found.failed = v[11] end
  return found
end
