-- provider tag, batch
-- An uncertain batch that SMSC does not know is to be sent again: byte-identical, or, where a part of it was found,
-- the rest as a new composition. Nobody has them, so messages past their validity expire and are no part of it.
-- ARGV: op, client id, owner, lease ms, new client id (for a rest), how long ago the last POST may have been (ms, 0: any
-- time; asking SMSC took its time, so it is looked at here).
-- Answers {client_id, texts = ref -> text} and the intent comes next; {rest = true, client_id} for a rest, empty without one;
-- {late = true} where it is too late for the repeat and too early for the rest; or {stale = true}.
local op, cid, owner, lease, fresh = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local within = tonumber(ARGV[6])
assert(op ~= '' and cid ~= '' and owner ~= '' and lease > 0 and fresh ~= '' and within,
  'begin_repeat: an argument is missing')
return once(op, function()
  local b = batch(cid)
  local key = T .. 'b:' .. cid
  if b.st ~= 'uncertain' or b.owner ~= owner then return { stale = true } end
  local at = now()
  if within > 0 and at - b.posted >= within then return { late = true } end
  local live, old, texts = {}, {}, {}
  local partial = redis.call('HGET', key, 'partial') == '1'
  for _, member in ipairs(b.members) do
    local mid, k = split_ref(member.ref)
    if k == 1 and num(redis.call('HGET', T .. 'm:' .. mid, 'exp')) <= at then old[#old + 1] = mid else live[#live + 1] = member end
    texts[member.ref] = redis.call('HGET', T .. 't:' .. member.th, 'x') or ''
  end
  -- The same bytes would carry the others too.
  if within > 0 and (partial or #old > 0) then return { late = true } end
  if partial or #old > 0 then
    for _, mid in ipairs(old) do expire(mid) end
    if #live > 0 then compose(b, fresh, live, 'ready', b.verdict) else unpark(b.verdict) end
    forget(cid)
    return { rest = true, client_id = #live > 0 and fresh or '' }
  end
  redis.call('HSET', key, 'st', 'repeating', 'owner', owner, 'lease', at + lease, 'nf', 0)
  -- Should this sender die before the intent, the batch is asked about again.
  redis.call('ZADD', T .. 'intents', at + lease, cid)
  return { client_id = cid, texts = texts }
end)
