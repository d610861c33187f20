#!lua flags=no-writes
-- portal tag
-- How much of the portal's limits is in use; changes nothing. ARGV[1] JSON {method, rate, operating_limit, cost}, as in
-- limiter_acquire.lua, which says what the keys are.
-- Answers {level = requests in the bucket, used = operating seconds in the window, limit = those allowed (0: no limit),
-- cost = seconds a command}.
local a = cjson.decode(ARGV[1])
assert(type(a.method) == 'string' and a.rate > 0 and a.operating_limit >= 0, 'read: an argument is missing')
local at = now()
local RESET_MARGIN = 2  -- as in limiter_acquire.lua

local b = redis.call('HMGET', T .. 'bk', 'level', 'at')
local level = math.max(0, num(b[1]) - math.max(0, at - num(b[2])) / 1000 * a.rate)
local meta = redis.call('HMGET', T .. 'om:' .. a.method, 'cost', 'limit')
local used, flat = 0, redis.call('HGETALL', T .. 'ob:' .. a.method)
for i = 1, #flat, 2 do
  if (num(flat[i]) + RESET_MARGIN) * 1000 > at then used = used + num(flat[i + 1]) end
end
local limit = a.operating_limit
if meta[2] and limit > 0 then limit = math.min(limit, num(meta[2])) end
return cjson.encode({ level = level, used = used, limit = limit, cost = meta[1] and num(meta[1]) or a.cost })
