#!lua flags=allow-oom
-- Counts the ids whose parked receipts wait for the sender's report, and those for which it never came.
--   unmatched  how many ids were given up: only grows
-- Keys else as in receipts_index.lua. ARGV[1] how long parked receipts are kept (ms). Answers {waiting, unmatched}.
local kept = tonumber(ARGV[1])
assert(kept and kept > 0, 'the time is missing')
local gone = redis.call('ZREMRANGEBYSCORE', T .. 'parked', '-inf', now() - kept)
if gone > 0 then redis.call('INCRBY', T .. 'unmatched', gone) end
return cjson.encode({
  waiting = redis.call('ZCARD', T .. 'parked'), unmatched = tonumber(redis.call('GET', T .. 'unmatched') or 0),
})
