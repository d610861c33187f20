#!lua flags=allow-oom
-- Makes receipts findable: (smsc_id, phone) -> the attempt. Receipts that came before move to the inbox.
--   ix:SMSC_ID  hash, phone -> the attempt as receipts.py writes it
--   pk:SMSC_ID  list, parked receipts;  parked: sorted set, their ids by the time they were parked
--   rq          sorted set, inbox entries by the time they are due;  rqd: hash, the entries;  rqn: their counter
-- ARGV[1] JSON list of {sid, to, v}; ARGV[2] how long an entry of the index is kept (ms).
-- Answers how many parked receipts were matched. A repeat changes nothing.
local entries, kept = cjson.decode(ARGV[1]), tonumber(ARGV[2])
assert(kept and kept > 0, 'the time the index is kept is missing')
for i, e in ipairs(entries) do
  assert(type(e.sid) == 'string' and e.sid ~= '' and type(e.to) == 'string' and type(e.v) == 'string',
    'entry ' .. i .. ' lacks sid, to or v')
end

local touched, moved = {}, 0
for _, e in ipairs(entries) do
  redis.call('HSET', T .. 'ix:' .. e.sid, e.to, e.v)
  touched[e.sid] = true
end

local function fits(receipt, members)
  if receipt.to == '' then return '' end
  for _, m in ipairs(members) do
    if m.to == receipt.to then return m.v end
  end
  -- SMSC may echo a leading 8: ten digits tell, where only one member has them.
  local tail, found = string.sub(receipt.to, -10), nil
  for _, m in ipairs(members) do
    if #receipt.to >= 10 and string.sub(m.to, -10) == tail then
      if found then return nil end
      found = m.v
    end
  end
  return found
end

for sid in pairs(touched) do
  redis.call('PEXPIRE', T .. 'ix:' .. sid, kept)
  local parked = redis.call('LRANGE', T .. 'pk:' .. sid, 0, -1)
  if #parked > 0 then
    local flat, members, left = redis.call('HGETALL', T .. 'ix:' .. sid), {}, {}
    for i = 1, #flat, 2 do members[#members + 1] = { to = flat[i], v = flat[i + 1] } end
    for _, json in ipairs(parked) do
      local receipt = cjson.decode(json)
      local v = fits(receipt, members)
      if v then
        receipt.v = v
        local id = redis.call('INCR', T .. 'rqn')
        redis.call('HSET', T .. 'rqd', id, cjson.encode(receipt))
        redis.call('ZADD', T .. 'rq', now(), id)
        moved = moved + 1
      else
        left[#left + 1] = json
      end
    end
    if #left == 0 then
      redis.call('DEL', T .. 'pk:' .. sid)
      redis.call('ZREM', T .. 'parked', sid)
    elseif #left < #parked then
      local life = redis.call('PTTL', T .. 'pk:' .. sid)
      redis.call('DEL', T .. 'pk:' .. sid)
      redis.call('RPUSH', T .. 'pk:' .. sid, unpack(left))
      if life > 0 then redis.call('PEXPIRE', T .. 'pk:' .. sid, life) end
    end
  end
end
return cjson.encode(moved)
