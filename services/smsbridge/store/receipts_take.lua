#!lua flags=allow-oom
-- Takes inbox entries for a lease; not acknowledged in time they are due again. ARGV: most, lease ms.
-- Answers a list of {id, ...the receipt, v, members}: `members` are all attempts of an id that came without a phone.
local most, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
assert(most and most > 0 and lease and lease > 0, 'most and lease must be above 0')
local at, taken = now(), {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', T .. 'rq', '-inf', at, 'LIMIT', 0, most)) do
  local json = redis.call('HGET', T .. 'rqd', id)
  if not json then
    redis.call('ZREM', T .. 'rq', id)
  else
    redis.call('ZADD', T .. 'rq', at + lease, id)
    local r = cjson.decode(json)
    r.id = id
    if r.v == '' then
      local flat = redis.call('HGETALL', T .. 'ix:' .. r.sid)
      r.members = {}
      for i = 2, #flat, 2 do r.members[#r.members + 1] = flat[i] end
    end
    taken[#taken + 1] = r
  end
end
return cjson.encode(taken)
