-- provider tag, verifications
-- Into another state, or the same with other fields. ARGV: id, token (empty: by hand), JSON
--   {from = states, need = {FIELD = value that it must have}, to, why, set = {FIELD = value}, stamp = a field that becomes now,
--    run_ms = somebody may take it then (absent: nobody works at it), keep_ms = it is kept so long (-1: for ever; absent: as
--    it was), drop = its numbers are not needed any more}
-- Answers {ok, st = its state now; empty where there is none}. Whoever worked at it does no more, if it was moved.
local id, token, a = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
assert(id ~= '' and a.from and a.to, 'verification_move: an argument is missing')
local key, at = record(id), now()
local st = redis.call('HGET', key, 'st')
if not st then return cjson.encode({ ok = false, st = '' }) end
local may = token == '' or owned(id, token)
local listed = false
for _, from in ipairs(a.from) do listed = listed or from == st end
for name, value in pairs(a.need or {}) do may = may and redis.call('HGET', key, name) == value end
if not may or not listed then return cjson.encode({ ok = false, st = st }) end
redis.call('HSET', key, 'st', a.to, 'why', a.why or '')
redis.call('HDEL', key, 'tok')
for name, value in pairs(a.set or {}) do redis.call('HSET', key, name, value) end
if a.stamp then redis.call('HSET', key, a.stamp, whole(at)) end
if a.run_ms then
  redis.call('ZADD', T .. 'vruns', whole(at + a.run_ms), id)
else
  redis.call('ZREM', T .. 'vruns', id)
end
if a.drop then redis.call('DEL', T .. 'vn:' .. id, T .. 'vk:' .. id) end
if a.keep_ms then
  each_key(id, function(one)
    if a.keep_ms < 0 then redis.call('PERSIST', one) else redis.call('PEXPIRE', one, whole(a.keep_ms)) end
  end)
end
return cjson.encode({ ok = true, st = a.to })
