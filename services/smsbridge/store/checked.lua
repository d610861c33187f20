-- provider tag
-- What look-ups mean for members of a claimed batch that has no intent. ARGV: client id, owner, JSON list of {ref, reason}
-- that are left out, and fail; JSON list of {ref, why} that are sent though nobody knows their number.
-- Answers {left = how many stay}, or {refused = true} where the batch is no longer the owner's.
local cid, owner = ARGV[1], ARGV[2]
local key = T .. 'b:' .. cid
local v = redis.call('HMGET', key, 'st', 'owner', 'members')
if v[1] ~= 'claimed' or v[2] ~= owner then return cjson.encode({ refused = true }) end
local reasons, left = {}, {}
for _, item in ipairs(cjson.decode(ARGV[3])) do reasons[item.ref] = item.reason end
for _, item in ipairs(cjson.decode(ARGV[4])) do
  local mid = split_ref(item.ref)
  redis.call('HSET', T .. 'm:' .. mid, 'lk', '-1')
  event(mid, 'unchecked', { why = item.why })
end
local members = list(v[3])
for _, member in ipairs(members) do
  local reason = reasons[member.ref]
  local mid, k = split_ref(member.ref)
  if not reason then
    left[#left + 1] = member
  elseif redis.call('HGET', T .. 'm:' .. mid, 'a' .. k .. ':st') == 'sending' then
    redis.call('HSET', T .. 'm:' .. mid, 'nx', '0')
    set_attempt(mid, k, 'failed', { rs = reason, cid = '' })
    event(mid, 'left_out', { attempt = k, reason = reason })
    derive(mid)
  end
end
if #left < #members then shrink(cid, left) end
return cjson.encode({ left = #left })
