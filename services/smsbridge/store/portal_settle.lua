#!lua flags=allow-oom
-- provider tag
-- What became of a flight, entry by entry. Only what this flight still holds is touched; a newer status stays to be
-- written. ARGV: token, JSON list of {mid, status, result, delay_ms, why}, first and total time for what the portal does
-- not know (ms). `result`:
--   written     the portal has it
--   over        the workflow step waits no more, or was answered before: nobody reads another answer
--   not_found   the portal does not know the message (yet): again after a growing pause, for a while
--   refused     asking again changes nothing: dropped
--   later       nothing was done: again in delay_ms
--   unanswered  nobody knows: it rests, then the newest is written
-- Answers how many of each; "dropped" and "stale" are counted apart.
local token, results, first, total = ARGV[1], cjson.decode(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
assert(token ~= '' and first and first > 0 and total and total > 0, 'settle: an argument is missing')
local KNOWN = { written = true, over = true, not_found = true, refused = true, later = true, unanswered = true }
for i, r in ipairs(results) do assert(type(r.mid) == 'string' and KNOWN[r.result], 'result ' .. i .. ' is unknown') end
local at, counts = now(), {}

local function rest(mid, delay, rep)
  redis.call('HSET', T .. 'm:' .. mid, 'po', '', 'pf', at + delay)
  redis.call('ZADD', portal_key(rep), at + delay, mid)
end

local function drop(mid, status, why, rep)
  local key = T .. 'm:' .. mid
  redis.call('HSET', key, 'po', '', 'pf', 0, 'px', why)
  redis.call('HDEL', key, 'pn', 'pn0')  -- a later status has its own time
  if STEPS[rep] then redis.call('HDEL', key, 'tok') end
  redis.call('ZREM', portal_key(rep), mid)
  event(mid, 'portal_dropped', { status = status, why = why })
end

local function answered(r)
  local key = T .. 'm:' .. r.mid
  local what = 'step_over'
  if r.result == 'written' then
    what = 'step_answered'
    redis.call('HSET', key, 'pd', r.status)
  end
  redis.call('HSET', key, 'pa', at)
  redis.call('HDEL', key, 'tok', 'po', 'pf', 'pn', 'pn0', 'px')
  redis.call('ZREM', T .. 'steps', r.mid)
  event(r.mid, what, { status = r.status })
  return r.result
end

local function not_found(r, rep)
  local key = T .. 'm:' .. r.mid
  local tries = redis.call('HINCRBY', key, 'pn', 1)
  redis.call('HSETNX', key, 'pn0', at)
  local left = num(redis.call('HGET', key, 'pn0')) + total - at
  if left <= 0 then
    drop(r.mid, r.status, 'not_found', rep)
    return 'dropped'
  end
  rest(r.mid, math.min(first * 2 ^ math.min(tries - 1, 30), left), rep)
  return 'not_found'
end

local function written(r)
  local key = T .. 'm:' .. r.mid
  redis.call('HSET', key, 'pd', r.status)
  redis.call('HDEL', key, 'po', 'pf', 'pn', 'pn0', 'px')
  redis.call('ZREM', T .. 'dirty', r.mid)
  event(r.mid, 'portal_written', { status = r.status })
  portal_touch(r.mid)
  return 'written'
end

local function settle(r)
  local v = redis.call('HMGET', T .. 'm:' .. r.mid, 'po', 'rep')
  local rep = v[2]
  if v[1] ~= token then return 'stale' end
  if STEPS[rep] and (r.result == 'written' or r.result == 'over') then return answered(r) end
  if r.result == 'written' then return written(r) end
  if r.result == 'not_found' then return not_found(r, rep) end
  if r.result == 'refused' or r.result == 'over' then
    drop(r.mid, r.status, r.why or 'refused', rep)
    return 'dropped'
  end
  if r.result == 'unanswered' then
    event(r.mid, 'portal_unanswered', { status = r.status })
    rest(r.mid, PORTAL_FLIGHT_MS, rep)
  else
    rest(r.mid, num(r.delay_ms), rep)
  end
  return r.result
end

for _, r in ipairs(results) do
  local what = settle(r)
  counts[what] = (counts[what] or 0) + 1
end
counts.total = #results
return cjson.encode(counts)
