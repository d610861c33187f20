-- provider tag, batch
-- Takes one batch whose next step is due: an intent past its deadline, or an uncertain one to ask about.
-- ARGV: owner, lease ms. Answers {batch = {...}} or {next_ms = n, -1 where there is none}.
local owner, lease = ARGV[1], tonumber(ARGV[2])
assert(owner ~= '' and lease > 0, 'take_uncertain: an argument is missing')
local at = now()
local due = redis.call('ZRANGE', T .. 'intents', 0, 0, 'WITHSCORES')
if not due[1] then return cjson.encode({ next_ms = -1 }) end
if num(due[2]) > at then return cjson.encode({ next_ms = num(due[2]) - at }) end
local cid = due[1]
local b = batch(cid)
if not b.st then
  redis.call('ZREM', T .. 'intents', cid)
  return cjson.encode({ next_ms = 0 })
end
local key = T .. 'b:' .. cid
if b.st == 'intent' then
  redis.call('HSET', key, 'why', 'no_outcome')
  for _, member in ipairs(b.members) do
    local mid, k = split_ref(member.ref)
    event(mid, 'uncertain', { attempt = k, why = 'no_outcome', client_id = cid })
  end
end
redis.call('HSET', key, 'st', 'uncertain', 'owner', owner, 'lease', at + lease)
redis.call('SADD', T .. 'uncertain', cid)
redis.call('ZADD', T .. 'intents', at + lease, cid)
local v = redis.call('HMGET', key, 'nf', 'body', 'partial', 'why')
return cjson.encode({ batch = { client_id = cid, group = cjson.decode(b.gi), members = b.members, account_key = b.acct,
  profile = b.prof, base_url = b.base, channel = b.ch, not_found = num(v[1]), since_post_ms = at - b.posted, posts = b.posts,
  body = v[2], partial = v[3] == '1', why = v[4] or '' } })
