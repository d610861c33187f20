-- any tag
-- Preferred channels of numbers. ARGV: how long one is kept (ms), then DIGEST, CHANNEL, LEARNED_AT_MS of each.
-- The newest word wins, however they come in. Answers how many were taken.
local kept = tonumber(ARGV[1])
local taken = 0
for i = 2, #ARGV, 3 do
  local key = T .. 'pref:' .. ARGV[i]
  local at = tonumber(ARGV[i + 2])
  local known = redis.call('GET', key)
  local known_at = known and tonumber(string.match(known, '|(%d+)$')) or 0
  local left = at + kept - now()
  if at > known_at and left > 0 then
    redis.call('SET', key, ARGV[i + 1] .. '|' .. ARGV[i + 2], 'PX', string.format('%d', left))
    taken = taken + 1
  end
end
return cjson.encode(taken)
