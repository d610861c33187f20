#!lua flags=allow-oom
-- provider tag, delivery
-- Applies what SMSC said of attempts; rank decides, so that a repeat or an older word changes nothing.
-- ARGV[1] JSON list of {mid, k, code, err, from, state, by, reason, read, fell_back, falls_back, stops_on_read, learn,
-- cost, known, ask_again}, absent where they do not apply; ARGV[2] grace of a forbidden attempt (ms).
-- Answers a list of "changed", "same" or "unknown" (no such attempt here).
local readings, grace = cjson.decode(ARGV[1]), tonumber(ARGV[2])
assert(grace and grace >= 0, 'the grace time is missing')
for i, x in ipairs(readings) do
  assert(type(x.mid) == 'string' and type(x.k) == 'number' and type(x.code) == 'number', 'reading ' .. i .. ' is incomplete')
  assert(not x.state or RANKS[x.state], 'reading ' .. i .. ' has no state that exists')
end

local function tell(x, what, state)
  event(x.mid, what, { attempt = x.k, code = x.code, err = x.err, from = x.from, state = state, reason = x.reason })
end

-- Instead of the Viber message the SMS is charged; where no price is reported, the settings' one stands for it.
local function price_as_sms(key, p)
  local v = redis.call('HMGET', key, p .. 'est', 'sp', 'seg')
  if v[1] ~= '1' or (v[2] or '') == '' then return end
  redis.call('HSET', key, p .. 'cost', money_text(money_units(v[2]) * math.max(1, num(v[3]))))
end

-- Profile guide's 22: SMSC's own SMS is on its way. No state of ours, but a fact, and more time.
local function fell_back(x, v, p)
  local key = T .. 'm:' .. x.mid
  if v.fb then return false end
  local at = now()
  redis.call('HSET', key, p .. 'fb', at)
  if not v.by then redis.call('HSET', key, p .. 'by', 'sms') end
  if v.by ~= 'viber' then price_as_sms(key, p) end
  if x.learn and v.by ~= 'viber' then learn(v.to, 'sms') end
  if v.rank < FINAL_RANK then
    local close = math.min(at + 86400000 + CLOSE_EXTRA_MS, v.at + CLOSE_MOST_MS)
    redis.call('HSET', key, p .. 'close', math.max(close, v.close))
  end
  tell(x, 'fell_back')
  return true
end

local function keep_cost(x, p)
  if x.cost then redis.call('HSET', T .. 'm:' .. x.mid, p .. 'cost', x.cost, p .. 'est', '0') end
end

local function advance(x, v, p)
  local key, new = T .. 'm:' .. x.mid, x.state
  if x.read and v.rank == RANKS.delivered and not v.rd then
    redis.call('HSET', key, p .. 'rd', '1')
    tell(x, 'read')
    return true
  end
  if RANKS[new] <= v.rank then return false end
  if new == 'delivered' and x.stops_on_read and not x.read and v.ch == 'viber' and waits_to_be_read(x.mid, x.k) then
    if v.dl then return false end
    redis.call('HSET', key, p .. 'dl', now(), p .. 'by', x.by or 'viber')
    tell(x, 'delivered_unread')
    return true
  end
  -- What was delivered, read or not, is not undone by a failure.
  if v.dl and new ~= 'delivered' then return false end
  tell(x, 'receipt', new)
  if new == 'delivered' then
    arrived(x.mid, x.k, x)
  else
    set_attempt(x.mid, x.k, new, { rs = x.reason })
    if new == 'forbidden' then redis.call('ZADD', T .. 'grace', now() + grace, x.mid .. '|' .. x.k) end
    if x.falls_back and v.nx == '1' and x.k == v.na then plan_next(x.mid, 'code_' .. x.code) end
  end
  derive(x.mid)
  return true
end

local function apply(x)
  local key, p = T .. 'm:' .. x.mid, 'a' .. x.k .. ':'
  local f = redis.call('HMGET', key, p .. 'rk', p .. 'ch', p .. 'by', p .. 'fb', p .. 'dl', p .. 'rd', p .. 'at', p .. 'close',
    'nx', 'na', 'to', 'ru')
  if not f[1] then return 'unknown' end
  local v = { rank = num(f[1]), ch = f[2], by = f[3] or nil, fb = f[4] or nil, dl = f[5] or nil, rd = f[6] or nil,
    at = num(f[7]), close = num(f[8]), nx = f[9], na = num(f[10]), to = f[11] or nil }
  local changed = false
  keep_cost(x, p)
  if x.fell_back then changed = fell_back(x, v, p) end
  if x.state and advance(x, v, p) then changed = true end
  if x.known == false and x.from == 'callback' then tell(x, 'unknown_code') end
  promote(x.mid)
  if x.ask_again then ask_again(x.mid, x.k) end
  -- One that became final just now was counted with that.
  if f[12] and (changed or x.cost) then roll_up(x.mid) end
  return changed and 'changed' or 'same'
end

local answers = {}
for i, x in ipairs(readings) do answers[i] = apply(x) end
return cjson.encode(answers)
