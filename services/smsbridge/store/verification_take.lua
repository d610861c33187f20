-- provider tag, verifications
-- Takes one that nobody works at. ARGV: token of the taker, lease ms: for so long it is the taker's own.
-- Answers {id} or {}. What a taker before has not committed is done again.
local token, lease, at = ARGV[1], tonumber(ARGV[2]), now()
assert(token ~= '' and lease > 0, 'verification_take: an argument is missing')
while true do
  local id = redis.call('ZRANGEBYSCORE', T .. 'vruns', '-inf', whole(at), 'LIMIT', 0, 1)[1]
  if not id then return cjson.encode({}) end
  if redis.call('EXISTS', record(id)) == 1 then
    local done = num(redis.call('HGET', record(id), 'e:done'))
    redis.call('HSET', record(id), 'tok', token, 'run', whole(at), 'run_e', whole(done))
    redis.call('ZADD', T .. 'vruns', whole(at + lease), id)
    return cjson.encode({ id = id })
  end
  redis.call('ZREM', T .. 'vruns', id)
end
