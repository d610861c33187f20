#!lua flags=allow-oom
-- Keeps receipts: each once on (id, phone, status, err, ts), in the inbox where its attempt is known, else parked.
-- Keys as in receipts_index.lua, and  rs:SMSC_ID  set, what was seen.
-- ARGV[1] JSON list of {sid, to, code, err, ts, type, cost, at}; ARGV[2] how long parked ones are kept,
-- ARGV[3] how long a repeat is recognised (ms).
-- Answers {matched, repeated, parked}. Without a phone a repeat is kept too, but only to ask SMSC (`ask`): of an id
-- that many share nobody can tell a repeat from the next number's own.
local receipts, kept, seen_kept = cjson.decode(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
assert(kept and kept > 0 and seen_kept and seen_kept > 0, 'a time is missing')
for i, r in ipairs(receipts) do
  assert(type(r.sid) == 'string' and r.sid ~= '' and type(r.to) == 'string' and type(r.code) == 'number',
    'receipt ' .. i .. ' lacks sid, to or code')
end

local PARKED_MOST = 1000  -- per id; a batch has at most 100 numbers with a few receipts each
local at, matched, repeated, parked = now(), 0, 0, 0

local function attempt_of(r)
  local key = T .. 'ix:' .. r.sid
  if r.to == '' then
    local size = redis.call('HLEN', key)
    return size > 0 and '' or nil, size > 1
  end
  local exact = redis.call('HGET', key, r.to)
  if exact then return exact end
  if #r.to < 10 then return nil end
  local flat, tail, found = redis.call('HGETALL', key), string.sub(r.to, -10), nil
  for i = 1, #flat, 2 do
    if string.sub(flat[i], -10) == tail then
      if found then return nil end
      found = flat[i + 1]
    end
  end
  return found
end

local function keep(r)
  local id = redis.call('INCR', T .. 'rqn')
  redis.call('HSET', T .. 'rqd', id, cjson.encode(r))
  redis.call('ZADD', T .. 'rq', at, id)
end

for _, r in ipairs(receipts) do
  local mark = r.to .. '|' .. r.code .. '|' .. (r.err or -1) .. '|' .. (r.ts or 0)
  local new = redis.call('SADD', T .. 'rs:' .. r.sid, mark) == 1
  if new then redis.call('PEXPIRE', T .. 'rs:' .. r.sid, seen_kept) end
  local v, shared = attempt_of(r)
  if not new then
    repeated = repeated + 1
    if shared then
      r.v, r.ask = '', true
      keep(r)
    end
  elseif v then
    r.v = v
    keep(r)
    matched = matched + 1
  else
    local key = T .. 'pk:' .. r.sid
    redis.call('RPUSH', key, cjson.encode(r))
    redis.call('LTRIM', key, -PARKED_MOST, -1)
    redis.call('PEXPIRE', key, kept)
    redis.call('ZADD', T .. 'parked', at, r.sid)
    parked = parked + 1
  end
end
return cjson.encode({ matched = matched, repeated = repeated, parked = parked })
