-- provider tag
-- Answers {statuses, answers = how many portal statuses and answers to workflow steps may go now, next_ms = until the
-- first may, -1 where none waits}.
local at, next_ms = now(), -1
for _, set in ipairs({ 'dirty', 'steps' }) do
  local first = redis.call('ZRANGE', T .. set, 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(0, math.ceil(num(first[2]) - at))
    if next_ms < 0 or wait < next_ms then next_ms = wait end
  end
end
return cjson.encode({ statuses = redis.call('ZCOUNT', T .. 'dirty', '-inf', at),
  answers = redis.call('ZCOUNT', T .. 'steps', '-inf', at), next_ms = next_ms })
