#!lua flags=allow-oom
-- provider tag
-- Takes what the portal is to be told, oldest first. What is taken is nobody else's until it is settled or its flight is
-- over. ARGV: token of this flight, most, most age of a message (ms), "statuses" or "answers" (to workflow steps).
-- Fields of the message: pf (not before), po (token of the flight), pn and pn0 (how often and since when the portal does
-- not know it), px (why it was dropped). Answers {entries = list of {mid, status, version}, dropped = n}; an answer has
-- {step, channel, costs, reason} besides: its event token, and what the record says of the message now.
local token, most, most_age, kind = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
assert(token ~= '' and most and most > 0 and most_age and most_age > 0, 'take: an argument is missing')
assert(kind == 'statuses' or kind == 'answers', 'take: statuses or answers?')
local set = T .. (kind == 'answers' and 'steps' or 'dirty')
local at, entries, dropped = now(), {}, 0

-- The channel that delivered it, else the one that was tried last; and what its attempts cost, as far as is known.
local function facts(e, m)
  local key = T .. 'm:' .. e.mid
  local v = redis.call('HMGET', key, 'na', 'rs')
  e.step, e.channel, e.costs, e.reason = m.tok, '', {}, v[2] or ''
  local arrived = false
  for k = 1, num(v[1]) do
    local p = 'a' .. k .. ':'
    local a = redis.call('HMGET', key, p .. 'st', p .. 'ch', p .. 'by', p .. 'prof', p .. 'cost')
    local tried = a[4] and a[4] ~= ''
    if a[5] and a[5] ~= '' then e.costs[#e.costs + 1] = a[5] end
    if tried and not arrived then e.channel = a[3] or a[2] end
    if a[1] == 'delivered' then arrived = true end
  end
end

local function look(mid)
  local key = T .. 'm:' .. mid
  local m = portal_fields(mid)
  local rest = num(redis.call('HGET', key, 'pf'))
  if rest > at then return redis.call('ZADD', set, rest, mid) end
  redis.call('ZREM', set, mid)
  if not m.st then return end
  local want = portal_want(m)
  if not want then return portal_touch(mid) end
  if at - num(m.acc) > most_age then
    redis.call('HSET', key, 'px', 'too_old')
    if kind == 'answers' then redis.call('HDEL', key, 'tok') end
    event(mid, 'portal_dropped', { status = want, why = 'too_old' })
    dropped = dropped + 1
    return
  end
  local until_ = at + PORTAL_FLIGHT_MS
  redis.call('HSET', key, 'po', token, 'pf', until_)
  -- It may arrive without our learning of it; then `sent` must follow.
  if kind == 'statuses' and want == 'queued' then redis.call('HSET', key, 'pq', '1') end
  redis.call('ZADD', set, until_, mid)
  local e = { mid = mid, status = want, version = num(m.pv) }
  if kind == 'answers' then facts(e, m) end
  entries[#entries + 1] = e
end

local looked = 0
while #entries < most and looked < most * 4 do
  local due = redis.call('ZRANGEBYSCORE', set, '-inf', at, 'LIMIT', 0, most - #entries)
  if #due == 0 then break end
  for _, mid in ipairs(due) do look(mid) end
  looked = looked + #due
end
return cjson.encode({ entries = entries, dropped = dropped })
