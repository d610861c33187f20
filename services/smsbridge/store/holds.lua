-- account tag
-- Holds (phone, text) pairs for a composition, all or none of each pair. ARGV: client id, life ms, JSON list of digests.
-- Answers a list: 0 where held for it, else milliseconds until the other's hold ends.
local cid, life, pairs_ = ARGV[1], tonumber(ARGV[2]), cjson.decode(ARGV[3])
local answers = {}
for i, digest in ipairs(pairs_) do
  local key = T .. 'hold:' .. digest
  if redis.call('SET', key, cid, 'NX', 'PX', life) then answers[i] = 0
  elseif redis.call('GET', key) == cid then
    redis.call('PEXPIRE', key, life)
    answers[i] = 0
  else
    answers[i] = math.max(1, redis.call('PTTL', key))
  end
end
return cjson.encode(answers)
