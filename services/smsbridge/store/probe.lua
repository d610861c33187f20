-- account tag
-- Takes the probe of a paused account where it is due; nobody else then probes before `lease`.
-- ARGV: lease ms. Answers {reason, step, balance} or {next_ms, -1 where it is not paused}.
local key = T .. 'state'
local v = redis.call('HMGET', key, 'pause', 'until', 'step', 'balance', 'money_seen')
if not v[1] or v[1] == '' then return cjson.encode({ next_ms = -1 }) end
local at = now()
if num(v[2]) > at then return cjson.encode({ next_ms = num(v[2]) - at }) end
redis.call('HSET', key, 'until', at + tonumber(ARGV[1]))
local step = redis.call('HINCRBY', key, 'step', 1)
return cjson.encode({ reason = v[1], step = step, balance = v[4] or '', money_seen = v[5] or '' })
