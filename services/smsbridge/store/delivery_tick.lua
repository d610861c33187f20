#!lua flags=allow-oom
-- provider tag, delivery
-- What time brings: the end of a leg's wait, the end of a forbidden attempt's grace. ARGV[1]: most of each.
-- Answers {plans = list of {ref, why} for the sender, learned = list of {phone, value} for hlr, moved = n}.
local most = tonumber(ARGV[1])
assert(most and most > 0, 'most must be above 0')
local at, moved = now(), 0

for _, mid in ipairs(redis.call('ZRANGEBYSCORE', T .. 'casc', '-inf', at, 'LIMIT', 0, most)) do
  local v = redis.call('HMGET', T .. 'm:' .. mid, 'nx', 'na', 'st')
  redis.call('ZREM', T .. 'casc', mid)
  if v[1] == '1' and v[3] ~= 'delivered' then
    local unread = redis.call('HGET', T .. 'm:' .. mid, 'a' .. num(v[2]) .. ':dl')
    plan_next(mid, unread and 'not_read_in_time' or 'not_delivered_in_time')
    derive(mid)
    moved = moved + 1
  end
end

for _, ref in ipairs(redis.call('ZRANGEBYSCORE', T .. 'grace', '-inf', at, 'LIMIT', 0, most)) do
  redis.call('ZREM', T .. 'grace', ref)
  local mid, k = split_ref(ref)
  refuse_forbidden(mid, k)
  moved = moved + 1
end

-- A part is enough: what is acknowledged leaves, so the rest has its turn.
local function some(key)
  local cursor, pairs_ = '0', {}
  repeat
    local page = redis.call('HSCAN', T .. key, cursor, 'COUNT', most)
    cursor = page[1]
    for i = 1, #page[2], 2 do pairs_[#pairs_ + 1] = { page[2][i], page[2][i + 1] } end
  until cursor == '0' or #pairs_ >= most
  return pairs_
end
return cjson.encode({ plans = some('plans'), learned = some('learn'), moved = moved })
