-- provider tag
-- Rollups of some days. ARGV: kind (rw, rc or rg), first day, last day (prelude_rollup.lua).
-- Answers {DAY = {NAME|MEASURE = n}} of the days that have any.
local kind, first, last = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
assert((kind == 'rw' or kind == 'rc' or kind == 'rg') and first and last, 'rollup_read: an argument is missing')
local days = {}
for day = first, last do
  local flat = redis.call('HGETALL', T .. kind .. ':' .. string.format('%d', day))
  if #flat > 0 then
    local found = {}
    for i = 1, #flat, 2 do found[flat[i]] = tonumber(flat[i + 1]) end
    days[string.format('%d', day)] = found
  end
end
if next(days) == nil then return '{}' end
return cjson.encode(days)
