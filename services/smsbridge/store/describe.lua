-- provider tag
-- What waits. Answers {lanes = {interactive = {waiting, oldest}, bulk = {...}}, held, sending, sent, uncertain, later}.
local function lane(name)
  local waiting, oldest = 0, 0
  local groups = redis.call('ZRANGE', T .. 'due:' .. name, 0, 1999)
  for _, gid in ipairs(groups) do
    waiting = waiting + redis.call('ZCARD', T .. 'g:' .. gid)
    local first = redis.call('ZRANGE', T .. 'g:' .. gid, 0, 0)
    if first[1] then
      local mid = split_ref(first[1])
      local acc = num(redis.call('HGET', T .. 'm:' .. mid, 'acc'))
      if acc > 0 and (oldest == 0 or acc < oldest) then oldest = acc end
    end
  end
  return { waiting = waiting, oldest_age_ms = oldest > 0 and math.max(0, now() - oldest) or 0 }
end
return cjson.encode({ interactive = lane('interactive'), bulk = lane('bulk'),
  held = redis.call('SCARD', T .. 's:held'), sending = redis.call('SCARD', T .. 's:sending'),
  sent = redis.call('SCARD', T .. 's:sent'), queued = redis.call('SCARD', T .. 's:queued'),
  uncertain = redis.call('SCARD', T .. 'uncertain'), later = redis.call('ZCARD', T .. 'later') })
