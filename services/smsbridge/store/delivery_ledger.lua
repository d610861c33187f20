-- provider tag
-- Where every message of the provider is at this moment, and how often each final state was reached.
local function map(key)
  local flat, found = redis.call('HGETALL', T .. key), {}
  for i = 1, #flat, 2 do found[flat[i]] = num(flat[i + 1]) end
  return found
end
local function oldest(key)
  local first = redis.call('ZRANGE', T .. key, 0, 0, 'WITHSCORES')
  return first[2] and math.max(0, now() - num(first[2])) or 0
end
return cjson.encode({
  n = map('n'), fin = map('fin'), done = map('done'),
  held = redis.call('SCARD', T .. 's:held'), queued = redis.call('SCARD', T .. 's:queued'),
  sending = redis.call('SCARD', T .. 's:sending'), sent = redis.call('SCARD', T .. 's:sent'),
  portal = redis.call('ZCARD', T .. 'dirty') + redis.call('ZCARD', T .. 'steps'),
  portal_lag_ms = math.max(oldest('dirty'), oldest('steps')),
  polls = redis.call('ZCARD', T .. 'poll'), plans = redis.call('HLEN', T .. 'plans'),
})
