-- provider tag
-- Takes the next attempt of a message that exists (a cascade's later leg). Deduped on (message, attempt): only a
-- planned one is taken. ARGV: mid, attempt, group id, group JSON, channel.
-- Answers "accepted", "duplicate" or "unknown".
local mid, k = ARGV[1], tonumber(ARGV[2])
assert(mid ~= '' and k and k > 1, 'mid and an attempt above 1 are needed')
local key, p = T .. 'm:' .. mid, 'a' .. k .. ':'
local st = redis.call('HGET', key, p .. 'st')
if not st then return '"unknown"' end
if st ~= 'planned' then return '"duplicate"' end
set_attempt(mid, k, 'queued', { ch = ARGV[5], gid = ARGV[3], gi = ARGV[4], ['in'] = now() })
enter_group(mid, k, ARGV[3], ARGV[4], now())
return '"accepted"'
