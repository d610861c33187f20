-- provider tag
-- Final messages whose carrier and region were not asked for yet, oldest first. ARGV[1]: most.
-- Answers a list of {mid, phone}; what they are stays listed until rollup_place.lua was told.
local most = tonumber(ARGV[1])
assert(most and most > 0, 'most must be above 0')
-- Nobody could be asked for long (hlr was away): the oldest stay without carrier and region.
redis.call('ZREMRANGEBYRANK', T .. 'unplaced', 0, -UNPLACED_MOST - 1)
local found = {}
for _, mid in ipairs(redis.call('ZRANGE', T .. 'unplaced', 0, most - 1)) do
  local to = redis.call('HGET', T .. 'm:' .. mid, 'to')
  if to and to ~= '' then found[#found + 1] = { mid, to } else redis.call('ZREM', T .. 'unplaced', mid) end
end
if #found == 0 then return '[]' end
return cjson.encode(found)
