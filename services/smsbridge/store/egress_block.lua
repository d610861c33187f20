-- egress tag
-- SMSC blocked our address. ARGV: the stop's reason, list of how long to stop after each block in a row (ms), ms for
-- which a block counts. A stop that stands stays as it is: SMSC says it again to whatever was under way.
-- Answers how long the new stop is (ms), 0 where one stands.
local reason, steps, kept = ARGV[1], cjson.decode(ARGV[2]), tonumber(ARGV[3])
assert(reason ~= '' and #steps > 0 and kept > 0, 'egress_block: an argument is missing')
if redis.call('PTTL', T .. 'stop') > 0 then return '0' end
local count = redis.call('INCR', T .. 'blocks')
redis.call('PEXPIRE', T .. 'blocks', kept)
local ms = steps[math.min(count, #steps)]
redis.call('SET', T .. 'stop', reason, 'PX', ms)
return string.format('%d', ms)
