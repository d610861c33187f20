-- provider tag
-- Held messages, oldest first, whose application tokens are to be compared (again). ARGV: how many to pass over, most.
-- Answers a list of {mid, digest, due = whether its time is over}. Nothing is changed.
local offset, most = tonumber(ARGV[1]), tonumber(ARGV[2])
assert(offset >= 0 and most > 0, 'tokens_due: an argument is missing')
local at, found = now(), {}
local held = redis.call('ZRANGE', T .. 'tokens', offset, offset + most - 1, 'WITHSCORES')
for i = 1, #held, 2 do
  local digest = redis.call('HGET', T .. 'm:' .. held[i], 'digest') or ''
  found[#found + 1] = { mid = held[i], digest = digest, due = num(held[i + 1]) <= at }
end
return cjson.encode(found)
