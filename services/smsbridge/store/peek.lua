-- provider tag
-- How long until something of a lane may be claimed. ARGV: lane, ms that claiming waits after a change of primary.
-- Answers {next_ms = n, -1 where nothing waits, new_primary = it was seen just now}. Changes nothing else.
local lane, at = ARGV[1], now()
local settling, seen = new_primary(tonumber(ARGV[2]))
if settling > 0 then return cjson.encode({ next_ms = settling, new_primary = seen }) end
if redis.call('LLEN', T .. 'ready:' .. lane) > 0 then return cjson.encode({ next_ms = 0 }) end
local best = -1
for _, name in ipairs({ 'due:' .. lane, 'later' }) do
  local first = redis.call('ZRANGE', T .. name, 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(0, num(first[2]) - at)
    if best < 0 or wait < best then best = wait end
  end
end
return cjson.encode({ next_ms = best })
