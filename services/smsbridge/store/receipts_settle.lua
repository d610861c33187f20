#!lua flags=allow-oom
-- Ends the lease of inbox entries. ARGV[1] JSON list of ids that are done; ARGV[2] JSON list of ids to be due again,
-- ARGV[3] in how many ms. A repeat changes nothing.
local done, later, delay = cjson.decode(ARGV[1]), cjson.decode(ARGV[2]), tonumber(ARGV[3])
assert(delay, 'the delay is missing')
for _, id in ipairs(done) do
  redis.call('ZREM', T .. 'rq', id)
  redis.call('HDEL', T .. 'rqd', id)
end
for _, id in ipairs(later) do
  if redis.call('HEXISTS', T .. 'rqd', id) == 1 then redis.call('ZADD', T .. 'rq', now() + delay, id) end
end
return '1'
