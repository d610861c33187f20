#!lua flags=allow-oom
-- provider tag, errands
-- What becomes of taken errands; one that is not (any more) the owner's stays as it is. ARGV: owner token, JSON list of
-- {id, how, ms}. `how`:
--   done   it is over; what came again meanwhile begins anew
--   later  it waits `ms`, and is nobody's
--   keep   its lease is `ms` from now
-- Answers a list of true (it was the owner's) or false, in its order.
local owner, given, answers = ARGV[1], cjson.decode(ARGV[2]), {}
local KNOWN = { done = true, later = true, keep = true }
assert(owner ~= '', 'settle: whose?')
for place, s in ipairs(given) do assert(type(s.id) == 'string' and KNOWN[s.how], 'settle: item ' .. place .. ' is unknown') end

local function settle(s)
  local key, here = T .. 'er:e:' .. s.id, now()
  local v = redis.call('HMGET', key, 'own', 'k', 'la', 'ag')
  if v[1] ~= owner then return false end
  local due = T .. 'er:due:' .. v[3]
  if s.how == 'keep' then
    redis.call('ZADD', due, here + num(s.ms), s.id)
  elseif s.how == 'later' then
    redis.call('HSET', key, 'own', '')
    redis.call('ZADD', due, here + num(s.ms), s.id)
  elseif v[4] == '1' then
    redis.call('HSET', key, 'own', '', 'at', string.format('%d', here), 'n', 0)
    redis.call('HDEL', key, 'ag')
    redis.call('ZADD', due, here, s.id)
    redis.call('ZADD', T .. 'er:all:' .. v[2], here, s.id)
  else
    errand_forget(s.id, v[2], v[3])
  end
  return true
end

for place, s in ipairs(given) do answers[place] = settle(s) end
return cjson.encode(answers)
