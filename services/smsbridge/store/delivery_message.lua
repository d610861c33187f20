-- provider tag
-- One message whole, as it is at this moment. ARGV[1] mid.
-- Answers {m = record, h = story, want = what the portal is to be told, times = when what is next is due, now} or null.
local mid = ARGV[1]
local key = T .. 'm:' .. mid
local flat = redis.call('HGETALL', key)
if #flat == 0 then return 'null' end
local m, h, times = {}, {}, {}
for i = 1, #flat, 2 do m[flat[i]] = flat[i + 1] end
for i, json in ipairs(redis.call('LRANGE', T .. 'h:' .. mid, 0, -1)) do h[i] = cjson.decode(json) end
local ref = mid .. '|' .. (m.na or '1')
local group = m['a' .. (m.na or '1') .. ':gid'] or ''
local function due(name, set, member)
  local at = redis.call('ZSCORE', T .. set, member)
  if at then times[name] = math.floor(num(at)) end
end
due('tokens', 'tokens', mid)
due('group', 'due:' .. (m.lane or ''), group)
due('later', 'later', ref)
due('cascade', 'casc', mid)
due('grace', 'grace', ref)
due('poll', 'poll', ref)
due('portal', STEPS[m.rep] and 'steps' or 'dirty', mid)
return cjson.encode({ m = m, h = h, want = portal_want(portal_fields(mid)) or '', times = times, now = now() })
