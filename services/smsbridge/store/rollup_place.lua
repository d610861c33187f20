#!lua flags=allow-oom
-- provider tag
-- What hlr knew of final messages' numbers: what each has added counts for its carrier and region too, once.
-- ARGV[1] JSON list of {mid, carrier, region}, empty where nobody knows. A repeat changes nothing.
-- A day has at most ROLLUP_NAMES_MOST of either; what comes then is `other`.
local function bounded(kind, day, name)
  if name == '' then return '' end
  local key = T .. kind .. ':' .. day
  if redis.call('HEXISTS', key, name .. '|n') == 1 then return name end
  if redis.call('HINCRBY', key, '|names', 1) > ROLLUP_NAMES_MOST then
    redis.call('HINCRBY', key, '|names', -1)
    return 'other'
  end
  return name
end

local placed = 0
for _, item in ipairs(cjson.decode(ARGV[1])) do
  local mid = item[1]
  local key = T .. 'm:' .. mid
  local v = redis.call('HMGET', key, 'ru', 'cr')
  if redis.call('ZREM', T .. 'unplaced', mid) == 1 and v[1] and not v[2] then
    local day, _, f = load_contribution(v[1])
    local carrier, region = bounded('rc', day, item[2]), bounded('rg', day, item[3])
    redis.call('HSET', key, 'cr', carrier, 'rg', region)
    if carrier ~= '' then add_to_day('rc', day, carrier, f, 1) end
    if region ~= '' then add_to_day('rg', day, region, f, 1) end
    if carrier ~= '' or region ~= '' then placed = placed + 1 end
  end
end
return string.format('%d', placed)
