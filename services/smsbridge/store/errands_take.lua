#!lua flags=allow-oom
-- provider tag, errands
-- Takes errands that are due, the longest due first, under a lease; first drops those that waited too long.
-- ARGV: lane, owner token, lease (ms), most (0: only drop), JSON of the longest wait (ms) of each kind of this lane.
-- Answers {errands = list of {id, k, body, age_ms, n}, dropped = {KIND = how many}, next_ms (-1: none waits)}.
local lane, owner, lease, most, ages = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), cjson.decode(ARGV[5])
assert(lane ~= '' and owner ~= '' and lease and lease > 0 and most, 'take: an argument is missing')
local DROPPED_AT_ONCE = 500
local here, due, taken, dropped = now(), T .. 'er:due:' .. lane, {}, {}

for kind, age in pairs(ages) do
  local old = redis.call('ZRANGEBYSCORE', T .. 'er:all:' .. kind, '-inf', here - age, 'LIMIT', 0, DROPPED_AT_ONCE)
  for _, id in ipairs(old) do
    local own = redis.call('HGET', T .. 'er:e:' .. id, 'own')
    local held = own and own ~= '' and num(redis.call('ZSCORE', due, id)) > here
    if not held then
      errand_forget(id, kind, lane)
      dropped[kind] = (dropped[kind] or 0) + 1
    end
  end
end

local ids = most > 0 and redis.call('ZRANGEBYSCORE', due, '-inf', here, 'LIMIT', 0, most) or {}
for _, id in ipairs(ids) do
  local key = T .. 'er:e:' .. id
  local v = redis.call('HMGET', key, 'k', 'body', 'at')
  if v[1] then
    redis.call('HSET', key, 'own', owner)
    redis.call('HDEL', key, 'ag')
    redis.call('ZADD', due, here + lease, id)
    local n = redis.call('HINCRBY', key, 'n', 1)
    taken[#taken + 1] = { id = id, k = v[1], body = v[2], age_ms = here - num(v[3]), n = n }
  else
    redis.call('ZREM', due, id)
  end
end
local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
return cjson.encode({ errands = taken, dropped = dropped,
  next_ms = first[2] and math.max(0, math.ceil(num(first[2]) - here)) or -1 })
