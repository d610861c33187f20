-- provider tag
-- Milliseconds until something of a lane may be claimed, -1 where nothing waits. ARGV: lane. Changes nothing.
local lane, at = ARGV[1], now()
if redis.call('LLEN', T .. 'ready:' .. lane) > 0 then return '0' end
local best = -1
for _, name in ipairs({ 'due:' .. lane, 'later' }) do
  local first = redis.call('ZRANGE', T .. name, 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(0, num(first[2]) - at)
    if best < 0 or wait < best then best = wait end
  end
end
return string.format('%d', best)
