-- provider tag
-- Takes back one message that is queued or held, or (reason other than Cancelled) fails it. ARGV: mid, state, reason.
-- Answers {state = its state afterwards, done = bool} or {unknown = true}.
local mid, st, reason = ARGV[1], ARGV[2], ARGV[3]
assert(mid ~= '' and FINAL[st] and reason ~= '', 'cancel: an argument is missing')
local v = redis.call('HMGET', T .. 'm:' .. mid, 'st', 'a1:gid', 'a1:gi', 'a1:st')
if not v[1] then return cjson.encode({ unknown = true }) end
if not ((v[1] == 'queued' or v[1] == 'held') and v[4] == 'queued') then return cjson.encode({ state = v[1], done = false }) end
local ref = mid .. '|1'
redis.call('ZREM', T .. 'later', ref)
redis.call('ZREM', T .. 'tokens', mid)
redis.call('ZREM', T .. 'exp', mid)
if redis.call('ZREM', T .. 'g:' .. v[2], ref) == 1 then group_due(v[2], cjson.decode(v[3])) end
redis.call('HSET', T .. 'm:' .. mid, 'nx', '0')
set_attempt(mid, 1, 'failed', { rs = reason })
event(mid, st, { reason = reason })
set_state(mid, st, reason)
return cjson.encode({ state = st, done = true })
