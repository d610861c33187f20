-- provider tag, batch
-- An uncertain batch that SMSC does not know is to be sent again: byte-identical, or, where a part of it was found,
-- the rest as a new composition. ARGV: op, client id, owner, lease ms, new client id (for a rest), how long ago the
-- last POST may have been (ms, 0: any time; asking SMSC took its time, so it is looked at here).
-- Answers {client_id, body, members, group}, {rest = true, client_id}, {late = true} or {stale = true}.
-- The intent comes next.
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
  local v = redis.call('HMGET', key, 'partial', 'body')
  if v[1] == '1' then
    compose(b, fresh, b.members, 'ready', b.verdict)
    forget(cid)
    return { rest = true, client_id = fresh }
  end
  redis.call('HSET', key, 'st', 'repeating', 'owner', owner, 'lease', at + lease, 'nf', 0)
  -- Should this sender die before the intent, the batch is asked about again.
  redis.call('ZADD', T .. 'intents', at + lease, cid)
  return { client_id = cid, body = v[2], members = b.members, group = cjson.decode(b.gi) }
end)
