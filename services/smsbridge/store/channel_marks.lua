#!lua flags=allow-oom
-- portal tag
-- What we wrote to channel fields of the CRM, so that a hand's value is told from ours. ARGV: how long a write may be under
-- way (ms), how long after a change nothing is concluded (ms), JSON list of {ref, how, ch}. `how`:
--   read    nothing changes
--   begin   `ch` (empty: the field is emptied) is about to be written
--   wrote   what was begun is there
--   failed  what was begun was not done
--   forget  what stands there is not ours any more
--   ch:REF  hash: c (what is ours there, empty: nothing), w (being written), to (until when at most), at (last change)
-- Answers a list of {ours = list of channels, fresh = true where what was read may be older than this}, in its order.
local flight, rest, given, answers = tonumber(ARGV[1]), tonumber(ARGV[2]), cjson.decode(ARGV[3]), {}
assert(flight and flight > 0 and rest and rest >= 0, 'marks: a time is missing')
local KNOWN = { read = true, begin = true, wrote = true, failed = true, forget = true }
for place, m in ipairs(given) do assert(type(m.ref) == 'string' and KNOWN[m.how], 'mark ' .. place .. ' is unknown') end

-- An empty one is kept only as long as a reader may have seen the field before.
local function keep(key, channel)
  if channel == '' then redis.call('PEXPIRE', key, string.format('%d', math.max(1, rest))) else redis.call('PERSIST', key) end
end

local function change(m)
  local key, here = T .. 'ch:' .. m.ref, now()
  local v = redis.call('HMGET', key, 'c', 'w')
  if m.how == 'begin' then
    redis.call('HSET', key, 'c', v[1] or '', 'w', m.ch, 'to', here + flight, 'at', here)
    redis.call('PERSIST', key)
  elseif m.how == 'wrote' and v[2] then
    redis.call('HSET', key, 'c', v[2], 'at', here)
    redis.call('HDEL', key, 'w', 'to')
    keep(key, v[2])
  elseif m.how == 'failed' and v[2] then
    redis.call('HSET', key, 'at', here)
    redis.call('HDEL', key, 'w', 'to')
    keep(key, v[1] or '')
  elseif m.how == 'forget' then
    redis.call('DEL', key)
  end
end

local function look(m)
  local v, here, ours = redis.call('HMGET', T .. 'ch:' .. m.ref, 'c', 'w', 'to', 'at'), now(), {}
  if v[1] and v[1] ~= '' then ours[#ours + 1] = v[1] end
  if v[2] and v[2] ~= '' and v[2] ~= v[1] then ours[#ours + 1] = v[2] end
  local fresh = v[4] and (num(v[4]) + rest > here or (v[2] and num(v[3]) > here)) or false
  return { ours = ours, fresh = fresh }
end

for place, m in ipairs(given) do
  change(m)
  answers[place] = look(m)
end
return cjson.encode(answers)
