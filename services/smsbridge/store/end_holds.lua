-- account tag
-- The POST that carried these pairs has ended. ARGV: client id, ms to hold from now (0 lets go), JSON list of digests.
local cid, rest, pairs_ = ARGV[1], tonumber(ARGV[2]), cjson.decode(ARGV[3])
for _, digest in ipairs(pairs_) do
  local key = T .. 'hold:' .. digest
  if redis.call('GET', key) == cid then
    if rest > 0 then redis.call('PEXPIRE', key, rest) else redis.call('DEL', key) end
  end
end
return 'true'
