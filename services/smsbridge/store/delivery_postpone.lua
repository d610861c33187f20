#!lua flags=allow-oom
-- provider tag
-- Sets when attempts are asked about: never later than they close. Attempts that are not open are left alone.
-- ARGV[1] JSON list of refs, ARGV[2] in how many ms; ARGV[3] "1": only where that is sooner. Answers how many were set.
local refs, delay, sooner = cjson.decode(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
assert(delay, 'the delay is missing')
local set = 0
for _, ref in ipairs(refs) do
  local mid, k = split_ref(ref)
  local p = 'a' .. k .. ':'
  local v = redis.call('HMGET', T .. 'm:' .. mid, p .. 'rk', p .. 'close')
  local rank = num(v[1])
  if v[1] and rank >= RANKS.sent and rank < FINAL_RANK then
    local at = now() + delay
    if v[2] then at = math.min(at, num(v[2])) end
    local known = redis.call('ZSCORE', T .. 'poll', ref)
    if not (sooner and known and num(known) <= at) then
      redis.call('ZADD', T .. 'poll', at, ref)
      set = set + 1
    end
  end
end
return cjson.encode(set)
