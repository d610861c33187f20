#!lua flags=allow-oom
-- provider tag
-- Takes portal statuses to write, oldest first. What is taken is nobody else's until it is settled or its flight is over.
-- ARGV: token of this flight, most, most age of a message (ms).
-- Fields of the message: pf (not before), po (token of the flight), pn and pn0 (how often and since when the portal does
-- not know it), px (why it was dropped). Answers {entries = list of {mid, status, version}, dropped = n}.
local token, most, most_age = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
assert(token ~= '' and most and most > 0 and most_age and most_age > 0, 'take: an argument is missing')
local at, entries, dropped = now(), {}, 0

local function look(mid)
  local key = T .. 'm:' .. mid
  local m = portal_fields(mid)
  local rest = num(redis.call('HGET', key, 'pf'))
  if rest > at then return redis.call('ZADD', T .. 'dirty', rest, mid) end
  redis.call('ZREM', T .. 'dirty', mid)
  if not m.st then return end
  local want = portal_want(m)
  if not want then return portal_touch(mid) end
  if at - num(m.acc) > most_age then
    redis.call('HSET', key, 'px', 'too_old')
    event(mid, 'portal_dropped', { status = want, why = 'too_old' })
    dropped = dropped + 1
    return
  end
  local until_ = at + PORTAL_FLIGHT_MS
  redis.call('HSET', key, 'po', token, 'pf', until_)
  -- It may arrive without our learning of it; then `sent` must follow.
  if want == 'queued' then redis.call('HSET', key, 'pq', '1') end
  redis.call('ZADD', T .. 'dirty', until_, mid)
  entries[#entries + 1] = { mid = mid, status = want, version = num(m.pv) }
end

local looked = 0
while #entries < most and looked < most * 4 do
  local due = redis.call('ZRANGEBYSCORE', T .. 'dirty', '-inf', at, 'LIMIT', 0, most - #entries)
  if #due == 0 then break end
  for _, mid in ipairs(due) do look(mid) end
  looked = looked + #due
end
return cjson.encode({ entries = entries, dropped = dropped })
