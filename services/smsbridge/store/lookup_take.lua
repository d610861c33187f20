-- account tag, numbers
-- Takes the look-up whose next question is due. ARGV: lease ms, until when it is one's own.
-- Answers {look = {id, uid, body, mine, st, nf, age_ms}} or {next_ms = until one is due, -1 where there is none}.
local lease, at = tonumber(ARGV[1]), now()
assert(lease > 0, 'lookup_take: an argument is missing')
while true do
  local first = redis.call('ZRANGE', T .. 'looks', 0, 0, 'WITHSCORES')
  if not first[1] then return cjson.encode({ next_ms = -1 }) end
  if num(first[2]) > at then return cjson.encode({ next_ms = num(first[2]) - at }) end
  local v = redis.call('HMGET', T .. 'look:' .. first[1], 'uid', 'body', 'mine', 'st', 'nf', 'made')
  if v[1] then
    redis.call('ZADD', T .. 'looks', whole(at + lease), first[1])
    local found = { id = first[1], uid = v[1], body = v[2], mine = cjson.decode(v[3]), st = v[4], nf = num(v[5]), age_ms = at - num(v[6]) }
    return cjson.encode({ look = found })
  end
  redis.call('ZREM', T .. 'looks', first[1])
end
