-- account tag
-- Counts status questions before they are made. ARGV: most a window, window ms, JSON list of "id|phone" digests.
-- Answers a list: true where the question may be asked (and is counted).
local most, window, pairs_ = tonumber(ARGV[1]), tonumber(ARGV[2]), cjson.decode(ARGV[3])
local answers = {}
for i, digest in ipairs(pairs_) do
  local key = T .. 'ask:' .. digest
  local count = redis.call('INCR', key)
  if count == 1 then redis.call('PEXPIRE', key, window) end
  answers[i] = count <= most
end
return cjson.encode(answers)
