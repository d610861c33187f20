-- provider tag
-- Held messages whose application token is to be compared (again). ARGV: most, "all" to look before their time.
-- Answers a list of {mid, digest, due = bool}. Nothing is changed.
local most = tonumber(ARGV[1])
local limit = ARGV[2] == 'all' and '+inf' or now()
local found = {}
for _, mid in ipairs(redis.call('ZRANGEBYSCORE', T .. 'tokens', '-inf', limit, 'LIMIT', 0, most)) do
  local score = num(redis.call('ZSCORE', T .. 'tokens', mid))
  found[#found + 1] = { mid = mid, digest = redis.call('HGET', T .. 'm:' .. mid, 'digest') or '', due = score <= now() }
end
return cjson.encode(found)
