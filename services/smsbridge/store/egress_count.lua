-- egress tag
-- Counts wrong logins. ARGV: unique name of one that is new (empty: none), window ms. Answers how many the window holds.
local name, window = ARGV[1], tonumber(ARGV[2])
assert(window > 0, 'egress_count: an argument is missing')
local key, at = T .. 'auth', now()
if name ~= '' then redis.call('ZADD', key, at, name) end
redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('(%d', at - window))
return string.format('%d', redis.call('ZCARD', key))
