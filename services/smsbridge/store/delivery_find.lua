-- provider tag
-- The newest messages to one number. ARGV[1] phone (MSISDN).
-- Answers a list of {mid, m = fields of the record that a summary needs}, in no order.
local FIELDS = { 'st', 'rs', 'org', 'to', 'acc', 'na', 'route' }
local OF_ATTEMPT = { 'ch', 'by', 'st', 'at', 'fin', 'cost', 'est' }
assert(ARGV[1] ~= '', 'a phone is needed')
local found = {}
for _, mid in ipairs(redis.call('LRANGE', T .. 'to:' .. ARGV[1], 0, PHONE_MESSAGES_KEPT - 1)) do
  local key, m = T .. 'm:' .. mid, {}
  local function take(names, prefix)
    for _, name in ipairs(names) do m[prefix .. name] = redis.call('HGET', key, prefix .. name) or nil end
  end
  take(FIELDS, '')
  if m.st then
    for k = 1, num(m.na) do take(OF_ATTEMPT, 'a' .. k .. ':') end
    found[#found + 1] = { mid = mid, m = m }
  end
end
if #found == 0 then return '[]' end
return cjson.encode(found)
