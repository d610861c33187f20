-- provider tag
-- Some or all members of a batch that has no intent leave it. ARGV: client id, owner, JSON list of
-- {ref, delay_ms, why} to put back ({looking = true}: it waits for a look-up of its number), or {ref, gid, gi, ch, why} to enter another group, with {legs, nx} where
-- the message's legs change with it.
-- Answers {left = how many stay}, or {refused = true} where the batch is no longer the owner's.
local cid, owner, moves = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
local key = T .. 'b:' .. cid
local v = redis.call('HMGET', key, 'st', 'owner', 'members')
if v[1] ~= 'claimed' or v[2] ~= owner then return cjson.encode({ refused = true }) end
local gone = {}
for _, m in ipairs(moves) do gone[m.ref] = m end
local left = {}
local members = list(v[3])
for _, member in ipairs(members) do
  local m = gone[member.ref]
  if not m then
    left[#left + 1] = member
  else
    local mid, k = split_ref(member.ref)
    if m.gid then
      local p = 'a' .. k .. ':'
      redis.call('HSET', T .. 'm:' .. mid, p .. 'gid', m.gid, p .. 'gi', m.gi, p .. 'ch', m.ch)
      if m.legs then redis.call('HSET', T .. 'm:' .. mid, 'legs', m.legs, 'nx', m.nx) end
      event(mid, 'rerouted', { channel = m.ch, why = m.why })
    end
    if m.looking then redis.call('HSETNX', T .. 'm:' .. mid, 'lk', string.format('%d', now())) end
    back(mid, k, m.delay_ms or 0, m.why)
  end
end
if #left < #members then shrink(cid, left) end
return cjson.encode({ left = #left })
