-- account tag
-- Pauses an account. ARGV: reason, ms until the first probe. A pause that stands for the same reason keeps its step, and
-- its next probe comes no sooner: a probe that is refused says the same again.
-- Answers {step = which probe comes next, new = it was not paused for this reason}.
local reason, wait = ARGV[1], tonumber(ARGV[2])
assert(reason ~= '' and wait >= 0, 'pause: an argument is missing')
local key = T .. 'state'
local old = redis.call('HGET', key, 'pause')
local at = now() + wait
if old == reason then
  at = math.max(at, num(redis.call('HGET', key, 'until')))
else
  redis.call('HSET', key, 'step', 0, 'since', now())
end
redis.call('HSET', key, 'pause', reason, 'until', at, 'warm', '0')
return cjson.encode({ step = num(redis.call('HGET', key, 'step')), new = old ~= reason })
