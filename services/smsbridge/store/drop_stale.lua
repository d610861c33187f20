-- provider tag
-- Members of a claimed batch that need no sending any more (delivered meanwhile, cancelled) leave it.
-- ARGV: client id, owner, JSON list of refs. Answers {left = n} or {refused = true}.
local cid, owner, refs = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
local key = T .. 'b:' .. cid
local v = redis.call('HMGET', key, 'st', 'owner', 'members')
if v[1] ~= 'claimed' or v[2] ~= owner then return cjson.encode({ refused = true }) end
local gone, left = {}, {}
for _, ref in ipairs(refs) do gone[ref] = true end
local members = list(v[3])
for _, member in ipairs(members) do
  local mid, k = split_ref(member.ref)
  if not gone[member.ref] then
    left[#left + 1] = member
  elseif redis.call('HGET', T .. 'm:' .. mid, 'a' .. k .. ':st') == 'sending' then
    set_attempt(mid, k, 'failed', { rs = 'Cancelled', cid = '' })
    event(mid, 'not_needed', { attempt = k })
    derive(mid)
  end
end
if #left < #members then shrink(cid, left) end
return cjson.encode({ left = #left })
