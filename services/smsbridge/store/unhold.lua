-- provider tag
-- A held message's token was recognised: it is queued as if it had just come. ARGV: mid. Answers true or false.
local mid = ARGV[1]
if redis.call('ZREM', T .. 'tokens', mid) == 0 then return 'false' end
local v = redis.call('HMGET', T .. 'm:' .. mid, 'st', 'a1:gid', 'a1:gi', 'exp')
if v[1] ~= 'held' then return 'false' end
redis.call('HSET', T .. 'm:' .. mid, 'a1:in', now())
redis.call('ZADD', T .. 'exp', num(v[4]), mid)
event(mid, 'released', { why = 'application_token' })
set_state(mid, 'queued')
enter_group(mid, 1, v[2], v[3], now())
return 'true'
