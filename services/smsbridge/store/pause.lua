-- account tag
-- Pauses an account. ARGV: reason, ms until the first probe. A pause that stands keeps its step where the reason is the same.
-- Answers {step = which probe comes next}.
local reason, wait = ARGV[1], tonumber(ARGV[2])
assert(reason ~= '' and wait >= 0, 'pause: an argument is missing')
local key = T .. 'state'
local old = redis.call('HGET', key, 'pause')
if old ~= reason then redis.call('HSET', key, 'step', 0, 'since', now()) end
redis.call('HSET', key, 'pause', reason, 'until', now() + wait, 'warm', '0')
return cjson.encode({ step = num(redis.call('HGET', key, 'step')), new = old ~= reason })
