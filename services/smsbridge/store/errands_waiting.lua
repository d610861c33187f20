-- provider tag, errands
-- How many errands wait or are being done. ARGV: kinds. Answers {KIND = {count, age_ms (of the oldest)}}.
local here, found = now(), {}
for _, kind in ipairs(ARGV) do
  local first = redis.call('ZRANGE', T .. 'er:all:' .. kind, 0, 0, 'WITHSCORES')
  found[kind] = { redis.call('ZCARD', T .. 'er:all:' .. kind), first[2] and math.max(0, here - num(first[2])) or 0 }
end
return cjson.encode(found)
