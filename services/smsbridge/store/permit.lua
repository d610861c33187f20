-- account tag
-- Gives a permit for one request, or says why not. ARGV: permit id, kind, life ms, most of this kind, most of all sends
-- for this kind, "1" where it must respect a pause. A permit ends by itself with its request's deadline.
-- Answers {ok = true} or {wait_ms, why}.
local id, kind, life, most, share = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
assert(id ~= '' and kind ~= '' and life > 0 and most > 0, 'permit: an argument is missing')
local at = now()
local st = redis.call('HMGET', T .. 'state', 'pause', 'until', 'warm', 'back_off')
if ARGV[6] == '1' and st[1] and st[1] ~= '' then
  return cjson.encode({ wait_ms = math.max(50, num(st[2]) - at), why = st[1] })
end
if kind == 'send' and num(st[4]) > at then return cjson.encode({ wait_ms = num(st[4]) - at, why = 'too_many' }) end
local key = T .. 'permits:' .. kind
redis.call('ZREMRANGEBYSCORE', key, '-inf', at)
if redis.call('ZSCORE', key, id) then return cjson.encode({ ok = true }) end
local used = redis.call('ZCARD', key)
if kind == 'send' and st[3] ~= '1' and used >= 1 then return cjson.encode({ wait_ms = 25, why = 'proving' }) end
if used >= most or used >= share then return cjson.encode({ wait_ms = 20, why = 'permits' }) end
redis.call('ZADD', key, at + life, id)
return cjson.encode({ ok = true })
