-- provider tag
-- Answers {due = how many portal statuses may be written now, next_ms = until the first may, -1 where none waits}.
local at = now()
local first = redis.call('ZRANGE', T .. 'dirty', 0, 0, 'WITHSCORES')
return cjson.encode({ due = redis.call('ZCOUNT', T .. 'dirty', '-inf', at),
  next_ms = first[2] and math.max(0, math.ceil(num(first[2]) - at)) or -1 })
