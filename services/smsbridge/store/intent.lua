-- provider tag
-- Writes the intent: after this a request may be on the wire until the deadline. Only while `owner` holds the batch and
-- its lease outlasts the POST by the margin; nobody else touches the batch before the deadline.
-- ARGV: op, client id, owner, POST's hard total ms, margin ms, account key, profile, base URL, body (base64), channel.
-- Answers {deadline_ms = from now}, {stale = [refs]} for members that need no sending any more, or {refused = why}.
local op, cid, owner, total, margin = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
assert(op ~= '' and cid ~= '' and owner ~= '' and total > 0 and margin > 0 and ARGV[9] ~= '', 'intent: an argument is missing')
return once(op, function()
  local key = T .. 'b:' .. cid
  local v = redis.call('HMGET', key, 'st', 'owner', 'lease', 'members', 'posts', 'body')
  local at = now()
  if v[1] ~= 'claimed' and v[1] ~= 'repeating' then return { refused = 'gone' } end
  if v[2] ~= owner then return { refused = 'owner' } end
  if num(v[3]) < at + total + margin then return { refused = 'lease' } end
  if v[1] == 'repeating' and v[6] ~= ARGV[9] then return { refused = 'body' } end
  local members, stale = list(v[4]), {}
  if v[1] == 'claimed' then
    for _, member in ipairs(members) do
      local mid, k = split_ref(member.ref)
      local m = redis.call('HMGET', T .. 'm:' .. mid, 'st', 'a' .. k .. ':st')
      if m[1] == 'delivered' or m[2] ~= 'sending' then stale[#stale + 1] = member.ref end
    end
    if #stale > 0 then return { stale = stale } end
  end
  local deadline = at + total + margin
  redis.call('HSET', key, 'st', 'intent', 'deadline', deadline, 'lease', deadline, 'acct', ARGV[6], 'prof', ARGV[7],
    'base', ARGV[8], 'body', ARGV[9], 'posted', at, 'posts', num(v[5]) + 1, 'ch', ARGV[10])
  redis.call('HSETNX', key, 'first', at)
  redis.call('ZREM', T .. 'claims', cid)
  redis.call('ZADD', T .. 'intents', deadline, cid)
  for _, member in ipairs(members) do
    local mid, k = split_ref(member.ref)
    event(mid, v[1] == 'repeating' and 'repeating' or 'sending', { attempt = k, channel = ARGV[10], client_id = cid })
  end
  return { deadline_ms = deadline - at }
end)
