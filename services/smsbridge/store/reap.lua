-- provider tag
-- Puts back what was claimed and never came to an intent before its lease ended: nothing of it left us.
-- Also ends what outlived its validity while it waited. Answers {reaped = n, expired = n}.
local at = now()
local reaped, expired = 0, 0
for _, cid in ipairs(redis.call('ZRANGEBYSCORE', T .. 'claims', '-inf', at, 'LIMIT', 0, 20)) do
  local key = T .. 'b:' .. cid
  local v = redis.call('HMGET', key, 'st', 'members')
  redis.call('ZREM', T .. 'claims', cid)
  if v[1] == 'claimed' then
    for _, member in ipairs(list(v[2])) do
      local mid, k = split_ref(member.ref)
      back(mid, k, 0, 'sender_gone')
    end
    shrink(cid, {})
    reaped = reaped + 1
  end
end
for _, mid in ipairs(redis.call('ZRANGEBYSCORE', T .. 'exp', '-inf', at, 'LIMIT', 0, 500)) do
  redis.call('ZREM', T .. 'exp', mid)
  local v = redis.call('HMGET', T .. 'm:' .. mid, 'st', 'a1:gid', 'a1:gi', 'a1:st')
  if (v[1] == 'queued' or v[1] == 'held') and v[4] == 'queued' then
    local ref = mid .. '|1'
    redis.call('ZREM', T .. 'later', ref)
    redis.call('ZREM', T .. 'tokens', mid)
    if redis.call('ZREM', T .. 'g:' .. v[2], ref) == 1 then group_due(v[2], cjson.decode(v[3])) end
    expire(mid)
    expired = expired + 1
  end
end
return cjson.encode({ reaped = reaped, expired = expired })
