-- provider tag, verifications
-- ARGV: id, or empty for all, the newest first. Answers a list of {id, v = the record, c = the counts, of one alone}, both as
-- lists of names and values.
local ids, found = { ARGV[1] }, {}
if ARGV[1] == '' then ids = redis.call('ZREVRANGE', T .. 'verifications', 0, -1) end
for _, id in ipairs(ids) do
  local v = redis.call('HGETALL', record(id))
  if #v > 0 then
    found[#found + 1] = { id = id, v = v, c = ARGV[1] ~= '' and redis.call('HGETALL', T .. 'vc:' .. id) or {} }
  elseif ARGV[1] == '' then
    redis.call('ZREM', T .. 'verifications', id)
  end
end
return #found > 0 and cjson.encode(found) or '[]'
