-- account tag
-- One request that SMSC counts by the minute: now, or when. ARGV: what it is, the pause between two in the long run (ms),
-- how many may go at once, "1" where SMSC said that it were too many: then nothing goes for a minute.
--   pace:WHAT  when the next one would have gone, had they all kept the pause
-- Answers {wait_ms}: 0 where it may go, and is counted.
local what, pause, burst, over = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
assert(what ~= '' and pause and pause > 0 and burst and burst > 0, 'turn: an argument is missing')
local key, here = T .. 'pace:' .. what, now()
local slack = (burst - 1) * pause
if over then
  redis.call('SET', key, string.format('%d', here + 60000 + slack), 'PX', string.format('%d', 60000 + slack + pause))
  return cjson.encode({ wait_ms = 60000 })
end
local at = math.max(num(redis.call('GET', key)), here)
if at - here > slack then return cjson.encode({ wait_ms = math.ceil(at - here - slack) }) end
redis.call('SET', key, string.format('%d', at + pause), 'PX', string.format('%d', at + pause - here + 1000))
return cjson.encode({ wait_ms = 0 })
