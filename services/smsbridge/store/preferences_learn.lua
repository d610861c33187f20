-- provider tag, errands
-- Preferred channels of numbers, as cascades taught. ARGV: how long one is kept (ms), then of each: DIGEST, CHANNEL,
-- LEARNED_AT_MS, and its errand to the CRM as `errand_put` takes it (empty: none).
-- The newest word wins, however they come in. The CRM is told of sms, and of viber only where it was told of sms before:
-- `crm:DIGEST` remembers that. Answers how many were taken.
local kept = tonumber(ARGV[1])
local TOLD_MS = 400 * 86400000
local taken, errands = 0, {}
assert(kept and (#ARGV - 1) % 4 == 0, 'learn: an argument is missing')
for i = 2, #ARGV, 4 do
  if ARGV[i + 3] ~= '' then
    errands[i] = cjson.decode(ARGV[i + 3])
    errand_check(errands[i], i)
  end
end
for i = 2, #ARGV, 4 do
  local key, told = T .. 'pref:' .. ARGV[i], T .. 'crm:' .. ARGV[i]
  local at = tonumber(ARGV[i + 2])
  local known = redis.call('GET', key)
  local known_at = known and tonumber(string.match(known, '|(%d+)$')) or 0
  local left = at + kept - now()
  if at > known_at and left > 0 then
    redis.call('SET', key, ARGV[i + 1] .. '|' .. ARGV[i + 2], 'PX', string.format('%d', left))
    taken = taken + 1
    if errands[i] then
      local sms = ARGV[i + 1] == 'sms'
      if sms or redis.call('EXISTS', told) == 1 then errand_put(errands[i]) end
      if sms then redis.call('SET', told, '', 'PX', string.format('%d', TOLD_MS)) else redis.call('DEL', told) end
    end
  end
end
return cjson.encode(taken)
