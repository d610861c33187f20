#!lua flags=allow-oom
-- provider tag, delivery
-- Takes attempts whose question is due, for a lease; closes those whose time is over. ARGV: most, lease ms.
-- Answers {polls = list of {mid, k, acct, sid, cid, own, to, prof, ch}, closed = n, waiting = due ones that were left}.
local most, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
assert(most and most > 0 and lease and lease > 0, 'most and lease must be above 0')
local at, polls, closed = now(), {}, 0
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', T .. 'poll', '-inf', at, 'LIMIT', 0, most)) do
  local mid, k = split_ref(ref)
  local p = 'a' .. k .. ':'
  local v = redis.call('HMGET', T .. 'm:' .. mid, p .. 'rk', p .. 'close', p .. 'acct', p .. 'sid', p .. 'cid', p .. 'own',
    'to', p .. 'prof', p .. 'ch')
  local rank = num(v[1])
  if not v[1] or rank < RANKS.sent or rank >= FINAL_RANK then
    redis.call('ZREM', T .. 'poll', ref)
  elseif v[2] and at >= num(v[2]) then
    close_attempt(mid, k)
    closed = closed + 1
  else
    redis.call('ZADD', T .. 'poll', at + lease, ref)
    polls[#polls + 1] = { mid = mid, k = k, acct = v[3] or '', sid = v[4] or '', cid = v[5] or '', own = v[6] == '1',
      to = v[7], prof = v[8] or '', ch = v[9] or '' }
  end
end
return cjson.encode({ polls = polls, closed = closed, waiting = redis.call('ZCOUNT', T .. 'poll', '-inf', at) })
