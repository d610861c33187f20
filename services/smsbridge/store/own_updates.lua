#!lua flags=allow-oom
-- portal tag
-- Our own updates of CRM entities, whose events are on their way to us. ARGV: how, how long one is waited for (ms), JSON
-- list of entities. `how`: `mark` (one more is to come), `undo` (it will not), `swallow` (one came).
--   own:ENTITY  how many are to come
-- Answers a list, in its order: of `swallow` whether it was ours, else true.
local how, kept, given, answers = ARGV[1], tonumber(ARGV[2]), cjson.decode(ARGV[3]), {}
assert((how == 'mark' or how == 'undo' or how == 'swallow') and kept and kept > 0, 'own: an argument is missing')
for place, entity in ipairs(given) do
  local key = T .. 'own:' .. entity
  if how == 'mark' then
    redis.call('INCR', key)
    redis.call('PEXPIRE', key, string.format('%d', kept))
    answers[place] = true
  else
    local left = num(redis.call('GET', key))
    if left > 1 then redis.call('DECR', key) elseif left == 1 then redis.call('DEL', key) end
    answers[place] = how == 'undo' or left > 0
  end
end
return cjson.encode(answers)
