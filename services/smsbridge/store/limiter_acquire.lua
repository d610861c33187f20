#!lua flags=allow-oom
-- portal tag
-- One HTTP request to the portal: now, or when. ARGV[1] JSON {priority (0 goes first), method, commands, peek, rate,
-- caps (by priority), verification_share, operating_limit, operating_window, slow, stop, cost, flight}: rates a second,
-- operating times in seconds, shares of the limit, `flight` in ms. `peek` admits nothing.
--   bk        hash: level and at of the leaky bucket, rest (not before), fails, blocked (until), skipped (others since the
--             last of the lowest priority)
--   om:METHOD hash: stop (until), cost (seconds a command), limit (learned), next (pace), landed (last answer)
--   ob:METHOD hash, unix time -> operating seconds that the portal forgets then;  of:METHOD list, commands|at under way
--   day:N     requests that went on day N of unix time (UTC), for people to see
-- Answers {ok = true}, {wait_ms, why} or {stopped = why, wait_ms}.
local a = cjson.decode(ARGV[1])
assert(type(a.priority) == 'number' and a.caps[a.priority + 1] and a.rate > 0 and a.commands > 0, 'acquire: an argument is missing')
local at = now()
local RESET_MARGIN = 2  -- seconds: the portal's clock is not ours

local b = redis.call('HMGET', T .. 'bk', 'level', 'at', 'rest', 'blocked', 'skipped')
local level = math.max(0, num(b[1]) - math.max(0, at - num(b[2])) / 1000 * a.rate)

local function operating()
  local meta = redis.call('HMGET', T .. 'om:' .. a.method, 'stop', 'cost', 'limit', 'next')
  if num(meta[1]) > at then return nil, num(meta[1]) - at, 'operating_time_over' end
  local used, first = 0, nil
  local flat = redis.call('HGETALL', T .. 'ob:' .. a.method)
  for i = 1, #flat, 2 do
    local reset = num(flat[i]) + RESET_MARGIN
    if reset * 1000 <= at then
      redis.call('HDEL', T .. 'ob:' .. a.method, flat[i])
    else
      used = used + num(flat[i + 1])
      if not first or reset < first then first = reset end
    end
  end
  local cost = meta[2] and num(meta[2]) or a.cost
  for _, flight in ipairs(redis.call('LRANGE', T .. 'of:' .. a.method, 0, -1)) do
    local bar = string.find(flight, '|', 1, true)
    if num(string.sub(flight, bar + 1)) > at - a.flight then
      used = used + num(string.sub(flight, 1, bar - 1)) * cost
    else
      redis.call('LREM', T .. 'of:' .. a.method, 1, flight)
    end
  end
  local limit = a.operating_limit
  if meta[3] then limit = math.min(limit, num(meta[3])) end
  local need = a.commands * cost
  if used > 0 and used + need > limit * a.stop then
    return nil, math.max(500, (first and first * 1000 or at + 1000) - at), 'operating'
  end
  local pace = 0
  if used > limit * a.slow then
    pace = need * a.operating_window / limit * 1000
    if num(meta[4]) > at then return nil, num(meta[4]) - at, 'operating' end
  end
  return pace
end

local function answer()
  if num(b[4]) > at then return { stopped = 'overload', wait_ms = num(b[4]) - at } end
  local pace = 0
  if a.method ~= '' and a.operating_limit > 0 then
    local wait, why
    pace, wait, why = operating()
    if why == 'operating_time_over' then return { stopped = why, wait_ms = wait } end
    if not pace then return { wait_ms = wait, why = why } end
  end
  if num(b[3]) > at then return { wait_ms = num(b[3]) - at, why = 'back_off' } end
  local lowest = a.priority == #a.caps - 1
  local cap = a.caps[a.priority + 1]
  -- The lowest keeps its share, whatever else is going on.
  if lowest and (num(b[5]) + 1) * a.verification_share >= 1 then cap = a.caps[1] end
  if level + 1 > cap + 1e-6 then return { wait_ms = math.ceil((level + 1 - cap) / a.rate * 1000), why = 'rate' } end
  if a.peek then return { ok = true } end
  local day = T .. 'day:' .. math.floor(at / 86400000)
  if redis.call('INCR', day) == 1 then redis.call('EXPIRE', day, 2 * 86400) end
  redis.call('HSET', T .. 'bk', 'level', level + 1, 'at', at, 'skipped', lowest and 0 or math.min(num(b[5]) + 1, 1000))
  if a.method ~= '' and a.operating_limit > 0 then
    local key = T .. 'of:' .. a.method
    redis.call('RPUSH', key, a.commands .. '|' .. at)
    redis.call('LTRIM', key, -50, -1)
    if pace > 0 then redis.call('HSET', T .. 'om:' .. a.method, 'next', at + pace) end
  end
  return { ok = true }
end
return cjson.encode(answer())
