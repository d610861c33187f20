-- provider tag
-- Which attempts of one smsc_id are open, for a receipt that names no phone. ARGV: smsc_id, JSON list of {ref, cid}.
-- Answers {open = list of refs, incomplete = the sender has not told of all of them yet, uncertain = some member of the
-- batch may or may not belong to it}.
local sid, members = ARGV[1], cjson.decode(ARGV[2])
local open, uncertain, incomplete = {}, false, false
for _, m in ipairs(members) do
  local mid, k = split_ref(m.ref)
  local rank = redis.call('HGET', T .. 'm:' .. mid, 'a' .. k .. ':rk')
  if rank and num(rank) < FINAL_RANK then open[#open + 1] = m.ref end
  if m.cid ~= '' and redis.call('EXISTS', T .. 'b:' .. m.cid) == 1 then uncertain = true end
end
local mark = '"smsc_id":"' .. sid .. '"'
for _, json in ipairs(redis.call('HVALS', T .. 'subs')) do
  if string.find(json, mark, 1, true) then incomplete = true break end
end
return cjson.encode({ open = open, uncertain = uncertain, incomplete = incomplete })
